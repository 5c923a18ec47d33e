import type {
  Facts,
  Identity,
  Principal,
  ReviewEvidence,
  ReviewOutcome,
  ReviewRequest,
  TargetInfo,
} from '../kernel/index.ts'
import { GatewayError } from '../kernel/index.ts'
import { isAmong, isHumanActor, sameHuman } from './reviewers.ts'
import { type Quorum, quorumsOf } from './terms.ts'

export const MAX_REASON_CHARACTERS = 2000

/**
 * - `pending`: waits for answers
 * - `approved`: every quorum is met; good for one run of exactly its digest, until it expires
 * - `spent`: that run was released
 * - `denied`, `expired`, `withdrawn`: it will never run
 *
 * pending → approved → spent; pending → denied; pending or approved → expired or withdrawn. Nothing leaves the other states.
 */
export type ReviewState = 'pending' | 'approved' | 'spent' | 'denied' | 'expired' | 'withdrawn'

export interface ReviewAnswer {
  readonly reviewer: Identity
  readonly verdict: 'approve' | 'deny'
  readonly reason: string
  /** Milliseconds since the epoch. */
  readonly at: number
}

/** One review; JSON-safe, so it is a row of the store as it stands. */
export interface Review {
  readonly id: string
  /** Counts transitions. A store replaces a review only where the version is still the one it read. */
  readonly version: number
  readonly state: ReviewState
  readonly sessionId: string
  readonly requester: Principal
  readonly target: TargetInfo
  readonly rule: string
  /** Why it was held, in words. */
  readonly reason: string
  /** Every one must be met. */
  readonly quorums: readonly Quorum[]
  /** SHA-256 in lower-case hex over everything that the approval binds. */
  readonly digest: string
  readonly text: string
  /** Display forms; `null` is SQL NULL. */
  readonly parameters: readonly (string | null)[]
  readonly facts: Facts
  readonly evidence: ReviewEvidence
  /** Milliseconds since the epoch. */
  readonly createdAt: number
  readonly expiresAt: number
  readonly answers: readonly ReviewAnswer[]
  /** When it came to its present state. */
  readonly changedAt: number
  /** Why it was withdrawn or denied; empty otherwise. */
  readonly endReason: string
}

/** Starts a review. The request's digest must be one of `operationDigest`, so that it binds person, actor and target too. */
export function openReview(request: ReviewRequest, id: string, now: number): Review {
  const { session, hold } = request
  return {
    id,
    version: 1,
    state: 'pending',
    sessionId: session.id,
    requester: session.principal,
    target: session.target,
    rule: request.rule,
    reason: request.reason,
    quorums: quorumsOf(hold, request.rule),
    digest: request.digest.toString('hex'),
    text: request.text,
    parameters: request.parameters,
    facts: withFiniteRows(request.facts),
    evidence: withFiniteRows(request.evidence),
    createdAt: now,
    expiresAt: now + hold.expiresInMs,
    answers: [],
    changedAt: now,
    endReason: '',
  }
}

/** JSON has no Infinity: an estimate that could not be had is left out, and the evidence's note says why. */
function withFiniteRows<Holder extends { readonly estimatedRows?: number | undefined }>(holder: Holder): Holder {
  if (holder.estimatedRows === undefined || Number.isFinite(holder.estimatedRows)) return holder
  const { estimatedRows: _, ...rest } = holder
  return rest as Holder
}

export interface Answer {
  readonly reviewer: Principal
  readonly verdict: 'approve' | 'deny'
  readonly reason: string
  readonly now: number
}

/**
 * A human's answer. One deny ends the review; it is approved when the last quorum is met. An approval that adds nothing
 * (the same human again) answers the review unchanged, version included.
 *
 * @throws GatewayError `review.not_pending`, `review.expired`, `review.self_approval`, `review.not_reviewer`
 */
export function answer(review: Review, { reviewer, verdict, reason, now }: Answer): Review {
  const refusal = refusalToAnswer(review, reviewer, now)
  if (refusal !== undefined) throw refusal
  const given: ReviewAnswer = {
    reviewer: reviewer.identity,
    verdict,
    reason: reason.slice(0, MAX_REASON_CHARACTERS),
    at: now,
  }
  const answers = [...review.answers, given]
  if (verdict === 'deny') return step(review, 'denied', now, { answers, endReason: given.reason })
  if (!addsApproval(review, reviewer.identity)) return review
  const met = review.quorums.every((quorum) => approvalsFor(quorum, answers) >= quorum.approvals)
  return step(review, met ? 'approved' : 'pending', now, { answers })
}

