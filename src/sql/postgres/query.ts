import type { ColumnUse } from '../../kernel/index.ts'
import { boundedLimit, restricts, singleRow } from './bounds.ts'
import { columnRef, expression, expressions, nested } from './expression.ts'
import { rangeItem } from './from.ts'
import { functionCall, isConfigCall } from './functions.ts'
import { selectInto } from './into.ts'
import {
  columnOrigins,
  distinct,
  everything,
  indirect,
  NOTHING,
  newScope,
  noting,
  type Origin,
  type OutputColumn,
  type Relation,
  record,
  type Scope,
  type Shape,
  shapeOf,
  starOrigins,
  type Walk,
} from './scope.ts'
import { asType, constant, type Fields, list, relationName, strings, struct, tagged, text } from './tree.ts'
import { withClause } from './with.ts'

export interface SelectOptions {
  /** The statement itself, not a part of one. */
  readonly top?: boolean
  /** Called between the arms of a set operation, with what the left one yields. */
  readonly afterLeft?: ((left: Shape) => void) | undefined
}

/**
 * Walks a query. `use` says what becomes of its rows: `output` when the target reports their origin to the client,
 * `write` when they flow into a table, `predicate` when they only decide something.
 */
export function select(
  walk: Walk,
  outer: Scope,
  fields: Fields,
  use: ColumnUse,
  { top = false, afterLeft }: SelectOptions = {},
): Shape {
  walk.facts.does('select')
  const scope = withClause(walk, newScope(outer), struct(fields, 'withClause'))
  const into = struct(fields, 'intoClause')
  if (into !== undefined) selectInto(walk, into)
  const rows: ColumnUse = into === undefined ? use : 'write'
  if (list(fields, 'lockingClause').length > 0) rowLock(walk)
  const shape =
    text(fields, 'op') !== 'SETOP_NONE' && fields['op'] !== undefined
      ? setOperation(walk, scope, fields, rows, afterLeft)
      : plainSelect(walk, scope, fields, rows, top && isBare(fields))
  expression(walk, scope, fields['limitOffset'], 'predicate')
  expression(walk, scope, fields['limitCount'], 'predicate')
  const limited = boundedLimit(walk.facts, fields)
  return limited && shape.unbounded ? { ...shape, unbounded: false } : shape
}

function rowLock(walk: Walk): void {
  walk.facts.rowLocks = true
  walk.facts.does('lock')
  walk.facts.needs('write', 'it locks rows')
}

/** Nothing but a target list: each target is computed exactly once. */
function isBare(fields: Fields): boolean {
  const clauses = [
    'fromClause',
    'whereClause',
    'groupClause',
    'havingClause',
    'limitCount',
    'limitOffset',
    'sortClause',
  ]
  const more = ['withClause', 'distinctClause', 'windowClause', 'lockingClause', 'intoClause', 'valuesLists']
  return [...clauses, ...more].every((clause) => fields[clause] === undefined)
}

function plainSelect(walk: Walk, scope: Scope, fields: Fields, use: ColumnUse, exact: boolean): Shape {
  if (list(fields, 'valuesLists').length > 0) return valuesList(walk, scope, fields, use)
  for (const item of list(fields, 'fromClause')) rangeItem(walk, scope, item, use)
  const outerName = walk.settingName
  walk.settingName = chosenSetting(fields)
  const shape = targetList(walk, scope, list(fields, 'targetList'), use, exact)
  walk.settingName = outerName
  expression(walk, scope, fields['whereClause'], 'predicate')
  expression(walk, scope, fields['havingClause'], 'predicate')
  expressions(walk, scope, list(fields, 'windowClause'), 'predicate')
  const distinct = list(fields, 'distinctClause').filter((item) => tagged(item) !== undefined)
  for (const clause of [list(fields, 'groupClause'), list(fields, 'sortClause'), distinct])
    orderBy(walk, scope, clause, shape)
  const touchesAll = scope.relations.some((relation) => !relation.aside && relation.unbounded)
  const unbounded = touchesAll && !restricts(walk.facts, fields['whereClause']) && !singleRow(walk, fields)
  return { ...shape, unbounded }
}

/** pg_dump asks `SELECT set_config(name, …) FROM pg_settings WHERE name = 'x'`, so that a missing setting is no error. */
function chosenSetting(fields: Fields): string | undefined {
  const from = list(fields, 'fromClause')
  const table = asType(from[0], 'RangeVar')
  if (from.length !== 1 || table === undefined || !/^(?:pg_catalog\.)?pg_settings$/.test(relationName(table)))
    return undefined
  const where = asType(fields['whereClause'], 'A_Expr')
  if (where === undefined || strings(list(where, 'name')).join() !== '=' || where['kind'] !== 'AEXPR_OP')
    return undefined
  const column = strings(list(asType(where['lexpr'], 'ColumnRef') ?? {}, 'fields'))
  return column.join() === 'name' ? (constant(where['rexpr']) ?? undefined) : undefined
}

/** ORDER BY and its like may name an output column, or count to it. */
function orderBy(walk: Walk, scope: Scope, clause: readonly unknown[], shape: Shape): void {
  for (const item of clause) {
    const node = asType(item, 'SortBy')?.['node'] ?? item
    const position = constant(node)
    if (position !== undefined) {
      walk.facts.literalSensitive = true
      const column = shape.ordered?.[Number(position) - 1]
      record(walk, column?.origins ?? everything(shape), 'predicate')
      continue
    }
    const names = strings(list(asType(node, 'ColumnRef') ?? {}, 'fields'))
    const named = names.length === 1 ? shape.columns.get(names[0] ?? '') : undefined
    if (named !== undefined) record(walk, named, 'predicate')
    expression(walk, scope, item, 'predicate')
  }
}

