import { createHash } from 'node:crypto'
import type { Parameter, Principal, TargetInfo } from '../kernel/index.ts'

const FORMAT = 'sallyport operation v1'

export interface BoundOperation {
  readonly sessionId: string
  readonly principal: Principal
  readonly target: Pick<TargetInfo, 'name'>
  /** The exact bytes to be forwarded. */
  readonly text: Buffer
  readonly parameters: readonly Parameter[]
}

/**
 * What an approval binds: session, person, actor, target, the exact bytes, and every parameter with its type and format.
 * Each part is written with its length, so no two operations share an encoding.
 *
 * @returns SHA-256, 32 bytes
 */
export function operationDigest({ sessionId, principal, target, text, parameters }: BoundOperation): Buffer {
  const hash = createHash('sha256')
  const part = (value: string | Buffer) => {
    const bytes = typeof value === 'string' ? Buffer.from(value, 'utf8') : value
    const length = Buffer.alloc(8)
    length.writeBigUInt64BE(BigInt(bytes.length))
    hash.update(length).update(bytes)
  }
  const { identity, actor } = principal
  for (const word of [FORMAT, sessionId, identity.issuer, identity.subject, actor.kind, actor.name, target.name])
    part(word)
  part(text)
  part(String(parameters.length))
  for (const { type, format, value } of parameters) {
    part(type)
    part(format)
    part(value === undefined ? 'null' : 'value')
    part(value ?? '')
  }
  return hash.digest()
}
