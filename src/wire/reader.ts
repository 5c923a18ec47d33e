import { type ErrorCode, GatewayError } from '../kernel/index.ts'

/** Reads one message's fields in network byte order. Every step is bounds-checked; a step too far is a GatewayError. */
export class Reader {
  readonly #buffer: Buffer
  readonly #end: number
  readonly #code: ErrorCode
  #position: number

  /** @param code - Whom to blame: `pg.malformed` for a client's bytes, `target.protocol` for a target's. */
  constructor(buffer: Buffer, start = 0, end = buffer.length, code: ErrorCode = 'pg.malformed') {
    if (start < 0 || end > buffer.length || start > end) throw malformed(code, 'a message is cut short')
    this.#buffer = buffer
    this.#position = start
    this.#end = end
    this.#code = code
  }

  get remaining(): number {
    return this.#end - this.#position
  }

  u8(): number {
    return this.#buffer[this.#advance(1)]!
  }

  i16(): number {
    return this.#buffer.readInt16BE(this.#advance(2))
  }

  u16(): number {
    return this.#buffer.readUInt16BE(this.#advance(2))
  }

  i32(): number {
    return this.#buffer.readInt32BE(this.#advance(4))
  }

  u32(): number {
    return this.#buffer.readUInt32BE(this.#advance(4))
  }

  /** A view of the next bytes. */
  bytes(count: number): Buffer {
    const from = this.#advance(count)
    return this.#buffer.subarray(from, from + count)
  }

  /** A view of the bytes before the next NUL, which is consumed. */
  cbytes(): Buffer {
    const nul = this.#buffer.indexOf(0, this.#position)
    if (nul < 0 || nul >= this.#end) this.fail('a text has no end')
    const text = this.#buffer.subarray(this.#position, nul)
    this.#position = nul + 1
    return text
  }

  /** `latin1` keeps every byte, so equal strings are equal bytes. */
  cstring(encoding: 'latin1' | 'utf8' = 'latin1'): string {
    return this.cbytes().toString(encoding)
  }

  /** A view of all that is left. */
  rest(): Buffer {
    return this.bytes(this.remaining)
  }

  /** Bytes that the message's shape does not explain are refused. */
  finish(): void {
    if (this.remaining !== 0) this.fail(`${this.remaining} bytes are left over`)
  }

  fail(reason: string): never {
    throw malformed(this.#code, reason)
  }

  #advance(count: number): number {
    if (count < 0 || count > this.remaining) this.fail('a message is cut short')
    const from = this.#position
    this.#position = from + count
    return from
  }
}

function malformed(code: ErrorCode, reason: string): GatewayError {
  return new GatewayError(code, `A message does not have the protocol's shape: ${reason}.`)
}
