import type { Decision, Facts, Principal, TargetInfo } from '../kernel/index.ts'
import { levelCovers, principalLabel } from '../kernel/index.ts'
import { estimateOf, isOpaque, Moment } from './match.ts'
import { type CompiledRule, describe, failedPlace, ruleVerdict } from './rules.ts'
import type { DecisionInput, Needs } from './snapshot.ts'

export interface RuleExplanation {
  readonly rule: string
  readonly source: string
  readonly effect: 'deny' | 'hold' | 'mask' | 'allow'
  readonly mode: 'enforce' | 'observe'
  readonly outcome: 'matched' | 'not matched' | 'excepted' | 'needs estimate' | 'failed'
  /** The part that decided against it, such as `match.operation`; undefined when it matched. */
  readonly part: string | undefined
  readonly words: string
}

/** JSON-safe; `text` says the same in words. */
export interface Explanation {
  readonly decision: Decision | Needs
  readonly level: {
    readonly granted: string
    readonly needed: string
    readonly covers: boolean
    readonly reason: string
  }
  readonly opaque: readonly string[]
  readonly rules: readonly RuleExplanation[]
  readonly text: string
}

/** Walks every rule, also those that do not concern the principal, and says why each does or does not apply. */
export function explainDecision(
  rules: readonly CompiledRule[],
  input: DecisionInput,
  decision: Decision | Needs,
): Explanation {
  const { facts, level } = input
  const moment = new Moment(input, estimateOf(facts))
  const explained = rules.map((rule) => explainRule(rule, moment, input.principal, input.target))
  const covers = levelCovers(level, facts.level)
  const opaque = isOpaque(facts)
    ? facts.opaque.length > 0
      ? facts.opaque
      : ['it runs text that is built at run time']
    : []
  const levels = { granted: level, needed: facts.level, covers, reason: facts.levelReason }
  const text = words(explained, input, decision, opaque)
  return { decision, level: levels, opaque, rules: explained, text }
}

function explainRule(rule: CompiledRule, moment: Moment, principal: Principal, target: TargetInfo): RuleExplanation {
  const base = { rule: rule.name, source: rule.source, effect: rule.effect.kind, mode: rule.mode }
  const place = failedPlace(rule.match, principal, target)
  if (place !== undefined) {
    const words = `${place.word} is not ${place.wanted}`
    return { ...base, outcome: 'not matched', part: `match.${place.word}`, words }
  }
  const unless = rule.unless.filter((exception) => failedPlace(exception, principal, target) === undefined)
  const verdict = ruleVerdict(rule, unless, moment)
  switch (verdict.kind) {
    case 'yes':
      return { ...base, outcome: 'matched', part: undefined, words: matchedWords(rule) }
    case 'needs':
      return { ...base, outcome: 'needs estimate', part: undefined, words: "hangs on the planner's estimate of rows" }
    case 'no': {
      const words =
        verdict.part === 'when'
          ? `the condition is false: ${verdict.wanted}`
          : `${verdict.part.replace('match.', '')} is not ${verdict.wanted}`
      return { ...base, outcome: 'not matched', part: verdict.part, words }
    }
    case 'excepted':
      return { ...base, outcome: 'excepted', part: 'unless', words: `unless ${verdict.part}` }
    case 'failed': {
      const [message] = (verdict.error instanceof Error ? verdict.error.message : String(verdict.error)).split('\n')
      return { ...base, outcome: 'failed', part: 'when', words: `could not be evaluated: ${message}` }
    }
  }
}

function matchedWords(rule: CompiledRule): string {
  const parts = [describe(rule.match), rule.when === undefined ? '' : `when ${rule.when.source}`].filter(Boolean)
  const where = parts.length === 0 ? 'whatever the operation' : parts.join(' and ')
  if (rule.effect.kind !== 'mask') return where
  const { columns, detect } = rule.effect.instruction
  return `${where}; masks ${[...columns, ...detect.map((name) => `detected ${name}`)].join(', ')}`
}

const MARKS = { matched: '+', 'not matched': '-', excepted: '~', 'needs estimate': '?', failed: '!' } as const

function words(
  rules: readonly RuleExplanation[],
  input: DecisionInput,
  decision: Decision | Needs,
  opaque: readonly string[],
) {
  const { principal, target, level, facts } = input
  const lines = [
    `${principalLabel(principal)} at ${target.name}, ${level} access: ${factsWords(facts)}.`,
    ...opaque.map((why) => `Cannot be seen from outside: ${why}.`),
    ...rules.map(
      ({ rule, effect, mode, outcome, words }) =>
        `${MARKS[outcome]} ${rule} (${effect}${mode === 'observe' ? ', observe only' : ''}): ${outcome}, ${words}`,
    ),
    outcomeWords(decision),
  ]
  return lines.join('\n')
}

function factsWords(facts: Facts): string {
  const parts = [`${facts.kinds.join('+') || facts.kind} needing ${facts.level} access`]
  if (facts.reads.length > 0) parts.push(`reads ${facts.reads.join(', ')}`)
  if (facts.writes.length > 0) parts.push(`writes ${facts.writes.join(', ')}`)
  if (facts.unbounded) parts.push('unbounded')
  if (facts.estimatedRows !== undefined) parts.push(`about ${facts.estimatedRows} rows`)
  return parts.join('; ')
}

function outcomeWords(decision: Decision | Needs): string {
  if (decision.kind === 'needs') return "= needs the planner's estimate of rows to decide"
  const code = decision.kind === 'deny' ? ` ${decision.code}` : ''
  const masks =
    decision.masks.length === 0
      ? ''
      : `; masks ${decision.masks.map((mask) => `${mask.rule} (${mask.mask})`).join(', ')}`
  const observed =
    decision.observed.length === 0
      ? ''
      : `; observed ${decision.observed.map(({ rule, wouldHave }) => `${rule} (would have: ${wouldHave})`).join(', ')}`
  return `= ${decision.kind}${code} by ${decision.rule}: ${decision.reason}${masks}${observed}`
}
