import type { Column, Relation } from './catalog.ts'
import type { CatalogRows } from './catalog-load.ts'
import { holdsStoredValues } from './transform/stored-values.ts'
import { FIRST_USER_OID } from './types.ts'
import { type PlainColumn, readView } from './view-definition.ts'

export interface ColumnKey {
  readonly relation: Relation
  readonly column: Column
}

/** Where the values of one column come from. */
export interface Lineage {
  /** The column itself and those that its values are taken from unchanged: a view's base, a partition's parent. */
  readonly copies: readonly ColumnKey[]
  /** Columns that its values are, or may be, computed from. */
  readonly computedFrom: readonly ColumnKey[]
  /** Nobody can tell: a function of a user's may have read anything. */
  readonly opaque: boolean
}

interface View {
  readonly plain: ReadonlyMap<number, ColumnKey>
  readonly touched: readonly ColumnKey[]
  readonly opaque: boolean
  computed?: Lineage
}

/** Views of views of views: deeper than this nobody can tell. */
const MAX_DEPTH = 64
const OPAQUE: Lineage = { copies: [], computedFrom: [], opaque: true }

/** Answers where a column's values come from; each view is parsed when first asked for. */
export class LineageReader {
  readonly #rows: CatalogRows
  readonly #inSchema: (schema: string, name: string) => Relation | undefined
  readonly #known = new Map<Column, Lineage>()
  readonly #views = new Map<Relation, View>()

  constructor(rows: CatalogRows, inSchema: (schema: string, name: string) => Relation | undefined) {
    this.#rows = rows
    this.#inSchema = inSchema
  }

  of(relation: Relation, column: Column): Lineage {
    return this.#of({ relation, column }, 0)
  }

