import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type ErrorCode, type Facts, GatewayError, type Principal, type ReviewRequest } from '../kernel/index.ts'
import {
  answer,
  expire,
  type HoldDemand,
  missingApprovals,
  openReview,
  operationDigest,
  outcomeOf,
  type Review,
  refusalToAnswer,
  spend,
  withdraw,
} from './index.ts'

const START = 1_000_000
const DIGEST = Buffer.alloc(32, 7)

function human(
  subject: string,
  groups: readonly string[] = ['dba'],
  more: Partial<Principal['identity']> = {},
): Principal {
  const identity = { issuer: 'https://id.example.org', subject, email: `${subject}@example.org`, groups, ...more }
  return { identity, actor: { kind: 'human', name: subject } }
}

const ALICE: Principal = { ...human('alice', ['engineering', 'dba']), actor: { kind: 'agent', name: 'claude-code' } }
const BOB = human('bob')
const CAROL = human('carol')

const FACTS: Facts = {
  kind: 'delete',
  kinds: ['delete'],
  reads: ['customers'],
  writes: ['customers'],
  columns: [],
  functions: [],
  unbounded: true,
  level: 'write',
  levelReason: 'DELETE',
  rowLocks: false,
  changesSession: [],
  changesPrivileges: false,
  serverFiles: false,
  serverPrograms: false,
  dynamicSql: false,
  opaque: [],
  estimatedRows: 12,
}

function opened(hold: Partial<HoldDemand> = {}, more: Partial<ReviewRequest> = {}): Review {
  const request: ReviewRequest = {
    session: {
      id: 'session-1',
      principal: ALICE,
      target: { name: 'shop', type: 'postgres', labels: { env: 'production' } },
      level: 'write',
      tokenId: 'token-1',
      client: { address: '127.0.0.1', application: 'psql' },
      startedAt: 0,
    },
    rule: 'second-pair-of-eyes',
    reason: 'Deleting needs a second pair of eyes.',
    hold: { reviewers: ['group:dba'], approvals: 1, expiresInMs: 60_000, ...hold },
    digest: DIGEST,
    text: 'delete from customers',
    parameters: ['1', null],
    facts: FACTS,
    evidence: { estimatedRows: 12, affectedRows: 12, note: undefined },
    ...more,
  }
  return openReview(request, 'review-1', START)
}

const approve = (review: Review, reviewer: Principal, now = START + 1) =>
  answer(review, { reviewer, verdict: 'approve', reason: 'looks right', now })
const deny = (review: Review, reviewer: Principal, now = START + 1) =>
  answer(review, { reviewer, verdict: 'deny', reason: 'not today', now })

function codeOf(call: () => unknown): ErrorCode | undefined {
  try {
    call()
  } catch (error) {
    if (error instanceof GatewayError) return error.code
    throw error
  }
  return undefined
}

