import type { Decision, ErrorCode, Facts, ObservedRule, SessionInfo, SessionTotals, Settled } from '../kernel/index.ts'

/** Milliseconds since the epoch, when the gateway knew of it. */
interface At {
  readonly at: number
}

/** A parameter as people may see it: masked where a rule masks it, `null` is SQL NULL. */
export interface RecordedParameter {
  readonly type: string
  readonly format: 'text' | 'binary'
  readonly value: string | null
}

/** A decision without the masks' own terms: the rules are named, their texts are in the policy. */
export interface RecordedDecision {
  readonly kind: Decision['kind']
  readonly rule: string
  readonly reason: string
  /** Names of the mask rules in force. */
  readonly masks: readonly string[]
  readonly observed: readonly ObservedRule[]
  /** Only of a denial. */
  readonly code?: ErrorCode
}

export function recordDecision(decision: Decision | Settled): RecordedDecision {
  const { kind, rule, reason, masks, observed } = decision
  const recorded = { kind, rule, reason, masks: masks.map((mask) => mask.rule), observed }
  return decision.kind === 'deny' ? { ...recorded, code: decision.code } : recorded
}

export interface SessionStartedEvent extends At {
  readonly type: 'session_started'
  readonly session: SessionInfo
}

export interface OperationEvent extends At {
  readonly type: 'operation'
  /** Counts from 1 within the session; every other event of the operation carries it. */
  readonly operation: number
  /** The protocol's way of asking: `simple`, `extended`, `fetch`, … */
  readonly via: string
  /** Already redacted by the caller where it holds secrets. */
  readonly text: string
  /** SHA-256 of the exact bytes judged, hex. */
  readonly textDigest: string
  readonly parameters: readonly RecordedParameter[]
  readonly facts: Facts
  readonly decision: RecordedDecision
}

export interface ReviewEvent extends At {
  readonly type: 'review'
  readonly operation: number
  readonly review: string
  readonly state: 'requested' | 'approved' | 'denied' | 'expired' | 'withdrawn' | 'spent'
  readonly by: readonly string[]
  readonly reason: string
}

/** A question that the gateway itself put to the target, such as a plan or a count for a reviewer. */
export interface InquiryEvent extends At {
  readonly type: 'inquiry'
  readonly operation: number
  readonly purpose: string
  readonly text: string
}

export interface RecordedColumn {
  readonly name: string
  readonly type: string
  readonly format: 'text' | 'binary'
  readonly treatment: 'pass' | 'scan' | 'mask' | 'redact'
  readonly rule?: string
}

/** The shape of the rows that follow for this operation. */
export interface ColumnsEvent extends At {
  readonly type: 'columns'
  readonly operation: number
  /** Counts from 0 within the operation. */
  readonly result: number
  readonly columns: readonly RecordedColumn[]
}

/** Rows as they were released, in the layout of `cells.ts`. */
export interface RowsEvent extends At {
  readonly type: 'rows'
  readonly operation: number
  readonly count: number
  /** Bytes of the protocol's own framing before each row; skipped when rows are read. */
  readonly rowHeaderBytes: number
  readonly cells: Buffer
}

/** A stretch of a COPY stream as it was released. */
export interface CopyDataEvent extends At {
  readonly type: 'copy_data'
  readonly operation: number
  readonly direction: 'in' | 'out'
  readonly data: Buffer
}

/**
 * - `cap`: the recording keeps only so much of one result
 * - `withheld`: the values must not be at rest, so only their number and digest are
 */
export type OmissionReason = 'cap' | 'withheld'

interface Omission extends At {
  readonly operation: number
  readonly bytes: number
  /** SHA-256 of the released bytes that this event stands for, hex. */
  readonly digest: string
  readonly reason: OmissionReason
}

export interface RowsOmittedEvent extends Omission {
  readonly type: 'rows_omitted'
  readonly count: number
}

export interface CopyOmittedEvent extends Omission {
  readonly type: 'copy_omitted'
  readonly direction: 'in' | 'out'
}

export interface ResultEvent extends At {
  readonly type: 'result'
  readonly operation: number
  readonly status: 'completed' | 'failed' | 'suspended' | 'cancelled'
  /** The target's own word, such as `SELECT 5`; empty when it gave none. */
  readonly tag: string
  readonly rows: number
  readonly bytes: number
  readonly durationMicros: number
  /** The message is already masked. */
  readonly error?: { readonly code: string; readonly message: string }
  /** How many values each mask rule replaced. */
  readonly maskedValues: Readonly<Record<string, number>>
}

export interface NoticeEvent extends At {
  readonly type: 'notice'
  readonly operation?: number
  readonly severity: string
  readonly code: string
  readonly message: string
}

export interface SettingChangedEvent extends At {
  readonly type: 'setting_changed'
  readonly name: string
  readonly value: string
}

/** The gateway itself said no: bad input, a limit, an unknown message. A policy's no is an operation with its decision. */
export interface RefusedEvent extends At {
  readonly type: 'refused'
  readonly operation?: number
  readonly code: string
  readonly message: string
}

export interface CancelEvent extends At {
  readonly type: 'cancel'
  readonly operation?: number
  readonly by: string
}

export interface SessionEndedEvent extends At {
  readonly type: 'session_ended'
  readonly reason: string
  readonly totals: Readonly<SessionTotals>
}

/** Written by recovery: the gateway stopped in mid-session. Everything before it is whole. */
export interface InterruptedEvent extends At {
  readonly type: 'interrupted'
  /** Bytes of a write that was cut off, kept aside; nothing in them was released. */
  readonly tornBytes: number
  readonly tornDigest: string
}

/** Events whose payload is bytes; they have ways of their own into the journal. */
export type BinaryEvent = RowsEvent | CopyDataEvent

export type StructuredEvent =
  | SessionStartedEvent
  | OperationEvent
  | ReviewEvent
  | InquiryEvent
  | ColumnsEvent
  | RowsOmittedEvent
  | CopyOmittedEvent
  | ResultEvent
  | NoticeEvent
  | SettingChangedEvent
  | RefusedEvent
  | CancelEvent
  | SessionEndedEvent
  | InterruptedEvent

export type RecordingEvent = StructuredEvent | BinaryEvent

const STRUCTURED: Record<StructuredEvent['type'], true> = {
  session_started: true,
  operation: true,
  review: true,
  inquiry: true,
  columns: true,
  rows_omitted: true,
  copy_omitted: true,
  result: true,
  notice: true,
  setting_changed: true,
  refused: true,
  cancel: true,
  session_ended: true,
  interrupted: true,
}

export function isStructuredEvent(value: unknown): value is StructuredEvent {
  if (typeof value !== 'object' || value === null) return false
  const { type, at } = value as { type?: unknown; at?: unknown }
  return typeof type === 'string' && Object.hasOwn(STRUCTURED, type) && typeof at === 'number'
}
