/** The words of the house as types. Plain data, JSON-safe unless said otherwise. */

/** A verified human or workload. `issuer` + `subject` name it; the rest describes it. */
export interface Identity {
  readonly issuer: string
  readonly subject: string
  readonly email: string
  readonly groups: readonly string[]
}

export type ActorKind = 'human' | 'agent' | 'service'

/** The software acting for an identity. A person at the keyboard is `{ kind: 'human', name: <subject> }`. */
export interface Actor {
  readonly kind: ActorKind
  readonly name: string
}

export interface Principal {
  readonly identity: Identity
  readonly actor: Actor
}

/** `alice` or `alice via claude-code`. */
export function principalLabel(principal: Principal): string {
  const { identity, actor } = principal
  return actor.kind === 'human' ? identity.subject : `${identity.subject} via ${actor.name}`
}

/** The same human (or workload), whatever software acts for it. */
export function sameIdentity(a: Identity, b: Identity): boolean {
  return a.issuer === b.issuer && a.subject === b.subject
}

export const ACCESS_LEVELS = ['read', 'write', 'admin'] as const
export type AccessLevel = (typeof ACCESS_LEVELS)[number]

export function levelCovers(held: AccessLevel, needed: AccessLevel): boolean {
  return ACCESS_LEVELS.indexOf(held) >= ACCESS_LEVELS.indexOf(needed)
}

export type RecordingMode = 'buffered' | 'strict'

/** What policy and people may know of a target; its address and credential stay with the gateway. */
export interface TargetInfo {
  readonly name: string
  /** Protocol folder that serves it: `postgres`, … */
  readonly type: string
  readonly labels: Readonly<Record<string, string>>
}

/** One client's stay at one target. */
export interface SessionInfo {
  readonly id: string
  readonly principal: Principal
  readonly target: TargetInfo
  readonly level: AccessLevel
  /** The Sallyport token that opened it; an id, never a secret. */
  readonly tokenId: string
  readonly client: { readonly address: string; readonly application: string }
  /** Milliseconds since the epoch. */
  readonly startedAt: number
}

export const OPERATION_KINDS = [
  'select',
  'insert',
  'update',
  'delete',
  'merge',
  'truncate',
  'create',
  'alter',
  'drop',
  'comment',
  'grant',
  'revoke',
  'copy_in',
  'copy_out',
  'call',
  'do',
  'explain',
  'prepare',
  'execute',
  'deallocate',
  'declare',
  'fetch',
  'close',
  'set',
  'show',
  'transaction',
  'lock',
  'listen',
  'notify',
  'discard',
  'maintenance',
  'load',
  'empty',
  'other',
] as const
/** What a statement does. `maintenance` is VACUUM, ANALYZE, REINDEX, CLUSTER, REFRESH, CHECKPOINT. */
export type OperationKind = (typeof OPERATION_KINDS)[number]

export type Volatility = 'immutable' | 'stable' | 'volatile' | 'unknown'

export interface FunctionUse {
  /** `schema.name`, or the bare name as written when the schema is not given. */
  readonly name: string
  readonly volatility: Volatility
}

/**
 * - `output`: named alone in the outermost target list, so the target itself reports its origin
 * - `expression`: something is computed from it, or it passes a construct that hides its origin
 * - `predicate`: it only filters, joins, sorts or groups
 * - `write`: its value flows into a table
 */
export type ColumnUse = 'output' | 'expression' | 'predicate' | 'write'

export interface ColumnRead {
  /** `schema.table` or `table` as written; undefined where the statement alone does not tell which of its tables. */
  readonly table: string | undefined
  /** `*` stands for the whole row. */
  readonly column: string
  readonly use: ColumnUse
}

