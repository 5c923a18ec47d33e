import { loadModule } from 'libpg-query'
import { GatewayError, type Volatility } from '../../kernel/index.ts'
import type { CatalogClient, CatalogLimits, Column, Relation, RelationKind, UserFunction } from './catalog.ts'
import { FIRST_USER_OID, type TypeCategory, type TypeInfo } from './types.ts'

/** The catalogue's rows, indexed but not yet understood. */
export interface CatalogRows {
  readonly relations: ReadonlyMap<number, Relation>
  readonly types: ReadonlyMap<number, TypeInfo>
  readonly functions: ReadonlyMap<number, UserFunction>
  /** SQL of views and materialised views, by OID. */
  readonly definitions: ReadonlyMap<number, string>
  /** What a view's SELECT rule depends on, by the view's OID. */
  readonly viewUses: ReadonlyMap<number, ViewUses>
  /** Direct inheritance, partitions included, both ways. */
  readonly parents: ReadonlyMap<number, readonly number[]>
  readonly children: ReadonlyMap<number, readonly number[]>
  /** Columns that a generated column is computed from, by `oid:attribute`. */
  readonly generatedFrom: ReadonlyMap<string, readonly number[]>
}

export interface ViewUses {
  /** `attribute` 0 stands for the relation as such. */
  readonly columns: { readonly relation: number; readonly attribute: number }[]
  readonly functions: number[]
}

type Row = readonly (string | null)[]

const CATALOGUES = [
  'pg_class',
  'pg_attribute',
  'pg_attrdef',
  'pg_rewrite',
  'pg_proc',
  'pg_type',
  'pg_inherits',
  'pg_namespace',
]

// An updated row gets a later transaction id and a removed one lowers the count, so the pairs tell every change (until
// ids wrap around). Rows of PostgreSQL's own release do not change.
const FINGERPRINT = `select ${CATALOGUES.map(
  (name) =>
    `(select count(*) || ':' || coalesce(sum(xmin::text::bigint), 0) from pg_catalog.${name}${
      name === 'pg_attribute' ? ` where attrelid >= ${FIRST_USER_OID}` : ''
    })`,
).join(` || ' ' || `)}`

export async function readFingerprint(client: CatalogClient): Promise<string> {
  const { rows } = await client.query(FINGERPRINT)
  return text(rows[0]?.[0])
}

const RELATIONS = `select c.oid, n.nspname, c.relname, c.relkind
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'v', 'm', 'p', 'f', 't', 'S') limit $1`

const COLUMNS = `select a.attrelid, a.attnum, a.attname, a.atttypid, a.attgenerated <> ''
  from pg_attribute a join pg_class c on c.oid = a.attrelid
  where a.attnum > 0 and not a.attisdropped and c.relkind in ('r', 'v', 'm', 'p', 'f', 't', 'S')
  order by a.attrelid, a.attnum limit $1`

const TYPES = `select t.oid, n.nspname, t.typname, t.typtype, t.typcategory, t.typelem, t.typbasetype, t.typlen
  from pg_type t join pg_namespace n on n.oid = t.typnamespace
  where t.typtype = 'c' or t.typcategory = 'A' or t.oid >= ${FIRST_USER_OID} limit $1`

const FUNCTIONS = `select p.oid, n.nspname, p.proname, p.provolatile, l.lanname, p.prosecdef,
    exists (select 1 from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')
  from pg_proc p join pg_namespace n on n.oid = p.pronamespace join pg_language l on l.oid = p.prolang
  where p.oid >= ${FIRST_USER_OID} limit $1`

const DEFINITIONS = `select oid, pg_get_viewdef(oid) from pg_class
  where relkind in ('v', 'm') and oid >= ${FIRST_USER_OID}`

// A rule names the columns of Vars, but only the relation for a whole row; operators stand for their functions.
const VIEW_USES = `select r.ev_class, d.refclassid = 'pg_class'::regclass, coalesce(o.oprcode::oid, d.refobjid), d.refobjsubid
  from pg_depend d join pg_rewrite r on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid
  left join pg_operator o on d.refclassid = 'pg_operator'::regclass and o.oid = d.refobjid
  where r.ev_type = '1' and r.ev_class >= ${FIRST_USER_OID} and d.deptype <> 'i'
    and d.refclassid in ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_operator'::regclass)`

const INHERITANCE = 'select inhrelid, inhparent from pg_inherits'

// Up to PostgreSQL 14 the column itself depends on the others, from 15 on its expression does.
const GENERATED = `select a.adrelid, a.adnum, d.refobjsubid
  from pg_depend d join pg_attrdef a on d.classid = 'pg_attrdef'::regclass and d.objid = a.oid
  where d.refclassid = 'pg_class'::regclass and d.refobjid = a.adrelid and d.refobjsubid > 0 and d.refobjsubid <> a.adnum
  union all
  select d.objid, d.objsubid, d.refobjsubid from pg_depend d
  where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass
    and d.objid = d.refobjid and d.objsubid > 0 and d.refobjsubid > 0`

