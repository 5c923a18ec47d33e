import { type Clock, GatewayError, type Logger, type SessionSummary } from '../../kernel/index.ts'
import type { LeftSession, Notice, Store } from '../../store/index.ts'
import type { HeldReviews } from './held-reviews.ts'
import type { LiveSessions } from './live-sessions.ts'
import type { ControlTimings } from './settings.ts'
import type { TokenBook } from './tokens.ts'

const MAX_OVERDUE_PER_ROUND = 200

export interface UpkeepOptions {
  readonly store: Store
  readonly clock: Clock
  readonly log: Logger
  readonly timings: ControlTimings
  readonly instance: string
  readonly live: LiveSessions
  readonly reviews: HeldReviews
  readonly tokens: TokenBook
  readonly leftBehind: readonly LeftSession[]
}

/**
 * Hears what other gateways did, looks for what was missed, says that this gateway lives, and closes what gateways left
 * behind that do not live any more.
 */
export class Upkeep {
  readonly #on: UpkeepOptions
  readonly #unwritten = new Map<string, SessionSummary>()
  readonly #dueAt = { beat: 0, uses: 0 }
  #seenUntil: Date | undefined
  #lastContact: number
  #cancelTimer: () => void = () => undefined
  #unsubscribe: () => void = () => undefined
  #round: Promise<void> = Promise.resolve()
  #stopped = false

  constructor(options: UpkeepOptions) {
    this.#on = options
    this.#lastContact = options.clock.monotonic()
  }

  async start(): Promise<void> {
    const { store, instance, timings, leftBehind } = this.#on
    this.#unsubscribe = store.events.subscribe((notice) => this.#hear(notice))
    // The embedded store is locked for one gateway, so every other one is gone.
    await this.#closeAbandoned(store.kind === 'embedded' ? 0 : timings.goneAfterMs, leftBehind)
    await store.sessions.beat(instance)
    this.#dueAt.beat = this.#on.clock.monotonic() + timings.beatMs
    this.#dueAt.uses = this.#on.clock.monotonic() + timings.usesMs
    await this.#look()
    this.#schedule()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#cancelTimer()
    this.#unsubscribe()
    await this.#round
    await this.#on.tokens.flushUses().catch(() => undefined)
    await this.#writeCloses().catch(() => undefined)
  }

  /** Tries at once, and again for as long as the store does not answer. */
  async close(id: string, summary: SessionSummary): Promise<void> {
    this.#unwritten.set(id, summary)
    try {
      await this.#writeCloses()
    } catch (error) {
      this.#warn('the end of a session could not be written yet', error)
    }
  }

  #schedule(): void {
    if (this.#stopped) return
    this.#cancelTimer = this.#on.clock.after(this.#on.timings.pollMs, () => {
      this.#round = this.#tick().finally(() => this.#schedule())
    })
  }

  async #tick(): Promise<void> {
    const { clock, timings, tokens, store, instance } = this.#on
    try {
      await this.#look()
      if (clock.monotonic() >= this.#dueAt.beat) {
        this.#dueAt.beat = clock.monotonic() + timings.beatMs
        await store.sessions.beat(instance)
        await this.#closeAbandoned(timings.goneAfterMs)
        await this.#expireOverdue()
      }
      if (this.#unwritten.size > 0) await this.#writeCloses()
      if (clock.monotonic() >= this.#dueAt.uses) {
        this.#dueAt.uses = clock.monotonic() + timings.usesMs
        await tokens.flushUses()
      }
    } catch (error) {
      this.#warn('the store did not answer', error)
      if (clock.monotonic() - this.#lastContact > timings.storeLossMs) this.#endAll()
    }
  }

  async #look(): Promise<void> {
    const changes = await this.#on.store.changesSince(this.#seenUntil)
    this.#seenUntil = changes.at
    this.#lastContact = this.#on.clock.monotonic()
    for (const id of changes.tokens) this.#tokenRevoked(id)
    await Promise.all([
      ...changes.sessions.map((id) => this.#sessionKilled(id)),
      ...changes.reviews.map((id) => this.#on.reviews.wake(id)),
    ])
  }

  #hear(notice: Notice): void {
    if (notice.kind === 'token') this.#tokenRevoked(notice.id)
    else if (notice.kind === 'session') void this.#sessionKilled(notice.id)
    else if (notice.kind === 'review') void this.#on.reviews.wake(notice.id)
    else this.#look().catch((error) => this.#warn('the store did not answer', error))
  }

  #tokenRevoked(id: string): void {
    this.#on.tokens.forget(id)
    const reason = new GatewayError('session.revoked', 'The token that opened this session was revoked.')
    this.#on.live.endWhere((session) => session.tokenId === id, reason)
  }

  async #sessionKilled(id: string): Promise<void> {
    if (!this.#on.live.has(id) || this.#on.live.reasonToEnd(id) !== undefined) return
    const row = await this.#on.store.sessions.get(id).catch(() => undefined)
    const why =
      row?.killed === undefined ? '' : ` by ${row.killed.by}${row.killed.reason === '' ? '' : `: ${row.killed.reason}`}`
    this.#on.live.end(id, new GatewayError('session.revoked', `The session was ended${why}.`))
  }

  #endAll(): void {
    const reason = new GatewayError(
      'session.revoked',
      'The gateway has lost its store, so that nobody could revoke this session; it has ended.',
    )
    this.#on.live.endWhere(() => true, reason)
  }

  async #closeAbandoned(goneAfterMs: number, known: readonly LeftSession[] = []): Promise<void> {
    const { store, reviews, log } = this.#on
    const closed = await store.sessions.closeAbandoned(goneAfterMs, known)
    if (closed.length > 0) log.warn('closed sessions of a gateway that is gone', { sessions: closed.length })
    for (const id of await store.reviews.openOf(closed)) await reviews.abandon(id, 'The session was interrupted.')
  }

  async #expireOverdue(): Promise<void> {
    const { store, reviews, clock } = this.#on
    for (const id of await store.reviews.overdue(clock.now(), MAX_OVERDUE_PER_ROUND)) await reviews.expire(id)
  }

  async #writeCloses(): Promise<void> {
    for (const [id, summary] of [...this.#unwritten]) {
      await this.#on.store.sessions.close(id, summary)
      this.#unwritten.delete(id)
    }
  }

  #warn(message: string, error: unknown): void {
    this.#on.log.warn(message, { reason: GatewayError.from(error, 'store.failed').detail })
  }
}
