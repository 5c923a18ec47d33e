import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { compilePolicies, type PolicyDocument, parsePolicyYaml, policyDigest, policyJsonSchema } from './index.ts'
import { policyKeys } from './sense.ts'
import { input, policy, problemsOf } from './test-inputs.ts'

const one = (rule: string) => `rules:\n  - ${rule}\n`

function documentsOf(texts: readonly string[]): PolicyDocument[] {
  return texts.map((text, index) => {
    const parsed = parsePolicyYaml(text, `${index}.yaml`)
    if ('problems' in parsed) throw new Error('not YAML')
    return parsed.document
  })
}

describe('problems', () => {
  test.each([
    {
      rule: '{ name: r, then: deny, wehn: "true" }',
      want: /^policy\.yaml:2:\d+ rules\[0\]\.wehn: Unknown key\. Did you mean when\?$/,
    },
    {
      rule: '{ name: r, match: { operation: dorp }, then: deny }',
      want: /rules\[0\]\.match\.operation: Must be one of .*Did you mean drop\?$/,
    },
    {
      rule: '{ name: r, match: { operation: [drop, dorp] }, then: deny }',
      want: /rules\[0\]\.match\.operation\[1\]: Must be one of/,
    },
    {
      rule: '{ name: r, match: { operation: [] }, then: deny }',
      want: /rules\[0\]\.match\.operation: An empty list matches nothing/,
    },
    {
      rule: '{ name: r, match: { targets: { env: [] } }, then: deny }',
      want: /rules\[0\]\.match\.targets\.env: An empty list/,
    },
    {
      rule: '{ name: r, then: { mask: last5 } }',
      want: /rules\[0\]\.then\.mask: Must be one of .*Did you mean last4\?$/,
    },
    {
      rule: '{ name: r, then: { mask: last4 } }',
      want: /rules\[0\]\.then: A mask rule needs match\.columns or match\.detect/,
    },
    {
      rule: '{ name: r, match: { detect: email }, then: deny }',
      want: /rules\[0\]\.match\.detect: Detectors look at results/,
    },
    {
      rule: '{ name: r, match: { detect: emial }, then: { mask: redact } }',
      want: /rules\[0\]\.match\.detect: There is no detector emial\. There are email\.$/,
    },
    {
      rule: '{ name: r, then: deny, unless: { detect: email } }',
      want: /rules\[0\]\.unless\.detect: Detectors look at results/,
    },
    { rule: '{ name: r, then: deny, unless: {} }', want: /rules\[0\]\.unless: An empty "unless" excepts everything/ },
    {
      rule: '{ name: r, match: { columns: a.b.c.d }, then: deny }',
      want: /rules\[0\]\.match\.columns: Write column, table\.column/,
    },
    {
      rule: '{ name: r, match: { reads: [a, a.b.c] }, then: deny }',
      want: /rules\[0\]\.match\.reads\[1\]: Write name or schema\.name/,
    },
    { rule: `{ name: r, match: { tables: '"open' }, then: deny }`, want: /rules\[0\]\.match\.tables: Write name/ },
    { rule: '{ name: r, match: { tables: a. }, then: deny }', want: /rules\[0\]\.match\.tables: Write name/ },
    { rule: '{ name: "r r", then: deny }', want: /rules\[0\]\.name: A name starts with a letter/ },
    { rule: '{ name: "grant:read", then: deny }', want: /rules\[0\]\.name/ },
    {
      rule: '{ name: r, then: { hold: { reviewers: [] } } }',
      want: /rules\[0\]\.then\.hold\.reviewers: Without reviewers nobody/,
    },
    {
      rule: '{ name: r, then: { hold: { reviewers: [bob] } } }',
      want: /reviewers\[0\]: Write a reviewer as group:dba or user:bob/,
    },
    {
      rule: '{ name: r, then: { hold: { reviewers: ["user:a"], approvals: 2 } } }',
      want: /More approvals than reviewers/,
    },
    {
      rule: '{ name: r, then: { hold: { reviewers: ["user:a", "user:a"], approvals: 2 } } }',
      want: /More approvals than reviewers/,
    },
    {
      rule: '{ name: r, then: { hold: { reviewers: ["user:a"], expires: 3w } } }',
      want: /hold\.expires: Write a duration/,
    },
    {
      rule: '{ name: r, then: { hold: { reviewers: ["user:a"], expires: 25h } } }',
      want: /hold\.expires: Write a duration/,
    },
    { rule: '{ name: r, then: denyy }', want: /rules\[0\]\.then: Must be one of allow, deny\. Did you mean deny\?$/ },
    { rule: '{ name: r, then: { hold: { reviewers: ["user:a"] }, mask: last4 } }', want: /rules\[0\]\.then/ },
    { rule: '{ name: r }', want: /rules\[0\]\.then/ },
    { rule: '{ name: r, match: { times: {} }, then: deny }', want: /times: Give windows, after or before/ },
    {
      rule: '{ name: r, match: { times: { after: 2026-12-20 } }, then: deny }',
      want: /times\.after: Write a moment as/,
    },
    {
      rule: '{ name: r, match: { times: { after: "2026-02-01T00:00:00Z", before: "2026-01-01T00:00:00Z" } }, then: deny }',
      want: /never applies/,
    },
    {
      rule: '{ name: r, match: { times: { windows: [{ hours: "9-5" }] } }, then: deny }',
      want: /windows\[0\]\.hours: Write hours as/,
    },
    {
      rule: '{ name: r, match: { times: { windows: [{ hours: "09:00-09:00" }] } }, then: deny }',
      want: /Start and end are the same/,
    },
    {
      rule: '{ name: r, match: { times: { windows: [{ timezone: Mars/Base }] } }, then: deny }',
      want: /timezone: Not a known IANA time zone/,
    },
    { rule: '{ name: r, then: deny, message: "a\\u0000b" }', want: /message: Control characters/ },
    { rule: '{ name: r, then: deny, mode: shadow }', want: /mode: Must be one of enforce, observe/ },
  ])('$rule', ({ rule, want }) => {
    const problems = problemsOf(one(rule), ['email'])
    expect(problems).toHaveLength(1)
    expect(problems[0]).toMatch(want)
  })

  test.each([
    { when: 'facts.knd == "a"', want: 'No such key: knd' },
    { when: 'facts.kind == 3', want: 'no such overload: string == int' },
    { when: 'facts.kind', want: 'must be true or false, but it gives string' },
    { when: 'dyn(facts.kind)', want: 'must be true or false, but it gives dyn' },
    { when: 'facts.unbounded &&', want: 'Unexpected token' },
    { when: 'fact.unbounded', want: 'Unknown variable: fact' },
    { when: 'facts.columns.exists(c, c.nope == "")', want: 'No such key: nope' },
    { when: 'has(facts.estimatedRow)', want: 'No such key: estimatedRow' },
    { when: 'has(session.rows) || true', want: 'session has operations' },
    { when: 'facts.kind.matches("(a+)+$")', want: 'can take too long' },
    { when: 'facts.kind.matches("(a|a)*$")', want: 'can take too long' },
    { when: 'facts.kind.matches("(")', want: 'Invalid regular expression' },
    { when: 'facts.kind.matches(identity.subject)', want: 'literal pattern only' },
    { when: 'facts.columns.exists(a, facts.columns.exists(b, a.column == b.column))', want: 'must not be nested' },
    { when: 'facts.reads.exists(r, r in facts.writes)', want: 'must not be nested' },
    { when: 'cel.bind(w, facts.writes, facts.reads.exists(r, r in w))', want: 'another name' },
    { when: 'cel.bind(w, facts.writes, facts.reads.all(r, w.all(x, x == r)))', want: 'another name' },
    { when: 'cel.bind(f, facts, f.reads.all(r, f.writes.join(",").contains(r)))', want: 'Write facts.<name>' },
    { when: 'facts["unbounded"]', want: 'Write facts.<name>' },
    { when: '[facts].exists(f, f.unbounded)', want: 'Write facts.<name>' },
    { when: 'cel.bind(n, session.denied, n > 5 && n < 10)', want: undefined },
    {
      when: 'facts.columns.exists(c, c.column == "a" && facts.kind == "select" && c.table in ["x", "y"])',
      want: undefined,
    },
    { when: 'facts.reads.exists(r, r in identity.groups)', want: undefined },
    { when: `${'('.repeat(200)}true${')'.repeat(200)}`, want: 'maxDepth' },
    { when: `true${' || true'.repeat(3000)}`, want: 'characters' },
  ])('condition $when', ({ when, want }) => {
    const parsed = parsePolicyYaml(one(`{ name: r, then: deny, when: '${when}' }`), 'policy.yaml')
    const compiled = 'document' in parsed ? compilePolicies([parsed.document]) : parsed
    if (want === undefined) return expect(compiled).toHaveProperty('snapshot')
    expect('problems' in compiled && compiled.problems).toMatchObject([
      { path: 'rules[0].when', line: 2, message: expect.stringContaining(want) },
    ])
  })

  test('a type error is shown with a caret under its place', () => {
    const [problem] = problemsOf(one(`{ name: r, then: deny, when: 'facts.unbounded && facts.knd == "a"' }`))
    expect(problem).toContain('>    1 | facts.unbounded && facts.knd == "a"\n                                  ^')
  })

  test('all problems of all documents come together, conditions too', () => {
    const texts = [
      'rules: [{ name: a, then: deny, when: nope }, { name: b, then: maybe }]',
      "rules: [{ name: c, then: deny, when: 'facts.kind == 3' }, { name: c, then: deny }]",
      'rulez: []',
    ]
    const compiled = compilePolicies(documentsOf(texts))
    const places = 'problems' in compiled ? compiled.problems.map(({ source, path }) => `${source} ${path}`) : []
    expect(places.sort()).toEqual([
      '0.yaml rules[0].when',
      '0.yaml rules[1].then',
      '1.yaml rules[0].when',
      '1.yaml rules[1].name',
      '2.yaml rules',
      '2.yaml rulez',
    ])
  })

  test('names are unique over all documents', () => {
    const compiled = compilePolicies(documentsOf([one('{ name: a, then: deny }'), one('{ name: a, then: deny }')]))
    expect(compiled).toMatchObject({
      problems: [{ source: '1.yaml', path: 'rules[0].name', message: expect.stringContaining('0.yaml rules[0]') }],
    })
  })

  test('an emptied file does not pass for no rules', () => {
    expect(problemsOf('')).toEqual([expect.stringContaining('The document is empty')])
    expect(problemsOf('# only a comment\n')).toEqual([expect.stringContaining('The document is empty')])
  })
})