describe('the usual ways', () => {
  test('approved, then spent once', () => {
    const pending = opened()
    expect(outcomeOf(pending)).toBeUndefined()
    const approved = approve(pending, BOB)
    expect(approved).toMatchObject({ state: 'approved', version: 2, changedAt: START + 1 })
    expect(outcomeOf(approved)).toEqual({ kind: 'approved', reviewId: 'review-1', by: ['bob'] })
    const spent = spend(approved, DIGEST, START + 2)
    expect(spent).toMatchObject({ state: 'spent', version: 3 })
    expect(codeOf(() => spend(spent, DIGEST, START + 3))).toBe('review.not_pending')
  })

  test('one deny ends it, even after approvals', () => {
    const denied = deny(approve(opened({ approvals: 2 }), BOB), CAROL)
    expect(denied).toMatchObject({ state: 'denied', endReason: 'not today' })
    expect(outcomeOf(denied)).toEqual({ kind: 'denied', reviewId: 'review-1', by: 'carol', reason: 'not today' })
    expect(codeOf(() => approve(denied, human('dave')))).toBe('review.not_pending')
    expect(codeOf(() => spend(denied, DIGEST, START + 2))).toBe('review.denied')
  })

  test('expired while pending or approved; answering and spending after that fail', () => {
    const pending = opened()
    expect(expire(pending, START + 59_999)).toBe(pending)
    for (const review of [pending, approve(pending, BOB)]) {
      const expired = expire(review, START + 60_000)
      expect(expired).toMatchObject({ state: 'expired', version: review.version + 1 })
      expect(outcomeOf(expired)).toEqual({ kind: 'expired', reviewId: 'review-1' })
      expect(codeOf(() => spend(expired, DIGEST, START + 60_000))).toBe('review.expired')
    }
    // The store's sweep may be late: the clock decides, not the state.
    expect(codeOf(() => approve(pending, BOB, START + 60_000))).toBe('review.expired')
    expect(codeOf(() => spend(approve(pending, BOB), DIGEST, START + 60_000))).toBe('review.expired')
  })

  test('withdrawn', () => {
    const withdrawn = withdraw(opened(), 'the client left', START + 5)
    expect(withdrawn).toMatchObject({ state: 'withdrawn', endReason: 'the client left', changedAt: START + 5 })
    expect(outcomeOf(withdrawn)).toEqual({ kind: 'withdrawn', reviewId: 'review-1' })
    expect(codeOf(() => approve(withdrawn, BOB))).toBe('review.not_pending')
    expect(codeOf(() => spend(withdrawn, DIGEST, START + 6))).toBe('review.withdrawn')
    expect(withdraw(withdrawn, 'again', START + 7)).toBe(withdrawn)
  })

  test('what has ended stays as it is', () => {
    const spent = spend(approve(opened(), BOB), DIGEST, START + 2)
    expect(expire(spent, START + 99_999)).toBe(spent)
    expect(withdraw(spent, 'late', START + 3)).toBe(spent)
  })
})

describe('exactly this operation', () => {
  test.each([
    { name: 'another digest', digest: Buffer.alloc(32, 8) },
    { name: 'a cut digest', digest: DIGEST.subarray(0, 31) },
    { name: 'no digest', digest: Buffer.alloc(0) },
  ])('$name is not what was approved', ({ digest }) => {
    expect(codeOf(() => spend(approve(opened(), BOB), digest, START + 2))).toBe('review.mismatch')
  })

  test('a pending review cannot be spent', () => {
    expect(codeOf(() => spend(opened(), DIGEST, START + 1))).toBe('review.not_pending')
  })

  const base = {
    sessionId: 's',
    principal: ALICE,
    target: { name: 'shop' },
    text: Buffer.from('delete from a where id = $1'),
    parameters: [{ type: 'int4', format: 'text' as const, value: Buffer.from('1') }],
  }
  const parameter = (change: object) => ({ ...base, parameters: base.parameters.map((one) => ({ ...one, ...change })) })
  test.each([
    { name: 'session', other: { ...base, sessionId: 't' } },
    { name: 'person', other: { ...base, principal: { ...ALICE, identity: BOB.identity } } },
    { name: 'actor', other: { ...base, principal: human('alice', ['engineering', 'dba']) } },
    { name: 'target', other: { ...base, target: { name: 'shop2' } } },
    { name: 'text', other: { ...base, text: Buffer.from('delete from a where id = $1 ') } },
    { name: 'parameter value', other: parameter({ value: Buffer.from('2') }) },
    { name: 'parameter type', other: parameter({ type: 'int8' }) },
    { name: 'parameter format', other: parameter({ format: 'binary' }) },
    { name: 'NULL instead of empty', other: parameter({ value: undefined }) },
    { name: 'empty instead of NULL', other: parameter({ value: Buffer.alloc(0) }) },
    { name: 'one more parameter', other: { ...base, parameters: [...base.parameters, ...base.parameters] } },
    { name: 'no parameter', other: { ...base, parameters: [] } },
    { name: 'text moved into the target', other: { ...base, target: { name: 'shopd' }, text: base.text.subarray(1) } },
  ])('the digest binds: $name', ({ other }) => {
    expect(operationDigest(base)).toHaveLength(32)
    expect(operationDigest(other).equals(operationDigest(base))).toBe(false)
  })

  test('the same operation has the same digest', () => {
    expect(operationDigest({ ...base, text: Buffer.from(base.text) })).toEqual(operationDigest(base))
  })
})

