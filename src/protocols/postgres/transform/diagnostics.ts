import type { ContentScanner } from '../../../masking/index.ts'
import { isBuiltInTypeName } from '../types.ts'
import { CONDITIONS } from './conditions.ts'

export interface DiagnosticContext {
  /** Of the masks in force; undefined when no content is looked for. */
  readonly scanner: Pick<ContentScanner, 'scanText'> | undefined
  /** The statement touches protected data, which the target may quote. */
  readonly strict: boolean
}

/** Fields that the target never fills from values: severity, code, position, its own source file, line and routine. */
const STRUCTURAL = new Set(['S', 'V', 'C', 'P', 'F', 'L', 'R'])
/** Names of schema, table, column, type and constraint. */
const NAMES = new Set(['s', 't', 'c', 'd', 'n'])
const WITHHELD = 'Values are withheld because the statement touches protected data.'

/**
 * Makes an error or a notice fit to be shown and recorded: texts are looked through, and where protected data is in
 * play they are rebuilt from what the target cannot have taken from a row.
 *
 * @see https://www.postgresql.org/docs/current/protocol-error-fields.html
 */
export function transformDiagnostic(
  fields: ReadonlyMap<string, string>,
  { scanner, strict }: DiagnosticContext,
): Map<string, string> {
  const answer = new Map<string, string>()
  const ofTheText = speaksOfTheText(fields)
  for (const [letter, text] of fields) {
    if (STRUCTURAL.has(letter)) answer.set(letter, text)
    else if (strict && letter === 'M' && !ofTheText) answer.set(letter, rebuilt(fields))
    else if (!strict || letter === 'M' || NAMES.has(letter)) answer.set(letter, scanner?.scanText(text) ?? text)
  }
  if (strict && !ofTheText) answer.set('H', WITHHELD)
  return answer
}

/**
 * Raised while the statement is analysed, before any row is read: unknown or ambiguous names, wrong types, wrong grouping.
 * What they quote is the client's own text, which an agent needs to mend a typing error.
 */
const ANALYSIS_CODES = new Set([
  '42P01',
  '42703',
  '42883',
  '42704',
  '42P02',
  '42702',
  '42725',
  '42804',
  '42803',
  '42601',
])

/** The server's own remark on IF EXISTS, about a name in the command. */
const SKIPPING = /^[a-z ]{1,40} "[^"]{1,127}" (?:of relation "[^"]{1,127}" )?does not exist, skipping$/

/** An error from inside a function has a context or an internal query; its words may be anybody's. */
function speaksOfTheText(fields: ReadonlyMap<string, string>): boolean {
  if (fields.has('W') || fields.has('q')) return false
  if (fields.get('C') === '00000') return SKIPPING.test(fields.get('M') ?? '')
  return ANALYSIS_CODES.has(fields.get('C') ?? '') && fields.has('P')
}

interface Wording {
  readonly form: RegExp
  readonly says: (match: RegExpExecArray, fields: ReadonlyMap<string, string>) => string
}

/** A type's name passes only if it is one: anybody can raise an error with this code and wording. */
function typeIn(words: string, form = `^${words.replace('TYPE', '([a-z][a-z0-9 ]{0,40})')}`): Wording {
  return {
    form: new RegExp(form, 's'),
    says: ([, type = '']) => (isBuiltInTypeName(type) ? words.replace('TYPE', type) : words.replace(/ ?TYPE ?/, '')),
  }
}

function constraintOf(form: RegExp, says: string): Wording {
  return { form, says: (_match, fields) => (fields.has('n') ? `${says} ${quoted(fields.get('n'))}` : says) }
}

function fixed(form: RegExp, says: string): Wording {
  return { form, says: () => says }
}

/** The server's own words by code, each without what stood in quotes. Anything else is told by its condition's name. */
const WORDINGS: Readonly<Record<string, readonly Wording[]>> = {
  '22P02': [typeIn('invalid input syntax for type TYPE'), typeIn('invalid input value for enum')],
  '22003': [
    typeIn('TYPE out of range'),
    typeIn('value is out of range for type TYPE', '^value ".*" is out of range for type ([a-z ]{1,40})$'),
    fixed(/^numeric field overflow$/, 'numeric field overflow'),
  ],
  '22007': [typeIn('invalid input syntax for type TYPE')],
  '22008': [fixed(/^date\/time field value out of range/, 'date/time field value out of range')],
  '22001': [fixed(/^value too long for type/, 'value too long for the column or type')],
  '22012': [fixed(/^division by zero$/, 'division by zero')],
  '23502': [
    {
      form: /^null value in column/,
      says: (_match, fields) => `null value in column ${quoted(fields.get('c'))} violates not-null constraint`,
    },
  ],
  '23505': [
    constraintOf(/^duplicate key value violates unique/, 'duplicate key value violates unique constraint'),
    constraintOf(/^could not create unique index/, 'could not create unique index'),
  ],
  '23503': [constraintOf(/violates foreign key constraint/, 'violates foreign key constraint')],
  '23514': [constraintOf(/violates check constraint/, 'violates check constraint')],
  '23P01': [constraintOf(/violates exclusion constraint/, 'violates exclusion constraint')],
  '42601': [fixed(/^syntax error/, 'syntax error')],
  '42501': [fixed(/^permission denied/, 'permission denied')],
  '42703': [fixed(/does not exist$/, 'column does not exist')],
  '42P01': [fixed(/does not exist$/, 'relation does not exist')],
  '42883': [fixed(/does not exist$/, 'function or operator does not exist')],
  '57014': [
    fixed(/^canceling statement due to statement timeout$/, 'canceling statement due to statement timeout'),
    fixed(/^canceling statement due to user request$/, 'canceling statement due to user request'),
  ],
}

function rebuilt(fields: ReadonlyMap<string, string>): string {
  const code = fields.get('C') ?? ''
  const condition = CONDITIONS[code]?.replaceAll('_', ' ') ?? 'condition not known'
  for (const { form, says } of WORDINGS[code] ?? []) {
    const match = form.exec(fields.get('M') ?? '')
    if (match !== null) return says(match, fields)
  }
  return `${condition} (message withheld)`
}

/** Names that the target gives in a field of their own. */
function quoted(name: string | undefined): string {
  return name === undefined ? '' : `"${name}"`
}
