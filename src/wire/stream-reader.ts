import type { ByteStream, GatewayError } from '../kernel/index.ts'
import { ByteQueue } from './byte-queue.ts'

export interface StreamReaderOptions {
  /** Above this many unread bytes the stream is paused; at most one more chunk can follow. */
  readonly maxBufferedBytes: number
  /** Bytes that arrived before and were handed on. */
  readonly initial?: Buffer
  /** What a read fails with when the peer is gone. */
  readonly closed: (error: Error | undefined) => GatewayError
}

/**
 * Reads a stream by awaiting byte counts: for handshakes, where a handful of messages goes to and fro. One read at a
 * time. `release` ends it and hands on what was not read.
 */
export class StreamReader {
  readonly #stream: ByteStream
  readonly #options: StreamReaderOptions
  readonly #queue = new ByteQueue()
  #waiting: { count: number; resolve: () => void; reject: (error: Error) => void } | undefined
  #failure: GatewayError | undefined
  #released = false
  #paused = false

  constructor(stream: ByteStream, options: StreamReaderOptions) {
    this.#stream = stream
    this.#options = options
    if (options.initial !== undefined) this.#queue.append(options.initial)
    stream.read({
      data: (chunk) => this.#received(chunk),
      closed: (error) => {
        if (!this.#released) this.fail(options.closed(error))
      },
    })
  }

  /** Bytes that arrived and were not read. */
  get buffered(): number {
    return this.#queue.length
  }

  /** Waits for so many bytes and answers a view of them, valid until the next read, without taking them. */
  async peek(count: number): Promise<Buffer> {
    await this.#arrived(count)
    return this.#queue.peek(count)!
  }

  /** Waits for so many bytes and takes them. */
  async take(count: number): Promise<Buffer> {
    await this.#arrived(count)
    const taken = this.#queue.take(count)!
    if (this.#paused && this.#queue.length < this.#options.maxBufferedBytes) {
      this.#paused = false
      this.#stream.resume()
    }
    return taken
  }

  /** Makes this and every later read fail, unless the bytes are there already. */
  fail(failure: GatewayError): void {
    this.#failure ??= failure
    this.#waiting?.reject(this.#failure)
    this.#waiting = undefined
  }

  /** Pauses the stream and answers the unread bytes. The next reader's `read` starts it again. */
  release(): Buffer {
    this.#released = true
    this.#stream.pause()
    return this.#queue.take(this.#queue.length) ?? Buffer.alloc(0)
  }

  #received(chunk: Buffer): void {
    this.#queue.append(chunk)
    if (this.#waiting !== undefined && this.#queue.length >= this.#waiting.count) {
      this.#waiting.resolve()
      this.#waiting = undefined
    }
    if (!this.#paused && this.#waiting === undefined && this.#queue.length >= this.#options.maxBufferedBytes) {
      this.#paused = true
      this.#stream.pause()
    }
  }

  #arrived(count: number): Promise<void> {
    if (this.#queue.length >= count) return Promise.resolve()
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    if (this.#paused) {
      this.#paused = false
      this.#stream.resume()
    }
    return new Promise((resolve, reject) => {
      this.#waiting = { count, resolve, reject }
    })
  }
}