describe('who may answer', () => {
  test.each<{ name: string; reviewer: Principal; code: ErrorCode | undefined }>([
    { name: 'another human of the group', reviewer: BOB, code: undefined },
    { name: 'the requester', reviewer: human('alice'), code: 'review.self_approval' },
    {
      name: 'the requester known to another issuer by the same e-mail',
      reviewer: human('a.smith', ['dba'], { issuer: 'https://other.example.org', email: 'Alice@example.org' }),
      code: 'review.self_approval',
    },
    {
      name: 'somebody else called alice at another issuer',
      reviewer: human('alice', ['dba'], { issuer: 'https://other.example.org', email: 'al@other.example.org' }),
      code: undefined,
    },
    {
      name: 'an agent of another human',
      reviewer: { ...BOB, actor: { kind: 'agent', name: 'bot' } },
      code: 'review.not_reviewer',
    },
    { name: 'a service', reviewer: { ...BOB, actor: { kind: 'service', name: 'ci' } }, code: 'review.not_reviewer' },
    {
      name: 'a human of another group',
      reviewer: human('eve', ['dba2', 'DBA', 'group:dba']),
      code: 'review.not_reviewer',
    },
    { name: 'a human without groups', reviewer: human('eve', []), code: 'review.not_reviewer' },
  ])('$name: $code', ({ reviewer, code }) => {
    expect(codeOf(() => approve(opened(), reviewer))).toBe(code)
    expect(codeOf(() => deny(opened(), reviewer))).toBe(code)
    expect(refusalToAnswer(opened(), reviewer, START)?.code).toBe(code)
  })

  test.each([
    { reviewers: ['user:bob'], reviewer: BOB, ok: true },
    { reviewers: ['user:BOB@example.org'], reviewer: BOB, ok: true },
    { reviewers: ['user:Bob'], reviewer: BOB, ok: false },
    { reviewers: ['user:'], reviewer: human('x', [], { email: '' }), ok: false },
    { reviewers: ['bob'], reviewer: BOB, ok: false },
    { reviewers: ['group:*'], reviewer: BOB, ok: false },
    { reviewers: ['user:carol', 'group:dba'], reviewer: BOB, ok: true },
  ])('$reviewers', ({ reviewers, reviewer, ok }) => {
    expect(codeOf(() => approve(opened({ reviewers }), reviewer))).toBe(ok ? undefined : 'review.not_reviewer')
  })
})

describe('quorum', () => {
  test('needs distinct humans; the same one again changes nothing', () => {
    const once = approve(opened({ approvals: 2 }), BOB)
    expect(once).toMatchObject({ state: 'pending', version: 2 })
    expect(missingApprovals(once)).toMatchObject([{ approvals: 1 }])
    expect(approve(once, BOB)).toBe(once)
    const sameByMail = human('robert', ['dba'], { issuer: 'https://other.example.org', email: 'bob@example.org' })
    expect(approve(once, sameByMail)).toBe(once)
    expect(approve(once, CAROL).state).toBe('approved')
  })

  test('whoever approved may still deny while it waits', () => {
    expect(deny(approve(opened({ approvals: 2 }), BOB), BOB).state).toBe('denied')
  })

  const both = { also: [{ rule: 'security', reviewers: ['group:security'], approvals: 2 }] }
  test('every rule that held it must be satisfied, in any order', () => {
    const people = [BOB, human('sam', ['security']), human('sue', ['security'])]
    for (const order of [
      [0, 1, 2],
      [2, 1, 0],
      [1, 0, 2],
    ]) {
      let review = opened(both)
      const states = order.map((at) => {
        review = approve(review, people[at] ?? BOB)
        return review.state
      })
      expect(states).toEqual(['pending', 'pending', 'approved'])
    }
  })

  test('one human of both groups counts in both, once', () => {
    const first = approve(opened(both), human('max', ['dba', 'security']))
    expect(missingApprovals(first)).toEqual([{ rule: 'security', reviewers: ['group:security'], approvals: 1 }])
    expect(approve(first, BOB)).toBe(first)
    expect(approve(first, human('sam', ['security'])).state).toBe('approved')
  })
})

