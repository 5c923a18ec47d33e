/**
 * The built-in types by their fixed OIDs, and what the gateway may do with a value of each.
 *
 * - `text`: any text is a valid value, and the binary form is the text itself
 * - `json`, `jsonb`: text with a grammar; jsonb's binary form has a version byte in front
 * - `bytea`: any bytes
 * - `array`, `composite`: made of values of other types
 * - `number`, `datetime`: a mask may yield another valid value
 * - `closed`: cannot hold free text
 * - `open`: may hold text, but with a grammar or a binary form of its own
 */
export type TypeCategory =
  | 'text'
  | 'json'
  | 'jsonb'
  | 'bytea'
  | 'array'
  | 'composite'
  | 'number'
  | 'datetime'
  | 'closed'
  | 'open'

export interface TypeInfo {
  readonly oid: number
  /** As SQL spells it: `integer[]` is `int4[]`, user types are `schema.name`. */
  readonly name: string
  readonly category: TypeCategory
  /** OID of an array's elements. */
  readonly element?: number
  /** OID that a domain stands on. */
  readonly base?: number
}

/** Types that are not built in, by OID; a catalogue snapshot is one. */
export interface UserTypes {
  userType(oid: number): TypeInfo | undefined
}

export const OID = {
  bool: 16,
  bytea: 17,
  char: 18,
  name: 19,
  int8: 20,
  int2: 21,
  int4: 23,
  text: 25,
  oid: 26,
  json: 114,
  xml: 142,
  cidr: 650,
  float4: 700,
  float8: 701,
  unknown: 705,
  macaddr: 829,
  inet: 869,
  bpchar: 1042,
  varchar: 1043,
  date: 1082,
  timestamp: 1114,
  timestamptz: 1184,
  numeric: 1700,
  record: 2249,
  void: 2278,
  uuid: 2950,
  jsonb: 3802,
} as const

/** OIDs below this one are fixed by PostgreSQL's own release; from here on they belong to the database. */
export const FIRST_USER_OID = 16384

// oid, name, oid of its array type (0: none), by category. From pg_type of PostgreSQL 13 to 18.
const TABLE: Readonly<Record<Exclude<TypeCategory, 'array'>, readonly (readonly [number, string, number])[]>> = {
  text: [
    [19, 'name', 1003],
    [25, 'text', 1009],
    [142, 'xml', 143],
    [705, 'unknown', 0],
    [1042, 'bpchar', 1014],
    [1043, 'varchar', 1015],
    [1790, 'refcursor', 2201],
    [2275, 'cstring', 1263],
  ],
  json: [[114, 'json', 199]],
  jsonb: [[3802, 'jsonb', 3807]],
  bytea: [[17, 'bytea', 1001]],
  composite: [[2249, 'record', 2287]],
  number: [
    [20, 'int8', 1016],
    [21, 'int2', 1005],
    [23, 'int4', 1007],
    [700, 'float4', 1021],
    [701, 'float8', 1022],
    [1700, 'numeric', 1231],
  ],
  datetime: [
    [1082, 'date', 1182],
    [1083, 'time', 1183],
    [1114, 'timestamp', 1115],
    [1184, 'timestamptz', 1185],
    [1186, 'interval', 1187],
    [1266, 'timetz', 1270],
  ],
  closed: [
    [16, 'bool', 1000],
    [18, 'char', 1002],
    [24, 'regproc', 1008],
    [26, 'oid', 1028],
    [27, 'tid', 1010],
    [28, 'xid', 1011],
    [29, 'cid', 1012],
    [600, 'point', 1017],
    [601, 'lseg', 1018],
    [602, 'path', 1019],
    [603, 'box', 1020],
    [604, 'polygon', 1027],
    [628, 'line', 629],
    [650, 'cidr', 651],
    [718, 'circle', 719],
    [774, 'macaddr8', 775],
    [790, 'money', 791],
    [829, 'macaddr', 1040],
    [869, 'inet', 1041],
    [2202, 'regprocedure', 2207],
    [2203, 'regoper', 2208],
    [2204, 'regoperator', 2209],
    [2205, 'regclass', 2210],
    [2206, 'regtype', 2211],
    [2278, 'void', 0],
    [2950, 'uuid', 2951],
    [2970, 'txid_snapshot', 2949],
    [3220, 'pg_lsn', 3221],
    [3734, 'regconfig', 3735],
    [3769, 'regdictionary', 3770],
    [3904, 'int4range', 3905],
    [3906, 'numrange', 3907],
    [3908, 'tsrange', 3909],
    [3910, 'tstzrange', 3911],
    [3912, 'daterange', 3913],
    [3926, 'int8range', 3927],
    [4089, 'regnamespace', 4090],
    [4096, 'regrole', 4097],
    [4191, 'regcollation', 4192],
    [4451, 'int4multirange', 6150],
    [4532, 'nummultirange', 6151],
    [4533, 'tsmultirange', 6152],
    [4534, 'tstzmultirange', 6153],
    [4535, 'datemultirange', 6155],
    [4536, 'int8multirange', 6157],
    [5038, 'pg_snapshot', 5039],
    [5069, 'xid8', 271],
  ],
  open: [
    [194, 'pg_node_tree', 0],
    [1033, 'aclitem', 1034],
    [1560, 'bit', 1561],
    [1562, 'varbit', 1563],
    [2277, 'anyarray', 0],
    [3361, 'pg_ndistinct', 0],
    [3402, 'pg_dependencies', 0],
    [3614, 'tsvector', 3643],
    [3615, 'tsquery', 3645],
    [3642, 'gtsvector', 3644],
    [4072, 'jsonpath', 4073],
    [5017, 'pg_mcv_list', 0],
  ],
}

