import { and, desc, eq, inArray, or, type SQL, sql } from 'drizzle-orm'
import { GatewayError, type Identity } from '../kernel/index.ts'
import type { Review, ReviewState } from '../review/index.ts'
import { type Database, type Executor, notify } from './database.ts'
import { guarded, isUniqueViolation } from './errors.ts'
import { reviews } from './schema.ts'

/** Two gateways that answer one review at once: the slower one computes its step again. */
const MAX_ATTEMPTS = 8

export interface ReviewFilter {
  /** undefined: everyone's. Otherwise what they asked for and, when `addressed`, what they may answer. */
  readonly viewer: Identity | undefined
  readonly addressed: boolean
  readonly states: readonly ReviewState[] | undefined
  readonly limit: number
}

function fromRow(row: typeof reviews.$inferSelect): Review {
  return {
    ...row.body,
    id: row.id,
    version: row.version,
    state: row.state,
    sessionId: row.sessionId,
    digest: row.digest,
    createdAt: row.createdAt.getTime(),
    expiresAt: row.expiresAt.getTime(),
    answers: row.answers,
    changedAt: row.steppedAt.getTime(),
    endReason: row.endReason,
  }
}

function addresseesOf(review: Review): string[] {
  return [...new Set(review.quorums.flatMap((quorum) => quorum.reviewers.map((name) => name.toLowerCase())))]
}

export class ReviewTable {
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
  }

  /**
   * Keeps a new review and wakes whoever lists reviews.
   *
   * @param maxPending - How many one identity may have waiting, so that reviewers cannot be flooded.
   * @param beforeCommit - Nothing is kept when it fails.
   * @returns false when the id is taken: try with another.
   * @throws GatewayError `session.limit`
   */
  async insert(review: Review, maxPending: number, beforeCommit: () => Promise<void>): Promise<boolean> {
    try {
      await this.#database.transaction(async (transaction) => {
        await insertReview(transaction, review, maxPending)
        await beforeCommit()
      })
      return true
    } catch (error) {
      if (isUniqueViolation(error)) return false
      return guarded(() => Promise.reject(error))
    }
  }

  get(id: string): Promise<Review | undefined> {
    return guarded(async () => {
      const rows = await this.#database.select().from(reviews).where(eq(reviews.id, id))
      return rows[0] === undefined ? undefined : fromRow(rows[0])
    })
  }

  /** Newest first. */
  list(filter: ReviewFilter): Promise<readonly Review[]> {
    return guarded(async () => {
      const rows = await this.#database
        .select()
        .from(reviews)
        .where(
          and(
            filter.states === undefined ? undefined : inArray(reviews.state, [...filter.states]),
            filter.viewer === undefined ? undefined : visibleTo(filter.viewer, filter.addressed),
          ),
        )
        .orderBy(desc(reviews.createdAt), desc(reviews.id))
        .limit(filter.limit)
      return rows.map(fromRow)
    })
  }

  /**
   * Takes one step of the review's state machine: written only over the version it was computed from, else computed
   * again. Wakes all gateways.
   *
   * @param step - Pure; may be called more than once. Answering its argument changes nothing.
   * @param beforeCommit - Called with the step that won, once; nothing is kept when it fails.
   * @returns undefined when there is no such review.
   */
  change(
    id: string,
    step: (review: Review) => Review,
    beforeCommit: (review: Review) => Promise<void> = async () => undefined,
  ): Promise<Review | undefined> {
    return guarded(async () => {
      for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
        const found = await this.get(id)
        if (found === undefined) return undefined
        const next = step(found)
        if (next === found || (await this.#replace(found, next, beforeCommit))) return next
      }
      throw new GatewayError('store.failed', 'The review is being changed by too many at once. Try again.')
    })
  }

  async #replace(found: Review, next: Review, beforeCommit: (review: Review) => Promise<void>): Promise<boolean> {
    return this.#database.transaction(async (transaction) => {
      const written = await transaction
        .update(reviews)
        .set({
          version: found.version + 1,
          state: next.state,
          answers: next.answers,
          endReason: next.endReason,
          steppedAt: new Date(next.changedAt),
          changedAt: sql`now()`,
        })
        .where(and(eq(reviews.id, found.id), eq(reviews.version, found.version)))
        .returning({ id: reviews.id })
      if (written.length === 0) return false
      await notify(transaction, 'review', found.id)
      await beforeCommit(next)
      return true
    })
  }

  /** One statement, so that of any number who try at once exactly one gets true. */
  spend(id: string, digest: Buffer, now: number): Promise<boolean> {
    return guarded(async () => {
      const spent = await this.#database
        .update(reviews)
        .set({
          state: 'spent',
          version: sql`${reviews.version} + 1`,
          steppedAt: new Date(now),
          changedAt: sql`now()`,
        })
        .where(
          and(
            eq(reviews.id, id),
            eq(reviews.state, 'approved'),
            eq(reviews.digest, digest.toString('hex')),
            sql`${reviews.expiresAt} > ${new Date(now)}`,
          ),
        )
        .returning({ id: reviews.id })
      return spent.length === 1
    })
  }

  /** Reviews whose time is over although nobody waits for them any more: their gateway was killed. */
  overdue(now: number, limit: number): Promise<readonly string[]> {
    return guarded(async () => {
      const rows = await this.#database
        .select({ id: reviews.id })
        .from(reviews)
        .where(and(openState(), sql`${reviews.expiresAt} <= ${new Date(now)}`))
        .limit(limit)
      return rows.map((row) => row.id)
    })
  }

  /** Reviews that still wait although their session has ended. */
  openOf(sessionIds: readonly string[]): Promise<readonly string[]> {
    if (sessionIds.length === 0) return Promise.resolve([])
    return guarded(async () => {
      const rows = await this.#database
        .select({ id: reviews.id })
        .from(reviews)
        .where(and(openState(), inArray(reviews.sessionId, [...sessionIds])))
      return rows.map((row) => row.id)
    })
  }
}

