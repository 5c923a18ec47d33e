import { GatewayError, type Volatility } from '../../kernel/index.ts'
import { type CatalogRows, readCatalog, readFingerprint } from './catalog-load.ts'
import { type ColumnKey, columnAt, type Lineage, LineageReader } from './catalog-views.ts'
import type { TypeInfo, UserTypes } from './types.ts'

/** Table, view, materialised view, partitioned table, foreign table, TOAST table, sequence. */
export type RelationKind = 'r' | 'v' | 'm' | 'p' | 'f' | 't' | 'S'

export interface Column {
  readonly attribute: number
  readonly name: string
  readonly typeOid: number
  readonly generated: boolean
}

export interface Relation {
  readonly oid: number
  readonly schema: string
  readonly name: string
  readonly kind: RelationKind
  /** In order, without dropped ones. */
  readonly columns: readonly Column[]
}

export interface UserFunction {
  readonly oid: number
  readonly schema: string
  readonly name: string
  readonly volatility: Volatility
  readonly language: string
  readonly securityDefiner: boolean
  /** It came with an extension. */
  readonly extension: boolean
}

export interface Attribute {
  readonly schema: string
  readonly table: string
  readonly column: string
  readonly typeOid: number
  /** What its values are or are computed from. */
  readonly lineage: Lineage
}

/** What the catalogue asks its questions through; a QueryClient is one. */
export interface CatalogClient {
  query(
    sql: string,
    parameters?: (string | null)[],
  ): Promise<{ readonly rows: readonly (readonly (string | null)[])[] }>
}

export interface CatalogLimits {
  readonly maxRelations: number
  readonly maxColumns: number
  readonly maxFunctions: number
  readonly maxTypes: number
  /** Of all view definitions together. */
  readonly maxViewBytes: number
}

export const CATALOG_LIMITS: CatalogLimits = {
  maxRelations: 200_000,
  maxColumns: 2_000_000,
  maxFunctions: 100_000,
  maxTypes: 500_000,
  maxViewBytes: 64 * 1024 * 1024,
}

const VOLATILITIES: readonly Volatility[] = ['immutable', 'stable', 'volatile', 'unknown']
const TEMPORARY_SCHEMA = /^pg_(?:toast_)?temp_\d+$/

/** A database's catalogue as it was at one moment. Never changes; a new one replaces it. */
export class CatalogSnapshot implements UserTypes {
  /** Counts the reloads of one target's catalogue; caches of facts are keyed by it. */
  readonly version: number
  /** Changes whenever something that this snapshot shows has changed. */
  readonly fingerprint: string
  readonly #relations: ReadonlyMap<number, Relation>
  readonly #byName = new Map<string, Relation[]>()
  readonly #functions = new Map<string, UserFunction[]>()
  readonly #types: ReadonlyMap<number, TypeInfo>
  readonly #lineage: LineageReader