describe('YAML', () => {
  test.each([
    { text: 'rules: [\n  { name: a', want: /^policy\.yaml:\d+:\d+: / },
    { text: 'rules: []\nrules: []\n', want: /^policy\.yaml:2:1: .*unique/ },
    { text: 'rules:\n  - { name: a, then: deny, then: allow }\n', want: /unique/ },
    { text: 'rules: []\n---\nrules: []\n', want: /multiple documents/i },
    { text: 'rules: *nope\n', want: /alias/i },
    { text: 'rules: !danger []\n', want: /tag/i },
    {
      text: `a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nd: &d [*c,*c]\ne: &e [*d,*d]\nf: &f [*e,*e]\ng: &g [*f,*f]\nh: [*g,*g]\n`,
      want: /alias/i,
    },
    { text: `x: ${'a'.repeat(1_100_000)}`, want: /over 1048576 characters/ },
  ])('$text', ({ text, want }) => {
    expect(problemsOf(text)[0]).toMatch(want)
  })

  test('__proto__ is a key like any other', () => {
    expect(problemsOf('rules: []\n__proto__: { polluted: true }\n')[0]).toMatch(/Unknown key|unrecognized/i)
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
  })
})

test('mask: null is the mask of that name, though YAML reads it as no value', () => {
  const snapshot = policy(one('{ name: r, match: { columns: pan }, then: { mask: null } }'))
  const decision = snapshot.decide(input())
  expect(decision).toMatchObject({ kind: 'mask', masks: [{ mask: 'null', columns: ['*.pan'] }] })
})

