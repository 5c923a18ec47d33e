import type { ByteStream } from '../kernel/index.ts'

/** Why a side is not read: each reason is lifted by the one who set it, and reading goes on when none is left. */
export type StopReason = 'peer-slow' | 'recording' | 'inbox-full' | 'opening'

/** Back-pressure with several causes on one stream. */
export class ReadGate {
  readonly #stream: ByteStream
  readonly #reasons = new Set<StopReason>()

  constructor(stream: ByteStream) {
    this.#stream = stream
  }

  stop(reason: StopReason): void {
    if (this.#reasons.size === 0) this.#stream.pause()
    this.#reasons.add(reason)
  }

  lift(reason: StopReason): void {
    if (!this.#reasons.delete(reason)) return
    if (this.#reasons.size === 0) this.#stream.resume()
  }
}
