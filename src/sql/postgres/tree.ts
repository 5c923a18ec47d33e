/** The raw syntax tree as libpg_query prints it: `{ SelectStmt: { … } }` for a node, `{ … }` for an embedded struct. */
export interface Fields {
  readonly [field: string]: unknown
}

export interface Tagged {
  readonly type: string
  readonly fields: Fields
}

export function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A node's type and fields; undefined for an embedded struct, a list or a plain value. */
export function tagged(value: unknown): Tagged | undefined {
  if (!isObject(value)) return undefined
  let type: string | undefined
  for (const key in value) {
    if (type !== undefined) return undefined
    type = key
  }
  if (type === undefined) return undefined
  const first = type.charCodeAt(0)
  if (first < 65 || first > 90) return undefined
  const fields = value[type]
  return isObject(fields) ? { type, fields } : undefined
}

/** The fields of a node that must be of this type, else undefined. */
export function asType(value: unknown, type: string): Fields | undefined {
  if (!isObject(value)) return undefined
  const fields = value[type]
  return isObject(fields) ? fields : undefined
}

export function struct(fields: Fields, name: string): Fields | undefined {
  const value = fields[name]
  return isObject(value) ? value : undefined
}

export function list(fields: Fields, name: string): readonly unknown[] {
  const value = fields[name]
  return Array.isArray(value) ? value : []
}

export function text(fields: Fields, name: string): string | undefined {
  const value = fields[name]
  return typeof value === 'string' ? value : undefined
}

export function flag(fields: Fields, name: string): boolean {
  return fields[name] === true
}

export function number(fields: Fields, name: string): number {
  const value = fields[name]
  return typeof value === 'number' ? value : 0
}

/** The strings of a list of String nodes; other nodes are left out. */
export function strings(values: readonly unknown[]): string[] {
  return values.flatMap((value) => {
    const fields = asType(value, 'String')
    return fields === undefined ? [] : [text(fields, 'sval') ?? '']
  })
}

/** `schema.name` or `name`, as the target folds it. */
export function qualified(parts: readonly string[]): string {
  return parts.slice(-2).join('.')
}

export function relationName(range: Fields): string {
  const schema = text(range, 'schemaname')
  const name = text(range, 'relname') ?? ''
  return schema === undefined ? name : `${schema}.${name}`
}

/** A constant as text; undefined when the node is no constant, null for NULL. */
export function constant(value: unknown): string | null | undefined {
  const fields = asType(value, 'A_Const')
  if (fields === undefined) return scalar(value)
  if (flag(fields, 'isnull')) return null
  const string = struct(fields, 'sval')
  if (string !== undefined) return text(string, 'sval') ?? ''
  const integer = struct(fields, 'ival')
  if (integer !== undefined) return String(number(integer, 'ival'))
  const float = struct(fields, 'fval')
  if (float !== undefined) return text(float, 'fval') ?? '0'
  const boolean = struct(fields, 'boolval')
  if (boolean !== undefined) return flag(boolean, 'boolval') ? 'true' : 'false'
  return undefined
}

/** The value nodes that options carry. */
function scalar(value: unknown): string | undefined {
  const node = tagged(value)
  switch (node?.type) {
    case 'String':
      return text(node.fields, 'sval') ?? ''
    case 'Integer':
      return String(number(node.fields, 'ival'))
    case 'Float':
      return text(node.fields, 'fval') ?? '0'
    case 'Boolean':
      return flag(node.fields, 'boolval') ? 'true' : 'false'
    case 'TypeName': // an unquoted word such as `language sql`
      return strings(list(node.fields, 'names')).at(-1)
    default:
      return undefined
  }
}

/** Embedded structs that a generic walk has to know, by the node that holds them. All others are walked field by field. */
const STRUCTS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  TypeCast: { typeName: 'TypeName' },
  FuncCall: { over: 'WindowDef' },
  IntoClause: { rel: 'RangeVar' },
  ColumnDef: { identitySequence: 'RangeVar' },
  TableLikeClause: { relation: 'RangeVar' },
  PartitionCmd: { name: 'RangeVar' },
  Constraint: { pktable: 'RangeVar' },
  JsonAggConstructor: { over: 'WindowDef' },
  JsonObjectAgg: { constructor: 'JsonAggConstructor' },
  JsonArrayAgg: { constructor: 'JsonAggConstructor' },
  PLAssignStmt: { val: 'SelectStmt' },
  AlterDefaultPrivilegesStmt: { action: 'GrantStmt' },
  CreateForeignTableStmt: { base: 'CreateStmt' },
  CreateTrigStmt: { constrrel: 'RangeVar' },
  CallStmt: { funccall: 'FuncCall' },
  PublicationObjSpec: { pubtable: 'PublicationTable' },
  PublicationTable: { relation: 'RangeVar' },
  VacuumRelation: { relation: 'RangeVar' },
}

export function structType(owner: string, field: string): string | undefined {
  const fields = STRUCTS[owner]
  return fields !== undefined && Object.hasOwn(fields, field) ? fields[field] : undefined
}

/** Node types that hold no meaning of their own beyond their children. What is in no table is refused. */
export const PLAIN_NODES: ReadonlySet<string> = new Set(
  `Integer Float Boolean String BitString List A_Const Alias GroupingFunc MergeSupportFunc NamedArgExpr BoolExpr
  CaseExpr CaseWhen RowExpr CoalesceExpr MinMaxExpr SQLValueFunction XmlExpr JsonFormat JsonReturning JsonValueExpr
  JsonIsPredicate JsonBehavior NullTest BooleanTest SetToDefault CurrentOfExpr TypeName ParamRef TypeCast CollateClause
  RoleSpec A_Indices A_ArrayExpr ResTarget MultiAssignRef SortBy RangeTableFuncCol ColumnDef TableLikeClause
  IndexElem DefElem XmlSerialize PartitionElem PartitionSpec PartitionBoundSpec PartitionRangeDatum PartitionCmd
  GroupingSet InferClause TriggerTransition JsonOutput JsonArgument JsonFuncExpr JsonTablePathSpec JsonTableColumn
  JsonKeyValue JsonParseExpr JsonScalarExpr JsonSerializeExpr JsonObjectConstructor JsonArrayConstructor
  JsonObjectAgg JsonArrayAgg ReturnStmt AlterTableCmd ATAlterConstraint ReplicaIdentityStmt ObjectWithArgs AccessPriv
  Constraint CreateOpClassItem StatsElem FunctionParameter PublicationTable PublicationObjSpec VacuumRelation
  VariableSetStmt A_Star`.split(/\s+/),
)