/** Written out, so that the partial index is used. */
function openState(): SQL {
  return sql`${reviews.state} in ('pending', 'approved')`
}

function visibleTo(viewer: Identity, addressed: boolean): SQL | undefined {
  const own = and(eq(reviews.issuer, viewer.issuer), eq(reviews.subject, viewer.subject))
  if (!addressed) return own
  const names = [`user:${viewer.subject}`, `user:${viewer.email}`, ...viewer.groups.map((group) => `group:${group}`)]
  const lowered = names.map((name) => name.toLowerCase())
  return or(own, sql`${reviews.addressees} && ${sql.param(lowered)}::text[]`)
}

async function insertReview(on: Executor, review: Review, maxPending: number): Promise<void> {
  const { issuer, subject } = review.requester.identity
  const counted = await on.execute<{ waiting: number }>(sql`
    select count(*)::int as waiting from ${reviews}
    where issuer = ${issuer} and subject = ${subject} and state = 'pending'`)
  if (counted.rows[0]!.waiting >= maxPending)
    throw new GatewayError('session.limit', `You have ${maxPending} reviews waiting, which is the limit.`, {
      hint: 'Wait until some are answered, or cancel the statements that wait.',
    })
  const { requester, target, rule, reason, quorums, text, parameters, facts, evidence } = review
  await on.insert(reviews).values({
    id: review.id,
    version: review.version,
    state: review.state,
    sessionId: review.sessionId,
    issuer,
    subject,
    addressees: addresseesOf(review),
    digest: review.digest,
    createdAt: new Date(review.createdAt),
    expiresAt: new Date(review.expiresAt),
    steppedAt: new Date(review.changedAt),
    endReason: review.endReason,
    answers: review.answers,
    body: { requester, target, rule, reason, quorums, text, parameters, facts, evidence },
  })
  await notify(on, 'review', review.id)
}
