import { parseSync } from 'libpg-query'

/** A view's output column that is a column of a relation, unchanged. */
export interface PlainColumn {
  readonly schema: string
  readonly table: string
  readonly column: string
}

export interface ViewDefinition {
  /** One per output column; undefined where it is computed, or where that cannot be told easily. */
  readonly columns: readonly (PlainColumn | undefined)[]
  /** Every relation named anywhere in it. */
  readonly relations: readonly { readonly schema: string; readonly name: string }[]
  /** A whole row is used as a value somewhere. */
  readonly wholeRows: boolean
  /** It calls a built-in function that reads tables, files or sessions by itself. */
  readonly dynamic: boolean
}

/** Built-in functions whose answer may hold data that no column dependency tells of. */
const READERS: ReadonlySet<string> = new Set([
  'query_to_xml',
  'query_to_xml_and_xmlschema',
  'table_to_xml',
  'table_to_xml_and_xmlschema',
  'cursor_to_xml',
  'schema_to_xml',
  'schema_to_xml_and_xmlschema',
  'database_to_xml',
  'database_to_xml_and_xmlschema',
  'ts_stat',
  'ts_rewrite',
  'pg_read_file',
  'pg_read_binary_file',
  'lo_get',
  'loread',
  'pg_stat_get_activity',
  'pg_stat_get_backend_activity',
  'pg_prepared_statement',
  'pg_cursor',
  'pg_stats_ext_mcvlist_items',
  'pg_mcv_list_items',
  'pg_logical_slot_get_changes',
  'pg_logical_slot_peek_changes',
  'pg_logical_slot_get_binary_changes',
  'pg_logical_slot_peek_binary_changes',
])

type Tree = { readonly [key: string]: unknown }

/** What may fail is only our own recursion: PostgreSQL printed the text. */
const MAX_DEPTH = 2_000

/**
 * Reads what `pg_get_viewdef` printed under `search_path = pg_catalog`.
 * @returns undefined when the parser does not know the text: then nothing about the view can be told.
 */
export function readView(sql: string): ViewDefinition | undefined {
  try {
    const tree: unknown = parseSync(sql)
    const select = field(field(field(tree, 'stmts', 0), 'stmt'), 'SelectStmt')
    if (!isTree(select)) return undefined
    const seen: Seen = { relations: [], wholeRows: false, dynamic: false }
    walk(select, seen, 0)
    return { ...seen, columns: outputColumns(select) }
  } catch {
    return undefined
  }
}

interface Seen {
  relations: { schema: string; name: string }[]
  wholeRows: boolean
  dynamic: boolean
}

function walk(node: unknown, seen: Seen, depth: number): void {
  if (depth > MAX_DEPTH) throw new Error('too deep')
  if (Array.isArray(node)) for (const each of node) walk(each, seen, depth + 1)
  if (!isTree(node)) return
  for (const [key, value] of Object.entries(node)) {
    if (key === 'RangeVar') seen.relations.push(relationName(value))
    if (key === 'A_Star') seen.wholeRows = true
    if (key === 'FuncCall' && READERS.has(names(field(value, 'funcname')).at(-1) ?? '')) seen.dynamic = true
    walk(value, seen, depth + 1)
  }
}

function outputColumns(select: Tree): (PlainColumn | undefined)[] {
  const targets = list(select['targetList']).map((target) => field(target, 'ResTarget'))
  const from = list(select['fromClause'])
  // A CTE may hide a relation's name, and a set operation mixes several columns into one.
  if (select['op'] !== 'SETOP_NONE' || select['withClause'] !== undefined) return targets.map(() => undefined)
  const sources = new Map<string, { schema: string; name: string }>()
  for (const item of from) addSources(item, sources)
  const only = from.length === 1 && field(from[0], 'RangeVar') !== undefined ? [...sources.values()][0] : undefined
  return targets.map((target) => plainColumn(field(target, 'val'), sources, only))
}

function addSources(item: unknown, sources: Map<string, { schema: string; name: string }>): void {
  const join = field(item, 'JoinExpr')
  if (join !== undefined && field(join, 'alias') === undefined) {
    addSources(field(join, 'larg'), sources)
    addSources(field(join, 'rarg'), sources)
  }
  const range = field(item, 'RangeVar')
  if (range === undefined || field(field(range, 'alias'), 'colnames') !== undefined) return
  const name = relationName(range)
  const alias = field(field(range, 'alias'), 'aliasname')
  sources.set(typeof alias === 'string' ? alias : name.name, name)
}

function plainColumn(
  value: unknown,
  sources: ReadonlyMap<string, { schema: string; name: string }>,
  only: { schema: string; name: string } | undefined,
): PlainColumn | undefined {
  const parts = names(field(field(value, 'ColumnRef'), 'fields'))
  const [first, second] = parts
  // With several relations a bare name is a merged column of USING.
  const source = parts.length === 2 ? sources.get(first ?? '') : parts.length === 1 ? only : undefined
  const column = parts.length === 2 ? second : first
  if (source === undefined || column === undefined) return undefined
  return { schema: source.schema, table: source.name, column }
}

function relationName(range: unknown): { schema: string; name: string } {
  const [schema, name] = [field(range, 'schemaname'), field(range, 'relname')]
  return { schema: typeof schema === 'string' ? schema : 'pg_catalog', name: typeof name === 'string' ? name : '' }
}

/** The strings of a list of String nodes; anything else in it becomes an empty one, which names nothing. */
function names(value: unknown): string[] {
  return list(value).map((each) => {
    const name = field(field(each, 'String'), 'sval')
    return typeof name === 'string' ? name : ''
  })
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function field(value: unknown, key: string, index?: number): unknown {
  const found = isTree(value) ? value[key] : undefined
  return index === undefined ? found : list(found)[index]
}
