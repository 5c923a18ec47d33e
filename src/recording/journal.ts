import { createHash } from 'node:crypto'
import { type Clock, GatewayError, type Random, type RecordingMode } from '../kernel/index.ts'
import { encodeCopyData, encodeEvent, encodeRows } from './batch.ts'
import { fitRows } from './cells.ts'
import { BatchCipher, CIPHER, KEY_BYTES, TAG_BYTES, type WrappingKey, wrapDataKey } from './cipher.ts'
import type { OmissionReason, StructuredEvent } from './events.ts'
import { FRAME, FrameDraft, GENESIS, MAGIC, MAX_FRAME_BYTES } from './frames.ts'
import { encodeHeader, FORMAT_VERSION } from './header.ts'
import { encodeHead, encodeSeal, HEAD_BYTES, SEAL_BYTES } from './heads.ts'
import type { Signer } from './note.ts'
import type { SyncGroup } from './sync-group.ts'

/** Where a journal's bytes go. Only the store makes one. */
export interface JournalSink {
  /** All of it, before it returns. @throws when it could not be. */
  write(bytes: Buffer): void
  /** Everything written so far to the disk. @param urgent - Somebody waits to release bytes. */
  sync(urgent: boolean): void | Promise<void>
  close(): void
}

export interface RecordingKeys {
  readonly wrapping: WrappingKey
  readonly signer: Signer
}

export interface JournalLimits {
  /** Rows and bytes kept of one operation's result or COPY stream; the rest is counted and hashed. */
  readonly maxRowsPerOperation: number
  readonly maxBytesPerOperation: number
  /** Pending bytes after which a batch is written without waiting for the commit. */
  readonly maxPendingBytes: number
  readonly headEveryBatches: number
  readonly headEveryMs: number
  /** `buffered`: how often written bytes are synced, and how long such a sync may take before the journal fails. */
  readonly syncIntervalMs: number
  readonly maxLagMs: number
}

export const DEFAULT_JOURNAL_LIMITS: JournalLimits = {
  maxRowsPerOperation: 10_000,
  maxBytesPerOperation: 4 * 1024 * 1024,
  maxPendingBytes: 1024 * 1024,
  headEveryBatches: 1024,
  headEveryMs: 1000,
  syncIntervalMs: 1000,
  maxLagMs: 5000,
}

export interface JournalOptions {
  readonly sessionId: string
  readonly startedAt: number
  readonly mode: RecordingMode
  readonly sink: JournalSink
  readonly keys: RecordingKeys
  readonly clock: Clock
  readonly random: Random
  readonly syncGroup: SyncGroup
  readonly limits?: Partial<JournalLimits>
  /** Called when the sealed bytes are on the disk, before `seal` resolves. */
  readonly onSealed?: (sealed: SealedRecording) => Promise<void>
}

export interface SealedRecording {
  readonly sessionId: string
  readonly startedAt: number
  /** Chain value of the seal: commits to every byte of the file. Hex. */
  readonly digest: string
  readonly bytes: number
  readonly batches: number
  readonly events: number
  readonly rows: number
  readonly interrupted: boolean
}

/** What was kept of the operation whose rows are coming. */
interface Kept {
  operation: number
  rows: number
  bytes: number
}

/**
 * Writes one session's recording. What is appended is on its way out only after `commit`: written when it returns
 * (`buffered`), or on the disk when its promise resolves (`strict`). After the first failure it fails for ever.
 */
export class Journal {
  readonly sessionId: string
  /** Chain value of the header frame, hex: names this very file. */
  readonly headerDigest: string
  readonly #options: JournalOptions
  readonly #limits: JournalLimits
  readonly #cipher: BatchCipher
  #chain: Buffer
  #pending: Buffer[] = []
  #pendingBytes = 0
  #bytes = 0
  #batches = 0
  #events = 0
  #rows = 0
  #kept: Kept = { operation: 0, rows: 0, bytes: 0 }
  #headBatches = 0
  #headAt: number
  /** Monotonic time of the oldest write that is not synced. */
  #unsyncedSince: number | undefined
  #cancelTimer: (() => void) | undefined
  /** Monotonic time when the interval's sync began that is still running. */
  #tickBegan: number | undefined
  #sealing: Promise<SealedRecording> | undefined
  #failure: GatewayError | undefined
  readonly #failureListeners = new Set<(error: GatewayError) => void>()