/** Asks for all of it, one query after the other. */
export async function readCatalog(client: CatalogClient, limits: CatalogLimits): Promise<CatalogRows> {
  await loadModule() // views are parsed when they are first asked for, synchronously
  const columns = columnsByRelation(await limited(client, COLUMNS, limits.maxColumns, 'columns'))
  const relationRows = await limited(client, RELATIONS, limits.maxRelations, 'relations')
  const types = await limited(client, TYPES, limits.maxTypes, 'types')
  const functions = await limited(client, FUNCTIONS, limits.maxFunctions, 'functions')
  const inheritance = (await client.query(INHERITANCE)).rows
  return {
    relations: indexed(relationRows.map((row) => relation(row, columns))),
    types: indexed(types.map(userType)),
    functions: indexed(functions.map(userFunction)),
    definitions: await readDefinitions(client, limits),
    viewUses: viewUses((await client.query(VIEW_USES)).rows),
    parents: grouped(inheritance, 0, 1),
    children: grouped(inheritance, 1, 0),
    generatedFrom: generatedFrom((await client.query(GENERATED)).rows),
  }
}

async function limited(client: CatalogClient, sql: string, limit: number, what: string): Promise<readonly Row[]> {
  const { rows } = await client.query(sql, [String(limit + 1)])
  if (rows.length > limit) throw tooMany(`${limit} ${what}`)
  return rows
}

function tooMany(what: string): GatewayError {
  return new GatewayError('target.protocol', `The target's catalogue has more than ${what}, the gateway's limit.`)
}

async function readDefinitions(client: CatalogClient, limits: CatalogLimits): Promise<Map<number, string>> {
  const definitions = new Map<number, string>()
  let bytes = 0
  for (const row of (await client.query(DEFINITIONS)).rows) {
    const definition = row[1] ?? '' // NULL when the view was dropped meanwhile
    bytes += definition.length
    definitions.set(number(row[0]), definition)
  }
  if (bytes > limits.maxViewBytes) throw tooMany(`${limits.maxViewBytes} bytes of view definitions`)
  return definitions
}

function number(value: string | null | undefined): number {
  const found = Number(value ?? Number.NaN)
  if (!Number.isSafeInteger(found)) throw new GatewayError('target.protocol', 'A number in the catalogue is not one.')
  return found
}

function text(value: string | null | undefined): string {
  if (typeof value !== 'string') throw new GatewayError('target.protocol', 'A name in the catalogue is missing.')
  return value
}

function columnsByRelation(rows: readonly Row[]): Map<number, Column[]> {
  const answer = new Map<number, Column[]>()
  for (const row of rows) {
    const oid = number(row[0])
    const columns = answer.get(oid) ?? []
    if (columns.length === 0) answer.set(oid, columns)
    columns.push({
      attribute: number(row[1]),
      name: text(row[2]),
      typeOid: number(row[3]),
      generated: row[4] === 't',
    })
  }
  return answer
}

function relation(row: Row, columns: ReadonlyMap<number, Column[]>): Relation {
  const oid = number(row[0])
  return {
    oid,
    schema: text(row[1]),
    name: text(row[2]),
    kind: text(row[3]) as RelationKind,
    columns: columns.get(oid) ?? [],
  }
}

function userType(row: Row): TypeInfo {
  const [oid, kind, category] = [number(row[0]), text(row[3]), text(row[4])]
  const name = `${text(row[1])}.${text(row[2])}`
  if (kind === 'd') return { oid, name, category: 'open', base: number(row[6]) }
  if (category === 'A' && number(row[7]) === -1) return { oid, name, category: 'array', element: number(row[5]) }
  return { oid, name, category: userCategory(kind, text(row[2])) }
}

function userCategory(kind: string, name: string): TypeCategory {
  if (kind === 'c') return 'composite'
  if (kind === 'e') return 'closed' // labels are part of the schema, not data
  return name === 'citext' ? 'text' : 'open'
}

const VOLATILITY: Readonly<Record<string, Volatility>> = { i: 'immutable', s: 'stable', v: 'volatile' }

function userFunction(row: Row): UserFunction {
  return {
    oid: number(row[0]),
    schema: text(row[1]),
    name: text(row[2]),
    volatility: VOLATILITY[text(row[3])] ?? 'unknown',
    language: text(row[4]),
    securityDefiner: row[5] === 't',
    extension: row[6] === 't',
  }
}

function viewUses(rows: readonly Row[]): Map<number, ViewUses> {
  const answer = new Map<number, ViewUses>()
  for (const row of rows) {
    const view = number(row[0])
    const uses = answer.get(view) ?? { columns: [], functions: [] }
    answer.set(view, uses)
    if (row[1] !== 't') uses.functions.push(number(row[2]))
    else if (number(row[2]) !== view) uses.columns.push({ relation: number(row[2]), attribute: number(row[3]) })
  }
  return answer
}

function generatedFrom(rows: readonly Row[]): Map<string, number[]> {
  const answer = new Map<string, number[]>()
  for (const row of rows) {
    const key = `${number(row[0])}:${number(row[1])}`
    answer.set(key, [...(answer.get(key) ?? []), number(row[2])])
  }
  return answer
}

function grouped(rows: readonly Row[], key: number, value: number): Map<number, number[]> {
  const answer = new Map<number, number[]>()
  for (const row of rows) {
    const list = answer.get(number(row[key]))
    if (list === undefined) answer.set(number(row[key]), [number(row[value])])
    else list.push(number(row[value]))
  }
  return answer
}

function indexed<Item extends { readonly oid: number }>(items: readonly Item[]): Map<number, Item> {
  return new Map(items.map((item) => [item.oid, item]))
}
