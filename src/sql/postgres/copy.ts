import type { CopyFacts, CopyOptions } from '../analysis.ts'
import { expression } from './expression.ts'
import { dataChange, isDataChange } from './modify.ts'
import { select } from './query.ts'
import { touchRelation, writeRelation } from './relations.ts'
import { baseShape, newScope, type Scope, type Walk } from './scope.ts'
import { asType, constant, type Fields, flag, list, relationName, strings, struct, tagged, text } from './tree.ts'

/** COPY in both directions. The span of an inner query is added by the caller, who has the text. */
export function copyStatement(walk: Walk, scope: Scope, fields: Fields): void {
  const { facts } = walk
  const incoming = flag(fields, 'is_from')
  facts.does(incoming ? 'copy_in' : 'copy_out')
  facts.literalSensitive = true
  const source = flag(fields, 'is_program') ? 'program' : text(fields, 'filename') === undefined ? 'stdio' : 'file'
  if (source === 'program') {
    facts.serverPrograms = true
    facts.needs('admin', 'it runs a program on the server')
  }
  if (source === 'file') {
    facts.serverFiles = true
    facts.needs('admin', 'it reads or writes a file on the server')
  }
  const range = struct(fields, 'relation')
  const columns = strings(list(fields, 'attlist'))
  const use = source === 'stdio' ? 'output' : 'write'
  if (range !== undefined) copyTable(walk, range, fields, columns, incoming, use)
  const query = tagged(fields['query'])
  if (query?.type === 'SelectStmt') {
    if (select(walk, scope, query.fields, use).unbounded) facts.unbounded = true
  } else if (query !== undefined && isDataChange(query.type)) dataChange(walk, scope, query.type, query.fields, use)
  else if (query !== undefined) expression(walk, scope, fields['query'], 'write')
  facts.copy = copyFacts(fields, incoming ? 'in' : 'out', source, range, columns)
}

function copyTable(
  walk: Walk,
  range: Fields,
  fields: Fields,
  columns: readonly string[],
  incoming: boolean,
  use: 'output' | 'write',
): void {
  const { facts } = walk
  const name = relationName(range)
  if (incoming) {
    writeRelation(facts, name, 'it copies rows in')
    const inner = newScope(undefined)
    const schema = text(range, 'schemaname')
    inner.relations.push({ ...baseShape(name), name: text(range, 'relname') ?? '', schema, aside: false })
    expression(walk, inner, fields['whereClause'], 'predicate')
    return
  }
  facts.read(name)
  touchRelation(facts, name)
  facts.unbounded = true
  if (columns.length === 0) facts.column(name, '*', use)
  for (const column of columns) facts.column(name, column, use)
}

function copyFacts(
  fields: Fields,
  direction: CopyFacts['direction'],
  source: CopyFacts['source'],
  range: Fields | undefined,
  columns: readonly string[],
): CopyFacts {
  const options = new Map<string, unknown>()
  for (const item of list(fields, 'options')) {
    const option = asType(item, 'DefElem') ?? {}
    options.set((text(option, 'defname') ?? '').toLowerCase(), option['arg'] ?? null)
  }
  return {
    direction,
    source,
    relation: range === undefined ? undefined : relationName(range),
    query: undefined,
    columns,
    format: formatOf(options),
    options: optionsOf(options),
  }
}

function formatOf(options: ReadonlyMap<string, unknown>): CopyFacts['format'] {
  const format = value(options.get('format'))
  if (format === undefined) return 'text'
  return format === 'text' || format === 'csv' || format === 'binary' ? format : 'other'
}

const KNOWN_OPTIONS = new Set(
  'format freeze delimiter null default header quote escape force_quote force_not_null force_null encoding on_error reject_limit log_verbosity'.split(
    ' ',
  ),
)

function optionsOf(options: ReadonlyMap<string, unknown>): CopyOptions {
  const forceQuote = options.get('force_quote')
  const star = asType(forceQuote, 'A_Star') !== undefined
  return {
    delimiter: value(options.get('delimiter')),
    null: value(options.get('null')),
    default: value(options.get('default')),
    quote: value(options.get('quote')),
    escape: value(options.get('escape')),
    header: headerOf(options),
    encoding: value(options.get('encoding')),
    forceQuote: star ? ['*'] : strings(list(asType(forceQuote, 'List') ?? {}, 'items')),
    freeze: options.has('freeze') && isOn(options.get('freeze')),
    unknown: [...options.keys()].filter((name) => !KNOWN_OPTIONS.has(name)),
  }
}

function value(option: unknown): string | undefined {
  return option === undefined || option === null ? undefined : (constant(option) ?? undefined)
}

function isOn(option: unknown): boolean {
  const word = value(option)?.toLowerCase()
  return word === undefined || word === 'true' || word === 'on' || word === '1'
}

function headerOf(options: ReadonlyMap<string, unknown>): CopyOptions['header'] {
  if (!options.has('header')) return 'none'
  if (value(options.get('header'))?.toLowerCase() === 'match') return 'match'
  return isOn(options.get('header')) ? 'names' : 'none'
}
