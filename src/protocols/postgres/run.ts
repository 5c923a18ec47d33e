import type { EngineSession, Outbox } from '../../engine/index.ts'
import { GatewayError, type MaskInstruction } from '../../kernel/index.ts'
import type { Masker } from '../../masking/index.ts'
import type { CatalogSnapshot } from './catalog.ts'
import type { NameChange } from './conversation.ts'
import type { CopyOut } from './copy-out.ts'
import * as encode from './encode.ts'
import { Gathered } from './gathered.ts'
import type { Judged } from './judgement.ts'
import { masksLeft } from './masks-left.ts'
import { type CopyResponse, type FieldDescription, HEADER_BYTES } from './messages.ts'
import { planFor } from './result-plans.ts'
import type { ResultPlan } from './transform/plan.ts'
import { transformRows } from './transform/rows.ts'

/** What the runs of one session share. */
export interface RunScene {
  readonly session: EngineSession
  readonly outbox: Outbox
  readonly masker: Masker
  readonly catalog: () => CatalogSnapshot
  /** DDL is under way: the catalogue may be behind. */
  readonly uncertain: () => boolean
  /** What must not be at rest although this client may see it. */
  readonly atRest: () => readonly MaskInstruction[]
  /** Applies or forgets what the statement does to names. */
  readonly settle: (change: NameChange) => void
  readonly drop: (change: NameChange) => void
}

type Result = {
  readonly status: 'completed' | 'failed' | 'suspended' | 'cancelled'
  readonly tag: string
  readonly error?: { code: string; message: string }
}

/** One operation while the target runs it: its result is planned, masked, recorded and released here. */
export class Run {
  readonly judged: Judged
  readonly #scene: RunScene
  #changes: readonly NameChange[] = []
  readonly #copyOut: CopyOut | undefined
  #plan: ResultPlan | undefined
  #restPlan: ResultPlan | undefined
  #results = 0
  #rows = 0
  #bytes = 0
  #recordedRows = 0
  #startedAt: number | undefined
  readonly #ready = new Gathered()
  #copied: Buffer[] = []
  #over = false

  /** @param copyOut - What masks the stream of a COPY … TO STDOUT. */
  constructor(judged: Judged, scene: RunScene, copyOut: CopyOut | undefined) {
    this.judged = judged
    this.#scene = scene
    this.#copyOut = copyOut
  }

  get started(): boolean {
    return this.#startedAt !== undefined
  }

  /** It is on its way to the target. @param changes - What it does to names, once it has run. */
  start(changes: readonly NameChange[]): void {
    this.#startedAt = this.#scene.session.services.clock.monotonic()
    this.#changes = changes
  }

  get planned(): boolean {
    return this.#plan !== undefined
  }

  get sequence(): number {
    return this.judged.operation.sequence
  }

