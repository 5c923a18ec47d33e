import {
  type AccessLevel,
  type Decision,
  type Facts,
  type HoldTerms,
  levelCovers,
  type MaskInstruction,
  type ObservedRule,
  type Principal,
  type SessionTotals,
  type TargetInfo,
} from '../kernel/index.ts'
import type { HoldDemand, Quorum } from '../review/terms.ts'
import { type Explanation, explainDecision } from './explain.ts'
import { HUGE_ROWS } from './expressions.ts'
import { type CompiledMatch, estimateOf, isOpaque, Moment } from './match.ts'
import { type CompiledRule, failedPlace, ruleVerdict } from './rules.ts'

export interface DecisionInput {
  readonly principal: Principal
  readonly target: TargetInfo
  /** What the grant gives: the floor that no rule lifts. */
  readonly level: AccessLevel
  readonly facts: Facts
  readonly session: Readonly<SessionTotals>
  /** Milliseconds since the epoch. */
  readonly now: number
}

/** Ask the planner, then decide again with `facts.estimatedRows` set (`Infinity` where it could not be had). */
export interface Needs {
  readonly kind: 'needs'
  readonly what: 'estimatedRows'
}

export const OPAQUE_RULE = 'default:opaque'
export const FAILED_RULE = 'gateway:policy'
const NEEDS: Needs = { kind: 'needs', what: 'estimatedRows' }
const MAX_MASK_SETS = 1000

/**
 * - `unset`: deny when it runs text built at run time or any mask covers the principal at the target, else by the level
 * - `allow`: by the level
 */
export type OpaqueDefault =
  | { readonly kind: 'unset' | 'allow' | 'deny' }
  | { readonly kind: 'hold'; readonly holds: readonly HoldTerms[] }

export interface RuleSummary {
  readonly name: string
  readonly source: string
  readonly effect: 'deny' | 'hold' | 'mask' | 'allow'
  readonly mode: 'enforce' | 'observe'
  readonly description: string | undefined
}

interface PreparedRule {
  readonly rule: CompiledRule
  readonly unless: readonly CompiledMatch[]
}

/** The rules that can apply to one principal at one target. */
interface Prepared {
  readonly rules: readonly PreparedRule[]
  readonly masksInForce: boolean
}

/** All rules of one moment, compiled. Immutable to its users; swapped whole when policies change. */
export class PolicySnapshot {
  /** SHA-256 in hex over the rules in canonical form. */
  readonly digest: string
  readonly #rules: readonly CompiledRule[]
  readonly #opaque: OpaqueDefault
  // Both are keyed by the objects that a session holds for its whole life, so the cache ends with the session.
  readonly #prepared = new WeakMap<Principal, WeakMap<TargetInfo, Prepared>>()
  readonly #maskSets = new Map<string, readonly MaskInstruction[]>()

  constructor(rules: readonly CompiledRule[], opaque: OpaqueDefault, digest: string) {
    // By name: which rule is named in a decision must not depend on the order of files.
    this.#rules = [...rules].sort((a, b) => (a.name < b.name ? -1 : 1))
    this.#opaque = opaque
    this.digest = digest
  }