/** Why this person may not answer now; undefined when they may. For lists and buttons as well as for `answer`. */
export function refusalToAnswer(review: Review, reviewer: Principal, now: number): GatewayError | undefined {
  if (review.state !== 'pending') return notPending(review)
  if (now >= review.expiresAt) return expired()
  if (!isHumanActor(reviewer)) {
    return new GatewayError('review.not_reviewer', 'A human answers a review; software acting for one may not.')
  }
  if (sameHuman(reviewer.identity, review.requester.identity)) {
    return new GatewayError('review.self_approval', 'The approver must be another human than the requester.')
  }
  if (review.quorums.some((quorum) => isAmong(reviewer.identity, quorum.reviewers))) return undefined
  const asked = [...new Set(review.quorums.flatMap((quorum) => quorum.reviewers))].join(', ')
  return new GatewayError('review.not_reviewer', `You are not among the reviewers (${asked}).`)
}

/** What each quorum still lacks; empty when all are met. */
export function missingApprovals(review: Review): readonly Quorum[] {
  return review.quorums.flatMap((quorum) => {
    const missing = quorum.approvals - approvalsFor(quorum, review.answers)
    return missing > 0 ? [{ ...quorum, approvals: missing }] : []
  })
}

/** Expires a review whose time is over; answers it unchanged when it is not, or when it has ended already. */
export function expire(review: Review, now: number): Review {
  if (!isOpen(review) || now < review.expiresAt) return review
  return step(review, 'expired', now, {})
}

/** The client cancelled or left. A review that has ended stays as it is. */
export function withdraw(review: Review, reason: string, now: number): Review {
  if (!isOpen(review)) return review
  return step(review, 'withdrawn', now, { endReason: reason.slice(0, MAX_REASON_CHARACTERS) })
}

/**
 * Uses the approval up. The store must write the answer only where the version is still that of `review`: then of two
 * who spend at once, one loses.
 *
 * @param digest - Of what is about to run, computed anew.
 * @throws GatewayError `review.not_pending` (not approved, or spent before), `review.mismatch`, `review.expired`, `review.denied`,
 * `review.withdrawn`
 */
export function spend(review: Review, digest: Buffer, now: number): Review {
  if (review.state === 'denied') throw new GatewayError('review.denied', `A reviewer denied the operation.`)
  if (review.state === 'withdrawn') throw new GatewayError('review.withdrawn', 'The review was withdrawn.')
  if (review.state === 'expired' || (isOpen(review) && now >= review.expiresAt)) throw expired()
  if (review.state !== 'approved') throw notPending(review)
  if (digest.length !== 32 || digest.toString('hex') !== review.digest) {
    throw new GatewayError('review.mismatch', 'The approval is for another operation than the one that wants to run.')
  }
  return step(review, 'spent', now, {})
}

/** What the waiting session is told; undefined while the review is pending. */
export function outcomeOf(review: Review): ReviewOutcome | undefined {
  const reviewId = review.id
  switch (review.state) {
    case 'pending':
      return undefined
    case 'approved':
    case 'spent': {
      const by = review.answers.filter(({ verdict }) => verdict === 'approve').map(({ reviewer }) => reviewer.subject)
      return { kind: 'approved', reviewId, by }
    }
    case 'denied':
      return { kind: 'denied', reviewId, by: review.answers.at(-1)?.reviewer.subject ?? '', reason: review.endReason }
    case 'expired':
    case 'withdrawn':
      return { kind: review.state, reviewId }
  }
}

function isOpen(review: Review): boolean {
  return review.state === 'pending' || review.state === 'approved'
}

function approvalsFor(quorum: Quorum, answers: readonly ReviewAnswer[]): number {
  return answers.filter(({ verdict, reviewer }) => verdict === 'approve' && isAmong(reviewer, quorum.reviewers)).length
}

/** A human counts once, and only where a quorum that they belong to still lacks approvals. */
function addsApproval(review: Review, reviewer: Identity): boolean {
  if (review.answers.some((given) => sameHuman(given.reviewer, reviewer))) return false
  return missingApprovals(review).some((quorum) => isAmong(reviewer, quorum.reviewers))
}

function step(
  review: Review,
  state: ReviewState,
  now: number,
  change: { readonly answers?: readonly ReviewAnswer[]; readonly endReason?: string },
): Review {
  return { ...review, ...change, state, version: review.version + 1, changedAt: now }
}

const STATE_WORDS: Readonly<Record<ReviewState, string>> = {
  pending: 'still waits for approval',
  approved: 'is approved already',
  spent: 'was approved and has run',
  denied: 'was denied',
  expired: 'has expired',
  withdrawn: 'was withdrawn',
}

function notPending(review: Review): GatewayError {
  return new GatewayError('review.not_pending', `The review ${STATE_WORDS[review.state]}.`)
}

function expired(): GatewayError {
  return new GatewayError('review.expired', 'The review has expired.')
}
