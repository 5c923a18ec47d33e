import type { JournalSink } from './journal.ts'

interface Round {
  readonly promise: Promise<void>
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
  /** Somebody holds back bytes until it is done. */
  urgent: boolean
}

interface SinkState {
  running: boolean
  next: Round | undefined
}

function newRound(): Round {
  let resolve!: () => void
  let reject!: (error: unknown) => void
  const promise = new Promise<void>((yes, no) => {
    resolve = yes
    reject = no
  })
  return { promise, resolve, reject, urgent: false }
}

/**
 * Group commit for all the journals of a process: one sync at a time per file, which carries every write made before
 * it began, and only so many at once, so that the thread pool keeps room for others.
 */
export class SyncGroup {
  readonly #states = new Map<JournalSink, SinkState>()
  readonly #waiting: JournalSink[] = []
  readonly #parallel: number
  #active = 0

  constructor(options: { readonly parallel?: number } = {}) {
    this.#parallel = options.parallel ?? 3
  }

  /**
   * Resolves when everything written to the sink so far is on the disk; rejects with the sink's own error.
   * @param urgent - Somebody waits to release bytes, so a fast disk may be synced inline.
   */
  sync(sink: JournalSink, urgent: boolean): Promise<void> {
    const state = this.#states.get(sink) ?? { running: false, next: undefined }
    this.#states.set(sink, state)
    let round = state.next
    if (round === undefined) {
      round = newRound()
      state.next = round
      // After the turn's other commits to the same file, so that they share the sync.
      if (!state.running) queueMicrotask(() => this.#enqueue(sink))
    }
    round.urgent ||= urgent
    return round.promise
  }

  #enqueue(sink: JournalSink): void {
    this.#waiting.push(sink)
    this.#startNext()
  }

  #startNext(): void {
    while (this.#active < this.#parallel) {
      const sink = this.#waiting.shift()
      if (sink === undefined) return
      void this.#run(sink)
    }
  }

  async #run(sink: JournalSink): Promise<void> {
    const state = this.#states.get(sink)
    const round = state?.next
    if (state === undefined || round === undefined) return
    state.next = undefined
    state.running = true
    this.#active++
    try {
      const done = sink.sync(round.urgent)
      // An inline sync answers its waiters in this very turn.
      if (done !== undefined) await done
      round.resolve()
    } catch (error) {
      round.reject(error)
    }
    this.#active--
    state.running = false
    if (state.next === undefined) this.#states.delete(sink)
    else this.#waiting.push(sink)
    this.#startNext()
  }
}
