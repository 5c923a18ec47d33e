import type { ExplanationView } from '../api/schemas.ts'
import { evaluateGrants, type Grant } from '../identity/index.ts'
import { type AccessLevel, type Facts, type Principal, principalLabel, type TargetInfo } from '../kernel/index.ts'
import type { Explanation, PolicySnapshot } from '../policy/index.ts'
import { redactLiterals, SqlAnalyzer } from '../sql/index.ts'

const NOTHING_YET = { operations: 0, rowsReturned: 0, bytesReturned: 0, denied: 0 }
const LIMITS = { maxStatementBytes: 1_048_576, maxStatements: 1_000, maxDepth: 500 }

export interface ExplainInput {
  readonly sql: string
  readonly principal: Principal
  readonly target: TargetInfo
  readonly grants: readonly Grant[]
  readonly snapshot: PolicySnapshot
  readonly now: number
}

/**
 * Tells what would become of a statement, and why; nothing is run, and no target is asked.
 *
 * @throws GatewayError `sql.*` when the statement cannot be judged.
 */
export function explainSql(input: ExplainInput): ExplanationView {
  const { sql, principal, target, grants, snapshot, now } = input
  const access = evaluateGrants(grants, principal, target, now)
  // Without a grant the session would not open; the statement is still explained, as with the least access.
  const level: AccessLevel = access?.level ?? 'read'
  const analyzer = new SqlAnalyzer({ limits: LIMITS, cacheEntries: 0 })
  return {
    principal: principalLabel(principal),
    target: target.name,
    level: access?.level ?? null,
    statements: analyzer.analyze(sql).map(({ text, facts, secretLiterals }) => {
      const explain = (judged: Facts) =>
        snapshot.explain({ principal, target, level, facts: judged, session: NOTHING_YET, now })
      const explained = explain(facts)
      const { decision, words } = settled(explained, (estimatedRows) => explain({ ...facts, estimatedRows }))
      return {
        text: secretLiterals ? redactLiterals(text) : text,
        facts: { ...facts },
        level: { needed: explained.level.needed, covers: explained.level.covers, reason: explained.level.reason },
        rules: explained.rules.map(({ part, ...rule }) => (part === undefined ? rule : { ...rule, part })),
        decision: { ...decision },
        words,
      }
    }),
  }
}

/**
 * No target is asked, so there is no estimate. Where the outcome hangs on it, both outcomes are told, and the answer is
 * the one for an estimate that could not be had, as the gateway would decide.
 */
function settled(explained: Explanation, withRows: (estimatedRows: number) => Explanation) {
  if (explained.decision.kind !== 'needs') return { decision: explained.decision, words: explained.text }
  const few = withRows(0)
  const many = withRows(Number.POSITIVE_INFINITY)
  const outcome = (one: Explanation) => one.text.slice(one.text.lastIndexOf('\n') + 1)
  const before = explained.text.slice(0, explained.text.lastIndexOf('\n'))
  const words = `${before}\n${outcome(few)} (if the planner expects few rows)\n${outcome(many)} (if many, or not known)`
  return { decision: many.decision, words }
}
