import { readdirSync, readFileSync } from 'node:fs'
import { beforeAll, describe, expect, test } from 'vitest'
import { DETECTORS } from '../masking/index.ts'
import { DEFAULT_SQL_LIMITS, loadParser, SqlAnalyzer } from '../sql/index.ts'
import {
  compilePolicies,
  formatProblem,
  type PolicyDocument,
  parsePolicyYaml,
  readPolicyCases,
  runPolicyTests,
} from './index.ts'
import { policy } from './test-inputs.ts'

const FOLDER = new URL('../../examples/policies/', import.meta.url)
const files = readdirSync(FOLDER).filter((file) => file.endsWith('.yaml'))
const policies = files.filter((file) => !file.endsWith('.cases.yaml'))

const detectors = DETECTORS.map(({ name }) => name)
const analyzer = new SqlAnalyzer({ limits: DEFAULT_SQL_LIMITS, cacheEntries: 0 })
const analyze = (sql: string) => analyzer.analyze(sql)

beforeAll(loadParser)

function read(file: string): PolicyDocument {
  const parsed = parsePolicyYaml(readFileSync(new URL(file, FOLDER), 'utf8'), file)
  if ('problems' in parsed) throw new Error(parsed.problems.map(formatProblem).join('\n'))
  return parsed.document
}

function compiled(documents: readonly PolicyDocument[]) {
  const result = compilePolicies(documents, { detectors })
  if ('problems' in result) throw new Error(result.problems.map(formatProblem).join('\n'))
  return result
}

describe.each(policies)('%s', (file) => {
  test('compiles without problems or warnings', () => {
    expect(compiled([read(file)]).warnings).toEqual([])
  })

  test('does what its cases say', () => {
    const cases = readPolicyCases(read(file.replace('.yaml', '.cases.yaml')))
    if ('problems' in cases) throw new Error(cases.problems.map(formatProblem).join('\n'))
    const report = runPolicyTests(compiled([read(file)]).snapshot, cases.cases, analyze)
    const failures = report.results.filter((result) => !result.ok)
    expect(
      failures.map(({ name, differences, explanation }) => [name, ...differences, explanation].join('\n')),
    ).toEqual([])
    expect(report.passed).toBe(cases.cases.length)
  })
})

test('all examples work side by side', () => {
  expect(compiled(policies.map(read)).snapshot.rules.length).toBeGreaterThan(10)
})

function run(cases: string, rules = 'rules: [{ name: d, match: { operation: drop }, then: deny }]', withSql = true) {
  const parsed = parsePolicyYaml(cases, 'cases.yaml')
  if ('problems' in parsed) throw new Error('not YAML')
  const found = readPolicyCases(parsed.document)
  if ('problems' in found) return found.problems.map(formatProblem)
  const report = runPolicyTests(policy(rules), found.cases, withSql ? analyze : undefined)
  return report.results.map(({ ok, differences }) => (ok ? 'ok' : differences.join('; ')))
}

const whole = (one: string) => `
defaults: { as: { user: alice }, target: { name: shop }, level: admin }
cases: [{ name: c, ${one} }]
`

test.each([
  { one: 'sql: drop table a, expect: { decision: deny, rule: d, code: policy.denied }', want: 'ok' },
  { one: 'sql: select 1, expect: { decision: allow, rule: "grant:admin", masks: [] }', want: 'ok' },
  {
    one: 'sql: select 1, expect: { decision: deny }',
    want: /^decision: expected deny, got allow \(grant:admin: The grant/,
  },
  { one: 'sql: drop table a, expect: { decision: deny, rule: x }', want: 'rule: expected x, got d' },
  {
    one: 'sql: drop table a, expect: { decision: deny, code: policy.opaque }',
    want: 'code: expected policy.opaque, got policy.denied',
  },
  { one: 'sql: select 1, expect: { decision: allow, masks: [m] }', want: 'masks: expected m, got none' },
  { one: 'sql: select 1, expect: { decision: allow, observed: [m] }', want: 'observed: expected m, got none' },
  { one: 'sql: "-- nothing", expect: { decision: allow }', want: /the sql holds no statement/ },
  { one: 'sql: selekt, expect: { decision: deny, code: sql.unparsable }', want: 'ok' },
  { one: 'sql: selekt, expect: { decision: deny }', want: /refused before policy: sql\.unparsable/ },
  { one: 'facts: { kind: drop, level: admin }, expect: { decision: deny }', want: 'ok' },
  { one: 'sql: select 1, facts: { kinds: [drop] }, expect: { decision: deny }', want: 'ok' },
  {
    one: 'facts: { kind: drop }, expect: { decision: deny }',
    want: /cases\[0\]\.facts: Give sql, or facts with at least a level/,
  },
  {
    one: 'sql: select 1, expect: { decision: alow }',
    want: /cases\[0\]\.expect\.decision: Must be one of .*Did you mean allow\?/,
  },
  {
    one: 'sql: select 1, fact: {}, expect: { decision: allow }',
    want: /cases\[0\]\.fact: Unknown key\. Did you mean facts\?/,
  },
])('case { $one }', ({ one, want }) => {
  const [line] = run(whole(one))
  if (typeof want === 'string') expect(line).toBe(want)
  else expect(line).toMatch(want)
})

test('what a case leaves out and no default gives is a problem', () => {
  const text = 'cases: [{ name: c, sql: select 1, as: { user: a }, expect: { decision: allow } }]'
  expect(run(text).map((line) => line.replace(/:\d+:\d+/, ''))).toEqual([
    'cases.yaml cases[0].target: Missing here and in defaults.',
    'cases.yaml cases[0].level: Missing here and in defaults.',
  ])
})

test('cases with sql need an analyzer', () => {
  expect(run(whole('sql: select 1, expect: { decision: allow }'), 'rules: []', false)[0]).toMatch(/need an analyzer/)
})
