import { type ColumnUse, GatewayError } from '../../kernel/index.ts'
import { rangeItem } from './from.ts'
import { functionCall, takesRows } from './functions.ts'
import { dataChange, isDataChange } from './modify.ts'
import { select } from './query.ts'
import {
  bareColumn,
  columnOrigins,
  everything,
  indirect,
  newScope,
  type Origin,
  record,
  relationsNamed,
  type Scope,
  type Walk,
} from './scope.ts'
import { isStatement, statement } from './statements.ts'
import { asType, type Fields, isObject, list, number, PLAIN_NODES, strings, structType, tagged } from './tree.ts'

const RANGE_ITEMS = new Set([
  'RangeSubselect',
  'RangeFunction',
  'RangeTableFunc',
  'RangeTableSample',
  'JsonTable',
  'JoinExpr',
])

/** Counts a level of nesting around the call. @throws GatewayError `sql.too_large` */
export function nested(walk: Walk, call: () => void): void {
  if (++walk.depth > walk.maxDepth)
    throw new GatewayError('sql.too_large', `The statement is nested over ${walk.maxDepth} levels deep.`)
  call()
  walk.depth--
}

/** Walks every node below a value, whatever it is: what it reads, calls and does is noted. */
export function expression(walk: Walk, scope: Scope, value: unknown, use: ColumnUse): void {
  if (Array.isArray(value)) {
    for (const item of value) expression(walk, scope, item, use)
    return
  }
  if (!isObject(value)) return
  const node = tagged(value)
  if (node === undefined) fieldsOf(walk, scope, '', value, use)
  else nested(walk, () => one(walk, scope, node.type, node.fields, use))
}

export function expressions(walk: Walk, scope: Scope, values: readonly unknown[], use: ColumnUse): void {
  for (const value of values) expression(walk, scope, value, use)
}

function one(walk: Walk, scope: Scope, type: string, fields: Fields, use: ColumnUse): void {
  switch (type) {
    case 'ColumnRef':
      columnRef(walk, scope, fields, use)
      return
    case 'FuncCall':
      return functionCall(walk, scope, fields, use)
    case 'SubLink':
      return subLink(walk, scope, fields, use)
    case 'SelectStmt':
      select(walk, scope, fields, use === 'output' ? 'expression' : use)
      return
    case 'JsonArrayQueryConstructor':
      expression(walk, scope, fields['query'], use)
      return fieldsOf(walk, scope, type, { ...fields, query: undefined }, use)
    case 'RangeVar':
      rangeItem(walk, scope, value(type, fields), use)
      return
    case 'WindowDef':
      return fieldsOf(walk, scope, type, fields, 'predicate')
    case 'A_Expr':
      operator(walk, fields)
      return fieldsOf(walk, scope, type, fields, use)
    case 'A_Indirection':
      return indirection(walk, scope, fields, use)
    case 'IndexElem': {
      // A unique index compares values, and its errors quote them.
      const { name } = fields
      if (typeof name === 'string') columnRef(walk, scope, { fields: [{ String: { sval: name } }] }, 'predicate')
      return fieldsOf(walk, scope, type, fields, use)
    }
    case 'JsonAggConstructor':
      expression(walk, scope, fields['agg_filter'], 'predicate')
      expressions(walk, scope, list(fields, 'agg_order'), 'predicate')
      return fieldsOf(walk, scope, type, { ...fields, agg_filter: undefined, agg_order: undefined }, use)
    case 'ParamRef':
      walk.facts.parameterCount = Math.max(walk.facts.parameterCount, number(fields, 'number'))
      return
  }
  if (RANGE_ITEMS.has(type)) rangeItem(walk, scope, value(type, fields), use)
  else if (isDataChange(type)) dataChange(walk, scope, type, fields, use)
  else if (PLAIN_NODES.has(type)) fieldsOf(walk, scope, type, fields, use)
  else if (isStatement(type)) statement(walk, scope, type, fields)
  else throw new GatewayError('sql.unparsable', `The gateway does not know the syntax ${type}, so it cannot judge it.`)
}

function value(type: string, fields: Fields): Fields {
  return { [type]: fields }
}

