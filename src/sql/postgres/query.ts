import { type ColumnUse, GatewayError } from '../../kernel/index.ts'
import { boundedLimit, restricts, singleRow } from './bounds.ts'
import { columnRef, expression, expressions, nested } from './expression.ts'
import { functionCall, isConfigCall } from './functions.ts'
import { selectInto } from './into.ts'
import { dataChange, isDataChange } from './modify.ts'
import { touchRelation } from './relations.ts'
import {
  baseShape,
  type CommonTable,
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
  starOrigins,
  type Walk,
} from './scope.ts'
import { asType, constant, type Fields, list, relationName, strings, struct, tagged, text } from './tree.ts'

/** Names are looked up among these, so their number bounds the work. */
const MAX_COMMON_TABLES = 500
const MAX_RELATIONS = 500

function tooMany(what: string, limit: number): GatewayError {
  return new GatewayError('sql.too_large', `The statement has over ${limit} ${what}.`)
}

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

/** A shape from columns in order; `hidden` are the origins of columns whose names are not known. */
export function shapeOf(ordered: readonly OutputColumn[], hidden: readonly Origin[]): Shape {
  const columns = new Map<string, readonly Origin[]>()
  for (const { name, origins } of ordered)
    if (name !== '') columns.set(name, distinct([...(columns.get(name) ?? []), ...origins]))
  const unnamed = ordered.filter(({ name }) => name === '').flatMap(({ origins }) => origins)
  const rest = distinct([...hidden, ...unnamed].map(indirect))
  return { ...NOTHING, columns, rest, ordered: hidden.length === 0 ? ordered : undefined, direct: true }
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

/** Makes the common tables of WITH visible; each is walked once, when first read from or at the end. */
export function withClause(walk: Walk, scope: Scope, clause: Fields | undefined): Scope {
  if (clause === undefined) return scope
  const recursive = clause['recursive'] === true
  const tables: CommonTable[] = []
  let visible = scope
  walk.commonTables = (walk.commonTables ?? 0) + list(clause, 'ctes').length
  if (walk.commonTables > MAX_COMMON_TABLES) throw tooMany('common tables', MAX_COMMON_TABLES)
  for (const item of list(clause, 'ctes')) {
    const fields = asType(item, 'CommonTableExpr') ?? {}
    const name = text(fields, 'ctename') ?? ''
    const table = { name, query: fields['ctequery'], scope: visible, fields, recursive, shape: undefined, busy: false }
    tables.push(table)
    if (!recursive) visible = newScope(visible)
    visible.commonTables.set(name, table)
  }
  for (const table of tables) commonTableShape(walk, table)
  return recursive ? scope : newScope(visible)
}

function commonTableShape(walk: Walk, table: CommonTable): Shape {
  if (table.shape !== undefined) return table.shape
  table.busy = true
  const shape = noteless(walk, () => commonTableQuery(walk, table))
  const named = renamed(shape, strings(list(table.fields, 'aliascolnames')))
  table.shape = searchColumns(table.fields, named)
  table.busy = false
  return table.shape
}

/** What a common table notes belongs to those who read from it, not to the value being walked just now. */
function noteless<T>(walk: Walk, call: () => T): T {
  const sink = walk.sink
  walk.sink = undefined
  try {
    return call()
  } finally {
    walk.sink = sink
  }
}

function commonTableQuery(walk: Walk, table: CommonTable): Shape {
  const node = tagged(table.query)
  if (node === undefined) return NOTHING
  let shape = NOTHING
  nested(walk, () => {
    if (isDataChange(node.type)) shape = dataChange(walk, table.scope, node.type, node.fields, 'output')
    else if (node.type !== 'SelectStmt') expression(walk, table.scope, table.query, 'expression')
    else {
      const names = strings(list(table.fields, 'aliascolnames'))
      // The recursive term reads what the first term yields; inside it the table stands for that.
      const afterLeft = (left: Shape) => {
        if (table.recursive) table.shape = searchColumns(table.fields, renamed({ ...left, direct: false }, names))
      }
      const whole = select(walk, table.scope, node.fields, 'output', { afterLeft })
      table.shape = undefined
      shape = whole
    }
  })
  return shape
}

/** SEARCH and CYCLE add columns that are computed from the others. */
function searchColumns(fields: Fields, shape: Shape): Shape {
  const added = [text(struct(fields, 'search_clause') ?? {}, 'search_seq_column')]
  const cycle = struct(fields, 'cycle_clause') ?? {}
  added.push(text(cycle, 'cycle_mark_column'), text(cycle, 'cycle_path_column'))
  const names = added.filter((name) => name !== undefined)
  if (names.length === 0) return shape
  const columns = new Map(shape.columns)
  for (const name of names) columns.set(name, distinct(everything(shape)))
  return { ...shape, columns, ordered: undefined }
}

/** Column names given by an alias: by position where all columns are known, else every name may be any column. */
export function renamed(shape: Shape, names: readonly string[]): Shape {
  if (names.length === 0) return shape
  const { ordered } = shape
  if (ordered === undefined) return { ...NOTHING, rest: distinct(everything(shape)), unbounded: shape.unbounded }
  const again = ordered.map(({ name, origins }, index) => ({ name: names[index] ?? name, origins }))
  return { ...shapeOf(again, []), direct: shape.direct, unbounded: shape.unbounded }
}

/** Adds what an item of FROM offers to the scope. */
export function rangeItem(walk: Walk, scope: Scope, item: unknown, use: ColumnUse): void {
  const node = tagged(item)
  if (node === undefined) return expression(walk, scope, item, use)
  const { type, fields } = node
  const inner = use === 'output' ? 'expression' : use
  switch (type) {
    case 'RangeVar':
      return add(scope, fields, rangeVar(walk, scope, fields), rangeName(fields), text(fields, 'schemaname'))
    case 'RangeTableSample':
      rangeItem(walk, scope, fields['relation'], use)
      return expressions(walk, scope, [fields['args'], fields['repeatable']], 'predicate')
    case 'RangeSubselect':
      return subselect(walk, scope, fields, use)
    case 'JoinExpr':
      return nested(walk, () => join(walk, scope, fields, use))
    case 'RangeFunction':
    case 'RangeTableFunc':
    case 'JsonTable': {
      // The rows of a function may be made of anything that it was given.
      const { alias: _, ...rest } = fields
      const from = noting(walk, () => nested(walk, () => expressions(walk, scope, Object.values(rest), inner)))
      return add(scope, fields, { ...NOTHING, rest: from.map(indirect) }, functionAlias(fields))
    }
    default:
      return expression(walk, scope, item, use)
  }
}

function subselect(walk: Walk, scope: Scope, fields: Fields, use: ColumnUse): void {
  const query = asType(fields['subquery'], 'SelectStmt')
  if (query === undefined) return expression(walk, scope, fields['subquery'], use)
  // Without LATERAL a sub-select sees the scopes around this one, not its neighbours.
  const sees = fields['lateral'] === true ? scope : { ...newScope(scope.parent), commonTables: scope.commonTables }
  nested(walk, () => {
    const shape = select(walk, sees, query, use)
    add(scope, fields, shape, '')
  })
}

function rangeVar(walk: Walk, scope: Scope, fields: Fields): Shape {
  const name = text(fields, 'relname') ?? ''
  if (text(fields, 'schemaname') === undefined) {
    for (let at: Scope | undefined = scope; at !== undefined; at = at.parent) {
      const table = at.commonTables.get(name)
      if (table === undefined) continue
      if (table.shape === undefined && table.busy) return NOTHING // reads itself: the target refuses what is not a union
      return commonTableShape(walk, table)
    }
  }
  const relation = relationName(fields)
  walk.facts.read(relation)
  touchRelation(walk.facts, relation)
  return baseShape(relation)
}

function rangeName(fields: Fields): string {
  return text(fields, 'relname') ?? ''
}

function functionAlias(fields: Fields): string {
  const [first] = list(fields, 'functions')
  const [call] = list(asType(first, 'List') ?? {}, 'items')
  return strings(list(asType(call, 'FuncCall') ?? {}, 'funcname')).at(-1) ?? ''
}

function add(scope: Scope, fields: Fields, shape: Shape, fallback: string, schema?: string): void {
  const alias = struct(fields, 'alias')
  if (scope.relations.length >= MAX_RELATIONS) throw tooMany('tables in one FROM', MAX_RELATIONS)
  const named = alias === undefined ? shape : renamed(shape, strings(list(alias, 'colnames')))
  const name = (alias === undefined ? undefined : text(alias, 'aliasname')) ?? fallback
  scope.relations.push({ ...named, name, schema: alias === undefined ? schema : undefined, aside: false })
}

function join(walk: Walk, scope: Scope, fields: Fields, use: ColumnUse): void {
  const before = scope.relations.length
  rangeItem(walk, scope, fields['larg'], use)
  rangeItem(walk, scope, fields['rarg'], use)
  const sides = scope.relations.slice(before)
  expression(walk, scope, fields['quals'], 'predicate')
  const using = strings(list(fields, 'usingClause'))
  for (const column of using) {
    scope.merged.add(column)
    for (const side of sides) record(walk, columnOrigins(side, column) ?? [], 'predicate')
  }
  if (fields['isNatural'] === true) {
    scope.natural = true
    for (const side of sides) record(walk, everything(side), 'predicate')
  }
  const usingAlias = struct(fields, 'join_using_alias')
  if (usingAlias !== undefined) {
    const rest = using.flatMap((column) => sides.flatMap((side) => columnOrigins(side, column) ?? []))
    const name = text(usingAlias, 'aliasname') ?? ''
    scope.relations.push({ ...NOTHING, rest: rest.map(indirect), name, schema: undefined, aside: true })
  }
  if (struct(fields, 'alias') !== undefined) joinAlias(scope, fields, before)
}

/** An alias on a join hides the names inside it. */
function joinAlias(scope: Scope, fields: Fields, before: number): void {
  const inside = scope.relations.splice(before).filter((relation) => !relation.aside)
  const columns = new Map<string, readonly Origin[]>()
  for (const relation of inside)
    for (const [name, origins] of relation.columns)
      columns.set(name, [...(columns.get(name) ?? []), ...origins.map(indirect)])
  const bases = [...new Set(inside.flatMap((relation) => relation.bases))]
  const rest = distinct(inside.flatMap((relation) => relation.rest).map(indirect))
  const unbounded = inside.some((relation) => relation.unbounded)
  add(scope, fields, { columns, bases, rest, ordered: undefined, direct: false, unbounded }, '')
}
