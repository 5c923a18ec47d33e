import { type ColumnUse, GatewayError } from '../../kernel/index.ts'
import { expression, expressions, nested } from './expression.ts'
import { select } from './query.ts'
import { touchRelation } from './relations.ts'
import {
  baseShape,
  columnOrigins,
  distinct,
  everything,
  indirect,
  NOTHING,
  newScope,
  noting,
  type Origin,
  record,
  renamed,
  type Scope,
  type Shape,
  type Walk,
} from './scope.ts'
import { asType, type Fields, list, relationName, strings, struct, tagged, text } from './tree.ts'
import { commonTableShape } from './with.ts'

/** Names are looked up among these, so their number bounds the work. */
const MAX_RELATIONS = 500

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
  if (scope.relations.length >= MAX_RELATIONS)
    throw new GatewayError('sql.too_large', `The statement has over ${MAX_RELATIONS} tables in one FROM.`)
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
