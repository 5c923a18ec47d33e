import { hash } from 'node:crypto'
import type { Facts, FunctionUse, Operation, Parameter, Settled } from '../../kernel/index.ts'
import { levelCovers } from '../../kernel/index.ts'
import type { StatementAnalysis } from '../../sql/index.ts'
import type { Portal, Prepared } from './conversation.ts'
import type { FrontendMessage } from './messages.ts'
import { typeName } from './types.ts'

/** What protects the result and the diagnostics of one operation. */
export interface Protection {
  /** A result column without an origin may hold protected data. */
  readonly computed: boolean
  /** The same under every mask rule, also those that spare this client: for what is kept. */
  readonly computedAtRest: boolean
  /** Diagnostics may quote protected data, so they are rebuilt. */
  readonly strict: boolean
}

/** An operation that may run. */
export interface Judged {
  readonly operation: Operation
  readonly analysis: StatementAnalysis | undefined
  readonly decision: Settled
  readonly protection: Protection
}

/** What the names in an EXECUTE or FETCH meant when it was judged. */
export interface Resolved {
  readonly facts: Facts
  readonly dependsOn: readonly (Prepared | Portal)[]
}

/** The facts of a statement that runs another one: its own kind, everything else of both. */
export function mergeFacts(outer: Facts, inner: Facts): Facts {
  const wider = levelCovers(outer.level, inner.level) ? outer : inner
  return {
    kind: outer.kind,
    kinds: union(outer.kinds, inner.kinds),
    reads: union(outer.reads, inner.reads),
    writes: union(outer.writes, inner.writes),
    columns: [...outer.columns, ...inner.columns],
    functions: [...outer.functions, ...inner.functions] satisfies readonly FunctionUse[],
    unbounded: outer.unbounded || inner.unbounded,
    level: wider.level,
    levelReason: wider.levelReason,
    rowLocks: outer.rowLocks || inner.rowLocks,
    changesSession: union(outer.changesSession, inner.changesSession),
    changesPrivileges: outer.changesPrivileges || inner.changesPrivileges,
    serverFiles: outer.serverFiles || inner.serverFiles,
    serverPrograms: outer.serverPrograms || inner.serverPrograms,
    dynamicSql: outer.dynamicSql || inner.dynamicSql,
    opaque: union(outer.opaque, inner.opaque),
  }
}

function union<T>(a: readonly T[], b: readonly T[]): readonly T[] {
  return b.length === 0 ? a : [...new Set([...a, ...b])]
}

type Bind = Extract<FrontendMessage, { kind: 'bind' }>

/** Bound parameters with the types that the client declared or the target inferred. */
export function boundParameters(bind: Bind, prepared: Prepared): Parameter[] {
  return bind.parameters.map((value, index) => {
    const oid = prepared.parameterTypes[index] || prepared.describedTypes?.[index] || 0
    const format = bind.parameterFormats[bind.parameterFormats.length === 1 ? 0 : index] ?? 0
    return { type: oid === 0 ? 'unknown' : typeName(oid), format: format === 1 ? 'binary' : 'text', value }
  })
}

const MAX_SHOWN_PARAMETER_CHARS = 4_096

/** For people: text as it is, well-known binary types as text, other binary values as `\x…`. */
export function showParameter(parameter: Parameter): string | null {
  const { value, format, type } = parameter
  if (value === undefined) return null
  return cut(format === 'text' ? value.toString('utf8') : (readBinary(type, value) ?? `\\x${value.toString('hex')}`))
}

function cut(text: string): string {
  return text.length <= MAX_SHOWN_PARAMETER_CHARS
    ? text
    : `${text.slice(0, MAX_SHOWN_PARAMETER_CHARS)}… (${text.length} characters)`
}

function readBinary(type: string, value: Buffer): string | undefined {
  switch (type) {
    case 'int2':
      return value.length === 2 ? String(value.readInt16BE()) : undefined
    case 'int4':
      return value.length === 4 ? String(value.readInt32BE()) : undefined
    case 'oid':
      return value.length === 4 ? String(value.readUInt32BE()) : undefined
    case 'int8':
      return value.length === 8 ? String(value.readBigInt64BE()) : undefined
    case 'float4':
      return value.length === 4 ? String(value.readFloatBE()) : undefined
    case 'float8':
      return value.length === 8 ? String(value.readDoubleBE()) : undefined
    case 'bool':
      return value.length === 1 ? String(value[0] === 1) : undefined
    case 'text':
    case 'varchar':
    case 'bpchar':
    case 'name':
    case 'json':
      return value.toString('utf8')
    default:
      return undefined
  }
}

/** Binds a review to the exact bytes of a simple query and to which of its statements is held. */
export function queryDigest(raw: Buffer, index: number, dependsOn: readonly (Prepared | Portal)[]): Buffer {
  return sha256Of([Buffer.from(`query\0${index}\0`), raw, ...dependsOn.map(sqlOf)])
}

/** Binds a review to the exact statement and parameters (types, formats, values) of a portal. */
export function portalDigest(prepared: Prepared, bind: Bind, dependsOn: readonly (Prepared | Portal)[]): Buffer {
  const formats = Buffer.from(JSON.stringify([prepared.parameterTypes, bind.parameterFormats]))
  const pieces = [PORTAL, lengthOf(prepared.sql), prepared.sql, formats]
  for (const value of bind.parameters) {
    pieces.push(lengthOf(value))
    if (value !== undefined) pieces.push(value)
  }
  return sha256Of([...pieces, ...dependsOn.map(sqlOf)])
}

const PORTAL = Buffer.from('portal\0')

/** NULL is told from an empty value. */
function lengthOf(value: Buffer | undefined): Buffer {
  const length = Buffer.allocUnsafe(4)
  length.writeInt32BE(value === undefined ? -1 : value.length)
  return length
}

/** In one call: setting up a running hash costs more than joining a few pieces. */
function sha256Of(pieces: readonly Buffer[]): Buffer {
  return hash('sha256', Buffer.concat(pieces), 'buffer')
}

function sqlOf(one: Prepared | Portal): Buffer {
  return 'sql' in one ? one.sql : one.prepared.sql
}