function fieldsOf(walk: Walk, scope: Scope, owner: string, fields: Fields, use: ColumnUse): void {
  for (const field in fields) {
    const inner = fields[field]
    if (typeof inner !== 'object' || inner === null) continue
    const type = structType(owner, field)
    if (type !== undefined && isObject(inner)) nested(walk, () => one(walk, scope, type, inner, use))
    else expression(walk, scope, inner, use)
  }
}

/** The scalar value of a sub-select has no origin that the target reports; EXISTS hands out nothing but yes or no. */
function subLink(walk: Walk, scope: Scope, fields: Fields, use: ColumnUse): void {
  expression(walk, scope, fields['testexpr'], use)
  const exists = fields['subLinkType'] === 'EXISTS_SUBLINK'
  const inner = exists || use === 'predicate' ? 'predicate' : use === 'write' ? 'write' : 'expression'
  const query = asType(fields['subselect'], 'SelectStmt')
  if (query === undefined) return expression(walk, scope, fields['subselect'], inner)
  nested(walk, () => {
    const shape = select(walk, scope, query, inner)
    if (inner !== 'predicate' && shape.unbounded) walk.facts.unbounded = true
  })
}

/** A user's operator runs a user's function; only those that name another schema can be told from the text. */
function operator(walk: Walk, fields: Fields): void {
  const name = strings(list(fields, 'name'))
  if (name.length > 1 && name.at(-2) !== 'pg_catalog')
    walk.facts.hides(`the function behind operator ${name.join('.')} is not inspected`)
}

/** `(t).column`, `(t).*`, `(f(x)).field`: whatever the base is, as a whole. */
function indirection(walk: Walk, scope: Scope, fields: Fields, use: ColumnUse): void {
  const whole = use === 'output' ? 'expression' : use
  expression(walk, scope, fields['arg'], whole)
  expressions(walk, scope, list(fields, 'indirection'), whole)
  for (const name of strings(list(fields, 'indirection'))) attributeCall(walk, name)
}

/** Reads of the columns that a reference names. `use` is `output` only where it stands alone in a target list. */
export function columnRef(walk: Walk, scope: Scope, fields: Fields, use: ColumnUse): void {
  const parts = list(fields, 'fields')
  const names = strings(parts)
  const found = names.length < parts.length ? wholeRows(scope, names) : resolve(walk, scope, names)
  for (const { table } of found) if (table !== undefined) walk.facts.read(table)
  record(walk, found, use)
}

/** `t.*` and `*` inside an expression. */
function wholeRows(scope: Scope, names: readonly string[]): Origin[] {
  const relations =
    names.length === 0
      ? scope.relations.filter((relation) => !relation.aside)
      : relationsNamed(scope, names.at(-1) ?? '', names.at(-2))
  if (relations.length === 0 && names.length > 0)
    return [{ table: names.slice(-2).join('.'), column: '*', direct: false }]
  return relations.flatMap(everything)
}

function resolve(walk: Walk, scope: Scope, names: readonly string[]): Origin[] {
  const column = names.at(-1) ?? ''
  const relation = names.at(-2)
  if (relation === undefined) {
    const bare = bareColumn(scope, column)
    for (const table of bare.tables) walk.facts.read(table)
    return [...bare.origins, ...relationsNamed(scope, column).flatMap(everything)]
  }
  const owners = relationsNamed(scope, relation, names.at(-3))
  if (owners.length === 0) return [{ table: names.slice(-3, -1).join('.'), column, direct: false }]
  return owners.flatMap((owner) => {
    const origins = columnOrigins(owner, column)
    if (origins === undefined) return everything(owner)
    // `t.to_jsonb` is `to_jsonb(t)` when the table has no such column.
    if (owner.columns.has(column) || !attributeCall(walk, column)) return origins
    return [...origins, ...everything(owner).map(indirect)]
  })
}

/** Whether `t.name` may be a function call on the row; notes the call then. */
function attributeCall(walk: Walk, name: string): boolean {
  if (!takesRows(walk, name)) return false
  functionCall(walk, newScope(undefined), { funcname: [{ String: { sval: name } }] }, 'expression')
  return true
}