  /**
   * The shape of the rows that follow. Plans what happens to each column.
   * @param uncertain - The catalogue may be behind: columns without an origin may hold anything.
   */
  fields(fields: readonly FieldDescription[], uncertain: boolean): void {
    const { session, masker } = this.#scene
    const { decision, protection, operation } = this.judged
    const catalog = this.#scene.catalog()
    const { plan, columns } = planFor(fields, {
      masks: decision.masks,
      masker,
      catalog,
      computedIsProtected: protection.computed || uncertain,
    })
    this.#plan = plan
    this.#restPlan = planFor(fields, {
      masks: masksLeft(this.#scene.atRest(), decision.masks),
      masker,
      catalog,
      computedIsProtected: protection.computedAtRest || uncertain,
    }).plan
    session.journal.append({
      type: 'columns',
      at: session.now(),
      operation: operation.sequence,
      result: this.#results++,
      columns,
    })
  }

  /** One DataRow frame, borrowed until the end of the chunk. */
  row(buffer: Buffer, start: number, end: number): void {
    const plan = this.#plan
    if (plan === undefined) throw new Error('rows without a description')
    this.#rows += 1
    const changed = plan.passthrough ? undefined : transformRows(plan, buffer, start, end)
    if (changed === undefined) this.#ready.untouched(buffer, start, end)
    else this.#ready.changed(changed)
  }

  /** The chunk that rows were borrowed from goes away: what is ready is recorded and queued, in one piece. */
  endChunk(): void {
    const { count } = this.#ready
    if (count > 0) this.#release(this.#ready.take(), count)
    if (this.#copied.length > 0) this.#releaseCopied()
  }

  #release(bytes: Buffer, count: number): void {
    const { session, outbox } = this.#scene
    this.#bytes += bytes.length
    session.totals.rowsReturned += count
    session.totals.bytesReturned += bytes.length
    this.#recordRows(bytes, count)
    outbox.client(bytes)
  }

  /** Records rows as released, less what must not be at rest. */
  #recordRows(bytes: Buffer, count: number): void {
    const { journal, services } = this.#scene.session
    const sequence = this.judged.operation.sequence
    const plan = this.#restPlan
    const room = services.limits.maxRecordedRows - this.#recordedRows
    this.#recordedRows += count
    if (plan === undefined || plan.passthrough) {
      journal.appendRows(sequence, count, bytes, HEADER_BYTES)
      return
    }
    let at = 0
    const kept: Buffer[] = []
    for (let row = 0; row < count && row < room; row++) {
      const end = at + 1 + bytes.readInt32BE(at + 1)
      kept.push(transformRows(plan, bytes, at, end) ?? bytes.subarray(at, end))
      at = end
    }
    if (kept.length > 0)
      journal.appendRows(
        sequence,
        kept.length,
        kept.length === 1 ? (kept[0] as Buffer) : Buffer.concat(kept),
        HEADER_BYTES,
      )
    if (kept.length < count) journal.omitRows(sequence, count - kept.length, bytes.subarray(at), 'cap')
  }

  /** The target starts to send. @throws GatewayError when the stream has another shape than planned. */
  copyOutStarted(response: CopyResponse): void {
    if (this.#copyOut === undefined)
      throw new GatewayError('target.protocol', 'The target started a COPY that nobody asked for.')
    this.#copyOut.start(response)
  }

  /** One CopyData body from the target, borrowed. What may leave of it does at the end of the chunk. */
  copyData(data: Buffer): void {
    const ready = this.#copyOut?.push(data)
    if (ready !== undefined && ready.length > 0) this.#copied.push(ready)
  }

  /** The target has sent everything. @throws GatewayError when a partial row is left. */
  copyDone(): void {
    this.#copyOut?.finish()
  }

  /** Recorded as one stretch; sent in as many messages as it came, since clients take one for a row. */
  #releaseCopied(): void {
    const { session, outbox } = this.#scene
    const bodies = this.#copied
    this.#copied = []
    const data = bodies.length === 1 ? (bodies[0] as Buffer) : Buffer.concat(bodies)
    this.#bytes += data.length
    session.totals.bytesReturned += data.length
    this.#copyOut?.record(data, session.journal, this.judged.operation.sequence)
    outbox.client(encode.copyDataMessages(bodies))
  }

  /** One CopyData body from the client. What flows in is the client's own and may be anything, so only its size and digest are kept. */
  copyIn(data: Buffer): void {
    this.#bytes += data.length
    this.#scene.session.journal.omitCopyData(this.judged.operation.sequence, 'in', data, 'withheld')
  }

  complete(tag: string): void {
    this.#finish({ status: 'completed', tag })
    for (const change of this.#changes) this.#scene.settle(change)
  }

  /** @param message - As it goes to the client: already masked. */
  fail(code: string, message: string): void {
    this.#finish({ status: code === '57014' ? 'cancelled' : 'failed', tag: '', error: { code, message } })
    this.#forget()
  }

  /** The row limit of an Execute was reached; a later Execute goes on. */
  suspend(): void {
    this.endChunk()
    this.#record({ status: 'suspended', tag: '' })
  }

  /** The target never answered: it skipped the statement after an error, or is gone. */
  abandon(reason: 'skipped' | 'lost'): void {
    if (this.#over) return
    const message =
      reason === 'skipped' ? 'skipped by the target after an earlier error' : 'the connection ended before the answer'
    this.#finish({ status: 'cancelled', tag: '', error: { code: '57014', message } })
    this.#forget()
  }

  #forget(): void {
    for (const change of this.#changes) this.#scene.drop(change)
  }

  #finish(result: Result): void {
    this.endChunk()
    if (this.#over) return
    this.#over = true
    this.#record(result)
  }

  #record(result: Result): void {
    const { session } = this.#scene
    if (session.journal.failed !== undefined) return
    const now = session.services.clock.monotonic()
    const elapsed = now - (this.#startedAt ?? now)
    session.journal.append({
      type: 'result',
      at: session.now(),
      operation: this.judged.operation.sequence,
      status: result.status,
      tag: result.tag,
      rows: this.#rows,
      bytes: this.#bytes,
      durationMicros: Math.round(elapsed * 1000),
      ...(result.error === undefined ? {} : { error: result.error }),
      maskedValues: this.#plan?.maskedValues() ?? this.#copyOut?.maskedValues() ?? {},
    })
  }
}
