import { chainOf, DamageError, FRAME, type Frame, FrameSplitter, GENESIS } from './frames.ts'
import { decodeHeader, type RecordingHeader } from './header.ts'
import { decodeHead, decodeSeal, type Head, type Seal, signatureHolds } from './heads.ts'
import type { Verifier } from './note.ts'

/** One whole, chained frame, in words. `number` counts batches and interruptions from 0. */
export type Step =
  | { readonly kind: 'header'; readonly header: RecordingHeader; readonly frame: Frame }
  | { readonly kind: 'batch'; readonly number: number; readonly frame: Frame }
  | { readonly kind: 'interruption'; readonly number: number; readonly frame: Frame }
  | { readonly kind: 'head'; readonly head: Head; readonly frame: Frame }
  | { readonly kind: 'seal'; readonly seal: Seal; readonly frame: Frame }

/** Where a walk stands: what the next frame must follow. */
export interface WalkPosition {
  readonly chain: Buffer
  /** Number of the next batch. */
  readonly batches: number
  /** Where the next frame starts. */
  readonly offset: number
}

/**
 * Goes through a recording frame by frame and checks order, chain, counts and, given the key, signatures. Needs no
 * decryption key and holds one frame at a time.
 */
export class RecordingWalk {
  readonly #splitter = new FrameSplitter()
  readonly #verifier: Verifier | undefined
  #chain: Buffer = GENESIS
  #batches = 0
  #offset = 0
  #stage: 'header' | 'body' | 'interrupted' | 'sealed' = 'header'

  constructor(verifier?: Verifier) {
    this.#verifier = verifier
  }

  push(chunk: Buffer): void {
    this.#splitter.push(chunk)
  }

  get position(): WalkPosition {
    const offset = this.#stage === 'header' ? this.#splitter.headerOffset : this.#offset
    return { chain: this.#chain, batches: this.#batches, offset }
  }

  get sealed(): boolean {
    return this.#stage === 'sealed'
  }

  /** Bytes after the last whole frame. */
  get unfinishedBytes(): number {
    return this.#splitter.unfinishedBytes
  }

  /** Whole frames so far. @throws DamageError at the first that is not what was written. */
  *steps(): Generator<Step, void, void> {
    if (this.sealed && this.unfinishedBytes > 0) this.#refuseAfterSeal(this.#offset)
    for (const frame of this.#splitter.frames()) {
      const step = this.#check(frame)
      this.#chain = Buffer.from(frame.chain)
      this.#offset = frame.offset + frame.bytes.length
      yield step
      if (this.sealed && this.unfinishedBytes > 0) this.#refuseAfterSeal(this.#offset)
    }
  }

  #refuseAfterSeal(offset: number): never {
    throw new DamageError(offset, 'There are bytes after the seal; they were added later.')
  }

  #check(frame: Frame): Step {
    const { offset } = frame
    if (!chainOf(frame, this.#chain).equals(frame.chain)) {
      const before = this.#stage === 'header' ? 'the first line' : 'the frames before it'
      throw new DamageError(offset, `The frame at byte ${offset} was changed, or does not follow ${before}.`)
    }
    if ((this.#stage === 'header') !== (frame.kind === FRAME.header)) {
      throw new DamageError(offset, `The frame at byte ${offset} stands where such a frame cannot be.`)
    }
    switch (frame.kind) {
      case FRAME.header:
        return this.#header(frame)
      case FRAME.batch:
        if (this.#stage === 'interrupted') {
          throw new DamageError(offset, 'A batch follows an interruption; recovery never writes one.')
        }
        return { kind: 'batch', number: this.#batches++, frame }
      case FRAME.interruption:
        this.#stage = 'interrupted'
        return { kind: 'interruption', number: this.#batches++, frame }
      case FRAME.head:
        return this.#head(frame)
      case FRAME.seal:
        return this.#seal(frame)
    }
  }

  #header(frame: Frame): Step {
    const header = decodeHeader(frame.payload)
    if (this.#verifier !== undefined && header.signingKey !== this.#verifier.keyId) {
      const message = `The recording names the signing key ${JSON.stringify(header.signingKey)}, not ${this.#verifier.keyId}.`
      throw new DamageError(frame.offset, message)
    }
    this.#stage = 'body'
    return { kind: 'header', header, frame }
  }

  #head(frame: Frame): Step {
    const head = decodeHead(frame.payload)
    if (head === undefined || head.batches !== this.#batches) {
      throw new DamageError(frame.offset, `The head at byte ${frame.offset} does not count the batches before it.`)
    }
    this.#checkSignature('head', frame)
    return { kind: 'head', head, frame }
  }

  #seal(frame: Frame): Step {
    const seal = decodeSeal(frame.payload)
    if (seal === undefined || seal.batches !== this.#batches || seal.interrupted !== (this.#stage === 'interrupted')) {
      throw new DamageError(frame.offset, 'The seal does not fit the frames before it.')
    }
    this.#checkSignature('seal', frame)
    this.#stage = 'sealed'
    return { kind: 'seal', seal, frame }
  }

  #checkSignature(domain: 'head' | 'seal', frame: Frame): void {
    if (this.#verifier === undefined || signatureHolds(domain, frame.payload, this.#chain, this.#verifier)) return
    const message = `The signature of the ${domain} at byte ${frame.offset} is wrong: what comes before it was rewritten.`
    throw new DamageError(frame.offset, message)
  }
}
