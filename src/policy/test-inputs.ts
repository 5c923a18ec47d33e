import { EMPTY_FACTS, type Facts, type Principal, type TargetInfo } from '../kernel/index.ts'
import { compilePolicies, type DecisionInput, formatProblem, type PolicySnapshot, parsePolicyYaml } from './index.ts'

/** Made-up inputs for the tests of this folder. */
export const BLANK_FACTS: Facts = { ...EMPTY_FACTS, kind: 'select', kinds: ['select'], levelReason: '' }

export const ALICE: Principal = {
  identity: { issuer: 'https://id.example.org', subject: 'alice', email: 'alice@example.org', groups: ['engineering'] },
  actor: { kind: 'agent', name: 'claude-code' },
}

export const SHOP: TargetInfo = { name: 'shop', type: 'postgres', labels: { env: 'production' } }

export function input(facts: Partial<Facts> = {}, more: Partial<DecisionInput> = {}): DecisionInput {
  const kinds = facts.kinds ?? [facts.kind ?? 'select']
  return {
    principal: ALICE,
    target: SHOP,
    level: 'admin',
    facts: { ...BLANK_FACTS, ...facts, kinds },
    session: { operations: 0, rowsReturned: 0, bytesReturned: 0, denied: 0 },
    now: Date.UTC(2026, 0, 14, 12),
    ...more,
  }
}

/** Compiles YAML that must be fine. */
export function policy(...texts: readonly string[]): PolicySnapshot {
  const documents = texts.map((text, index) => {
    const parsed = parsePolicyYaml(text, `policy-${index}.yaml`)
    if ('problems' in parsed) throw new Error(parsed.problems.map(formatProblem).join('\n'))
    return parsed.document
  })
  const compiled = compilePolicies(documents)
  if ('problems' in compiled) throw new Error(compiled.problems.map(formatProblem).join('\n'))
  return compiled.snapshot
}

/** The problems of YAML that must not be fine, as lines. */
export function problemsOf(text: string, detectors?: readonly string[]): readonly string[] {
  const parsed = parsePolicyYaml(text, 'policy.yaml')
  if ('problems' in parsed) return parsed.problems.map(formatProblem)
  const compiled = compilePolicies([parsed.document], detectors === undefined ? {} : { detectors })
  if ('snapshot' in compiled) throw new Error('no problem was found')
  return compiled.problems.map(formatProblem)
}
