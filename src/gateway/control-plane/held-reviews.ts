import { newReviewId } from '../../identity/index.ts'
import {
  type Clock,
  GatewayError,
  type Logger,
  type PendingReview,
  principalLabel,
  type Random,
  type ReviewOutcome,
  type ReviewRequest,
} from '../../kernel/index.ts'
import type { AdministrativeEntry } from '../../recording/index.ts'
import { expire, openReview, outcomeOf, type Review, withdraw } from '../../review/index.ts'
import type { Store } from '../../store/index.ts'
import { callAt } from './timer.ts'

const MAX_PENDING_PER_IDENTITY = 50
/** A reviewer must be able to see all that they approve, so what is larger is refused and not cut. */
const MAX_REVIEW_BYTES = 4 * 1_048_576
const ID_ATTEMPTS = 8

interface Waiter {
  readonly outcome: Promise<ReviewOutcome>
  readonly settle: (outcome: ReviewOutcome) => void
  cancelExpiry: () => void
}

export interface HeldReviewsOptions {
  readonly store: Store
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly audit: (entry: AdministrativeEntry) => Promise<unknown>
  readonly publicUrl: () => string
}

/** Reviews that a session of this gateway waits for. Whoever answers, on whichever gateway, wakes them. */
export class HeldReviews {
  readonly #on: HeldReviewsOptions
  readonly #waiters = new Map<string, Waiter>()

  constructor(options: HeldReviewsOptions) {
    this.#on = options
  }

  async request(request: ReviewRequest): Promise<PendingReview> {
    refuseTooLarge(request)
    for (let attempt = 0; attempt < ID_ATTEMPTS; attempt++) {
      const review = openReview(request, newReviewId(this.#on.random), this.#on.clock.now())
      const waiter = this.#wait(review) // before the row exists: no answer can come before somebody listens
      let kept = false
      try {
        kept = await this.#on.store.reviews.insert(review, MAX_PENDING_PER_IDENTITY, async () => {
          await this.#on.audit(requested(review))
        })
      } finally {
        if (!kept) this.#drop(review.id)
      }
      if (!kept) continue
      void this.wake(review.id)
      return {
        id: review.id,
        link: `${this.#on.publicUrl().replace(/\/+$/, '')}/reviews/${review.id}`,
        outcome: waiter.outcome,
        withdraw: (reason) => void this.#withdraw(review.id, reason),
      }
    }
    throw new GatewayError('gateway.internal', 'No free id for a review was found.')
  }

  /** Somebody changed the review: looks whether the wait is over. */
  async wake(id: string): Promise<void> {
    if (!this.#waiters.has(id)) return
    try {
      this.#settle(await this.#on.store.reviews.get(id))
    } catch (error) {
      // The next look, or the expiry, settles it.
      this.#on.log.warn('a review could not be read', { review: id, reason: GatewayError.from(error).detail })
    }
  }

  /** Gives up on a review for another reason than the client's. */
  async abandon(id: string, reason: string): Promise<void> {
    this.#settle(await this.#on.store.reviews.change(id, (review) => withdraw(review, reason, this.#on.clock.now())))
  }

  /** Ends a review whose time is over, whoever opened it. */
  async expire(id: string): Promise<void> {
    this.#settle(await this.#on.store.reviews.change(id, (review) => expireNow(review, this.#on.clock.now())))
  }

  /** Everybody who waits is told `withdrawn`. */
  async close(): Promise<void> {
    const ids = [...this.#waiters.keys()]
    await Promise.allSettled(ids.map((id) => this.#withdraw(id, 'The gateway is shutting down.')))
  }

  #wait(review: Review): Waiter {
    let settle: (outcome: ReviewOutcome) => void = () => undefined
    const outcome = new Promise<ReviewOutcome>((resolve) => {
      settle = resolve
    })
    const waiter: Waiter = { outcome, settle, cancelExpiry: () => undefined }
    waiter.cancelExpiry = callAt(this.#on.clock, review.expiresAt, () => void this.#runOut(review.id))
    this.#waiters.set(review.id, waiter)
    return waiter
  }

  #drop(id: string): Waiter | undefined {
    const waiter = this.#waiters.get(id)
    waiter?.cancelExpiry()
    this.#waiters.delete(id)
    return waiter
  }

  #settle(review: Review | undefined): void {
    const outcome = review === undefined ? undefined : outcomeOf(review)
    if (outcome !== undefined) this.#drop(outcome.reviewId)?.settle(outcome)
  }

  /** The wait is over in any case, also when the store does not answer: nothing runs without an approval. */
  async #runOut(id: string): Promise<void> {
    try {
      await this.expire(id)
    } catch (error) {
      this.#on.log.warn('a review could not be expired', { review: id, reason: GatewayError.from(error).detail })
    }
    this.#drop(id)?.settle({ kind: 'expired', reviewId: id })
  }

  async #withdraw(id: string, reason: string): Promise<void> {
    try {
      await this.abandon(id, reason)
    } catch (error) {
      this.#on.log.warn('a review could not be withdrawn', { review: id, reason: GatewayError.from(error).detail })
    }
    this.#drop(id)?.settle({ kind: 'withdrawn', reviewId: id })
  }
}

/** The timer and the clock may differ by a moment; the timer has it right. */
function expireNow(review: Review, now: number): Review {
  return expire(review, Math.max(now, review.expiresAt))
}

function refuseTooLarge(request: ReviewRequest): void {
  const bytes = request.parameters.reduce(
    (sum, parameter) => sum + Buffer.byteLength(parameter ?? ''),
    Buffer.byteLength(request.text),
  )
  if (bytes > MAX_REVIEW_BYTES)
    throw new GatewayError('sql.too_large', `The operation needs a review, and is too large to be shown to a reviewer.`)
}

function requested(review: Review): AdministrativeEntry {
  const details = { review: review.id, session: review.sessionId, target: review.target.name, rule: review.rule }
  return { type: 'review_requested', by: principalLabel(review.requester), details }
}