  #of(key: ColumnKey, depth: number): Lineage {
    const known = this.#known.get(key.column)
    if (known !== undefined) return known
    if (depth > MAX_DEPTH) return OPAQUE
    const found = this.#read(key, depth)
    this.#known.set(key.column, found) // one that was cut short is opaque, so it is safe to keep
    return found
  }

  #read(key: ColumnKey, depth: number): Lineage {
    const { kind, oid } = key.relation
    if (oid < FIRST_USER_OID) return { copies: [key], computedFrom: [], opaque: false }
    if (kind === 'v' || kind === 'm') return this.#ofView(key, depth)
    return this.#ofTable(key)
  }

  #ofView(key: ColumnKey, depth: number): Lineage {
    const view = this.#view(key.relation)
    const base = view.plain.get(key.column.attribute)
    if (base !== undefined) {
      const { copies, computedFrom, opaque } = this.#of(base, depth + 1)
      return { copies: [key, ...copies], computedFrom, opaque }
    }
    view.computed ??= this.#computed(view, depth)
    return { ...view.computed, copies: [key] }
  }

  /** The same for all of a view's computed columns. */
  #computed(view: View, depth: number): Lineage {
    const from = new Map<Column, ColumnKey>()
    let opaque = view.opaque
    for (const touched of view.touched) {
      const lineage = this.#of(touched, depth + 1)
      opaque ||= lineage.opaque
      for (const each of [...lineage.copies, ...lineage.computedFrom]) from.set(each.column, each)
    }
    return { copies: [], computedFrom: [...from.values()], opaque }
  }

  /** A parent shows its children's rows, and a child's rows are its parent's: both names protect. */
  #ofTable(key: ColumnKey): Lineage {
    const family = [
      ...this.#family(key.relation, this.#rows.parents),
      ...this.#family(key.relation, this.#rows.children),
    ]
    const copies = [key, ...family.flatMap((relation) => namesake(relation, key.column.name))]
    const computedFrom = copies.flatMap((copy) => this.#generatedFrom(copy))
    return { copies, computedFrom, opaque: false }
  }

  #generatedFrom({ relation, column }: ColumnKey): ColumnKey[] {
    if (!column.generated) return []
    const attributes = this.#rows.generatedFrom.get(`${relation.oid}:${column.attribute}`) ?? []
    return attributes.flatMap((attribute) => keyAt(relation, attribute))
  }

  #family(relation: Relation, edges: ReadonlyMap<number, readonly number[]>): Set<Relation> {
    const found = new Set<Relation>()
    const open = [relation.oid]
    for (let oid = open.pop(); oid !== undefined; oid = open.pop())
      for (const next of edges.get(oid) ?? []) {
        const each = this.#rows.relations.get(next)
        if (each === undefined || found.has(each)) continue
        found.add(each)
        open.push(next)
      }
    return found
  }

  #view(relation: Relation): View {
    const known = this.#views.get(relation)
    if (known !== undefined) return known
    const found = this.#readView(relation)
    this.#views.set(relation, found)
    return found
  }

  #readView(relation: Relation): View {
    const uses = this.#rows.viewUses.get(relation.oid) ?? { columns: [], functions: [] }
    const definition = readView(this.#rows.definitions.get(relation.oid) ?? '')
    const used = new Set<Relation>()
    const touched = new Map<Column, ColumnKey>()
    const touch = (keys: readonly ColumnKey[]): void => {
      for (const key of keys) touched.set(key.column, key)
    }
    for (const use of uses.columns) {
      const base = this.#rows.relations.get(use.relation)
      if (base === undefined) continue // an index or a type
      used.add(base)
      if (use.attribute > 0) touch(keyAt(base, use.attribute))
    }
    for (const { schema, name } of definition?.relations ?? []) {
      const base = this.#inSchema(schema, name)
      // PostgreSQL records no dependency on its own tables, so what they show of data is taken whole.
      if (base !== undefined) touch(allColumns(base).filter(holdsStoredValues))
    }
    // A whole row names no column in the catalogue either.
    if (definition === undefined || definition.wholeRows) for (const base of used) touch(allColumns(base))
    return {
      plain: this.#plain(relation, definition?.columns ?? []),
      touched: [...touched.values()],
      opaque: (definition?.dynamic ?? true) || uses.functions.some((oid) => this.#mayReadTables(oid)),
    }
  }

  #plain(view: Relation, columns: readonly (PlainColumn | undefined)[]): Map<number, ColumnKey> {
    const plain = new Map<number, ColumnKey>()
    if (columns.length !== view.columns.length) return plain // changed while we looked: all of it counts as computed
    columns.forEach((source, index) => {
      const column = view.columns[index]
      const relation = source && this.#inSchema(source.schema, source.table)
      const base = relation?.columns.find((each) => each.name === source?.column)
      if (column !== undefined && relation !== undefined && base !== undefined)
        plain.set(column.attribute, { relation, column: base })
    })
    return plain
  }

  #mayReadTables(oid: number): boolean {
    if (oid < FIRST_USER_OID) return false
    const found = this.#rows.functions.get(oid)
    if (found === undefined) return true
    return found.extension ? found.volatility === 'volatile' : found.volatility !== 'immutable'
  }
}

function keyAt(relation: Relation, attribute: number): ColumnKey[] {
  const column = columnAt(relation, attribute)
  return column === undefined ? [] : [{ relation, column }]
}

function namesake(relation: Relation, name: string): ColumnKey[] {
  const column = relation.columns.find((each) => each.name === name)
  return column === undefined ? [] : [{ relation, column }]
}

function allColumns(relation: Relation): ColumnKey[] {
  return relation.columns.map((column) => ({ relation, column }))
}

/** The column with an attribute number; undefined for system columns, dropped ones and later ones. */
export function columnAt(relation: Relation, attribute: number): Column | undefined {
  const guess = relation.columns[attribute - 1]
  if (guess?.attribute === attribute) return guess
  return relation.columns.find((column) => column.attribute === attribute)
}
