import type {
  Decision,
  Facts,
  MaskInstruction,
  OpenedSession,
  PendingReview,
  ReviewEvidence,
  ReviewOutcome,
  SessionInfo,
  SessionSummary,
  SessionTotals,
  Settled,
} from '../kernel/index.ts'
import { GatewayError } from '../kernel/index.ts'
import type { Journal, ReviewEvent } from '../recording/index.ts'
import type { EngineServices } from './services.ts'

/** A held operation as a protocol hands it over. */
export interface HeldOperation {
  readonly sequence: number
  readonly facts: Facts
  /** As a reviewer may read it: sensitive literals already replaced. */
  readonly text: string
  readonly parameters: readonly (string | null)[]
  /** SHA-256 over the exact bytes and parameters. */
  readonly digest: Buffer
}

type Held = Extract<Decision, { kind: 'hold' }>

/** One session's decisions, totals and recording; knows no protocol. */
export class EngineSession {
  readonly info: SessionInfo
  readonly services: EngineServices
  readonly journal: Journal
  readonly totals: SessionTotals = { operations: 0, rowsReturned: 0, bytesReturned: 0, denied: 0 }
  #ended = false

  constructor(opened: OpenedSession, journal: Journal, services: EngineServices) {
    this.info = opened.info
    this.services = services
    this.journal = journal
    journal.append({ type: 'session_started', at: services.clock.now(), session: opened.info })
  }

  now(): number {
    return this.services.clock.now()
  }

  nextSequence(): number {
    this.totals.operations += 1
    return this.totals.operations
  }

  /** Synchronous. `needs` asks for the planner's estimate; call again with it (Infinity when it cannot be had). */
  decide(facts: Facts): Decision | { readonly kind: 'needs'; readonly what: 'estimatedRows' } {
    const { principal, target, level } = this.info
    try {
      return this.services.policy().decide({ principal, target, level, facts, session: this.totals, now: this.now() })
    } catch (error) {
      this.services.logger.error('policy evaluation failed; denied', { error: String(error), session: this.info.id })
      return deny('policy', 'The policy could not be evaluated.', 'policy.failed', [])
    }
  }

  /**
   * Waits for other humans. The answer is never a hold: approval was spent for exactly this digest, or it is a denial.
   *
   * @param opened - Called once the review exists, so that the client can be told at once.
   */
  async settle(
    held: HeldOperation,
    decision: Held,
    evidence: ReviewEvidence,
    opened: (review: PendingReview) => void,
  ): Promise<{ readonly settled: Settled; readonly error: GatewayError | undefined }> {
    const review = await this.services.control.requestReview({
      session: this.info,
      rule: decision.rule,
      reason: decision.reason,
      hold: decision.hold,
      digest: held.digest,
      text: held.text,
      parameters: held.parameters,
      facts: held.facts,
      evidence,
    })
    this.#review(held.sequence, review.id, 'requested', [], decision.rule)
    if (this.#ended) review.withdraw('the session ended')
    opened(review)
    const outcome = await review.outcome
    const error = await this.#spend(held, decision, outcome)
    if (error === undefined) {
      this.#review(held.sequence, review.id, 'spent', outcome.kind === 'approved' ? outcome.by : [], '')
      return { settled: { ...decision, kind: decision.masks.length > 0 ? 'mask' : 'allow' }, error }
    }
    const by = outcome.kind === 'denied' ? [outcome.by] : []
    this.#review(held.sequence, review.id, outcome.kind === 'approved' ? 'expired' : outcome.kind, by, error.message)
    return { settled: deny(decision.rule, error.message, 'policy.denied', decision.masks), error }
  }

  async #spend(held: HeldOperation, decision: Held, outcome: ReviewOutcome): Promise<GatewayError | undefined> {
    const more = { rule: decision.rule }
    switch (outcome.kind) {
      case 'approved':
        if (await this.services.control.spendApproval(outcome.reviewId, held.digest)) return undefined
        return new GatewayError('review.expired', `The approval of ${outcome.reviewId} was spent or has expired.`, more)
      case 'denied':
        return new GatewayError(
          'review.denied',
          `${outcome.by} denied ${outcome.reviewId}: ${outcome.reason || 'no reason given'}`,
          more,
        )
      case 'expired':
        return new GatewayError('review.expired', `Nobody answered ${outcome.reviewId} in time.`, more)
      case 'withdrawn':
        return new GatewayError('review.withdrawn', `The review ${outcome.reviewId} was withdrawn.`, more)
    }
  }

  #review(operation: number, review: string, state: ReviewEvent['state'], by: readonly string[], reason: string): void {
    this.journal.append({ type: 'review', at: this.now(), operation, review, state, by, reason })
  }

  /** Something that never became an operation was refused. */
  refused(error: GatewayError): void {
    this.totals.denied += 1
    this.journal.append({ type: 'refused', at: this.now(), code: error.code, message: error.message })
  }

  /** Ends the recording and tells the control plane; idempotent. Never throws. */
  async end(reason: string): Promise<void> {
    if (this.#ended) return
    this.#ended = true
    let summary: SessionSummary = { endedAt: this.now(), reason, ...this.totals }
    try {
      if (!this.journal.failed) {
        this.journal.append({ type: 'session_ended', at: summary.endedAt, reason, totals: { ...this.totals } })
        const sealed = await this.journal.seal()
        summary = { ...summary, recordingDigest: Buffer.from(sealed.digest, 'hex') }
      }
    } catch (error) {
      this.services.logger.error('a recording could not be sealed', { session: this.info.id, error: String(error) })
    }
    try {
      await this.services.control.closeSession(this.info.id, summary)
    } catch (error) {
      this.services.logger.error('a session could not be closed in the store', {
        session: this.info.id,
        error: String(error),
      })
    }
  }
}

function deny(
  rule: string,
  reason: string,
  code: 'policy.denied' | 'policy.failed',
  masks: readonly MaskInstruction[],
): Extract<Settled, { kind: 'deny' }> {
  return { kind: 'deny', rule, reason, code, masks, observed: [] }
}

/** A denial as the error that the client gets. */
export function denialError(decision: Extract<Decision, { kind: 'deny' }>, level: string): GatewayError {
  const hints = {
    'policy.denied': undefined,
    'access.level': `Your grant gives the level "${level}". Ask an administrator for a higher one, or use a statement that needs less.`,
    'policy.opaque': undefined,
    'policy.failed': undefined,
  }
  const hint = hints[decision.code]
  return new GatewayError(decision.code, decision.reason, {
    rule: decision.rule,
    ...(hint === undefined ? {} : { hint }),
  })
}
