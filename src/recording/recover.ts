import { GatewayError, type Random, type SessionTotals } from '../kernel/index.ts'
import { encodeEvent } from './batch.ts'
import { BatchCipher, NONCE_BYTES, TAG_BYTES, unwrapDataKey } from './cipher.ts'
import type { RecordingEvent } from './events.ts'
import { DamageError, FRAME, FrameDraft } from './frames.ts'
import type { RecordingHeader } from './header.ts'
import { encodeSeal, SEAL_BYTES } from './heads.ts'
import type { RecordingKeys, SealedRecording } from './journal.ts'
import { BatchOpener } from './reader.ts'
import { TotalsCount } from './totals.ts'
import type { ByteSource } from './verify-recording.ts'
import { RecordingWalk, type Step, type WalkPosition } from './walk.ts'

/** What an open recording holds after its gateway stopped. */
export type RecoveryScan =
  /** Not even the header is whole: nothing was ever recorded, so nothing was released. */
  | { readonly kind: 'empty' }
  /** It was sealed; only the paperwork after it is missing. */
  | {
      readonly kind: 'sealed'
      readonly sealed: SealedRecording
      readonly headerDigest: string
      readonly totals: Readonly<SessionTotals>
    }
  | {
      readonly kind: 'interrupted'
      readonly header: RecordingHeader
      readonly headerChain: Buffer
      /** The end of the last frame that is whole, chained and decrypts; what follows is torn. */
      readonly good: WalkPosition
      readonly events: number
      readonly rows: number
      /** What the session had done by then. */
      readonly totals: Readonly<SessionTotals>
      /** Why the frame after it is not good; undefined when the file ends there or in the middle of a frame. */
      readonly damage: string | undefined
    }

/** Counts the rows that were released, kept or not. */
export function rowsIn(event: RecordingEvent): number {
  return event.type === 'rows' || event.type === 'rows_omitted' ? event.count : 0
}

/** @throws GatewayError `recording.invalid` - the recording key that it needs is not here. */
export async function scanForRecovery(source: ByteSource, keys: RecordingKeys): Promise<RecoveryScan> {
  const scan = new Scan(keys)
  let damage: string | undefined
  try {
    for await (const chunk of source) scan.push(chunk)
  } catch (error) {
    if (!(error instanceof DamageError)) throw error
    damage = error.message
  }
  return scan.result(damage)
}

class Scan {
  readonly #keys: RecordingKeys
  readonly #walk: RecordingWalk
  #header: RecordingHeader | undefined
  #headerChain: Buffer | undefined
  #opener: BatchOpener | undefined
  #good: WalkPosition | undefined
  #events = 0
  #rows = 0
  readonly #did = new TotalsCount()
  #sealed: Extract<Step, { kind: 'seal' }> | undefined

  constructor(keys: RecordingKeys) {
    this.#keys = keys
    this.#walk = new RecordingWalk(keys.signer)
  }

  push(chunk: Buffer): void {
    this.#walk.push(chunk)
    for (const step of this.#walk.steps()) {
      if (step.kind === 'header') this.#start(step)
      // The chain is a plain hash, so bytes written by someone else after the last signature could fit it. They do
      // not decrypt, though.
      if (step.kind === 'batch' || step.kind === 'interruption') this.#count(this.#opener!.open(step))
      if (step.kind === 'seal') this.#sealed = step
      this.#good = this.#walk.position
    }
  }

  #start(step: Extract<Step, { kind: 'header' }>): void {
    this.#header = step.header
    this.#headerChain = Buffer.from(step.frame.chain)
    this.#opener = new BatchOpener(step.header, step.frame.chain, [this.#keys.wrapping])
  }

  #count(events: readonly RecordingEvent[]): void {
    this.#events += events.length
    for (const event of events) {
      this.#rows += rowsIn(event)
      this.#did.add(event)
    }
  }

  result(damage: string | undefined): RecoveryScan {
    const header = this.#header
    const headerChain = this.#headerChain
    const good = this.#good
    if (header === undefined || headerChain === undefined || good === undefined) return { kind: 'empty' }
    const events = this.#events
    const rows = this.#rows
    const { totals } = this.#did
    if (this.#sealed === undefined)
      return { kind: 'interrupted', header, headerChain, good, events, rows, totals, damage }
    if (damage !== undefined) throw new GatewayError('recording.invalid', damage)
    const { batches, interrupted } = this.#sealed.seal
    const { session, startedAt } = header
    const digest = good.chain.toString('hex')
    const sealed = { sessionId: session, startedAt, digest, bytes: good.offset, batches, events, rows, interrupted }
    return { kind: 'sealed', sealed, headerDigest: headerChain.toString('hex'), totals }
  }
}

/** The bytes to append after the last good frame, and what the recording is then. */
export function closeInterrupted(
  scan: Extract<RecoveryScan, { kind: 'interrupted' }>,
  options: {
    readonly keys: RecordingKeys
    readonly random: Random
    readonly at: number
    readonly torn: { readonly bytes: number; readonly digest: string }
  },
): { readonly bytes: Buffer; readonly sealed: SealedRecording } {
  const { keys, random, at, torn } = options
  const { header, good } = scan
  const cipher = new BatchCipher(unwrapDataKey(keys.wrapping, header.session, header.dataKey), scan.headerChain)
  const plain = encodeEvent({ type: 'interrupted', at, tornBytes: torn.bytes, tornDigest: torn.digest })
  const interruption = new FrameDraft(FRAME.interruption, NONCE_BYTES + plain.length + TAG_BYTES, good.chain)
  // The torn write may have used the next number as its nonce, and it is kept: so this one is random.
  const nonce = random.bytes(NONCE_BYTES)
  nonce.copy(interruption.payload)
  const into = interruption.payload.subarray(NONCE_BYTES)
  cipher.encryptWithNonce(FRAME.interruption, good.batches, nonce, plain, into)
  const first = interruption.finish()
  const totals = { batches: good.batches + 1, events: scan.events + 1, rows: scan.rows, interrupted: true }
  const seal = new FrameDraft(FRAME.seal, SEAL_BYTES, first.chain)
  encodeSeal({ ...totals, at }, first.chain, keys.signer, seal.payload)
  const last = seal.finish()
  const bytes = Buffer.concat([first.bytes, last.bytes])
  const { session, startedAt } = header
  const digest = last.chain.toString('hex')
  return { bytes, sealed: { sessionId: session, startedAt, digest, bytes: good.offset + bytes.length, ...totals } }
}