/** What inspection learned of an operation. Names are folded as the target folds them. */
export interface Facts {
  /** The statement's own kind. */
  readonly kind: OperationKind
  /** Its own kind and every nested effect: data-modifying CTEs, COPY of a query, EXPLAIN ANALYZE, … */
  readonly kinds: readonly OperationKind[]
  /** Relations read / written, `schema.name` where the schema is written or resolved, else `name`; no CTE names. */
  readonly reads: readonly string[]
  readonly writes: readonly string[]
  readonly columns: readonly ColumnRead[]
  readonly functions: readonly FunctionUse[]
  /** Touches every row: a SELECT of tables, UPDATE or DELETE without WHERE (or one that is always true) and without LIMIT. */
  readonly unbounded: boolean
  /** The least access level that suffices. */
  readonly level: AccessLevel
  /** Why the level is not `read`, in words. */
  readonly levelReason: string
  readonly rowLocks: boolean
  /** Settings, roles and the like that it changes for what follows. */
  readonly changesSession: readonly string[]
  readonly changesPrivileges: boolean
  /** Reads or writes files on the target's host. */
  readonly serverFiles: boolean
  /** Runs programs or code on the target's host. */
  readonly serverPrograms: boolean
  /** Runs text that is built at run time. */
  readonly dynamicSql: boolean
  /** Why its effects cannot be seen from outside, in words; empty when they can. */
  readonly opaque: readonly string[]
  /** The planner's estimate of rows returned or touched; undefined until somebody asked. */
  readonly estimatedRows?: number
}

/** Of a statement that does nothing; also a start for building other facts. */
export const EMPTY_FACTS: Facts = {
  kind: 'empty',
  kinds: ['empty'],
  reads: [],
  writes: [],
  columns: [],
  functions: [],
  unbounded: false,
  level: 'read',
  levelReason: 'it does nothing',
  rowLocks: false,
  changesSession: [],
  changesPrivileges: false,
  serverFiles: false,
  serverPrograms: false,
  dynamicSql: false,
  opaque: [],
}

/** A bound parameter as a reviewer and the recording may see it. `value` is undefined for NULL. */
export interface Parameter {
  readonly type: string
  readonly format: 'text' | 'binary'
  readonly value: Buffer | undefined
}

/** One unit of policy. */
export interface Operation {
  /** Counts from 1 within its session. */
  readonly sequence: number
  /** The text judged, exactly as received and decoded. */
  readonly text: string
  readonly parameters: readonly Parameter[]
  readonly facts: Facts
}

export const MASK_KINDS = ['redact', 'last4', 'email', 'null', 'hash', 'token', 'generalise'] as const
export type MaskKind = (typeof MASK_KINDS)[number]

/** One mask rule in force for an operation. */
export interface MaskInstruction {
  readonly rule: string
  readonly mask: MaskKind
  /** `schema.table.column`, `table.column` or `*.column`; `*` matches within one part. Empty: none. */
  readonly columns: readonly string[]
  /** Names of content detectors. Empty: none. */
  readonly detect: readonly string[]
}

export interface HoldTerms {
  /** `group:dba`, `user:bob`; anyone of them. */
  readonly reviewers: readonly string[]
  readonly approvals: number
  readonly expiresInMs: number
  /** When several rules hold: the others' quorums, each of which must be met as well. */
  readonly also?: readonly {
    readonly rule: string
    readonly reviewers: readonly string[]
    readonly approvals: number
  }[]
}

export interface ObservedRule {
  readonly rule: string
  readonly wouldHave: 'deny' | 'hold' | 'mask' | 'allow'
}

interface Decided {
  /** The rule that decided; `grant:<level>` when none matched and the access level did. */
  readonly rule: string
  /** The rule's message, or the reason in words. */
  readonly reason: string
  /** Masks add up, whatever else was decided. */
  readonly masks: readonly MaskInstruction[]
  /** Rules in `observe` mode that matched. */
  readonly observed: readonly ObservedRule[]
}

export type Decision =
  | (Decided & { readonly kind: 'allow' })
  | (Decided & { readonly kind: 'mask' })
  | (Decided & { readonly kind: 'hold'; readonly hold: HoldTerms })
  | (Decided & {
      readonly kind: 'deny'
      readonly code: 'policy.denied' | 'access.level' | 'policy.opaque' | 'policy.failed'
    })

/** A hold never leaves the engine: reviewers, the clock or a hang-up turn it into one of the others. */
export type Settled = Exclude<Decision, { kind: 'hold' }>

/** Totals that policy may ask of a session. */
export interface SessionTotals {
  operations: number
  rowsReturned: number
  bytesReturned: number
  denied: number
}