function valuesList(walk: Walk, scope: Scope, fields: Fields, use: ColumnUse): Shape {
  const columns: (readonly Origin[])[] = []
  const rowUse = use === 'output' ? 'expression' : use
  for (const row of list(fields, 'valuesLists'))
    list(asType(row, 'List') ?? {}, 'items').forEach((item, index) => {
      const found = noting(walk, () => expression(walk, scope, item, rowUse))
      columns[index] = distinct([...(columns[index] ?? []), ...found])
    })
  const ordered = columns.map((origins, index): OutputColumn => ({ name: `column${index + 1}`, origins }))
  orderBy(walk, scope, list(fields, 'sortClause'), shapeOf(ordered, []))
  return shapeOf(ordered, [])
}

function setOperation(
  walk: Walk,
  scope: Scope,
  fields: Fields,
  use: ColumnUse,
  afterLeft: SelectOptions['afterLeft'],
): Shape {
  const inner = use === 'output' ? 'expression' : use
  const arms: Shape[] = []
  for (const arm of [struct(fields, 'larg'), struct(fields, 'rarg')]) {
    if (arm !== undefined) nested(walk, () => arms.push(select(walk, scope, arm, inner)))
    if (arms.length === 1) afterLeft?.(arms[0]!)
  }
  const [left = NOTHING, right = NOTHING] = arms
  const shape = union(left, right)
  const over = newScope(scope)
  over.relations.push({ ...shape, name: '', schema: undefined, aside: false })
  orderBy(walk, over, list(fields, 'sortClause'), shape)
  return shape
}

function union(left: Shape, right: Shape): Shape {
  const unbounded = left.unbounded || right.unbounded
  const other = right.ordered
  if (left.ordered !== undefined && other !== undefined) {
    const ordered = left.ordered.map(({ name, origins }, index): OutputColumn => {
      return { name, origins: distinct([...origins, ...(other[index]?.origins ?? [])].map(indirect)) }
    })
    return { ...shapeOf(ordered, []), unbounded }
  }
  return { ...NOTHING, rest: distinct([...everything(left), ...everything(right)]), unbounded }
}

/** Also for RETURNING lists. */
export function targetList(
  walk: Walk,
  scope: Scope,
  targets: readonly unknown[],
  use: ColumnUse,
  exact = false,
): Shape {
  const ordered: OutputColumn[] = []
  const bases: string[] = []
  const hidden: Origin[] = []
  let star = false
  for (const item of targets) {
    const target = asType(item, 'ResTarget') ?? {}
    const reference = asType(target['val'], 'ColumnRef')
    const parts = reference === undefined ? [] : list(reference, 'fields')
    if (reference !== undefined && asType(parts.at(-1), 'A_Star') !== undefined) {
      star = true
      for (const relation of starred(walk, scope, reference, use)) {
        bases.push(...relation.bases)
        hidden.push(...relation.rest)
        for (const [name, origins] of relation.columns) ordered.push({ name, origins })
      }
      continue
    }
    const origins = noting(walk, () => oneTarget(walk, scope, target['val'], use, exact))
    ordered.push({ name: outputName(target), origins })
  }
  const shape = shapeOf(ordered, hidden)
  return { ...shape, bases: [...new Set(bases)], ordered: star ? undefined : shape.ordered }
}

function oneTarget(walk: Walk, scope: Scope, value: unknown, use: ColumnUse, exact: boolean): void {
  const reference = asType(value, 'ColumnRef')
  if (reference !== undefined) {
    columnRef(walk, scope, reference, use)
    return
  }
  const call = asType(value, 'FuncCall')
  if (exact && call !== undefined && isConfigCall(call)) return functionCall(walk, scope, call, 'expression', true)
  expression(walk, scope, value, use === 'output' ? 'expression' : use)
}

/** The relations that `*` or `t.*` stands for, their columns noted as read. */
function starred(walk: Walk, scope: Scope, reference: Fields, use: ColumnUse): Relation[] {
  const names = strings(list(reference, 'fields'))
  const name = names.at(-1)
  const relations =
    name === undefined ? scope.relations.filter((r) => !r.aside) : starRelations(scope, name, names.at(-2))
  if (relations.length === 0) columnRef(walk, scope, reference, use)
  for (const relation of relations) {
    for (const table of relation.bases) walk.facts.read(table)
    record(walk, starOrigins(relation), use)
    if (name === undefined && (scope.natural || scope.merged.size > 0)) mergedStar(walk, scope, relation, use)
  }
  return relations
}

function starRelations(scope: Scope, name: string, schema: string | undefined): Relation[] {
  for (let at: Scope | undefined = scope; at !== undefined; at = at.parent) {
    const found = at.relations.filter((r) => r.name === name && (schema === undefined || r.schema === schema))
    if (found.length > 0) return found
  }
  return []
}

/** A column merged by USING or NATURAL may come without an origin. */
function mergedStar(walk: Walk, scope: Scope, relation: Relation, use: ColumnUse): void {
  const inner = use === 'output' ? 'expression' : use
  if (scope.natural) record(walk, everything(relation), inner)
  for (const column of scope.merged) record(walk, columnOrigins(relation, column) ?? [], inner)
}

/** The name that the target gives an output column; empty where that is not plain to see. */
function outputName(target: Fields): string {
  const given = text(target, 'name')
  if (given !== undefined) return given
  const node = tagged(target['val'])
  if (node?.type === 'ColumnRef') return strings(list(node.fields, 'fields')).at(-1) ?? ''
  if (node?.type === 'FuncCall') return strings(list(node.fields, 'funcname')).at(-1) ?? ''
  return ''
}
