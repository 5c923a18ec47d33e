import type { HoldTerms } from '../kernel/index.ts'

/** Whose approvals one rule asks for. */
export interface Quorum {
  readonly rule: string
  /** `group:dba`, `user:bob`; any of them. */
  readonly reviewers: readonly string[]
  /** How many distinct humans of them. */
  readonly approvals: number
}

/**
 * What all hold rules that match one operation ask for together. The first rule's terms stand in the kernel's fields;
 * every other rule's stand in `also`, and all of them must be met: adding a rule never makes an approval easier.
 */
export interface HoldDemand extends HoldTerms {
  readonly also?: readonly Quorum[]
}

/** Every quorum of a hold, the deciding rule's first. */
export function quorumsOf(hold: HoldTerms, rule: string): readonly Quorum[] {
  const { reviewers, approvals } = hold
  return [{ rule, reviewers, approvals }, ...((hold as HoldDemand).also ?? [])]
}
