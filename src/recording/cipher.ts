import { createCipheriv, createDecipheriv } from 'node:crypto'
import { GatewayError, type Random } from '../kernel/index.ts'
import { sha256 } from './frames.ts'

export const CIPHER = 'AES-256-GCM'
export const KEY_BYTES = 32
export const NONCE_BYTES = 12
export const TAG_BYTES = 16
const WRAP_DOMAIN = 'sallyport data key 1\n'

/** The installation's key that wraps the sessions' data keys. */
export interface WrappingKey {
  /** Names the key without giving it. */
  readonly id: string
  readonly key: Buffer
}

export function makeWrappingKey(key: Buffer): WrappingKey {
  if (key.length !== KEY_BYTES) {
    throw new GatewayError('recording.invalid', `The recording key has ${key.length} bytes instead of ${KEY_BYTES}.`)
  }
  const id = sha256(Buffer.concat([Buffer.from('sallyport recording key 1\n'), key])).toString('hex', 0, 8)
  return { id, key }
}

function seal(key: Buffer, nonce: Buffer, associated: Buffer, plain: readonly Buffer[], into: Buffer): void {
  const cipher = createCipheriv('aes-256-gcm', key, nonce)
  cipher.setAAD(associated)
  // Joining small pieces costs less than handing them to the cipher one by one.
  const at = cipher.update(plain.length === 1 ? (plain[0] as Buffer) : Buffer.concat(plain)).copy(into)
  cipher.final()
  cipher.getAuthTag().copy(into, at)
}

function unseal(key: Buffer, nonce: Buffer, associated: Buffer, sealed: Buffer): Buffer | undefined {
  if (sealed.length < TAG_BYTES) return undefined
  const end = sealed.length - TAG_BYTES
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES })
  decipher.setAAD(associated)
  decipher.setAuthTag(sealed.subarray(end))
  const plain = decipher.update(sealed.subarray(0, end))
  try {
    decipher.final()
  } catch {
    return undefined
  }
  return plain
}

export function wrapDataKey(wrapping: WrappingKey, sessionId: string, dataKey: Buffer, random: Random): Buffer {
  const nonce = random.bytes(NONCE_BYTES)
  const sealed = Buffer.alloc(KEY_BYTES + TAG_BYTES)
  seal(wrapping.key, nonce, Buffer.from(WRAP_DOMAIN + sessionId), [dataKey], sealed)
  return Buffer.concat([nonce, sealed])
}

export function unwrapDataKey(wrapping: WrappingKey, sessionId: string, wrapped: Buffer): Buffer {
  const nonce = wrapped.subarray(0, NONCE_BYTES)
  const associated = Buffer.from(WRAP_DOMAIN + sessionId)
  const key =
    wrapped.length === NONCE_BYTES + KEY_BYTES + TAG_BYTES
      ? unseal(wrapping.key, nonce, associated, wrapped.subarray(NONCE_BYTES))
      : undefined
  if (key === undefined) {
    throw new GatewayError('recording.invalid', `The data key of session ${sessionId} cannot be unwrapped.`)
  }
  return key
}

/**
 * Encrypts the batches of one session. The nonce is the batch's number, so a number is used once: recovery, which may
 * follow a write that was cut off, uses random nonces of its own.
 */
export class BatchCipher {
  readonly #key: Buffer
  readonly #associated: Buffer
  readonly #nonce = Buffer.alloc(NONCE_BYTES)

  /** @param headerChain - Chain value of the header frame: ties every batch to its file. */
  constructor(key: Buffer, headerChain: Buffer) {
    this.#key = key
    this.#associated = Buffer.concat([headerChain, Buffer.alloc(9)])
  }

  /** @param into - Room for all the pieces and `TAG_BYTES`. */
  encrypt(kind: number, counter: number, pieces: readonly Buffer[], into: Buffer): void {
    this.#address(kind, counter)
    seal(this.#key, this.#nonce, this.#associated, pieces, into)
  }

  /** Undefined when the bytes are not what was encrypted under this number. */
  decrypt(kind: number, counter: number, sealed: Buffer): Buffer | undefined {
    this.#address(kind, counter)
    return unseal(this.#key, this.#nonce, this.#associated, sealed)
  }

  encryptWithNonce(kind: number, counter: number, nonce: Buffer, plain: Buffer, into: Buffer): void {
    this.#address(kind, counter)
    seal(this.#key, nonce, this.#associated, [plain], into)
  }

  decryptWithNonce(kind: number, counter: number, nonce: Buffer, sealed: Buffer): Buffer | undefined {
    this.#address(kind, counter)
    return unseal(this.#key, nonce, this.#associated, sealed)
  }

  #address(kind: number, counter: number): void {
    this.#associated[CHAIN_AT] = kind
    writeUInt64(this.#associated, counter, CHAIN_AT + 1)
    writeUInt64(this.#nonce, counter, NONCE_BYTES - 8)
  }
}

const CHAIN_AT = 32

/** A safe integer as 64 bits, big-endian. */
function writeUInt64(into: Buffer, value: number, at: number): void {
  into.writeUInt32BE(Math.floor(value / 2 ** 32), at)
  into.writeUInt32BE(value % 2 ** 32, at + 4)
}
