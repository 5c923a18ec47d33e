import type { ByteStream } from '../../../kernel/index.ts'

type Reader = Parameters<ByteStream['read']>[0]

/** The socket's place in a transcript: what is written is kept, what is given arrives. */
export class ScriptedStream implements ByteStream {
  readonly remoteAddress = '192.0.2.7'
  readonly tls = undefined
  readonly queuedBytes = 0
  readonly #written: (bytes: Buffer) => void
  #reader: Reader | undefined
  closed = false

  /** @param written - Told of everything at the moment it leaves. */
  constructor(written: (bytes: Buffer) => void) {
    this.#written = written
  }

  /** A borrowed chunk: its bytes are gone afterwards, so whoever kept a view of it shows. */
  arrive(bytes: Buffer): void {
    if (this.closed) return
    const chunk = Buffer.from(bytes)
    this.#reader?.data(chunk)
    chunk.fill(0x7e)
  }

  hangUp(): void {
    if (this.closed) return
    this.closed = true
    this.#reader?.closed(undefined)
  }

  read(on: Reader): void {
    this.#reader = on
  }

  write(buffers: readonly Buffer[]): boolean {
    if (!this.closed) this.#written(Buffer.concat(buffers))
    return true
  }

  onDrain(): void {}

  pause(): void {}

  resume(): void {}

  end(): void {
    this.hangUp()
  }

  destroy(): void {
    this.hangUp()
  }

  async startTls(): Promise<ByteStream> {
    throw new Error('a transcript begins after the start-up')
  }
}
