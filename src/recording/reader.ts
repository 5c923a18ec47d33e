import { GatewayError } from '../kernel/index.ts'
import { decodeBatch } from './batch.ts'
import { BatchCipher, NONCE_BYTES, unwrapDataKey, type WrappingKey } from './cipher.ts'
import type { RecordingEvent } from './events.ts'
import { DamageError, FRAME } from './frames.ts'
import type { RecordingHeader } from './header.ts'
import type { Verifier } from './note.ts'
import type { ByteSource } from './verify-recording.ts'
import { RecordingWalk, type Step } from './walk.ts'

export interface ReadingKeys {
  /** All the recording keys that the installation has had; the header names the one to use. */
  readonly wrapping: readonly WrappingKey[]
  /** Given it, signatures are checked in passing. */
  readonly verifier?: Verifier
}

/** Opens the batches of one recording, in order. */
export class BatchOpener {
  readonly #cipher: BatchCipher

  /** @throws GatewayError `recording.invalid` - the key is not there or does not fit. */
  constructor(header: RecordingHeader, headerChain: Buffer, wrapping: readonly WrappingKey[]) {
    const key = wrapping.find((one) => one.id === header.wrappingKey)
    if (key === undefined) {
      const message = `The recording of session ${header.session} was encrypted with a recording key that is not here.`
      throw new GatewayError('recording.invalid', message)
    }
    this.#cipher = new BatchCipher(unwrapDataKey(key, header.session, header.dataKey), Buffer.from(headerChain))
  }

  /** @throws DamageError when it does not decrypt or holds no events. */
  open(step: Extract<Step, { kind: 'batch' | 'interruption' }>): RecordingEvent[] {
    const { frame, number } = step
    const plain = step.kind === 'batch' ? this.#batch(step) : this.#interruption(step)
    const events = plain === undefined ? undefined : decodeBatch(plain)
    if (events === undefined) {
      throw new DamageError(frame.offset, `Batch ${number} at byte ${frame.offset} does not decrypt: it was replaced.`)
    }
    return events
  }

  #batch({ frame, number }: Step & { kind: 'batch' }): Buffer | undefined {
    return this.#cipher.decrypt(FRAME.batch, number, frame.payload)
  }

  #interruption({ frame, number }: Step & { kind: 'interruption' }): Buffer | undefined {
    const nonce = frame.payload.subarray(0, NONCE_BYTES)
    if (nonce.length < NONCE_BYTES) return undefined
    return this.#cipher.decryptWithNonce(FRAME.interruption, number, nonce, frame.payload.subarray(NONCE_BYTES))
  }
}

/**
 * The events of a recording, in order. Holds one batch at a time.
 * @param options.open - The session may still be running: the end may be missing.
 * @throws GatewayError `recording.invalid` at the first damage; what came before it was whole.
 */
export async function* readRecording(
  source: ByteSource,
  keys: ReadingKeys,
  options: { readonly open?: boolean } = {},
): AsyncGenerator<RecordingEvent, void, void> {
  const walk = new RecordingWalk(keys.verifier)
  let opener: BatchOpener | undefined
  let events = 0
  for await (const chunk of source) {
    walk.push(chunk)
    for (const step of walk.steps()) {
      if (step.kind === 'header') opener = new BatchOpener(step.header, step.frame.chain, keys.wrapping)
      if (step.kind === 'seal' && step.seal.events !== events) {
        throw new DamageError(step.frame.offset, 'The seal does not count the events before it.')
      }
      if (step.kind !== 'batch' && step.kind !== 'interruption') continue
      const batch = opener!.open(step) // the walk lets no batch come before a header
      events += batch.length
      yield* batch
    }
  }
  if (walk.sealed || (options.open === true && opener !== undefined)) return
  throw new DamageError(walk.position.offset, 'The recording has no seal: it is cut off here, or was never closed.')
}
