import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ACCESS_LEVELS, type Decision, type Facts, levelCovers, MASK_KINDS, OPERATION_KINDS } from '../kernel/index.ts'
import { quorumsOf } from '../review/terms.ts'
import { compilePolicies, type DecisionInput, formatProblem, type PolicySnapshot } from './index.ts'
import { input } from './test-inputs.ts'

const TABLES = ['customers', 'public.customers', 'payments', 'sales.orders', 'public.odd.name', 'Customers']
const PATTERNS = ['customers', 'public.customers', 'sales.*', '*', '*.payments', 'payments']
const COLUMNS = ['pan', 'email', '*']
const CONDITIONS = [
  'facts.unbounded',
  'facts.estimatedRows > 100',
  'facts.unbounded || facts.estimatedRows > 100',
  'session.rowsReturned > 10',
  'target.labels.team == "x"',
  'facts.columns.exists(c, c.column == "pan")',
  'actor.kind == "agent"',
]

const some = <Value>(values: readonly Value[]) =>
  fc.uniqueArray(fc.constantFrom(...values), { minLength: 1, maxLength: 3 })

const match = fc.record(
  {
    actor: some(['human', 'agent', 'service']),
    groups: some(['engineering', 'dba', '*']),
    targets: fc.constantFrom({ env: 'production' }, { env: 'staging' }, ['shop'], ['other']),
    operation: some(['select', 'delete', 'drop', 'write', 'read', 'ddl']),
    reads: some(PATTERNS),
    writes: some(PATTERNS),
    tables: some(PATTERNS),
    unbounded: fc.boolean(),
    opaque: fc.boolean(),
    level: some(ACCESS_LEVELS),
    estimatedRows: fc.constantFrom({ over: 5 }, { over: 5000 }),
    times: fc.constant({ after: '2026-01-01T00:00:00Z' }),
  },
  { requiredKeys: [] },
)

const hold = fc.record({
  reviewers: some(['group:dba', 'group:security', 'user:bob']),
  expires: fc.constantFrom('1m', '5m'),
})
const effect = fc.oneof(
  fc.constantFrom('deny', 'allow'),
  hold.map((terms) => ({ hold: terms })),
  fc.constantFrom(...MASK_KINDS).map((mask) => ({ mask })),
)

interface RuleText {
  readonly [key: string]: unknown
}

function rules(effects: fc.Arbitrary<unknown> = effect): fc.Arbitrary<readonly RuleText[]> {
  const parts = fc.tuple(
    match,
    fc.option(fc.constantFrom(...CONDITIONS), { nil: undefined }),
    fc.option(match, { nil: undefined, freq: 2 }),
    effects,
    fc.constantFrom('enforce', 'enforce', 'enforce', 'observe'),
  )
  const one = parts.map(([words, when, unless, outcome, mode]) => {
    const isMask = typeof outcome === 'object' && outcome !== null && 'mask' in outcome
    const scope = isMask ? { columns: ['*.pan'], detect: ['email'] } : {}
    const exception = unless === undefined || Object.keys(unless).length === 0 ? undefined : unless
    const entries = Object.entries({ match: { ...words, ...scope }, when, unless: exception, mode })
    return Object.fromEntries([...entries.filter(([, value]) => value !== undefined), ['then', outcome]])
  })
  return fc.array(one, { maxLength: 6 }).map((list) => list.map((rule, index) => ({ ...rule, name: `r${index}` })))
}

const facts: fc.Arbitrary<Partial<Facts>> = fc.record({
  kind: fc.constantFrom(...OPERATION_KINDS),
  kinds: some(OPERATION_KINDS),
  reads: fc.uniqueArray(fc.constantFrom(...TABLES), { maxLength: 3 }),
  writes: fc.uniqueArray(fc.constantFrom(...TABLES), { maxLength: 2 }),
  columns: fc.array(
    fc.record({
      table: fc.constantFrom(undefined, ...TABLES),
      column: fc.constantFrom(...COLUMNS),
      use: fc.constantFrom('output' as const, 'predicate' as const),
    }),
    { maxLength: 3 },
  ),
  unbounded: fc.boolean(),
  level: fc.constantFrom(...ACCESS_LEVELS),
  dynamicSql: fc.boolean(),
  opaque: fc.constantFrom([], [], ['a function that is not known']),
  estimatedRows: fc.constantFrom(0, 50, 5000, Number.POSITIVE_INFINITY),
})

const situation = fc
  .tuple(facts, fc.constantFrom(...ACCESS_LEVELS), fc.nat({ max: 20 }))
  .map(([given, level, rowsReturned]) =>
    input(given, { level, session: { operations: 1, rowsReturned, bytesReturned: 0, denied: 0 } }),
  )