  /** Writes the header; it is on the disk after the first sync. @throws GatewayError `recording.failed` */
  constructor(options: JournalOptions) {
    this.#options = options
    this.#limits = { ...DEFAULT_JOURNAL_LIMITS, ...options.limits }
    this.sessionId = options.sessionId
    this.#headAt = options.clock.monotonic()
    const dataKey = options.random.bytes(KEY_BYTES)
    const payload = encodeHeader({
      version: FORMAT_VERSION,
      session: options.sessionId,
      startedAt: options.startedAt,
      cipher: CIPHER,
      wrappingKey: options.keys.wrapping.id,
      dataKey: wrapDataKey(options.keys.wrapping, options.sessionId, dataKey, options.random),
      signingKey: options.keys.signer.keyId,
    })
    const draft = new FrameDraft(FRAME.header, payload.length, GENESIS)
    payload.copy(draft.payload)
    const { bytes, chain } = draft.finish()
    this.#chain = chain
    this.#write(Buffer.concat([MAGIC, bytes]))
    this.headerDigest = chain.toString('hex')
    this.#cipher = new BatchCipher(dataKey, chain)
  }

  /** Set once and for ever: nothing more may be released. */
  get failed(): GatewayError | undefined {
    return this.#failure
  }

  /** Calls once when the journal fails; the answer stops listening. */
  onFailed(call: (error: GatewayError) => void): () => void {
    this.#failureListeners.add(call)
    return () => this.#failureListeners.delete(call)
  }

  /** @throws GatewayError `recording.failed` */
  append(event: StructuredEvent): void {
    this.#add(encodeEvent(event), 1)
  }

