import type { ColumnUse } from '../../kernel/index.ts'
import type { FunctionResolver } from '../analysis.ts'
import type { FactsBuilder } from './builder.ts'
import type { Fields } from './tree.ts'

/** A base column that a value comes from. */
export interface Origin {
  readonly table: string | undefined
  readonly column: string
  /** Handed on unchanged, in a way that the target's RowDescription still reports. */
  readonly direct: boolean
}

export interface OutputColumn {
  readonly name: string
  readonly origins: readonly Origin[]
}

/** What a query, or a thing in FROM, offers to those who read from it. */
export interface Shape {
  /** Columns whose names are known. */
  readonly columns: ReadonlyMap<string, readonly Origin[]>
  /** Base tables whose own columns show through under their own names. */
  readonly bases: readonly string[]
  /** What a column of any other name may be computed from. */
  readonly rest: readonly Origin[]
  /** The columns in order, when all of them are known. */
  readonly ordered: readonly OutputColumn[] | undefined
  /** The target reports the origin of plain columns read from here. */
  readonly direct: boolean
  /** Hands on all rows of some table. */
  readonly unbounded: boolean
}

export interface Relation extends Shape {
  /** The name it answers to; empty when it has none. */
  readonly name: string
  readonly schema: string | undefined
  /** Answers to its name only: not part of `*`, nor of bare column names. */
  readonly aside: boolean
}

export interface CommonTable {
  readonly name: string
  readonly query: unknown
  readonly scope: Scope
  readonly fields: Fields
  readonly recursive: boolean
  shape: Shape | undefined
  busy: boolean
}

export interface Scope {
  readonly parent: Scope | undefined
  readonly relations: Relation[]
  readonly commonTables: Map<string, CommonTable>
  /** Columns merged by JOIN USING: reported without an origin when the types differ. */
  readonly merged: Set<string>
  /** NATURAL JOIN merges columns that only the catalogue knows. */
  natural: boolean
}

/** One walk over one statement. */
export interface Walk {
  readonly facts: FactsBuilder
  readonly functions: FunctionResolver | undefined
  readonly maxDepth: number
  depth: number
  /** Inside `SELECT … FROM pg_settings WHERE name = 'x'`: the `x`, which set_config(name, …) then sets. */
  settingName?: string | undefined
  /** Where the origins of the value being read are noted. */
  sink: Origin[] | undefined
  /** Common tables seen so far. */
  commonTables?: number
}

export function newScope(parent: Scope | undefined): Scope {
  return { parent, relations: [], commonTables: new Map(), merged: new Set(), natural: false }
}

export const NOTHING: Shape = {
  columns: new Map(),
  bases: [],
  rest: [],
  ordered: undefined,
  direct: false,
  unbounded: false,
}

export function baseShape(table: string): Shape {
  return { ...NOTHING, bases: [table], direct: true, unbounded: true }
}

/** Without repeats: stars over stars would double them at each level. */
export function distinct(origins: readonly Origin[]): readonly Origin[] {
  if (origins.length < 2) return origins
  const seen = new Map<string, Origin>()
  for (const origin of origins) seen.set(`${origin.table ?? '\0'}\0${origin.column}\0${origin.direct}`, origin)
  return seen.size === origins.length ? origins : [...seen.values()]
}

export function indirect(origin: Origin): Origin {
  return origin.direct ? { ...origin, direct: false } : origin
}

/** Everything that a value of this shape can be made of, none of it direct. */
export function everything(shape: Shape): Origin[] {
  const whole = shape.bases.map((table): Origin => ({ table, column: '*', direct: false }))
  return [...whole, ...[...shape.columns.values()].flat().map(indirect), ...shape.rest.map(indirect)]
}

/** What `relation.*` hands out. */
export function starOrigins(shape: Shape): Origin[] {
  const whole = shape.bases.map((table): Origin => ({ table, column: '*', direct: shape.direct }))
  const named = [...shape.columns.values()].flat()
  return [...whole, ...(shape.direct ? named : named.map(indirect)), ...shape.rest.map(indirect)]
}

export function isOpen(shape: Shape): boolean {
  return shape.bases.length > 0 || shape.rest.length > 0
}

