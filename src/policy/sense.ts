import { nameParts } from './patterns.ts'
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
    const path = Array.isArray(rule.unless) ? ['unless', index] : ['unless']
    found.push(...nameProblems(exception, path))
    if (exception.detect !== undefined) {
      found.push([[...path, 'detect'], 'Detectors look at results, so detect cannot be an exception.'])
    }
  })
  found.push(...nameProblems(match, ['match']))
  if (detectors !== undefined) {
    listOf(match.detect ?? []).forEach((name, index) => {
      if (detectors.includes(name)) return
      const path = Array.isArray(match.detect) ? ['match', 'detect', index] : ['match', 'detect']
      found.push([path, `There is no detector ${name}. There are ${detectors.join(', ')}.`])
    })
  }
  return found
}

const NAME_PARTS = { reads: 2, writes: 2, tables: 2, functions: 2, columns: 3 } as const
const NAME_FORMS = { 2: 'name or schema.name', 3: 'column, table.column or schema.table.column' } as const

function nameProblems(match: MatchContent, at: Path): Finding[] {
  const found: Finding[] = []
  for (const [word, most] of Object.entries(NAME_PARTS) as [keyof typeof NAME_PARTS, 2 | 3][]) {
    listOf(match[word] ?? []).forEach((pattern, index) => {
      const parts = nameParts(pattern)
      if (parts !== undefined && parts.length <= most) return
      const path = Array.isArray(match[word]) ? [...at, word, index] : [...at, word]
      found.push([path, `Write ${NAME_FORMS[most]}; a part with dots or capitals goes in double quotes.`])
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