describe('warnings', () => {
  test.each([
    { rule: '{ name: r, then: allow }', want: 'matches everything and changes nothing' },
    { rule: '{ name: r, match: {}, then: deny }', want: 'denies every operation' },
    { rule: '{ name: r, then: { hold: { reviewers: ["group:a"] } } }', want: 'holds every operation' },
    { rule: '{ name: r, match: { targets: {}, operation: drop }, then: deny }', want: 'match every target' },
    { rule: '{ name: r, match: { operation: drop }, then: deny }', want: undefined },
    { rule: '{ name: r, then: deny, mode: observe }', want: undefined },
  ])('$rule', ({ rule, want }) => {
    const parsed = parsePolicyYaml(one(rule), 'policy.yaml')
    const compiled = 'document' in parsed ? compilePolicies([parsed.document]) : parsed
    const messages = 'warnings' in compiled ? compiled.warnings.map(({ message }) => message) : ['problems']
    expect(messages).toEqual(want === undefined ? [] : [expect.stringContaining(want)])
  })
})

describe('the digest', () => {
  const a = '{ name: a, match: { operation: drop, actor: agent }, then: deny }'
  const b = '{ name: b, match: { detect: email }, then: { mask: redact } }'
  test('does not change with order, spacing, key order or files', () => {
    const digests = [
      policy(`rules: [${a}, ${b}]`),
      policy(`rules:\n  - ${b}\n  - { then: deny, match: { actor: agent, operation: drop }, name: a }\n`),
      policy(`rules: [${b}]`, `rules: [${a}]`),
      policy(`{ version: 1, description: x, rules: [${a}, ${b}] }`),
    ].map((snapshot) => snapshot.digest)
    expect(new Set(digests).size).toBe(1)
    expect(digests[0]).toMatch(/^[0-9a-f]{64}$/)
  })

  test('changes with a rule, a mode or a default', () => {
    const digests = [
      policy(`rules: [${a}]`),
      policy(`rules: [${a}, ${b}]`),
      policy(`rules: [${a.replace('drop', 'alter')}]`),
      policy(`rules: [${a.replace('then: deny', 'then: deny, mode: observe')}]`),
      policy(`{ defaults: { opaque: deny }, rules: [${a}] }`),
    ].map((snapshot) => snapshot.digest)
    expect(new Set(digests).size).toBe(5)
  })

  test('is the same number for ever', () => {
    expect(policyDigest({ b: [1, null, 'x'], a: { d: true, c: undefined } })).toBe(
      policyDigest({ a: { d: true }, b: [1, null, 'x'] }),
    )
    expect(policy('rules: []').digest).toMatchInlineSnapshot(
      `"c7d7c4f787f9e9e94842573d19661538b7e34316b13bc3234d18f3ed029a136d"`,
    )
  })
})