  /**
   * Rows exactly as they will be released; borrowed for the call. Past the cap they are counted and hashed.
   * @param cells - Rows of `[i16 cells]`, per cell `[i32 length, -1 is NULL][bytes]`.
   * @param rowHeaderBytes - Bytes of the protocol's framing before each row, taken along and skipped by readers.
   */
  appendRows(operation: number, count: number, cells: Buffer, rowHeaderBytes = 0): void {
    this.#check()
    const kept = this.#keptOf(operation)
    const room = {
      rows: this.#limits.maxRowsPerOperation - kept.rows,
      bytes: this.#limits.maxBytesPerOperation - kept.bytes,
    }
    const whole = count <= room.rows && cells.length <= room.bytes
    const fit = whole ? { rows: count, bytes: cells.length } : fitRows(cells, rowHeaderBytes, room)
    if (fit.rows > 0) {
      this.#rows += fit.rows
      kept.rows += fit.rows
      kept.bytes += fit.bytes
      const part = { at: this.#options.clock.now(), operation, count: fit.rows, rowHeaderBytes }
      this.#add(encodeRows({ ...part, cells: cells.subarray(0, fit.bytes) }), 1)
    }
    if (fit.rows < count) {
      kept.rows = this.#limits.maxRowsPerOperation // a later, smaller row must not slip in behind the gap
      this.omitRows(operation, count - fit.rows, cells.subarray(fit.bytes), 'cap')
    }
  }

  /** A stretch of a COPY stream exactly as it will be released; borrowed for the call. Past the cap it is hashed. */
  appendCopyData(operation: number, direction: 'in' | 'out', data: Buffer): void {
    this.#check()
    const kept = this.#keptOf(operation)
    const room = Math.max(0, Math.min(data.length, this.#limits.maxBytesPerOperation - kept.bytes))
    kept.bytes += data.length
    const at = this.#options.clock.now()
    if (room > 0) this.#add(encodeCopyData({ at, operation, direction, data: data.subarray(0, room) }), 1)
    if (room < data.length) this.omitCopyData(operation, direction, data.subarray(room), 'cap')
  }

  /** Says that rows were released which the recording does not hold. */
  omitRows(operation: number, count: number, bytes: Buffer, reason: OmissionReason): void {
    this.#rows += count
    this.append({ type: 'rows_omitted', ...this.#omission(operation, bytes, reason), count })
  }

  omitCopyData(operation: number, direction: 'in' | 'out', data: Buffer, reason: OmissionReason): void {
    this.append({ type: 'copy_omitted', ...this.#omission(operation, data, reason), direction })
  }

  /**
   * After it, what was appended may be released: at once in `buffered`, after the promise in `strict`.
   * @throws GatewayError `recording.failed`
   */
  commit(): void | Promise<void> {
    this.#check()
    this.#writeBatch()
    this.#scheduleTick()
    if (this.#options.mode === 'strict') return this.#unsyncedSince === undefined ? undefined : this.#sync(true)
    this.#checkLag()
  }

  /** Writes the seal, syncs and closes. Idempotent. @throws GatewayError `recording.failed`; the sink is closed then, too. */
  seal(): Promise<SealedRecording> {
    this.#sealing ??= this.#finish()
    return this.#sealing
  }

  async #finish(): Promise<SealedRecording> {
    const { clock, keys, sink, onSealed, sessionId, startedAt } = this.#options
    this.#cancelTimer?.()
    this.#cancelTimer = undefined
    const totals = () => ({ batches: this.#batches, events: this.#events, rows: this.#rows, interrupted: false })
    try {
      this.#throwIfFailed()
      this.#writeBatch()
      const draft = new FrameDraft(FRAME.seal, SEAL_BYTES, this.#chain)
      encodeSeal({ ...totals(), at: clock.now() }, this.#chain, keys.signer, draft.payload)
      this.#writeFrame(draft)
      await this.#sync(true)
    } finally {
      sink.close()
    }
    const digest = this.#chain.toString('hex')
    const sealed = { sessionId, startedAt, digest, bytes: this.#bytes, ...totals() }
    await onSealed?.(sealed)
    return sealed
  }

  #omission(operation: number, bytes: Buffer, reason: OmissionReason) {
    const digest = createHash('sha256').update(bytes).digest('hex')
    return { at: this.#options.clock.now(), operation, bytes: bytes.length, digest, reason }
  }

  #keptOf(operation: number): Kept {
    if (this.#kept.operation !== operation) this.#kept = { operation, rows: 0, bytes: 0 }
    return this.#kept
  }

  #add(item: Buffer, events: number): void {
    this.#check()
    if (item.length > MAX_FRAME_BYTES / 2) {
      this.#fail(new GatewayError('recording.failed', 'An event is too large for the recording.'))
      this.#throwIfFailed()
    }
    this.#pending.push(item)
    this.#pendingBytes += item.length
    this.#events += events
    if (this.#pendingBytes >= this.#limits.maxPendingBytes) this.#writeBatch()
  }

  #writeBatch(): void {
    if (this.#pendingBytes === 0) return
    const draft = new FrameDraft(FRAME.batch, this.#pendingBytes + TAG_BYTES, this.#chain)
    this.#cipher.encrypt(FRAME.batch, this.#batches, this.#pending, draft.payload)
    this.#pending = []
    this.#pendingBytes = 0
    this.#batches++
    this.#writeFrame(draft)
    if (this.#batches - this.#headBatches >= this.#limits.headEveryBatches) this.#writeHead()
    else if (this.#options.clock.monotonic() - this.#headAt >= this.#limits.headEveryMs) this.#writeHead()
  }

  #writeHead(): void {
    const { clock, keys } = this.#options
    const draft = new FrameDraft(FRAME.head, HEAD_BYTES, this.#chain)
    encodeHead({ batches: this.#batches, at: clock.now() }, this.#chain, keys.signer, draft.payload)
    this.#writeFrame(draft)
    this.#headBatches = this.#batches
    this.#headAt = clock.monotonic()
  }

  #writeFrame(draft: FrameDraft): void {
    const { bytes, chain } = draft.finish()
    this.#write(bytes)
    this.#chain = chain
  }

  #write(bytes: Buffer): void {
    try {
      this.#options.sink.write(bytes)
    } catch (error) {
      this.#fail(GatewayError.from(error, 'recording.failed'))
      this.#throwIfFailed()
    }
    this.#bytes += bytes.length
    this.#unsyncedSince ??= this.#options.clock.monotonic()
  }

  async #sync(urgent: boolean): Promise<void> {
    const { syncGroup, sink, clock } = this.#options
    const began = clock.monotonic()
    const written = this.#bytes
    try {
      await syncGroup.sync(sink, urgent)
    } catch (error) {
      this.#fail(GatewayError.from(error, 'recording.failed'))
    }
    this.#throwIfFailed()
    this.#unsyncedSince = this.#bytes === written ? undefined : began
  }

  #scheduleTick(): void {
    const idle = this.#unsyncedSince === undefined && this.#batches === this.#headBatches
    if (idle || this.#cancelTimer !== undefined) return
    this.#cancelTimer = this.#options.clock.after(this.#limits.syncIntervalMs, () => void this.#tick())
  }

  /** A quiet session's last batches get their head and their sync, too. The timer stays set while the sync runs. */
  async #tick(): Promise<void> {
    try {
      this.#throwIfFailed()
      if (this.#batches > this.#headBatches) this.#writeHead()
      this.#tickBegan = this.#options.clock.monotonic()
      await this.#sync(false)
    } catch {
      return // the failure is kept, and told to the listeners
    }
    this.#tickBegan = undefined
    if (this.#sealing !== undefined) return
    this.#cancelTimer = undefined
    this.#scheduleTick()
  }

  /** Counts from the sync's begin: a process that was stopped for a while is not a disk that does not follow. */
  #checkLag(): void {
    if (this.#tickBegan === undefined) return
    if (this.#options.clock.monotonic() - this.#tickBegan <= this.#limits.maxLagMs) return
    const message = `The disk has not taken the recording for more than ${this.#limits.maxLagMs} ms.`
    this.#fail(new GatewayError('recording.failed', message))
    this.#throwIfFailed()
  }

  #check(): void {
    this.#throwIfFailed()
    if (this.#sealing !== undefined) throw new GatewayError('recording.failed', 'The recording is sealed.')
  }

  #throwIfFailed(): void {
    if (this.#failure !== undefined) throw this.#failure
  }

  #fail(error: GatewayError): void {
    if (this.#failure !== undefined) return
    this.#failure = error
    this.#cancelTimer?.()
    for (const call of this.#failureListeners) call(error)
    this.#failureListeners.clear()
  }
}
