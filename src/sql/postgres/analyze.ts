import { GatewayError } from '../../kernel/index.ts'
import type { FunctionResolver, SqlLimits, StatementAnalysis } from '../analysis.ts'
import { FactsBuilder } from './builder.ts'
import { chainedTokens, commentsInARow } from './nesting.ts'
import { parse, type RawStatement } from './parser.ts'
import { newScope, type Walk } from './scope.ts'
import { innerSpan } from './spans.ts'
import { statement } from './statements.ts'
import { type Fields, flag, number, tagged, text } from './tree.ts'

export interface Analyzed {
  readonly statements: readonly StatementAnalysis[]
  /** The analysis holds for every text that differs in plain literals alone. */
  readonly literalBlind: boolean
}

interface Context {
  readonly limits: SqlLimits
  readonly functions: FunctionResolver | undefined
}

/** Tokens that may chain at one place, per level of nesting allowed. */
const TOKENS_PER_LEVEL = 4
/** Beyond this the parser's own stack is in danger, whatever the limits say. */
const MAX_CHAINED_TOKENS = 2_000

/** The parser's scanner needs time with the square of it. */
const MAX_COMMENTS_IN_A_ROW = 100

/** Parses and judges a text of any number of statements. @throws GatewayError `sql.*` */
export function analyzeText(sql: string, context: Context): Analyzed {
  refuseUnreadable(sql)
  const bytes = Buffer.from(sql)
  const { maxStatementBytes, maxStatements, maxDepth } = context.limits
  if (bytes.length > maxStatementBytes)
    throw new GatewayError('sql.too_large', `The statement is over ${maxStatementBytes} bytes long.`)
  const maxChained = Math.min(MAX_CHAINED_TOKENS, maxDepth * TOKENS_PER_LEVEL)
  if (sql.length > maxChained && chainedTokens(sql) > maxChained)
    throw new GatewayError('sql.too_large', 'The statement is nested too deeply to be judged.')
  if (sql.length > MAX_COMMENTS_IN_A_ROW && commentsInARow(sql) > MAX_COMMENTS_IN_A_ROW)
    throw new GatewayError('sql.too_large', 'Comments in the statement are nested too deeply to be read.')
  const raw = parse(sql)
  if (raw.length > maxStatements)
    throw new GatewayError('sql.too_large', `The text holds over ${maxStatements} statements.`)
  const judged = raw.map((one) => judge(one, bytes, context))
  const [first] = judged
  return {
    statements: judged.map(({ analysis }) => analysis),
    literalBlind: judged.length === 1 && first !== undefined && !first.literalSensitive && isPlain(first.analysis),
  }
}

/** The target ends a text at a NUL, and cannot be sent half a character. */
function refuseUnreadable(sql: string): void {
  if (sql.includes('\0')) throw new GatewayError('sql.encoding', 'The statement holds a NUL character.')
  if (/\p{Surrogate}/u.test(sql)) throw new GatewayError('sql.encoding', 'The statement is not valid Unicode.')
}

const SHARED_KINDS = new Set(['select', 'insert', 'update', 'delete', 'merge'])

function isPlain({ facts, effects, copy }: StatementAnalysis): boolean {
  return SHARED_KINDS.has(facts.kind) && effects.length === 0 && copy === undefined
}

interface Judged {
  readonly analysis: StatementAnalysis
  readonly literalSensitive: boolean
  readonly builder: FactsBuilder
}

function judge(raw: RawStatement, bytes: Buffer, context: Context): Judged {
  const [start, end] = trim(bytes, raw.start, raw.length === 0 ? bytes.length : raw.start + raw.length)
  return judgeNode(raw.node, bytes.toString('utf8', start, end), start, end, context)
}

function judgeNode(node: unknown, source: string, start: number, end: number, context: Context): Judged {
  const found = tagged(node)
  if (found === undefined)
    throw new GatewayError('sql.unparsable', 'The statement has no shape that the gateway knows.')
  const facts = new FactsBuilder()
  const walk: Walk = {
    facts,
    functions: context.functions,
    maxDepth: context.limits.maxDepth,
    depth: 0,
    sink: undefined,
  }
  statement(walk, newScope(undefined), found.type, found.fields)
  inside(facts, found.type, found.fields, { source, start }, context)
  const copy = facts.copy
  const analysis: StatementAnalysis = {
    text: source,
    startByte: start,
    endByte: end,
    facts: facts.build(),
    effects: facts.effects,
    secretLiterals: facts.secretLiterals,
    ...(copy === undefined ? {} : { copy: { ...copy, query: copyQuery(found.fields, source, start) } }),
    parameterCount: facts.parameterCount,
  }
  return { analysis, literalSensitive: facts.literalSensitive, builder: facts }
}

/** The statement that PREPARE or DECLARE keeps for later: its facts count now, and are kept for EXECUTE and FETCH. */
function inside(
  facts: FactsBuilder,
  type: string,
  fields: Fields,
  at: { source: string; start: number },
  context: Context,
): void {
  if (type !== 'PrepareStmt' && type !== 'DeclareCursorStmt') return
  const { source, start } = at
  const bytes = Buffer.from(source)
  const span = innerSpan(source, type) ?? { start: 0, end: bytes.length }
  const inner = bytes.toString('utf8', span.start, span.end)
  const { analysis, builder } = judgeNode(fields['query'], inner, start + span.start, start + span.end, context)
  facts.absorb(builder)
  facts.literalSensitive = true
  if (type === 'PrepareStmt') {
    facts.parameterCount = 0
    facts.effects.push({ kind: 'prepare', name: text(fields, 'name') ?? '', statement: analysis })
  } else {
    const options = number(fields, 'options')
    const name = text(fields, 'portalname') ?? ''
    facts.effects.push({
      kind: 'declare',
      name,
      hold: (options & CURSOR_HOLD) !== 0,
      binary: (options & CURSOR_BINARY) !== 0,
      statement: analysis,
    })
  }
}

const CURSOR_BINARY = 0x01
const CURSOR_HOLD = 0x20

function copyQuery(fields: Fields, source: string, start: number) {
  if (fields['query'] === undefined || flag(fields, 'is_from')) return undefined
  const span = innerSpan(source, 'CopyStmt')
  if (span === undefined) return undefined
  const inner = Buffer.from(source).toString('utf8', span.start, span.end)
  return { startByte: start + span.start, endByte: start + span.end, text: inner }
}

function trim(bytes: Buffer, start: number, end: number): [number, number] {
  let first = start
  let last = Math.min(end, bytes.length)
  while (first < last && isSpace(bytes[first])) first++
  while (last > first && isSpace(bytes[last - 1])) last--
  return [first, last]
}

function isSpace(byte: number | undefined): boolean {
  return byte === 32 || (byte !== undefined && byte >= 9 && byte <= 13)
}
