/** Builds one message in network byte order, growing as needed. */
export class Writer {
  #buffer: Buffer
  #length = 0

  constructor(expectedBytes = 64) {
    this.#buffer = Buffer.allocUnsafe(expectedBytes)
  }

  get length(): number {
    return this.#length
  }

  u8(value: number): this {
    const at = this.#reserve(1) // may put another buffer in place, so it comes first
    this.#buffer[at] = value
    return this
  }

  i16(value: number): this {
    // Counts are unsigned on the wire, formats are small: both go through the unsigned form.
    const at = this.#reserve(2)
    this.#buffer.writeUInt16BE(value & 0xffff, at)
    return this
  }

  i32(value: number): this {
    const at = this.#reserve(4)
    this.#buffer.writeInt32BE(value | 0, at)
    return this
  }

  bytes(value: Uint8Array): this {
    const at = this.#reserve(value.length)
    this.#buffer.set(value, at)
    return this
  }

  text(value: string, encoding: 'utf8' | 'latin1' = 'utf8'): this {
    const at = this.#reserve(Buffer.byteLength(value, encoding))
    this.#buffer.write(value, at, encoding)
    return this
  }

  /** @throws RangeError for a text with a NUL inside: it would end early and its tail would be read as other fields. */
  cstring(value: string, encoding: 'utf8' | 'latin1' = 'utf8'): this {
    if (value.includes('\0')) throw new RangeError('a NUL inside a NUL-terminated text')
    return this.text(value, encoding).u8(0)
  }

  /** Overwrites four bytes written before. */
  i32At(position: number, value: number): this {
    this.#buffer.writeInt32BE(value | 0, position)
    return this
  }

  /** The bytes written; the writer must not be used afterwards. */
  finish(): Buffer {
    return this.#buffer.subarray(0, this.#length)
  }

  #reserve(count: number): number {
    const at = this.#length
    const needed = at + count
    if (needed > this.#buffer.length) {
      const grown = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2))
      this.#buffer.copy(grown, 0, 0, at)
      this.#buffer = grown
    }
    this.#length = needed
    return at
  }
}
