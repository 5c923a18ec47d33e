import type { Signer, Verifier } from './note.ts'

/**
 * What the installation signs about a recording: every so many batches a head, and a seal at the end. The signature
 * covers the chain value before the frame, so it covers the whole file up to there.
 */
export interface Head {
  /** Batches and interruptions so far. */
  readonly batches: number
  /** Milliseconds since the epoch. */
  readonly at: number
}

export interface Seal extends Head {
  readonly events: number
  readonly rows: number
  /** Set by recovery, when the session did not end in order. */
  readonly interrupted: boolean
}

const SIGNATURE_BYTES = 64
const HEAD_FIELDS_BYTES = 16
const SEAL_FIELDS_BYTES = 33
export const HEAD_BYTES = HEAD_FIELDS_BYTES + SIGNATURE_BYTES
export const SEAL_BYTES = SEAL_FIELDS_BYTES + SIGNATURE_BYTES

/** The domain keeps a head from ever being taken for a seal or for a checkpoint, which the same key signs. */
function signedMessage(domain: 'head' | 'seal', fields: Buffer, chain: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`sallyport recording ${domain} 1\n`), chain, fields])
}

export function encodeHead(head: Head, chain: Buffer, signer: Signer, into: Buffer): void {
  into.writeBigUInt64BE(BigInt(head.batches), 0)
  into.writeBigUInt64BE(BigInt(head.at), 8)
  signer.sign(signedMessage('head', into.subarray(0, HEAD_FIELDS_BYTES), chain)).copy(into, HEAD_FIELDS_BYTES)
}

export function encodeSeal(seal: Seal, chain: Buffer, signer: Signer, into: Buffer): void {
  into.writeBigUInt64BE(BigInt(seal.batches), 0)
  into.writeBigUInt64BE(BigInt(seal.at), 8)
  into.writeBigUInt64BE(BigInt(seal.events), 16)
  into.writeBigUInt64BE(BigInt(seal.rows), 24)
  into[32] = seal.interrupted ? 1 : 0
  signer.sign(signedMessage('seal', into.subarray(0, SEAL_FIELDS_BYTES), chain)).copy(into, SEAL_FIELDS_BYTES)
}

/** Undefined when the payload has not the right size. */
export function decodeHead(payload: Buffer): Head | undefined {
  if (payload.length !== HEAD_BYTES) return undefined
  return { batches: Number(payload.readBigUInt64BE(0)), at: Number(payload.readBigUInt64BE(8)) }
}

/** Undefined when the payload has not the right size. */
export function decodeSeal(payload: Buffer): Seal | undefined {
  if (payload.length !== SEAL_BYTES) return undefined
  return {
    batches: Number(payload.readBigUInt64BE(0)),
    at: Number(payload.readBigUInt64BE(8)),
    events: Number(payload.readBigUInt64BE(16)),
    rows: Number(payload.readBigUInt64BE(24)),
    interrupted: payload[32] === 1,
  }
}

/** @param chain - Chain value before the frame. */
export function signatureHolds(domain: 'head' | 'seal', payload: Buffer, chain: Buffer, verifier: Verifier): boolean {
  const fieldsBytes = payload.length - SIGNATURE_BYTES
  if (fieldsBytes !== (domain === 'head' ? HEAD_FIELDS_BYTES : SEAL_FIELDS_BYTES)) return false
  const message = signedMessage(domain, payload.subarray(0, fieldsBytes), chain)
  return verifier.verify(message, payload.subarray(fieldsBytes))
}