test('a review is JSON-safe: what comes back from a row is what went in', () => {
  const review = approve(opened(), BOB)
  expect(JSON.parse(JSON.stringify(review))).toEqual(review)
  const unknown = opened({}, { facts: { ...FACTS, estimatedRows: Number.POSITIVE_INFINITY } })
  expect(unknown.facts).not.toHaveProperty('estimatedRows')
})

/** A store's row with optimistic concurrency, as `UPDATE … WHERE version = …` gives it. */
class Row {
  review: Review
  constructor(review: Review) {
    this.review = review
  }
  replace(read: Review, next: Review): boolean {
    if (this.review.version !== read.version) return false
    this.review = next
    return true
  }
}

describe('races', () => {
  test('two approvers at once: the loser reads again and finds its vote counted or not needed', () => {
    const row = new Row(opened({ approvals: 2 }))
    const read = row.review
    expect(row.replace(read, approve(read, BOB))).toBe(true)
    expect(row.replace(read, approve(read, CAROL))).toBe(false)
    expect(row.replace(row.review, approve(row.review, CAROL))).toBe(true)
    expect(row.review).toMatchObject({ state: 'approved', version: 3 })
  })

  test('an approval and a denial at once: whichever is written second sees the first', () => {
    const row = new Row(opened())
    const read = row.review
    row.replace(read, approve(read, BOB))
    expect(row.replace(read, deny(read, CAROL))).toBe(false)
    expect(codeOf(() => deny(row.review, CAROL))).toBe('review.not_pending')
  })

  test('two who spend at once: one wins', () => {
    const row = new Row(approve(opened(), BOB))
    const read = row.review
    const wins = [spend(read, DIGEST, START + 2), spend(read, DIGEST, START + 2)].map((next) => row.replace(read, next))
    expect(wins).toEqual([true, false])
    expect(codeOf(() => spend(row.review, DIGEST, START + 3))).toBe('review.not_pending')
  })

  test('whatever is done in whatever order: it is spent at most once, and only after its quorum', () => {
    const people = [
      BOB,
      CAROL,
      human('alice'),
      human('eve', []),
      { ...BOB, actor: { kind: 'agent' as const, name: 'bot' } },
    ]
    const act = fc.oneof(
      fc.tuple(fc.constant('approve' as const), fc.constantFrom(...people)),
      fc.tuple(fc.constantFrom('deny' as const, 'spend' as const, 'wrong' as const), fc.constantFrom(...people)),
      fc.tuple(fc.constantFrom('expire' as const, 'withdraw' as const), fc.constant(BOB)),
    )
    const step = fc.record({ act, at: fc.nat({ max: 70_000 }), stale: fc.boolean() })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 25 }), fc.integer({ min: 1, max: 2 }), (steps, approvals) => {
        const row = new Row(opened({ approvals }))
        let before = row.review
        let spends = 0
        for (const {
          act: [what, who],
          at,
          stale,
        } of steps) {
          const read = stale ? before : row.review
          before = row.review
          const next = attempt(read, what, who, START + at)
          if (next === undefined || next === read || !row.replace(read, next)) continue
          expect(next.version).toBe(read.version + 1)
          if (what !== 'spend') continue
          spends++
          const approvers = new Set(
            next.answers.filter((given) => given.verdict === 'approve').map((given) => given.reviewer.subject),
          )
          expect(approvers.size).toBeGreaterThanOrEqual(approvals)
          expect([...approvers].every((name) => name === 'bob' || name === 'carol')).toBe(true)
          expect(at).toBeLessThan(60_000)
        }
        expect(spends).toBeLessThanOrEqual(1)
      }),
      { numRuns: 500 },
    )
  })
})

function attempt(review: Review, what: string, who: Principal, now: number): Review | undefined {
  try {
    if (what === 'approve') return approve(review, who, now)
    if (what === 'deny') return deny(review, who, now)
    if (what === 'expire') return expire(review, now)
    if (what === 'withdraw') return withdraw(review, 'left', now)
    return spend(review, what === 'spend' ? DIGEST : Buffer.alloc(32), now)
  } catch (error) {
    if (error instanceof GatewayError) return undefined
    throw error
  }
}
