import type { ByteStream } from '../kernel/index.ts'
import { GatewayError } from '../kernel/index.ts'
import type { Journal } from '../recording/index.ts'
import { ReadGate } from './flow.ts'

/**
 * The one way out. Bytes for either side wait here until the journal has what they stand for: `flush` commits the
 * journal, then writes both sides. In `buffered` mode that is one synchronous turn; in `strict` mode bytes queue up
 * behind the running sync and leave together after it (group commit).
 */
export class Outbox {
  readonly #journal: Journal
  readonly #client: ByteStream
  readonly #target: ByteStream
  readonly #failed: (error: GatewayError) => void
  readonly #maxQueuedBytes: number
  #toClient: Buffer[] = []
  #toTarget: Buffer[] = []
  #waitingBytes = 0
  #committing: Promise<void> | undefined
  #closed = false
  /** Whoever else needs to stop reading a side does it here, so that reasons add up. */
  readonly clientReads: ReadGate
  readonly targetReads: ReadGate

  constructor(options: {
    readonly journal: Journal
    readonly client: ByteStream
    readonly target: ByteStream
    readonly maxQueuedBytes: number
    /** The recording failed: nothing may pass any more. */
    readonly failed: (error: GatewayError) => void
  }) {
    this.#journal = options.journal
    this.#client = options.client
    this.#target = options.target
    this.#failed = options.failed
    this.#maxQueuedBytes = options.maxQueuedBytes
    this.clientReads = new ReadGate(options.client)
    this.targetReads = new ReadGate(options.target)
    this.#client.onDrain(() => this.targetReads.lift('peer-slow'))
    this.#target.onDrain(() => this.clientReads.lift('peer-slow'))
  }

  /** The buffer must not change any more. */
  client(bytes: Buffer): void {
    this.#toClient.push(bytes)
    this.#waitingBytes += bytes.length
  }

  /** The buffer must not change any more. */
  target(bytes: Buffer): void {
    this.#toTarget.push(bytes)
    this.#waitingBytes += bytes.length
  }

  /** Call at the end of a turn. Cheap when nothing waits. */
  flush(): void {
    if (this.#closed || this.#committing !== undefined) {
      if (this.#waitingBytes > this.#maxQueuedBytes && !this.#closed) this.targetReads.stop('recording')
      return
    }
    if (this.#toClient.length === 0 && this.#toTarget.length === 0) return
    const toClient = this.#toClient
    const toTarget = this.#toTarget
    this.#toClient = []
    this.#toTarget = []
    this.#waitingBytes = 0
    let committed: void | Promise<void>
    try {
      committed = this.#journal.commit()
    } catch (error) {
      this.#fail(error)
      return
    }
    if (committed === undefined) {
      this.#write(toClient, toTarget)
      return
    }
    this.#committing = committed.then(
      () => {
        this.#committing = undefined
        this.#write(toClient, toTarget)
        this.targetReads.lift('recording')
        this.flush()
      },
      (error: unknown) => {
        this.#committing = undefined
        this.#fail(error)
      },
    )
  }

  /** Resolves when what was queued so far has left (or never will). */
  async settled(): Promise<void> {
    this.flush()
    while (this.#committing !== undefined) await this.#committing
  }

  /** Nothing leaves any more. */
  close(): void {
    this.#closed = true
    this.#toClient = []
    this.#toTarget = []
  }

  #fail(error: unknown): void {
    this.close()
    this.#failed(GatewayError.from(error, 'recording.failed'))
  }

  #write(toClient: Buffer[], toTarget: Buffer[]): void {
    if (this.#closed) return
    if (toTarget.length > 0 && !this.#target.write(joined(toTarget))) this.clientReads.stop('peer-slow')
    if (toClient.length > 0 && !this.#client.write(joined(toClient))) this.targetReads.stop('peer-slow')
  }
}

/** Below this, copying the pieces together costs less than handing them to the system one by one. */
const JOIN_BYTES = 16 * 1024

function joined(buffers: Buffer[]): Buffer[] {
  if (buffers.length === 1) return buffers
  let bytes = 0
  for (const buffer of buffers) bytes += buffer.length
  return bytes > JOIN_BYTES ? buffers : [Buffer.concat(buffers, bytes)]
}
