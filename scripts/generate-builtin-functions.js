// Writes src/sql/postgres/builtin-functions.ts from the catalogues of running PostgreSQL servers, freshly made by
// initdb. Of several servers (oldest and newest supported version) the union is taken, and the worst volatility wins.
//
//   node scripts/generate-builtin-functions.js postgres://postgres@/postgres?host=/socket/folder [...]
import { writeFileSync } from 'node:fs'
import pg from 'pg'

const ORDER = ['i', 's', 'v']
const volatility = new Map()
const rows = new Set()
const versions = []

for (const connectionString of process.argv.slice(2)) {
  const client = new pg.Client({ connectionString })
  await client.connect()
  const functions = await client.query(`
    select proname as name, provolatile as volatility,
      pronargs - pronargdefaults <= 1 and pronargs >= 1 and (
        proargtypes[0]::regtype::text in ('record', 'anyelement', '"any"', 'anynonarray', 'anycompatible',
          'anycompatiblenonarray')) as takes_row
    from pg_proc where pronamespace in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)`)
  for (const row of functions.rows) {
    const known = volatility.get(row.name) ?? 'i'
    volatility.set(row.name, ORDER[Math.max(ORDER.indexOf(known), ORDER.indexOf(row.volatility))])
    if (row.takes_row) rows.add(row.name)
  }
  versions.push((await client.query('show server_version_num')).rows[0].server_version_num)
  await client.end()
}
if (versions.length === 0) throw new Error('name at least one server')

const named = (kind) =>
  [...volatility]
    .filter(([, value]) => value === kind)
    .map(([name]) => name)
    .sort()
const constant = (name, names) => {
  const lines = []
  let line = ''
  for (const word of names) {
    if (line.length + word.length > 105) {
      lines.push(`${line} `)
      line = ''
    }
    line += line === '' ? word : ` ${word}`
  }
  lines.push(line)
  return `export const ${name} =\n${lines.map((text) => `  '${text}'`).join(' +\n')}\n`
}

writeFileSync(
  new URL('../src/sql/postgres/builtin-functions.ts', import.meta.url),
  `// Made by scripts/generate-builtin-functions.js from servers of version ${versions.join(', ')}. Do not edit.\n
${constant('IMMUTABLE', named('i'))}
${constant('STABLE', named('s'))}
${constant('VOLATILE', named('v'))}
/** Callable with one row of any type. */
${constant('ROW_TAKING', [...rows].sort())}`,
)
