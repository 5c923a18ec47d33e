import type { ByteStream } from '../../kernel/index.ts'

/** What a test sees of a stream: all bytes, and when and how it closed. */
export class Collected {
  readonly closed: Promise<Error | undefined>
  readonly #stream: ByteStream
  #bytes = Buffer.alloc(0)
  #changed: () => void = () => undefined
  #over = false

  constructor(stream: ByteStream) {
    this.#stream = stream
    this.closed = new Promise((resolve) => {
      stream.read({
        data: (chunk) => {
          this.#bytes = Buffer.concat([this.#bytes, chunk])
          this.#changed()
        },
        closed: (error) => {
          this.#over = true
          resolve(error)
          this.#changed()
        },
      })
    })
  }

  get bytes(): Buffer {
    return this.#bytes
  }

  get text(): string {
    return this.#bytes.toString('latin1')
  }

  send(bytes: Buffer | string): void {
    this.#stream.write([Buffer.from(bytes as string)])
  }

  /** Waits until the bytes are there. Ends, too, when the stream does. */
  async until(done: (bytes: Buffer) => boolean): Promise<Buffer> {
    while (!done(this.#bytes) && !this.#over) {
      await new Promise<void>((resolve) => {
        this.#changed = resolve
      })
    }
    return this.#bytes
  }

  untilLength(count: number): Promise<Buffer> {
    return this.until((bytes) => bytes.length >= count)
  }
}