const BUILT_IN = builtIn()

function builtIn(): ReadonlyMap<number, TypeInfo> {
  const types = new Map<number, TypeInfo>()
  for (const [category, rows] of Object.entries(TABLE) as [TypeCategory, (typeof TABLE)['text']][])
    for (const [oid, name, array] of rows) {
      types.set(oid, { oid, name, category })
      if (array !== 0) types.set(array, { oid: array, name: `${name}[]`, category: 'array', element: oid })
    }
  // Their text form is without brackets, and so is no literal of an array; nothing in them is text.
  for (const [oid, name, element, array] of [
    [22, 'int2vector', OID.int2, 1006],
    [30, 'oidvector', OID.oid, 1013],
  ] as const) {
    types.set(oid, { oid, name, category: 'array', element })
    types.set(array, { oid: array, name: `${name}[]`, category: 'array', element: oid })
  }
  return types
}

/** A domain over a domain over …: PostgreSQL sets no limit, so the gateway does. */
const MAX_DOMAIN_DEPTH = 32

/**
 * What the gateway knows of a type. A domain is answered with its own name and its base type's nature. A type that
 * nobody knows is `open`: its values are looked at as bytes.
 */
export function typeInfo(oid: number, userTypes?: UserTypes): TypeInfo {
  const found = BUILT_IN.get(oid) ?? userTypes?.userType(oid)
  if (found === undefined) return { oid, name: `type ${oid}`, category: 'open' }
  let info = found
  for (let depth = 0; info.base !== undefined; depth++) {
    const base = BUILT_IN.get(info.base) ?? userTypes?.userType(info.base)
    if (base === undefined || depth === MAX_DOMAIN_DEPTH) return { oid, name: found.name, category: 'open' }
    info = base
  }
  return info === found ? found : { ...info, name: found.name }
}

/** The name to show people. */
export function typeName(oid: number, userTypes?: UserTypes): string {
  return typeInfo(oid, userTypes).name
}

/** The names of all built-in types, for telling them from words that a value could have put there. */
export function isBuiltInTypeName(name: string): boolean {
  return BUILT_IN_NAMES.has(name)
}

// The names that error messages use beside pg_type's own.
const BUILT_IN_NAMES: ReadonlySet<string> = new Set([
  ...[...BUILT_IN.values()].map((type) => type.name),
  'integer',
  'smallint',
  'bigint',
  'boolean',
  'real',
  'double precision',
  'character',
  'character varying',
  'timestamp without time zone',
  'timestamp with time zone',
  'time without time zone',
  'time with time zone',
  'bit varying',
])
