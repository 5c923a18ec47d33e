import { DamageError } from './frames.ts'
import type { RecordingHeader } from './header.ts'
import type { Head, Seal } from './heads.ts'
import type { Verifier } from './note.ts'
import { RecordingWalk, type Step } from './walk.ts'

export type ByteSource = AsyncIterable<Buffer> | Iterable<Buffer>

export interface RecordingProblem {
  /** Where in the file; everything from here on cannot be trusted. */
  readonly offset: number
  readonly message: string
}

export interface RecordingReport {
  readonly ok: boolean
  readonly problems: readonly RecordingProblem[]
  readonly header: Omit<RecordingHeader, 'dataKey'> | undefined
  /** Chain value of the header, hex. */
  readonly headerDigest: string | undefined
  /** The last signed head before the seal; what comes after it in an open recording is chained but not yet signed. */
  readonly head: Head | undefined
  readonly seal: Seal | undefined
  /** Chain value of the seal, hex: the digest in the audit log. */
  readonly digest: string | undefined
  readonly sealed: boolean
  readonly interrupted: boolean
  readonly batches: number
  /** Bytes that hold. */
  readonly bytes: number
  /** Bytes after them that are no whole frame; in an open recording a write that is under way or was cut off. */
  readonly unfinishedBytes: number
}

/**
 * Checks a recording with the public key alone.
 * @param options.open - The session may still be running, so the seal may be missing and the last frame unfinished.
 */
export async function verifyRecording(
  source: ByteSource,
  verifier: Verifier,
  options: { readonly open?: boolean } = {},
): Promise<RecordingReport> {
  const walk = new RecordingWalk(verifier)
  const seen = new Seen()
  const problems: RecordingProblem[] = []
  try {
    for await (const chunk of source) {
      walk.push(chunk)
      for (const step of walk.steps()) seen.note(step)
    }
    problems.push(...endProblems(walk, seen.begun, options.open === true))
  } catch (error) {
    if (!(error instanceof DamageError)) throw error
    problems.push({ offset: error.offset, message: error.message })
  }
  const { batches, offset } = walk.position
  return {
    ...seen.found(),
    ok: problems.length === 0,
    problems,
    sealed: walk.sealed,
    batches,
    bytes: offset,
    unfinishedBytes: walk.unfinishedBytes,
  }
}

function endProblems(walk: RecordingWalk, begun: boolean, open: boolean): RecordingProblem[] {
  if (walk.sealed) return []
  const { offset } = walk.position
  if (!begun) return [{ offset, message: 'The recording is cut off before its header ends.' }]
  if (open) return []
  if (walk.unfinishedBytes > 0) return [{ offset, message: 'The recording is cut off in the middle of a frame.' }]
  return [{ offset, message: 'The recording has no seal: it is cut off here, or was never closed.' }]
}

/** Gathers what the steps say. */
class Seen {
  #header: Extract<Step, { kind: 'header' }> | undefined
  #head: Head | undefined
  #seal: Extract<Step, { kind: 'seal' }> | undefined
  #sealChain: string | undefined
  #headerChain: string | undefined

  note(step: Step): void {
    if (step.kind === 'header') {
      this.#header = step
      this.#headerChain = step.frame.chain.toString('hex')
    }
    if (step.kind === 'head') this.#head = step.head
    if (step.kind === 'seal') {
      this.#seal = step
      this.#sealChain = step.frame.chain.toString('hex')
    }
  }

  get begun(): boolean {
    return this.#header !== undefined
  }

  found() {
    return {
      header: this.#header === undefined ? undefined : withoutKey(this.#header.header),
      headerDigest: this.#headerChain,
      head: this.#head,
      seal: this.#seal?.seal,
      digest: this.#sealChain,
      interrupted: this.#seal?.seal.interrupted === true,
    }
  }
}

function withoutKey({ dataKey: _, ...rest }: RecordingHeader): Omit<RecordingHeader, 'dataKey'> {
  return rest
}