function compiled(list: readonly RuleText[]): PolicySnapshot {
  const result = compilePolicies([{ source: 'x', content: { rules: list } }])
  if ('problems' in result) throw new Error(result.problems.map(formatProblem).join('\n'))
  return result.snapshot
}

function decided(list: readonly RuleText[], situated: DecisionInput): Decision {
  const decision = compiled(list).decide(situated)
  if (decision.kind === 'needs') throw new Error('the estimate was given')
  return decision
}

const RANK = { allow: 0, mask: 1, hold: 2, deny: 3 } as const

test('the order of rules does not matter, nor does it matter in which documents they are', () => {
  fc.assert(
    fc.property(rules(), situation, fc.infiniteStream(fc.nat()), (list, situated, chance) => {
      const shuffled = list
        .map((rule) => ({ rule, at: chance.next().value }))
        .sort((a, b) => a.at - b.at)
        .map(({ rule }) => rule)
      const half = Math.floor(shuffled.length / 2)
      const documents = [shuffled.slice(half), shuffled.slice(0, half)].map((part, index) => {
        return { source: String(index), content: { rules: part } }
      })
      const parted = compilePolicies(documents)
      if ('problems' in parted) throw new Error('problems')
      expect(decided(shuffled, situated)).toEqual(decided(list, situated))
      expect(parted.snapshot.decide(situated)).toEqual(decided(list, situated))
      expect(parted.snapshot.digest).toBe(compiled(list).digest)
    }),
    { numRuns: 150 },
  )
})

test('one more rule that restricts never makes an outcome more permissive', () => {
  const restricting = fc.oneof(
    fc.constant('deny'),
    hold.map((terms) => ({ hold: terms })),
    fc.constant({ mask: 'redact' }),
  )
  fc.assert(
    fc.property(rules(), rules(restricting), situation, (list, more, situated) => {
      const before = decided(list, situated)
      const after = decided([...list, ...more.map((rule, index) => ({ ...rule, name: `more${index}` }))], situated)
      expect(RANK[after.kind]).toBeGreaterThanOrEqual(RANK[before.kind])
      expect(after.masks).toEqual(expect.arrayContaining([...before.masks]))
      if (before.kind === 'hold' && after.kind === 'hold') {
        expect(after.hold.expiresInMs).toBeLessThanOrEqual(before.hold.expiresInMs)
        const asked = quorumsOf(after.hold, after.rule)
        for (const { reviewers, approvals } of quorumsOf(before.hold, before.rule)) {
          const kept = asked.some(
            (quorum) => quorum.approvals >= approvals && String(quorum.reviewers) === String(reviewers),
          )
          expect(kept).toBe(true)
        }
      }
    }),
    { numRuns: 250 },
  )
})

test('no set of rules lifts the grant of access', () => {
  fc.assert(
    fc.property(rules(), situation, (list, situated) => {
      const decision = decided(list, situated)
      if (!levelCovers(situated.level, situated.facts.level)) expect(decision.kind).toBe('deny')
    }),
    { numRuns: 150 },
  )
})

test('rules in observe mode change nothing but what is observed', () => {
  fc.assert(
    fc.property(rules(), rules(), situation, (list, more, situated) => {
      const observing = more.map((rule, index) => ({ ...rule, name: `more${index}`, mode: 'observe' }))
      const { observed: _, ...before } = decided(list, situated)
      const { observed: __, ...after } = decided([...list, ...observing], situated)
      expect(after).toEqual(before)
    }),
    { numRuns: 150 },
  )
})

test('without an estimate the answer is the one with it, or a wish for it; an unknown one is the strictest', () => {
  fc.assert(
    fc.property(rules(), situation, (list, situated) => {
      const { estimatedRows: _, ...blind } = situated.facts
      const snapshot = compiled(list)
      const first = snapshot.decide({ ...situated, facts: blind })
      if (first.kind === 'needs') return
      const informed = snapshot.decide(situated)
      expect(informed.kind).toBe(first.kind)
    }),
    { numRuns: 250 },
  )
})

test('an explanation ends in the decision, and a rule that decided is among those that matched', () => {
  fc.assert(
    fc.property(rules(), situation, (list, situated) => {
      const snapshot = compiled(list)
      const decision = snapshot.decide(situated)
      const explanation = snapshot.explain(situated)
      expect(explanation.decision).toEqual(decision)
      expect(explanation.rules).toHaveLength(list.length)
      const matched = explanation.rules.filter(({ outcome }) => outcome === 'matched' || outcome === 'failed')
      const named = decision.kind === 'needs' ? [] : [decision.rule, ...decision.masks.map((mask) => mask.rule)]
      for (const rule of named.filter((name) => !name.includes(':'))) {
        expect(matched.map((one) => one.rule)).toContain(rule)
      }
      expect(JSON.parse(JSON.stringify(explanation)).text).toBe(explanation.text)
    }),
    { numRuns: 150 },
  )
})
