import type { GatewayError } from '../kernel/index.ts'

const OK = 0
/** 128 and the number of SIGINT, as shells count. */
const INTERRUPTED = 130
/** What even a hurried stop gets, so that files are closed in order. */
const HURRIED_STOP_MS = 3_000

export interface Ending {
  /** Drains. */
  stop(): Promise<void>
  /** Asked for a second time: ends what `stop` still waits for. */
  hurry(): void
  tell(text: string): void
}

/** The process's signals as one story: the first asks to stop in order, the second to stop at once. */
export class Signals {
  readonly #handlers: [NodeJS.Signals, () => void][] = []
  #asked = 0
  #failure: GatewayError | undefined
  #wake: () => void = () => undefined
  #again: () => void = () => undefined

  constructor() {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) this.#on(signal, () => this.#ask())
    this.#on('SIGHUP', () => undefined)
  }

  onReload(call: () => void): void {
    this.#on('SIGHUP', call)
  }

  /** The gateway cannot go on: ends as a signal would, with the error's exit status. */
  fail(error: GatewayError): void {
    this.#failure ??= error
    this.#wake()
  }

  /** @returns the exit status, once everything has stopped. */
  async untilEnd(ending: Ending): Promise<number> {
    await new Promise<void>((resolve) => {
      this.#wake = resolve
      if (this.#asked > 0 || this.#failure !== undefined) resolve()
    })
    if (this.#failure !== undefined) ending.tell(`sallyport: ${this.#failure.message} Stopping.`)
    else ending.tell('Stopping; running statements get a moment. Ctrl-C again stops at once.')
    const stopped = ending.stop().then(() => this.#failure?.row.exit ?? OK)
    const hurried = new Promise<number>((resolve) => {
      const hurry = () => {
        ending.hurry()
        setTimeout(() => resolve(INTERRUPTED), HURRIED_STOP_MS).unref()
      }
      this.#again = hurry
      if (this.#asked > 1) hurry()
    })
    return Promise.race([stopped, hurried])
  }

  close(): void {
    for (const [signal, handler] of this.#handlers.splice(0)) process.off(signal, handler)
  }

  #ask(): void {
    this.#asked++
    if (this.#asked === 1) this.#wake()
    else this.#again()
  }

  #on(signal: NodeJS.Signals, handler: () => void): void {
    this.#handlers.push([signal, handler])
    process.on(signal, handler)
  }
}
