import { GatewayError } from '../kernel/index.ts'
import { isSessionId } from './header.ts'
import { isTornPath, sessionAt } from './paths.ts'
import { MAX_ENTRY_BYTES } from './tiles.ts'

/** A session began: from now on a recording with this header must exist. */
export interface SessionOpenedEntry {
  readonly type: 'session_opened'
  readonly session: string
  readonly startedAt: number
  /** Chain value of the recording's header, hex. */
  readonly header: string
  /** `alice via claude-code`. */
  readonly principal: string
  readonly target: string
}

export interface RecordingSealedEntry {
  readonly type: 'recording_sealed'
  readonly session: string
  /** Relative to the recordings' folder. */
  readonly path: string
  /** Chain value of the seal, hex: commits to every byte of the file. */
  readonly digest: string
  readonly bytes: number
  readonly batches: number
  readonly events: number
  readonly rows: number
  readonly interrupted: boolean
}

/** Recovery found a session that did not end in order. */
export interface RecordingInterruptedEntry {
  readonly type: 'recording_interrupted'
  readonly session: string
  readonly tornBytes: number
  /** SHA-256, hex. */
  readonly tornDigest: string
  /** Where the torn bytes are kept; null when there were none. */
  readonly tornPath: string | null
}

export type AdministrativeType =
  | 'gateway_started'
  | 'gateway_stopped'
  | 'policy_loaded'
  | 'policy_rejected'
  | 'token_created'
  | 'token_revoked'
  | 'grant_created'
  | 'grant_revoked'
  | 'session_revoked'
  | 'login_failed'
  | 'review_requested'
  | 'review_answered'
  | 'review_spent'
  | 'replay_viewed'
  | 'recording_exported'

/** Who did what; never a secret, a statement literal or a row value. */
export interface AdministrativeEntry {
  readonly type: AdministrativeType
  /** `alice via claude-code`; `gateway` for its own doings. */
  readonly by: string
  readonly details: Readonly<Record<string, string | number | boolean | null>>
}

export type AuditEntry = SessionOpenedEntry | RecordingSealedEntry | RecordingInterruptedEntry | AdministrativeEntry

/** As it stands in the log. */
export type AuditRecord = { readonly v: 1; readonly at: number } & AuditEntry

/** JSON with sorted keys and no spaces, so that one entry has one form. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const record = value as Record<string, unknown>
  const keys = Object.keys(record).filter((key) => record[key] !== undefined)
  return `{${keys.sort().map((key) => `${JSON.stringify(key)}:${canonical(record[key])}`)}}`
}

/** @throws GatewayError `recording.failed` - the entry is too large for the log. */
export function encodeEntry(entry: AuditEntry, at: number): Buffer {
  const bytes = Buffer.from(canonical({ ...entry, v: 1, at }))
  if (bytes.length > MAX_ENTRY_BYTES) throw new GatewayError('recording.failed', 'An audit entry is too large.')
  return bytes
}

/** Undefined when it is no entry that this version writes. */
export function decodeEntry(bytes: Buffer): AuditRecord | undefined {
  let value: unknown
  try {
    value = JSON.parse(bytes.toString('utf8'))
  } catch {
    return undefined
  }
  if (typeof value !== 'object' || value === null) return undefined
  const record = value as Record<string, unknown>
  const shaped = record['v'] === 1 && isTime(record['at']) && typeof record['type'] === 'string' && isShaped(record)
  return shaped && canonical(value) === bytes.toString('utf8') ? (value as AuditRecord) : undefined
}

const LATEST_TIME = Date.UTC(9999, 11, 31)

function isTime(value: unknown): boolean {
  return typeof value === 'number' && value >= 0 && value <= LATEST_TIME
}

/** The entries that verification and recovery act on: their paths and ids must not lead anywhere else. */
function isShaped(record: Record<string, unknown>): boolean {
  const { type, session, path } = record
  switch (type) {
    case 'session_opened':
      return isSessionId(session) && isTime(record['startedAt']) && typeof record['header'] === 'string'
    case 'recording_sealed':
      return isSessionId(session) && typeof path === 'string' && sessionAt(path) === session
    case 'recording_interrupted':
      return isSessionId(session) && isTornOrNull(record['tornPath'])
    default:
      return true
  }
}

function isTornOrNull(path: unknown): boolean {
  return path === null || (typeof path === 'string' && isTornPath(path))
}
