export const META_HELP = `\\d          tables and views
\\d NAME     columns of a table or view
\\q          leave
\\?          this help
Ctrl-C      cancel the statement that runs, or forget what is typed
A statement ends with a semicolon and may take several lines.`

export type MetaCommand =
  | { readonly kind: 'quit' }
  | { readonly kind: 'help' }
  | { readonly kind: 'query'; readonly sql: string }
  | { readonly kind: 'unknown' }

const TABLES = `select table_schema as "Schema", table_name as "Name", lower(table_type) as "Type"
from information_schema.tables
where table_schema not in ('pg_catalog', 'information_schema') order by 1, 2`

/** Reads a backslash command, as psql would spell it. */
export function metaCommand(line: string): MetaCommand {
  const [word = '', name] = line.trim().replace(/;$/, '').split(/\s+/)
  if (word === '\\q') return { kind: 'quit' }
  if (word === '\\?' || word === '\\h') return { kind: 'help' }
  if (word === '\\dt' || word === '\\dv' || word === '\\d')
    return { kind: 'query', sql: name === undefined ? TABLES : columnsOf(name) }
  return { kind: 'unknown' }
}

function columnsOf(name: string): string {
  const parts = name.split('.')
  const table = parts.pop() ?? ''
  const schema = parts.pop()
  const inSchema = schema === undefined ? '' : ` and table_schema = ${literal(schema)}`
  return `select column_name as "Column", data_type as "Type", is_nullable as "Nullable", column_default as "Default"
from information_schema.columns where table_name = ${literal(table)}${inSchema} order by table_schema, ordinal_position`
}

function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}