test('the JSON Schema knows every key that a suggestion may name, and refuses others', () => {
  const text = JSON.stringify(policyJsonSchema())
  for (const key of policyKeys) expect(text).toContain(`"${key}"`)
  expect(policyJsonSchema()).toMatchObject({ type: 'object', additionalProperties: false, required: ['rules'] })
})

test('any value gives problems or a snapshot, never an exception', () => {
  const keys = fc.constantFrom(...policyKeys, '__proto__', 'x')
  const leaf = fc.oneof(
    fc.constantFrom('deny', 'allow', 'drop', 'last4', 'group:a', 'facts.unbounded', 'true', '((', '"', 'a.b', '15m'),
    fc.anything({ maxDepth: 1 }),
  )
  const { tree } = fc.letrec<{ tree: unknown }>((tie) => ({
    tree: fc.oneof(
      { maxDepth: 5, withCrossShrink: true },
      leaf,
      fc.array(tie('tree'), { maxLength: 4 }),
      fc.dictionary(keys, tie('tree'), { maxKeys: 6 }),
    ),
  }))
  const rule = fc
    .tuple(leaf, tree, leaf, tree, tree, leaf)
    .map((values) =>
      Object.fromEntries(['name', 'match', 'when', 'unless', 'then', 'mode'].map((key, at) => [key, values[at]])),
    )
  const content = fc.oneof(fc.anything(), tree, fc.record({ rules: fc.array(rule, { maxLength: 4 }) }))
  fc.assert(
    fc.property(fc.array(content, { maxLength: 3 }), (contents) => {
      const compiled = compilePolicies(contents.map((value, index) => ({ source: String(index), content: value })))
      expect('snapshot' in compiled || compiled.problems.length > 0).toBe(true)
    }),
    { numRuns: 400 },
  )
  const hostile = new Proxy(
    {},
    {
      ownKeys: () => {
        throw new Error('no')
      },
      get: () => {
        throw new Error('no')
      },
    },
  )
  expect(compilePolicies([{ source: 'x', content: hostile }])).toHaveProperty('problems')
})

test('any text is YAML or problems', () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.string({ unit: 'binary' }), fc.string({ unit: fc.constantFrom(...'{}[]:,-&*!|>\'"#%@` \nab') })),
      (text) => {
        const parsed = parsePolicyYaml(text, 'x')
        if ('document' in parsed) compilePolicies([parsed.document])
      },
    ),
    { numRuns: 500 },
  )
})
