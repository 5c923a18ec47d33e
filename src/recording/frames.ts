import { hash } from 'node:crypto'
import { GatewayError } from '../kernel/index.ts'

/**
 * The file: the magic line, then frames of `[u32 length][u8 kind][payload][32 bytes of chain]`, big-endian; the length
 * counts payload and chain. A frame's chain value is SHA-256 over the previous frame's and all its own bytes before it,
 * so each frame commits to the whole file up to and with itself. The first frame follows SHA-256 of the magic line.
 */
export const MAGIC = Buffer.from('sallyport journal 1\n', 'latin1')
export const GENESIS = sha256(MAGIC)

export const FRAME = { header: 1, batch: 2, head: 3, interruption: 4, seal: 5 } as const
export type FrameKind = (typeof FRAME)[keyof typeof FRAME]
const KINDS: ReadonlySet<number> = new Set(Object.values(FRAME))

export const CHAIN_BYTES = 32
export const FRAME_PREFIX_BYTES = 5
/** Above every batch that a journal writes; a longer length is damage, and is refused before anything is buffered. */
export const MAX_FRAME_BYTES = 96 * 1024 * 1024

export function sha256(bytes: Buffer): Buffer {
  return hash('sha256', bytes, 'buffer')
}

/** One buffer with room for the payload; the frame's bytes start after the previous chain value, so that one pass hashes both. */
export class FrameDraft {
  readonly #buffer: Buffer
  readonly payload: Buffer

  constructor(kind: FrameKind, payloadBytes: number, previousChain: Buffer) {
    this.#buffer = Buffer.allocUnsafe(CHAIN_BYTES + FRAME_PREFIX_BYTES + payloadBytes + CHAIN_BYTES)
    previousChain.copy(this.#buffer)
    this.#buffer.writeUInt32BE(payloadBytes + CHAIN_BYTES, CHAIN_BYTES)
    this.#buffer[CHAIN_BYTES + 4] = kind
    const start = CHAIN_BYTES + FRAME_PREFIX_BYTES
    this.payload = this.#buffer.subarray(start, start + payloadBytes)
  }

  /** Call once, when the payload is filled. */
  finish(): { readonly bytes: Buffer; readonly chain: Buffer } {
    const end = this.#buffer.length - CHAIN_BYTES
    const chain = sha256(this.#buffer.subarray(0, end))
    chain.copy(this.#buffer, end)
    return { bytes: this.#buffer.subarray(CHAIN_BYTES), chain }
  }
}

export interface Frame {
  readonly kind: FrameKind
  /** Where it starts in the file. */
  readonly offset: number
  /** All of it, prefix and chain value included. */
  readonly bytes: Buffer
  readonly payload: Buffer
  /** The chain value it states; `chainOf` computes what it should be. */
  readonly chain: Buffer
}

export function chainOf(frame: Frame, previousChain: Buffer): Buffer {
  return sha256(Buffer.concat([previousChain, frame.bytes.subarray(0, frame.bytes.length - CHAIN_BYTES)]))
}

/** Says where in the file something is wrong. */
export class DamageError extends GatewayError {
  readonly offset: number

  constructor(offset: number, message: string) {
    super('recording.invalid', message)
    this.offset = offset
  }
}

/** Cuts a stream of file bytes into frames. Holds at most one unfinished frame. */
export class FrameSplitter {
  #chunks: Buffer[] = []
  #held = 0
  #offset = 0
  #magicSeen = false

  push(chunk: Buffer): void {
    if (chunk.length === 0) return
    this.#chunks.push(chunk)
    this.#held += chunk.length
  }

  /** Where the first frame starts; 0 while the magic line is not whole. */
  get headerOffset(): number {
    return this.#magicSeen ? MAGIC.length : 0
  }

  /** Bytes of an unfinished frame. */
  get unfinishedBytes(): number {
    return this.#held
  }

  /** Complete frames in order. @throws DamageError when the bytes are no frames. */
  *frames(): Generator<Frame, void, void> {
    if (!this.#magicSeen) {
      const magic = this.#take(MAGIC.length)
      if (magic === undefined) return
      if (!magic.equals(MAGIC)) throw new DamageError(0, 'This is not a recording, or its first line was changed.')
      this.#magicSeen = true
      this.#offset = MAGIC.length
    }
    for (;;) {
      const frame = this.#next()
      if (frame === undefined) return
      yield frame
    }
  }

  #next(): Frame | undefined {
    const prefix = this.#peek(FRAME_PREFIX_BYTES)
    if (prefix === undefined) return undefined
    const length = prefix.readUInt32BE(0)
    const kind = prefix[4]!
    const offset = this.#offset
    if (length < CHAIN_BYTES || length > MAX_FRAME_BYTES) {
      throw new DamageError(
        offset,
        `A frame of ${length} bytes cannot be: its length was changed or bytes are missing.`,
      )
    }
    if (!KINDS.has(kind)) throw new DamageError(offset, `A frame of kind ${kind} is not known: its bytes were changed.`)
    const bytes = this.#take(FRAME_PREFIX_BYTES + length)
    if (bytes === undefined) return undefined
    this.#offset += bytes.length
    const chainStart = bytes.length - CHAIN_BYTES
    const payload = bytes.subarray(FRAME_PREFIX_BYTES, chainStart)
    return { kind: kind as FrameKind, offset, bytes, payload, chain: bytes.subarray(chainStart) }
  }

  #peek(count: number): Buffer | undefined {
    if (this.#held < count) return undefined
    if (this.#chunks[0]!.length < count) this.#gather()
    return this.#chunks[0]!.subarray(0, count)
  }

  #take(count: number): Buffer | undefined {
    const view = this.#peek(count)
    if (view === undefined) return undefined
    const first = this.#chunks[0]!
    if (first.length === count) this.#chunks.shift()
    else this.#chunks[0] = first.subarray(count)
    this.#held -= count
    return view
  }

  /** Joins once a whole frame is there, so that a long frame in small chunks is copied once and not once a chunk. */
  #gather(): void {
    this.#chunks = [Buffer.concat(this.#chunks, this.#held)]
  }
}
