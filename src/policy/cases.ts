import {
  type Decision,
  EMPTY_FACTS,
  type Facts,
  GatewayError,
  type Principal,
  type SessionTotals,
} from '../kernel/index.ts'
import { type HoldDemand, quorumsOf } from '../review/terms.ts'
import type { PolicyCase } from './case-schema.ts'
import type { DecisionInput, PolicySnapshot } from './snapshot.ts'

/** Turns a statement into facts: `(sql) => analyzer.analyze(sql)`. */
export type Analyze = (sql: string) => readonly { readonly facts: Facts }[]

export interface CaseResult {
  readonly name: string
  readonly source: string
  readonly ok: boolean
  /** `decision: expected deny, got allow (grant:read)`; empty when ok. */
  readonly differences: readonly string[]
  /** What was decided; undefined when the statement was refused before policy or could not be turned into facts. */
  readonly decision: Decision | undefined
  /** The explanation in words of a case that failed; empty when ok. */
  readonly explanation: string
}

export interface PolicyTestReport {
  readonly passed: number
  readonly failed: number
  readonly results: readonly CaseResult[]
}

const NOTHING_YET: SessionTotals = { operations: 0, rowsReturned: 0, bytesReturned: 0, denied: 0 }
const NOON = Date.UTC(2026, 0, 14, 12)
const RANK = { allow: 0, mask: 1, hold: 2, deny: 3 } as const

/** The facts of a plain SELECT of nothing, for cases that state facts themselves. */
const BLANK: Facts = { ...EMPTY_FACTS, kind: 'select', kinds: [], levelReason: '' }

/**
 * Runs cases against a snapshot. A statement text with several statements has the strictest decision of them.
 *
 * @param analyze - Left out: cases with `sql` fail with a plain word.
 */
export function runPolicyTests(
  snapshot: PolicySnapshot,
  cases: readonly PolicyCase[],
  analyze?: Analyze,
): PolicyTestReport {
  const results = cases.map((one) => runCase(snapshot, one, analyze))
  const passed = results.filter((result) => result.ok).length
  return { passed, failed: results.length - passed, results }
}

function runCase(snapshot: PolicySnapshot, one: PolicyCase, analyze: Analyze | undefined): CaseResult {
  const base = { name: one.name, source: one.source }
  let statements: readonly Facts[]
  try {
    statements = factsOf(one, analyze)
  } catch (error) {
    // What cannot be judged is refused before policy; a case may expect exactly that.
    const code = GatewayError.from(error).code
    const expected = one.expect.decision === 'deny' && one.expect.code === code
    const message = error instanceof Error ? error.message : String(error)
    const differences = expected ? [] : [`the statement was refused before policy: ${code} (${message})`]
    return { ...base, ok: expected, differences, decision: undefined, explanation: '' }
  }
  const inputs = statements.map((facts) => inputOf(one, facts))
  const judged = inputs.map((input) => ({ input, decision: settle(snapshot, input) }))
  const strictest = judged.reduce((a, b) => (RANK[b.decision.kind] > RANK[a.decision.kind] ? b : a))
  const differences = compare(one.expect, strictest.decision)
  const ok = differences.length === 0
  return {
    ...base,
    ok,
    differences,
    decision: strictest.decision,
    explanation: ok ? '' : snapshot.explain(strictest.input).text,
  }
}

function factsOf(one: PolicyCase, analyze: Analyze | undefined): readonly Facts[] {
  const { facts: given = {}, estimatedRows } = one
  const stated = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as Partial<Facts>
  const rows = estimatedRows === undefined ? {} : { estimatedRows }
  if (one.sql === undefined) {
    const kinds = stated.kinds ?? [stated.kind ?? BLANK.kind]
    return [{ ...BLANK, ...stated, kinds, ...rows }]
  }
  if (analyze === undefined) throw new Error('cases with sql need an analyzer')
  const statements = analyze(one.sql)
  if (statements.length === 0) throw new Error('the sql holds no statement')
  return statements.map(({ facts }) => ({ ...facts, ...stated, ...rows }))
}

function inputOf(one: PolicyCase, facts: Facts): DecisionInput {
  const { user, email, issuer, groups, actor } = one.as
  const named = typeof actor === 'string' ? { kind: actor, name: actor === 'human' ? user : 'test' } : actor
  const principal: Principal = { identity: { issuer, subject: user, email, groups }, actor: named }
  const now = one.now === undefined ? NOON : Date.parse(one.now)
  return { principal, target: one.target, level: one.level, facts, session: one.session ?? NOTHING_YET, now }
}

function settle(snapshot: PolicySnapshot, input: DecisionInput): Decision {
  const decision = snapshot.decide(input)
  if (decision.kind !== 'needs') return decision
  const facts = { ...input.facts, estimatedRows: Number.POSITIVE_INFINITY }
  const settled = snapshot.decide({ ...input, facts })
  if (settled.kind === 'needs') throw new Error('the estimate was given and is asked for again')
  return settled
}

function compare(expect: PolicyCase['expect'], decision: Decision): string[] {
  const differences: string[] = []
  const check = (word: string, wanted: string | undefined, got: string) => {
    if (wanted !== undefined && wanted !== got) differences.push(`${word}: expected ${wanted}, got ${got}`)
  }
  const set = (names: readonly string[]) => [...names].sort().join(', ') || 'none'
  const optional = (names: readonly string[] | undefined) => (names === undefined ? undefined : set(names))
  if (decision.kind !== expect.decision) {
    differences.push(
      `decision: expected ${expect.decision}, got ${decision.kind} (${decision.rule}: ${decision.reason})`,
    )
  }
  check('rule', expect.rule, decision.rule)
  check('code', expect.code, decision.kind === 'deny' ? decision.code : 'none')
  check('masks', optional(expect.masks), set(decision.masks.map((mask) => mask.rule)))
  check('observed', optional(expect.observed), set(decision.observed.map((observed) => observed.rule)))
  if (expect.reviewers !== undefined) {
    const hold: HoldDemand | undefined = decision.kind === 'hold' ? decision.hold : undefined
    const asked = hold === undefined ? [] : quorumsOf(hold, decision.rule).flatMap((quorum) => quorum.reviewers)
    check('reviewers', optional(expect.reviewers), set([...new Set(asked)]))
  }
  return differences
}