  get rules(): readonly RuleSummary[] {
    return this.#rules.map(({ name, source, effect, mode, description }) => {
      return { name, source, effect: effect.kind, mode, description }
    })
  }

  /** Every mask rule, whomever it spares and wherever it applies: what the recordings must not hold. Always the same array. */
  get maskRules(): readonly MaskInstruction[] {
    return this.#maskSet(this.#rules.filter(({ effect }) => effect.kind === 'mask'))
  }

  /**
   * Decides on one operation. Synchronous, never throws: what goes wrong inside denies with `policy.failed`.
   *
   * @returns `needs` when the decision hangs on the planner's estimate and `facts.estimatedRows` is undefined; never when
   * it is set, and never when the operation is denied whatever the estimate.
   */
  decide(input: DecisionInput): Decision | Needs {
    try {
      const prepared = this.#prepare(input.principal, input.target)
      const rows = estimateOf(input.facts)
      const tally = tallyRules(prepared.rules, new Moment(input, rows))
      if (!tally.needs) return this.#combine(tally, input, prepared.masksInForce)
      if (!isSurelyDenied(tally, input)) return NEEDS
      return this.#combine(tallyRules(prepared.rules, new Moment(input, HUGE_ROWS)), input, prepared.masksInForce)
    } catch {
      const reason = 'The policy could not be evaluated, so the operation is refused.'
      return { kind: 'deny', code: 'policy.failed', rule: FAILED_RULE, reason, masks: [], observed: [] }
    }
  }

  /** Which rules were looked at, which part of each failed, and the outcome. For people; slower than `decide`. */
  explain(input: DecisionInput): Explanation {
    return explainDecision(this.#rules, input, this.decide(input))
  }

  #prepare(principal: Principal, target: TargetInfo): Prepared {
    const byTarget = this.#prepared.get(principal) ?? new WeakMap<TargetInfo, Prepared>()
    const known = byTarget.get(target)
    if (known !== undefined) return known
    const prepared = prepare(this.#rules, principal, target)
    byTarget.set(target, prepared)
    this.#prepared.set(principal, byTarget)
    return prepared
  }

  #combine(tally: Tally, input: DecisionInput, masksInForce: boolean): Decision {
    const masks = this.#maskSet(tally.masks)
    const { observed } = tally
    const denial = denialOf(tally, input) ?? this.#opaqueDenial(tally, input, masksInForce)
    if (denial !== undefined) return { ...denial, masks, observed }
    const hold = this.#holdOf(tally, input)
    if (hold !== undefined) return { ...hold, masks, observed }
    const allow = tally.allows[0]
    const mask = tally.masks[0]
    if (mask !== undefined) {
      return { kind: 'mask', rule: mask.name, reason: mask.message ?? 'Protected values are masked.', masks, observed }
    }
    const granted = { rule: `grant:${input.level}`, reason: `The grant gives ${input.level} access.` }
    const by =
      allow === undefined ? granted : { rule: allow.name, reason: allow.message ?? `Rule ${allow.name} allows it.` }
    return { kind: 'allow', ...by, masks, observed }
  }

  #opaqueVerdict(tally: Tally, { facts }: DecisionInput, masksInForce: boolean): OpaqueDefault['kind'] {
    if (!isOpaque(facts) || tally.liftsOpaque) return 'allow'
    if (this.#opaque.kind !== 'unset') return this.#opaque.kind
    return facts.dynamicSql || masksInForce ? 'deny' : 'allow'
  }

  #opaqueDenial(tally: Tally, input: DecisionInput, masksInForce: boolean): Denial | undefined {
    if (this.#opaqueVerdict(tally, input, masksInForce) !== 'deny') return undefined
    const why = input.facts.opaque[0] ?? 'it runs text that is built at run time'
    const reason = `What this does cannot be seen from outside (${why}), and policy refuses such operations.`
    return { kind: 'deny', code: 'policy.opaque', rule: OPAQUE_RULE, reason }
  }

  #holdOf(
    tally: Tally,
    input: DecisionInput,
  ): Pick<Decision & { kind: 'hold' }, 'kind' | 'rule' | 'reason' | 'hold'> | undefined {
    const holds = tally.holds.map(({ rule, hold }) => ({ rule: rule.name, message: rule.message, hold }))
    if (this.#opaque.kind === 'hold' && this.#opaqueVerdict(tally, input, false) === 'hold') {
      for (const hold of this.#opaque.holds) holds.push({ rule: OPAQUE_RULE, message: undefined, hold })
    }
    const first = holds[0]
    if (first === undefined) return undefined
    const reason = first.message ?? `Rule ${first.rule} asks for a review by ${first.hold.reviewers.join(' or ')}.`
    return { kind: 'hold', rule: first.rule, reason, hold: combineHolds(holds) }
  }

  /** The same rules always give the same array, so that whoever prepares a scanner per array finds it again. */
  #maskSet(rules: readonly CompiledRule[]): readonly MaskInstruction[] {
    const key = rules.map((rule) => rule.name).join(' ')
    const known = this.#maskSets.get(key)
    if (known !== undefined) return known
    const masks = Object.freeze(rules.flatMap(({ effect }) => (effect.kind === 'mask' ? [effect.instruction] : [])))
    if (this.#maskSets.size >= MAX_MASK_SETS) this.#maskSets.clear()
    this.#maskSets.set(key, masks)
    return masks
  }
}

type Denial = Pick<Decision & { kind: 'deny' }, 'kind' | 'code' | 'rule' | 'reason'>

