import type { Path } from './problems.ts'
import { listOf, type MatchContent, type RuleContent } from './schema.ts'

/** Keys of the schema, for suggestions where somebody mistyped one. */
export const policyKeys: readonly string[] = [
  ...['version', 'description', 'defaults', 'rules', 'opaque'],
  ...['name', 'match', 'when', 'unless', 'then', 'message', 'mode'],
  ...['targets', 'actor', 'actorName', 'groups', 'users', 'issuers', 'operation', 'level', 'reads', 'writes', 'tables'],
  ...['columns', 'functions', 'settings', 'detect', 'estimatedRows', 'times', 'unbounded', 'rowLocks'],
  ...['changesPrivileges', 'serverFiles', 'serverPrograms', 'dynamicSql', 'windows', 'days', 'hours', 'timezone'],
  ...['after', 'before', 'over', 'mask', 'hold', 'reviewers', 'approvals', 'expires'],
]

type Finding = readonly [Path, string]

/** What is wrong with a rule beyond its shape. */
export function ruleProblems(rule: RuleContent, detectors: readonly string[] | undefined): Finding[] {
  const found: Finding[] = []
  const isMask = typeof rule.then === 'object' && 'mask' in rule.then
  const match = rule.match ?? {}
  if (isMask && match.columns === undefined && match.detect === undefined) {
    found.push([['then'], 'A mask rule needs match.columns or match.detect, which say what to mask.'])
  }
  if (!isMask && match.detect !== undefined) {
    found.push([['match', 'detect'], 'Detectors look at results, so detect goes with then: { mask: … } only.'])
  }
  listOf<MatchContent>(rule.unless ?? []).forEach((exception, index) => {
    if (exception.detect !== undefined) {
      const path = Array.isArray(rule.unless) ? ['unless', index, 'detect'] : ['unless', 'detect']
      found.push([path, 'Detectors look at results, so detect cannot be an exception.'])
    }
  })
  if (isMask) {
    listOf(match.columns ?? []).forEach((pattern, index) => {
      const parts = pattern.split('.')
      const path = Array.isArray(match.columns) ? ['match', 'columns', index] : ['match', 'columns']
      if (parts.length > 3 || parts.includes('')) {
        found.push([path, 'Write a column as column, table.column or schema.table.column.'])
      }
    })
  }
  if (detectors !== undefined) {
    listOf(match.detect ?? []).forEach((name, index) => {
      if (detectors.includes(name)) return
      const path = Array.isArray(match.detect) ? ['match', 'detect', index] : ['match', 'detect']
      found.push([path, `There is no detector ${name}. There are ${detectors.join(', ')}.`])
    })
  }
  return found
}

/** What is valid and probably not meant. */
export function ruleWarnings(rule: RuleContent): Finding[] {
  const found: Finding[] = []
  const everything = Object.values(rule.match ?? {}).every((value) => value === undefined) && rule.when === undefined
  if (everything && rule.then === 'allow') {
    found.push([
      ['match'],
      'This allow rule matches everything and changes nothing: it never lifts a grant, a deny or a hold.',
    ])
  }
  if (everything && rule.then === 'deny' && rule.unless === undefined && rule.mode === 'enforce') {
    found.push([['match'], 'This rule denies every operation of everybody.'])
  }
  if (everything && typeof rule.then === 'object' && 'hold' in rule.then && rule.mode === 'enforce') {
    found.push([['match'], 'This rule holds every operation, also BEGIN and SHOW.'])
  }
  if (
    rule.match?.targets !== undefined &&
    typeof rule.match.targets === 'object' &&
    !Array.isArray(rule.match.targets)
  ) {
    if (Object.keys(rule.match.targets).length === 0) {
      found.push([['match', 'targets'], 'Empty targets match every target; leave the word out if that is meant.'])
    }
  }
  return found
}
