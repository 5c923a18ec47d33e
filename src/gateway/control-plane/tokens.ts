import { createHash, timingSafeEqual } from 'node:crypto'
import { type FailureLimiter, isTokenId } from '../../identity/index.ts'
import { type Clock, GatewayError, type Principal, type ScramVerifier } from '../../kernel/index.ts'
import type { Store, TokenRow } from '../../store/index.ts'
import { mockVerifier, verifySecret } from '../../wire/scram.ts'
import type { CurrentSettings } from './settings.ts'

/** Unknown ids are remembered too, or a flood of them would be a flood of queries. */
const MAX_CACHED = 10_000
const MAX_SECRET_CHARACTERS = 256

interface Cached {
  readonly at: number
  readonly token: TokenRow | undefined
  /** SHA-256 of a secret that was right, so that a busy API client costs no key derivation per request. */
  proven: Buffer | undefined
}

export interface ProvenToken {
  readonly token: TokenRow
  readonly principal: Principal
}

/** Tokens as authentication sees them: looked up, remembered for a moment, and never telling whether an id exists. */
export class TokenBook {
  readonly #store: Store
  readonly #clock: Clock
  readonly #settings: CurrentSettings
  readonly #mockKey: Buffer
  readonly #cacheMs: number
  readonly #cache = new Map<string, Cached>()
  readonly #uses = new Map<string, number>()

  constructor(store: Store, clock: Clock, settings: CurrentSettings, mockKey: Buffer, cacheMs: number) {
    this.#store = store
    this.#clock = clock
    this.#settings = settings
    this.#mockKey = mockKey
    this.#cacheMs = cacheMs
  }

  async verifierFor(id: string): Promise<{ readonly verifier: ScramVerifier; readonly known: boolean }> {
    const { token } = await this.#find(id)
    if (token !== undefined && this.#isGood(token)) return { verifier: token.verifier, known: true }
    return { verifier: mockVerifier(this.#mockKey, id), known: false }
  }

  /** A token whose secret was proven by the protocol, as it is now. @throws GatewayError `auth.failed` */
  async proven(id: string): Promise<ProvenToken> {
    this.forget(id)
    return this.#principalOf((await this.#find(id)).token)
  }

  /**
   * Checks a secret that came whole, as over HTTP.
   *
   * @throws GatewayError `auth.failed`, the same for an unknown id and a wrong secret; `auth.throttled`
   */
  async authenticate(id: string, secret: string, address: string, failures: FailureLimiter): Promise<ProvenToken> {
    failures.check(address, id)
    const cached = await this.#find(id)
    const { verifier, known } = await this.verifierFor(id)
    const digest = createHash('sha256').update(secret).digest()
    const seen = known && cached.proven !== undefined && timingSafeEqual(cached.proven, digest)
    const right = seen || (secret.length <= MAX_SECRET_CHARACTERS && verifySecret(verifier, secret))
    if (!right || !known) throw refused()
    cached.proven = digest
    return this.#principalOf(cached.token)
  }

  forget(id: string): void {
    this.#cache.delete(id)
  }

  used(id: string): void {
    this.#uses.set(id, this.#clock.now())
  }

  /** Writes when tokens were last used. */
  async flushUses(): Promise<void> {
    if (this.#uses.size === 0) return
    const uses = new Map(this.#uses)
    this.#uses.clear()
    await this.#store.tokens.markUsed(uses)
  }

  #principalOf(token: TokenRow | undefined): ProvenToken {
    const identity = token === undefined || !this.#isGood(token) ? undefined : this.#settings.identity(token.identity)
    if (token === undefined || identity === undefined) throw refused()
    this.used(token.id)
    return { token, principal: { identity, actor: token.actor } }
  }

  #isGood(token: TokenRow): boolean {
    const expired = token.expiresAt <= this.#clock.now()
    return token.revokedAt === undefined && !expired && this.#settings.identity(token.identity) !== undefined
  }

  async #find(id: string): Promise<Cached> {
    const now = this.#clock.monotonic()
    const cached = this.#cache.get(id)
    if (cached !== undefined && now - cached.at < this.#cacheMs) return cached
    const token = isTokenId(id) ? await this.#store.tokens.get(id) : undefined
    const fresh: Cached = { at: now, token, proven: undefined }
    this.#cache.delete(id)
    this.#cache.set(id, fresh)
    if (this.#cache.size > MAX_CACHED) {
      const oldest = this.#cache.keys().next()
      if (!oldest.done) this.#cache.delete(oldest.value)
    }
    return fresh
  }
}

function refused(): GatewayError {
  return new GatewayError('auth.failed', 'The token is unknown, revoked or expired, or its secret is wrong.')
}