interface Tally {
  needs: boolean
  liftsOpaque: boolean
  readonly denies: CompiledRule[]
  readonly holds: { readonly rule: CompiledRule; readonly hold: HoldTerms }[]
  readonly masks: CompiledRule[]
  readonly allows: CompiledRule[]
  readonly failed: { readonly rule: CompiledRule; readonly error: unknown }[]
  readonly observed: ObservedRule[]
}

function prepare(rules: readonly CompiledRule[], principal: Principal, target: TargetInfo): Prepared {
  const prepared: PreparedRule[] = []
  for (const rule of rules) {
    if (failedPlace(rule.match, principal, target) !== undefined) continue
    const unless = rule.unless.filter((exception) => failedPlace(exception, principal, target) === undefined)
    if (unless.some((exception) => exception.operation.length === 0)) continue
    prepared.push({ rule, unless })
  }
  const masksInForce = prepared.some(({ rule }) => rule.mode === 'enforce' && rule.effect.kind === 'mask')
  return { rules: prepared, masksInForce }
}

function tallyRules(rules: readonly PreparedRule[], moment: Moment): Tally {
  const tally: Tally = {
    needs: false,
    liftsOpaque: false,
    denies: [],
    holds: [],
    masks: [],
    allows: [],
    failed: [],
    observed: [],
  }
  for (const { rule, unless } of rules) {
    const verdict = ruleVerdict(rule, unless, moment)
    if (verdict.kind === 'needs') tally.needs = true
    else if (verdict.kind === 'yes') count(rule, tally)
    else if (verdict.kind !== 'failed') continue
    else if (rule.mode === 'enforce') tally.failed.push({ rule, error: verdict.error })
    else tally.observed.push({ rule: rule.name, wouldHave: 'deny' })
  }
  return tally
}

function count(rule: CompiledRule, tally: Tally): void {
  const { effect } = rule
  if (rule.mode === 'observe') tally.observed.push(rule.observed)
  else if (effect.kind === 'deny') tally.denies.push(rule)
  else if (effect.kind === 'hold') tally.holds.push({ rule, hold: effect.hold })
  else if (effect.kind === 'mask') tally.masks.push(rule)
  else {
    tally.allows.push(rule)
    if (effect.liftsOpaque) tally.liftsOpaque = true
  }
}

function isSurelyDenied(tally: Tally, input: DecisionInput): boolean {
  return denialOf(tally, input) !== undefined
}

/** A rule's own words help most, so they come before the level; a broken rule comes last. */
function denialOf(tally: Tally, { level, facts }: DecisionInput): Denial | undefined {
  const deny = tally.denies[0]
  if (deny !== undefined) {
    const reason = deny.message ?? deny.description ?? `Rule ${deny.name} refuses this operation.`
    return { kind: 'deny', code: 'policy.denied', rule: deny.name, reason }
  }
  if (!levelCovers(level, facts.level)) {
    const why = facts.levelReason === '' ? '' : ` (${facts.levelReason})`
    const reason = `This needs ${facts.level} access${why}; the grant gives ${level}.`
    return { kind: 'deny', code: 'access.level', rule: `grant:${level}`, reason }
  }
  const failed = tally.failed[0]
  if (failed === undefined) return undefined
  const reason = `Rule ${failed.rule.name} could not be evaluated (${failureCode(failed.error)}), so the operation is refused.`
  return { kind: 'deny', code: 'policy.failed', rule: failed.rule.name, reason }
}

/** The evaluator's stable code only: its messages may quote values. */
function failureCode(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return typeof code === 'string' && /^[a-z_]{1,64}$/.test(code) ? code : 'error'
}

/** All hold rules that match must be satisfied: the shortest expiry, and every rule's own quorum. */
function combineHolds(holds: readonly { readonly rule: string; readonly hold: HoldTerms }[]): HoldTerms {
  const quorums: Quorum[] = []
  for (const { rule, hold } of holds) {
    const { reviewers, approvals } = hold
    const known = quorums.some((other) => other.approvals >= approvals && sameList(other.reviewers, reviewers))
    if (!known) quorums.push({ rule, reviewers, approvals })
  }
  const [first, ...also] = quorums
  const expiresInMs = Math.min(...holds.map(({ hold }) => hold.expiresInMs))
  const terms: HoldTerms = { reviewers: first?.reviewers ?? [], approvals: first?.approvals ?? 1, expiresInMs }
  if (also.length === 0) return terms
  const demand: HoldDemand = { ...terms, also }
  return demand
}

function sameList(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((item, index) => item === b[index])
}