/** What a column of this name comes from; undefined when there is no such column. */
export function columnOrigins(shape: Shape, column: string): Origin[] | undefined {
  const known = shape.columns.get(column)
  if (known !== undefined) return shape.direct ? [...known] : known.map(indirect)
  if (!isOpen(shape)) return undefined
  const own = shape.bases.map((table): Origin => ({ table, column, direct: shape.direct }))
  return [...own, ...shape.rest.map(indirect)]
}

/** The relations of this name in the nearest scope that has one. */
export function relationsNamed(scope: Scope | undefined, name: string, schema?: string): Relation[] {
  for (let at = scope; at !== undefined; at = at.parent) {
    const found = at.relations.filter((r) => r.name === name && (schema === undefined || r.schema === schema))
    if (found.length > 0) return found
  }
  return []
}

export interface BareColumn {
  readonly origins: readonly Origin[]
  /** Base tables that may own it. */
  readonly tables: readonly string[]
}

/** Resolves a column named without its relation, through the scopes outwards. */
export function bareColumn(scope: Scope, column: string): BareColumn {
  const open: Relation[] = []
  for (let at: Scope | undefined = scope; at !== undefined; at = at.parent) {
    const merged = at.merged.has(column) || at.natural
    const visible = at.relations.filter((relation) => !relation.aside)
    const definite = visible.filter((relation) => relation.columns.has(column))
    open.push(
      ...(definite.length > 0 && !merged ? definite : visible.filter((r) => isOpen(r) || r.columns.has(column))),
    )
    if (merged) return { ...combine(open, column), origins: combine(open, column).origins.map(indirect) }
    if (definite.length > 0) break
  }
  return combine(open, column)
}

function combine(relations: readonly Relation[], column: string): BareColumn {
  const tables = relations.flatMap((relation) => (relation.columns.has(column) ? [] : relation.bases))
  const origins = relations.flatMap((relation) => columnOrigins(relation, column) ?? [])
  if (relations.length <= 1) return { origins, tables }
  // Only the catalogue can tell which of the tables owns it.
  const undecided = new Set(tables)
  const told = origins.filter((o) => o.column !== column || o.table === undefined || !undecided.has(o.table))
  const direct = relations.every((relation) => relation.direct)
  const bare: Origin[] = undecided.size === 0 ? [] : [{ table: only(undecided), column, direct }]
  return { origins: [...bare, ...told], tables }
}

function only(tables: ReadonlySet<string>): string | undefined {
  const [first] = tables
  return tables.size === 1 ? first : undefined
}

/** Notes that these base columns are used so. */
export function record(walk: Walk, origins: readonly Origin[], use: ColumnUse): void {
  for (const origin of origins) {
    walk.facts.column(origin.table, origin.column, use === 'output' && !origin.direct ? 'expression' : use)
    if (use !== 'predicate') walk.sink?.push(use === 'output' || use === 'write' ? origin : indirect(origin))
  }
}

/** Runs the call and answers what it noted, which is noted outside as well. */
export function noting(walk: Walk, call: () => void): readonly Origin[] {
  const outer = walk.sink
  const inner: Origin[] = []
  walk.sink = inner
  try {
    call()
  } finally {
    walk.sink = outer
  }
  const found = distinct(inner)
  if (outer !== undefined) for (const origin of found) outer.push(origin)
  return found
}

/** A shape from columns in order; `hidden` are the origins of columns whose names are not known. */
export function shapeOf(ordered: readonly OutputColumn[], hidden: readonly Origin[]): Shape {
  const columns = new Map<string, readonly Origin[]>()
  for (const { name, origins } of ordered)
    if (name !== '') columns.set(name, distinct([...(columns.get(name) ?? []), ...origins]))
  const unnamed = ordered.filter(({ name }) => name === '').flatMap(({ origins }) => origins)
  const rest = distinct([...hidden, ...unnamed].map(indirect))
  return { ...NOTHING, columns, rest, ordered: hidden.length === 0 ? ordered : undefined, direct: true }
}

/** Column names given by an alias: by position where all columns are known, else every name may be any column. */
export function renamed(shape: Shape, names: readonly string[]): Shape {
  if (names.length === 0) return shape
  const { ordered } = shape
  if (ordered === undefined) return { ...NOTHING, rest: distinct(everything(shape)), unbounded: shape.unbounded }
  const again = ordered.map(({ name, origins }, index) => ({ name: names[index] ?? name, origins }))
  return { ...shapeOf(again, []), direct: shape.direct, unbounded: shape.unbounded }
}
