import { GatewayError } from '../kernel/index.ts'
import { CIPHER } from './cipher.ts'
import { DamageError, MAGIC } from './frames.ts'

export const FORMAT_VERSION = 1
const SESSION_ID = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/

/** The plain part of a recording: enough to find the keys, nothing about what happened. */
export interface RecordingHeader {
  readonly version: number
  readonly session: string
  /** Milliseconds since the epoch. */
  readonly startedAt: number
  readonly cipher: string
  /** Id of the recording key that wraps the data key. */
  readonly wrappingKey: string
  readonly dataKey: Buffer
  /** `<name>+<hash>` of the key that signs the heads. */
  readonly signingKey: string
}

export function isSessionId(id: unknown): id is string {
  return typeof id === 'string' && SESSION_ID.test(id)
}

/** Session ids become file names. @throws GatewayError `recording.invalid` */
export function checkSessionId(id: string): void {
  if (!isSessionId(id)) throw new GatewayError('recording.invalid', 'A session id has 1 to 64 letters, digits, _ or -.')
}

export function encodeHeader(header: RecordingHeader): Buffer {
  checkSessionId(header.session)
  return Buffer.from(JSON.stringify({ ...header, dataKey: header.dataKey.toString('base64') }))
}

/** @throws DamageError when it is not a header that this version reads. */
export function decodeHeader(payload: Buffer): RecordingHeader {
  const damaged = (what: string) => new DamageError(MAGIC.length, `The recording's header ${what}.`)
  let value: Record<string, unknown>
  try {
    value = JSON.parse(payload.toString('utf8'))
  } catch {
    throw damaged('is not readable')
  }
  if (typeof value !== 'object' || value === null) throw damaged('is not readable')
  const { version, session, startedAt, cipher, wrappingKey, dataKey, signingKey } = value
  if (version !== FORMAT_VERSION) throw damaged('is of a format version that is not known')
  if (cipher !== CIPHER) throw damaged('names a cipher that is not known')
  if (
    !isSessionId(session) ||
    typeof startedAt !== 'number' ||
    typeof wrappingKey !== 'string' ||
    typeof dataKey !== 'string' ||
    typeof signingKey !== 'string'
  ) {
    throw damaged('is not complete')
  }
  return { version, session, startedAt, cipher, wrappingKey, dataKey: Buffer.from(dataKey, 'base64'), signingKey }
}
