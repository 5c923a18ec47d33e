import type { HoldTerms, MaskInstruction, ObservedRule, Principal, TargetInfo } from '../kernel/index.ts'
import { type Expression, NEEDS_ESTIMATE } from './expressions.ts'
import type { CompiledMatch, Moment, PlaceCondition } from './match.ts'

export type Effect =
  | { readonly kind: 'deny' }
  | { readonly kind: 'hold'; readonly hold: HoldTerms }
  | { readonly kind: 'mask'; readonly instruction: MaskInstruction }
  | { readonly kind: 'allow'; readonly liftsOpaque: boolean }

export interface CompiledRule {
  readonly name: string
  readonly source: string
  readonly description: string | undefined
  readonly message: string | undefined
  readonly mode: 'enforce' | 'observe'
  readonly effect: Effect
  readonly match: CompiledMatch
  readonly unless: readonly CompiledMatch[]
  readonly when: Expression | undefined
  readonly observed: ObservedRule
}

/**
 * - `no`: a part does not match; `part` says which
 * - `excepted`: an `unless` matches
 * - `needs`: all else matches and the rest cannot be told without the planner's estimate
 * - `failed`: it threw
 */
export type Verdict =
  | { readonly kind: 'yes' | 'needs' }
  | { readonly kind: 'no'; readonly part: string; readonly wanted: string }
  | { readonly kind: 'excepted'; readonly part: string }
  | { readonly kind: 'failed'; readonly error: unknown }

const YES: Verdict = { kind: 'yes' }
const NEEDS: Verdict = { kind: 'needs' }

/** The condition on who and where that does not hold, if one does not. */
export function failedPlace(
  match: CompiledMatch,
  principal: Principal,
  target: TargetInfo,
): PlaceCondition | undefined {
  return match.place.find((condition) => !condition.test(principal, target))
}

/**
 * Whether a rule applies, given that its conditions on who and where hold. `unless` is asked before `when`: whoever is
 * excepted is not refused because the condition fails to evaluate.
 */
export function ruleVerdict(rule: CompiledRule, unless: readonly CompiledMatch[], moment: Moment): Verdict {
  try {
    let needs = false
    for (const condition of rule.match.operation) {
      const held = ask(() => condition.test(moment))
      if (held === 'needs') needs = true
      else if (!held) return { kind: 'no', part: `match.${condition.word}`, wanted: condition.wanted }
    }
    for (const exception of unless) {
      const held = exceptionHolds(exception, moment)
      if (held === 'needs') needs = true
      else if (held) return { kind: 'excepted', part: describe(exception) }
    }
    const { when } = rule
    if (when !== undefined) {
      const held = ask(() => when.evaluate(moment.context))
      if (held === 'needs') needs = true
      else if (!held) return { kind: 'no', part: 'when', wanted: when.source }
    }
    return needs ? NEEDS : YES
  } catch (error) {
    return { kind: 'failed', error }
  }
}

function exceptionHolds(exception: CompiledMatch, moment: Moment): boolean | 'needs' {
  let needs = false
  for (const condition of exception.operation) {
    const held = ask(() => condition.test(moment))
    if (held === 'needs') needs = true
    else if (!held) return false
  }
  return needs ? 'needs' : true
}

function ask(test: () => boolean): boolean | 'needs' {
  try {
    return test()
  } catch (error) {
    if (error === NEEDS_ESTIMATE) return 'needs'
    throw error
  }
}

/** `groups: fraud-team; operation: select`. */
export function describe(match: CompiledMatch): string {
  return [...match.place, ...match.operation].map(({ word, wanted }) => `${word}: ${wanted}`).join('; ')
}
