import type { ColumnRead, MaskInstruction } from '../../../kernel/index.ts'
import type { CatalogSnapshot, Relation } from '../catalog.ts'
import { type ProtectedColumns, type Protection, protectedColumns } from './protection.ts'

export interface Touched {
  /** A protected column is used where the target's reported origin cannot follow it. */
  readonly computed: boolean
  /** Its value flows into a table. */
  readonly writes: boolean
  /** It filters, joins, sorts or groups. */
  readonly predicate: boolean
  /** The rules that protect what was touched. */
  readonly rules: readonly string[]
}

const SYSTEM_COLUMNS: ReadonlySet<string> = new Set(['tableoid', 'ctid', 'xmin', 'xmax', 'cmin', 'cmax', 'oid'])

/**
 * How a statement uses protected columns. Where a name may mean several columns, it means the protected one. Plain
 * output is not reported: the target tells its origin.
 *
 * @param reads - The relations that the statement reads, for columns written without one.
 * @param searchPath - In force; undefined where it is not known: a bare name then means every schema's.
 */
export function touchesProtected(
  columns: readonly ColumnRead[],
  reads: readonly string[],
  masks: readonly MaskInstruction[],
  catalog: CatalogSnapshot,
  searchPath?: readonly string[],
): Touched {
  const touched = { computed: false, writes: false, predicate: false }
  const rules = new Set<string>()
  const known = protectedColumns(catalog, masks)
  if (!known.any) return { ...touched, rules: [] }
  for (const { table, column, use } of columns) {
    if (use === 'output') continue
    const tables = table === undefined ? reads : [table]
    for (const each of tables) {
      const found = protectionIn(known, each, column, table !== undefined, searchPath)
      if (found === undefined) continue
      rules.add(found.rule)
      if (use === 'expression') touched.computed = true
      else if (use === 'write') touched.writes = true
      else touched.predicate = true
    }
  }
  return { ...touched, rules: [...rules] }
}

/** @param certain - The statement says that the column is this table's. */
function protectionIn(
  known: ProtectedColumns,
  table: string,
  column: string,
  certain: boolean,
  searchPath: readonly string[] | undefined,
): Protection | undefined {
  const relations = known.catalog.candidates(table, searchPath)
  if (relations.length === 0) return known.byName(table, column)
  for (const relation of relations) {
    const found = protectionOf(known, relation, column, certain)
    if (found !== undefined) return found
  }
  return undefined
}

function protectionOf(
  known: ProtectedColumns,
  relation: Relation,
  name: string,
  certain: boolean,
): Protection | undefined {
  if (name === '*') return known.ofRelation(relation)
  const column = relation.columns.find((each) => each.name === name)
  if (column !== undefined) return known.of(relation, column)
  // A name that the relation has not: renamed by the statement or by somebody since, so it may be any of them.
  return certain && !SYSTEM_COLUMNS.has(name) ? known.ofRelation(relation) : undefined
}
