import { type Clock, GatewayError } from '../kernel/index.ts'

const WINDOW_MS = 60_000
/** Addresses remembered; past it the oldest is forgotten, so that a flood of addresses cannot grow the heap. */
const MAX_ADDRESSES = 10_000

/** Counts failed authentications by address in windows of a minute. */
export class FailureThrottle {
  readonly #clock: Clock
  readonly #maxPerMinute: number
  readonly #failures = new Map<string, { since: number; count: number }>()

  constructor(clock: Clock, maxPerMinute: number) {
    this.#clock = clock
    this.#maxPerMinute = maxPerMinute
  }

  /** @throws GatewayError `auth.throttled` when this address has failed too often, before anything is looked up. */
  check(address: string): void {
    const entry = this.#current(address)
    if (entry !== undefined && entry.count >= this.#maxPerMinute)
      throw new GatewayError('auth.throttled', 'Too many failed authentications from this address in the last minute.')
  }

  failed(address: string): void {
    const entry = this.#current(address) ?? { since: this.#clock.monotonic(), count: 0 }
    this.#failures.delete(address)
    this.#failures.set(address, { since: entry.since, count: entry.count + 1 })
    if (this.#failures.size <= MAX_ADDRESSES) return
    const oldest = this.#failures.keys().next()
    if (!oldest.done) this.#failures.delete(oldest.value)
  }

  #current(address: string): { since: number; count: number } | undefined {
    const entry = this.#failures.get(address)
    if (entry === undefined || this.#clock.monotonic() - entry.since < WINDOW_MS) return entry
    this.#failures.delete(address)
    return undefined
  }
}
