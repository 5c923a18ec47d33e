import { type Clock, GatewayError } from '../kernel/index.ts'

export interface FailureLimits {
  readonly windowMs: number
  readonly maxFailuresPerAddress: number
  /** Far higher: whoever knows a token's id must not be able to lock its owner out, and 256 bits are not guessed. */
  readonly maxFailuresPerToken: number
  /** Addresses and token ids remembered; past it the one that failed longest ago is forgotten. */
  readonly maxEntries: number
}

export const DEFAULT_FAILURE_LIMITS: FailureLimits = {
  windowMs: 60_000,
  maxFailuresPerAddress: 30,
  maxFailuresPerToken: 300,
  maxEntries: 20_000,
}

/** IPv6 hosts have a /64 to choose addresses from, so that is what counts. */
function networkOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1]
  if (mapped !== undefined || !address.includes(':')) return mapped ?? address
  const [head = '', tail] = (address.split('%')[0] ?? '').toLowerCase().split('::')
  const left = head === '' ? [] : head.split(':')
  const right = tail === undefined || tail === '' ? [] : tail.split(':')
  const missing = tail === undefined ? 0 : Math.max(0, 8 - left.length - right.length)
  const groups = [...left, ...Array<string>(missing).fill('0'), ...right]
  return `${groups
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, ''))
    .join(':')}::/64`
}

/** Counts failed authentications by address and by token id. Successes cost nothing and forgive nothing. */
export class FailureLimiter {
  readonly #clock: Clock
  readonly #limits: FailureLimits
  readonly #failures = new Map<string, { readonly since: number; count: number }>()

  constructor(clock: Clock, limits: Partial<FailureLimits> = {}) {
    this.#clock = clock
    this.#limits = { ...DEFAULT_FAILURE_LIMITS, ...limits }
  }

  /** Call before anything is looked up. @throws GatewayError `auth.throttled` */
  check(address: string, tokenId?: string): void {
    const { maxFailuresPerAddress, maxFailuresPerToken } = this.#limits
    const tooMany =
      this.#count(`a ${networkOf(address)}`) >= maxFailuresPerAddress ||
      (tokenId !== undefined && this.#count(`t ${tokenId}`) >= maxFailuresPerToken)
    if (tooMany) throw new GatewayError('auth.throttled', 'Too many authentications have failed. Wait a minute.')
  }

  /** @returns true when this failure is the one that reached a limit: worth a line in the audit log. */
  failed(address: string, tokenId?: string): boolean {
    const { maxFailuresPerAddress, maxFailuresPerToken } = this.#limits
    const ofAddress = this.#add(`a ${networkOf(address)}`)
    const ofToken = tokenId === undefined ? 0 : this.#add(`t ${tokenId}`)
    return ofAddress === maxFailuresPerAddress || ofToken === maxFailuresPerToken
  }

  /** Entries remembered now. */
  get size(): number {
    return this.#failures.size
  }

  #count(key: string): number {
    const entry = this.#failures.get(key)
    if (entry === undefined) return 0
    if (this.#clock.monotonic() - entry.since < this.#limits.windowMs) return entry.count
    this.#failures.delete(key)
    return 0
  }

  #add(key: string): number {
    const count = this.#count(key) + 1
    const since = this.#failures.get(key)?.since ?? this.#clock.monotonic()
    this.#failures.delete(key) // moves it to the end: the map keeps the order of the last failures
    this.#failures.set(key, { since, count })
    if (this.#failures.size > this.#limits.maxEntries) {
      const oldest = this.#failures.keys().next()
      if (!oldest.done) this.#failures.delete(oldest.value)
    }
    return count
  }
}