  constructor(version: number, fingerprint: string, rows: CatalogRows) {
    this.version = version
    this.fingerprint = fingerprint
    this.#relations = rows.relations
    this.#types = rows.types
    for (const relation of rows.relations.values()) push(this.#byName, relation.name, relation)
    for (const found of rows.functions.values()) push(this.#functions, found.name, found)
    this.#lineage = new LineageReader(rows, (schema, name) => this.#inSchema(schema, name))
  }

  relationByOid(oid: number): Relation | undefined {
    return this.#relations.get(oid)
  }

  relations(): Iterable<Relation> {
    return this.#relations.values()
  }

  userType(oid: number): TypeInfo | undefined {
    return this.#types.get(oid)
  }

  /** A column by the numbers that a RowDescription reports; undefined for system columns and for unknown ones. */
  attribute(oid: number, attribute: number): Attribute | undefined {
    const relation = this.#relations.get(oid)
    const column = relation && columnAt(relation, attribute)
    if (relation === undefined || column === undefined) return undefined
    const { schema, name } = relation
    return {
      schema,
      table: name,
      column: column.name,
      typeOid: column.typeOid,
      lineage: this.#lineage.of(relation, column),
    }
  }

  /** What the column is made of. A column of a plain table copies itself. */
  lineage(relation: Relation, column: Column): Lineage {
    return this.#lineage.of(relation, column)
  }

  /**
   * The relation that the target means by `table` or `schema.table`.
   *
   * @param name - As it stands in facts: folded, without quotes; so a dot may also belong to a name.
   * @param searchPath - In force for the session, already expanded. `pg_catalog` comes first unless it is listed.
   */
  resolve(name: string, searchPath: readonly string[]): Relation | undefined {
    return this.candidates(name, searchPath).at(-1)
  }

  /**
   * Every relation that the name may mean: temporary ones, which hide others, and the one found along the path. With
   * no known path, those of all schemas.
   */
  candidates(name: string, searchPath: readonly string[] | undefined): Relation[] {
    const found = this.#byName.get(name) ?? []
    const bare = searchPath === undefined ? [...found] : alongPath(found, searchPath)
    const qualified: Relation[] = []
    for (let dot = name.indexOf('.'); dot !== -1; dot = name.indexOf('.', dot + 1))
      qualified.push(...this.#qualified(name.slice(0, dot), name.slice(dot + 1)))
    return [...bare, ...qualified]
  }

  #qualified(schema: string, name: string): Relation[] {
    const found = this.#byName.get(name) ?? []
    if (schema === 'pg_temp') return found.filter((relation) => TEMPORARY_SCHEMA.test(relation.schema))
    return found.filter((relation) => relation.schema === schema)
  }

  #inSchema(schema: string, name: string): Relation | undefined {
    return this.#byName.get(name)?.find((relation) => relation.schema === schema)
  }

  columnsOf(name: string, searchPath: readonly string[]): readonly Column[] {
    return this.resolve(name, searchPath)?.columns ?? []
  }

  /** User functions that a bare or `schema.name` name may mean, of all overloads. */
  functionsNamed(name: string): readonly UserFunction[] {
    const bare = this.#functions.get(name) ?? []
    const dot = name.indexOf('.')
    if (dot === -1) return bare
    const schema = name.slice(0, dot)
    const qualified = this.#functions.get(name.slice(dot + 1)) ?? []
    return [...bare, ...qualified.filter((found) => found.schema === schema)]
  }

  /** The worst over the overloads of a user function; undefined when no user function has the name. */
  functionVolatility(name: string): Volatility | undefined {
    let worst = -1
    for (const { volatility } of this.functionsNamed(name)) worst = Math.max(worst, VOLATILITIES.indexOf(volatility))
    return VOLATILITIES[worst]
  }
}

export { type ColumnKey, columnAt, type Lineage }

function alongPath(found: readonly Relation[], searchPath: readonly string[]): Relation[] {
  const answer = found.filter((relation) => TEMPORARY_SCHEMA.test(relation.schema))
  const path = searchPath.includes('pg_catalog') ? searchPath : ['pg_catalog', ...searchPath]
  for (const schema of path) {
    const first = found.find((relation) => relation.schema === schema)
    if (first !== undefined) return [...answer, first]
  }
  return answer
}

function push<Value>(map: Map<string, Value[]>, key: string, value: Value): void {
  const list = map.get(key)
  if (list === undefined) map.set(key, [value])
  else list.push(value)
}

/**
 * Reads the whole catalogue in one read-only transaction of a session that is the gateway's own.
 *
 * @param previous - The snapshot that the new one replaces; its version is counted on.
 * @throws GatewayError `target.protocol` - the catalogue is over a limit or has not the shape that is known.
 */
export async function loadCatalog(
  client: CatalogClient,
  previous?: CatalogSnapshot,
  limits: CatalogLimits = CATALOG_LIMITS,
): Promise<CatalogSnapshot> {
  await client.query('begin transaction isolation level repeatable read, read only')
  try {
    // Nothing but pg_catalog stays unqualified in the definitions of views, so a name there means one thing.
    await client.query('set local search_path = pg_catalog')
    const fingerprint = await readFingerprint(client)
    const rows = await readCatalog(client, limits)
    await client.query('commit')
    return new CatalogSnapshot((previous?.version ?? 0) + 1, fingerprint, rows)
  } catch (error) {
    await client.query('rollback').catch(() => undefined)
    throw GatewayError.from(error, 'target.protocol')
  }
}

/** The same snapshot when nothing changed, which one cheap query tells; otherwise a new one. */
export async function refreshCatalog(
  client: CatalogClient,
  previous: CatalogSnapshot,
  limits: CatalogLimits = CATALOG_LIMITS,
): Promise<CatalogSnapshot> {
  const fingerprint = await readFingerprint(client)
  return fingerprint === previous.fingerprint ? previous : loadCatalog(client, previous, limits)
}
