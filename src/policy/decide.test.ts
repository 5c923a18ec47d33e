import { describe, expect, test } from 'vitest'
import type { Facts } from '../kernel/index.ts'
import type { DecisionInput } from './index.ts'
import { ALICE, input, policy, SHOP } from './test-inputs.ts'

/** `deny no-ddl`, the short form of a decision that the tables below compare. */
function short(rules: string, facts: Partial<Facts> = {}, more: Partial<DecisionInput> = {}): string {
  const decision = policy(rules).decide(input(facts, more))
  if (decision.kind === 'needs') return 'needs'
  return `${decision.kind} ${decision.rule}`
}

const deny = (match: string, rest = '') => `rules: [{ name: r, match: ${match}, then: deny ${rest} }]`
const allow = (match: string, rest = '') => `rules: [{ name: r, match: ${match}, then: allow ${rest} }]`
const HIT = 'deny r'
const MISS = 'allow grant:admin'

describe('match words of a rule that restricts', () => {
  test.each<{ match: string; facts?: Partial<Facts>; want: string }>([
    { match: '{ targets: { env: production } }', want: HIT },
    { match: '{ targets: { env: [staging, production] } }', want: HIT },
    { match: '{ targets: { env: staging } }', want: MISS },
    { match: '{ targets: { team: "*" } }', want: MISS },
    { match: '{ targets: { constructor: "*" } }', want: MISS },
    { match: '{ targets: shop }', want: HIT },
    { match: '{ targets: [orders, "sh*"] }', want: HIT },
    { match: '{ targets: { names: shop, types: postgres, env: production } }', want: HIT },
    { match: '{ targets: { names: shop, types: mysql } }', want: MISS },
    { match: '{ actor: agent }', want: HIT },
    { match: '{ actor: [human, service] }', want: MISS },
    { match: '{ actorName: "claude-*" }', want: HIT },
    { match: '{ actorName: codex }', want: MISS },
    { match: '{ groups: [dba, engineering] }', want: HIT },
    { match: '{ groups: eng }', want: MISS },
    { match: '{ users: alice }', want: HIT },
    { match: '{ users: Alice }', want: MISS },
    { match: '{ users: "*@Example.org" }', want: HIT },
    { match: '{ issuers: "https://id.example.org" }', want: HIT },
    { match: '{ issuers: "https://other.example.org" }', want: MISS },
    { match: '{ operation: drop }', facts: { kind: 'drop' }, want: HIT },
    { match: '{ operation: delete }', facts: { kind: 'select', kinds: ['select', 'delete'] }, want: HIT },
    { match: '{ operation: delete }', facts: { kind: 'explain', kinds: ['explain', 'select'] }, want: MISS },
    { match: '{ operation: [ddl] }', facts: { kind: 'truncate' }, want: HIT },
    { match: '{ operation: dml }', facts: { kind: 'copy_in' }, want: HIT },
    { match: '{ operation: write }', facts: { kind: 'select', level: 'write' }, want: HIT },
    { match: '{ operation: write }', facts: { kind: 'select', level: 'read' }, want: MISS },
    { match: '{ operation: read }', facts: { kind: 'select', level: 'write' }, want: HIT },
    { match: '{ level: [write, admin] }', facts: { level: 'write' }, want: HIT },
    { match: '{ level: admin }', facts: { level: 'write' }, want: MISS },
    { match: '{ reads: customers }', facts: { reads: ['public.customers'] }, want: HIT },
    { match: '{ reads: customers }', facts: { reads: ['customers'] }, want: HIT },
    { match: '{ reads: customers }', facts: { writes: ['customers'] }, want: MISS },
    { match: '{ reads: public.customers }', facts: { reads: ['customers'] }, want: HIT },
    { match: '{ reads: public.customers }', facts: { reads: ['sales.customers'] }, want: MISS },
    { match: '{ reads: Customers }', facts: { reads: ['customers'] }, want: HIT },
    { match: '{ reads: customers }', facts: { reads: ['public.Customers'] }, want: HIT },
    { match: '{ reads: "sales.*" }', facts: { reads: ['public.a', 'sales.b'] }, want: HIT },
    { match: '{ reads: "*_secret" }', facts: { reads: ['public.api_secret'] }, want: HIT },
    { match: '{ reads: "sales.*" }', facts: { reads: ['public.sales'] }, want: MISS },
    { match: `{ reads: '"odd.name"' }`, facts: { reads: ['public.odd.name'] }, want: HIT },
    { match: `{ reads: '"odd.name"' }`, facts: { reads: ['odd.name'] }, want: HIT },
    { match: `{ reads: 'public."odd.name"' }`, facts: { reads: ['odd.name'] }, want: HIT },
    { match: `{ reads: 'sales."odd.name"' }`, facts: { reads: ['public.odd.name'] }, want: MISS },
    { match: '{ reads: "sales.*" }', facts: { reads: ['orders'] }, want: HIT },
    { match: '{ reads: name }', facts: { reads: ['public.odd.name'] }, want: HIT },
    { match: '{ writes: customers }', facts: { writes: ['public.customers'] }, want: HIT },
    { match: '{ tables: customers }', facts: { writes: ['customers'] }, want: HIT },
    { match: '{ tables: customers }', facts: { reads: ['customers'] }, want: HIT },
    {
      match: '{ functions: pg_sleep }',
      facts: { functions: [{ name: 'pg_catalog.pg_sleep', volatility: 'volatile' }] },
      want: HIT,
    },
    {
      match: '{ functions: pg_catalog.pg_sleep }',
      facts: { functions: [{ name: 'pg_sleep', volatility: 'volatile' }] },
      want: HIT,
    },
    { match: '{ settings: search_path }', facts: { changesSession: ['Search_Path'] }, want: HIT },
    { match: '{ settings: "app.*" }', facts: { changesSession: ['work_mem'] }, want: MISS },
    { match: '{ unbounded: true }', facts: { unbounded: true }, want: HIT },
    { match: '{ unbounded: false }', facts: { unbounded: true }, want: MISS },
    { match: '{ rowLocks: true }', facts: { rowLocks: true }, want: HIT },
    { match: '{ serverFiles: true, serverPrograms: false }', facts: { serverFiles: true }, want: HIT },
    { match: '{ changesPrivileges: true }', facts: { changesPrivileges: true }, want: HIT },
    { match: '{ opaque: true }', facts: { opaque: ['a function'] }, want: HIT },
    { match: '{ opaque: false }', facts: { opaque: ['a function'] }, want: MISS },
    { match: '{ operation: drop, tables: customers }', facts: { kind: 'drop', writes: ['orders'] }, want: MISS },
    { match: '{ estimatedRows: { over: 10 } }', want: 'needs' },
    { match: '{ estimatedRows: { over: 10 } }', facts: { estimatedRows: 10 }, want: MISS },
    { match: '{ estimatedRows: { over: 10 } }', facts: { estimatedRows: 11 }, want: HIT },
    { match: '{ estimatedRows: { over: 10 } }', facts: { estimatedRows: Number.POSITIVE_INFINITY }, want: HIT },
    { match: '{ estimatedRows: { over: 10 } }', facts: { estimatedRows: Number.NaN }, want: HIT },
    { match: '{ estimatedRows: { over: 10 }, operation: delete }', want: MISS },
  ])('$match over $facts: $want', ({ match, facts, want }) => {
    expect(short(deny(match), facts)).toBe(want)
  })

  test.each([
    { pattern: 'card_number', table: 'public.payments', column: 'card_number', want: HIT },
    { pattern: '"*.card_number"', table: undefined, column: 'card_number', want: HIT },
    { pattern: 'payments.card_number', table: 'public.payments', column: '*', want: HIT },
    { pattern: 'payments.card_number', table: undefined, column: 'card_number', want: HIT },
    { pattern: 'payments.card_number', table: 'p', column: 'card_number', want: HIT },
    { pattern: 'payments.card_number', table: 'customers', column: 'card_number', want: MISS },
    { pattern: 'public.payments.card_number', table: 'payments', column: 'card_number', want: HIT },
    { pattern: 'sales.payments.card_number', table: 'public.payments', column: 'card_number', want: MISS },
    { pattern: '"payments.card_*"', table: 'payments', column: 'card_expiry', want: HIT },
    { pattern: 'payments.Card_Number', table: 'payments', column: 'card_number', want: HIT },
    { pattern: 'card_number', table: 'payments', column: 'id', want: MISS },
  ])('column $pattern against $table $column: $want', ({ pattern, table, column, want }) => {
    const facts: Partial<Facts> = {
      reads: ['public.payments', 'customers'],
      columns: [{ table, column, use: 'predicate' }],
    }
    expect(short(deny(`{ columns: ${pattern} }`), facts)).toBe(want)
  })
})

describe('whatever loosens needs a certain match', () => {
  test.each<{ match: string; facts: Partial<Facts>; hit: boolean }>([
    { match: '{ reads: customers }', facts: { reads: ['public.customers'] }, hit: true },
    { match: '{ reads: public.customers }', facts: { reads: ['customers'] }, hit: false },
    { match: '{ reads: customers }', facts: { reads: ['public.customers', 'public.payments'] }, hit: false },
    { match: '{ reads: customers }', facts: { reads: [] }, hit: false },
    { match: '{ reads: customers }', facts: { reads: ['public.Customers'] }, hit: false },
    { match: `{ reads: '"Customers"' }`, facts: { reads: ['public.Customers'] }, hit: true },
    { match: '{ reads: name }', facts: { reads: ['odd.schema.name'] }, hit: false },
    { match: '{ operation: select }', facts: { kind: 'select', kinds: ['select', 'delete'] }, hit: false },
    { match: '{ operation: [select, delete] }', facts: { kind: 'select', kinds: ['select', 'delete'] }, hit: true },
    { match: '{ operation: read }', facts: { kind: 'select', level: 'write' }, hit: false },
    { match: '{ operation: read }', facts: { kind: 'select', level: 'read' }, hit: true },
    { match: '{ columns: "*.id" }', facts: { columns: [{ table: 'a', column: '*', use: 'output' }] }, hit: false },
    {
      match: '{ columns: "a.id" }',
      facts: { columns: [{ table: undefined, column: 'id', use: 'output' }] },
      hit: false,
    },
    { match: '{ estimatedRows: { over: 5 } }', facts: { estimatedRows: Number.POSITIVE_INFINITY }, hit: false },
    { match: '{ estimatedRows: { over: 5 } }', facts: { estimatedRows: 6 }, hit: true },
  ])('$match over $facts', ({ match, facts, hit }) => {
    expect(short(allow(match), facts)).toBe(hit ? 'allow r' : MISS)
    expect(short(deny('{ actor: agent }', `, unless: ${match}`), facts)).toBe(hit ? MISS : HIT)
  })

  test('one of several exceptions is enough, and all words of it must hold', () => {
    const rule = deny('{}', ', unless: [{ groups: dba }, { groups: engineering, operation: select }]')
    expect(short(rule)).toBe(MISS)
    expect(short(rule, { kind: 'delete' })).toBe(HIT)
  })
})

describe('the outcome', () => {
  const rules = `
rules:
  - { name: d, match: { operation: drop }, then: deny, message: No drops here. }
  - { name: h, match: { operation: [drop, delete] }, then: { hold: { reviewers: ["group:dba"], expires: 5m } } }
  - { name: m, match: { columns: ["*.pan"], detect: [credit_card] }, then: { mask: last4 } }
  - { name: a, match: { operation: [select, delete] }, then: allow }
  - { name: o, match: { operation: select }, then: deny, mode: observe }
`
  const mask = { rule: 'm', mask: 'last4', columns: ['*.pan'], detect: ['credit_card'] }

  test('deny > hold > mask > allow, and masks add up whatever is decided', () => {
    const snapshot = policy(rules)
    expect(snapshot.decide(input({ kind: 'drop' }))).toEqual({
      kind: 'deny',
      code: 'policy.denied',
      rule: 'd',
      reason: 'No drops here.',
      masks: [mask],
      observed: [],
    })
    expect(snapshot.decide(input({ kind: 'delete' }))).toMatchObject({
      kind: 'hold',
      rule: 'h',
      hold: { reviewers: ['group:dba'], approvals: 1, expiresInMs: 300_000 },
      masks: [mask],
    })
    expect(snapshot.decide(input())).toMatchObject({
      kind: 'mask',
      rule: 'm',
      masks: [mask],
      observed: [{ rule: 'o', wouldHave: 'deny' }],
    })
  })

  test('the grant is a floor that no rule lifts', () => {
    const facts: Partial<Facts> = { kind: 'insert', level: 'write', levelReason: 'INSERT' }
    const decision = policy(allow('{ operation: insert }')).decide(input(facts, { level: 'read' }))
    expect(decision).toMatchObject({ kind: 'deny', code: 'access.level', rule: 'grant:read' })
    expect(decision).toMatchObject({ reason: 'This needs write access (INSERT); the grant gives read.' })
  })

  test('without rules the grant decides', () => {
    expect(short('rules: []', { level: 'write' }, { level: 'write' })).toBe('allow grant:write')
    expect(short('rules: []', { level: 'admin' }, { level: 'write' })).toBe('deny grant:write')
  })

  test('all hold rules that match must be satisfied together', () => {
    const decision = policy(`
rules:
  - { name: b, then: { hold: { reviewers: ["group:security"], approvals: 2, expires: 1h } } }
  - { name: a, then: { hold: { reviewers: ["group:dba"], expires: 10m } } }
  - { name: c, then: { hold: { reviewers: ["group:dba"], expires: 2m } } }
`).decide(input())
    expect(decision).toMatchObject({
      kind: 'hold',
      rule: 'a',
      hold: {
        reviewers: ['group:dba'],
        approvals: 1,
        expiresInMs: 120_000,
        also: [{ rule: 'b', reviewers: ['group:security'], approvals: 2 }],
      },
    })
  })

  test('the same masks are the same array, for whoever keeps something by it', () => {
    const snapshot = policy(rules)
    const first = snapshot.decide(input())
    const other = { ...ALICE, actor: { kind: 'human' as const, name: 'alice' } }
    const second = snapshot.decide(input({ reads: ['x'] }, { principal: other }))
    expect(first.kind !== 'needs' && second.kind !== 'needs' && first.masks === second.masks).toBe(true)
  })
})

describe('what cannot be seen from outside', () => {
  const opaque: Partial<Facts> = { opaque: ['function f reads tables'] }
  const dynamic: Partial<Facts> = { dynamicSql: true, opaque: ['it runs text that is built at run time'] }
  const mask = '{ name: m, match: { detect: email, groups: engineering }, then: { mask: redact } }'
  test.each([
    { rules: 'rules: []', facts: opaque, want: MISS },
    { rules: 'rules: []', facts: dynamic, want: 'deny default:opaque' },
    { rules: `rules: [${mask}]`, facts: opaque, want: 'deny default:opaque' },
    { rules: `rules: [${mask.replace('engineering', 'dba')}]`, facts: opaque, want: MISS },
    {
      rules: `rules: [${mask.replace('}, then', ', operation: copy_out }, then')}]`,
      facts: opaque,
      want: 'deny default:opaque',
    },
    { rules: `rules: [${mask.replace('}, then', '}, mode: observe, then')}]`, facts: opaque, want: MISS },
    { rules: `{ defaults: { opaque: allow }, rules: [${mask}] }`, facts: dynamic, want: 'mask m' },
    { rules: '{ defaults: { opaque: deny }, rules: [] }', facts: opaque, want: 'deny default:opaque' },
    { rules: '{ defaults: { opaque: deny }, rules: [] }', facts: {}, want: MISS },
    {
      rules: '{ defaults: { opaque: { hold: { reviewers: ["group:dba"] } } }, rules: [] }',
      facts: opaque,
      want: 'hold default:opaque',
    },
    {
      rules: 'rules: [{ name: a, match: { actor: agent }, then: allow }]',
      facts: dynamic,
      want: 'deny default:opaque',
    },
    {
      rules: 'rules: [{ name: a, match: { opaque: true, actor: agent }, then: allow }]',
      facts: dynamic,
      want: 'allow a',
    },
    {
      rules: 'rules: [{ name: a, match: { opaque: true }, then: allow, mode: observe }]',
      facts: dynamic,
      want: 'deny default:opaque',
    },
  ])('$rules over $facts: $want', ({ rules, facts, want }) => {
    expect(short(rules, facts)).toBe(want)
  })

  test('of several documents the strictest default holds', () => {
    const hold = '{ defaults: { opaque: { hold: { reviewers: ["group:dba"] } } }, rules: [] }'
    const texts = ['{ defaults: { opaque: allow }, rules: [] }', hold]
    expect(policy(...texts).decide(input(opaque)).kind).toBe('hold')
    expect(policy(...texts, '{ defaults: { opaque: deny }, rules: [] }').decide(input(opaque)).kind).toBe('deny')
  })
})

describe('conditions', () => {
  const when = (condition: string, rest = '') => `rules: [{ name: r, when: '${condition}', then: deny ${rest} }]`
  const session = { operations: 3, rowsReturned: 10_001, bytesReturned: 5, denied: 1 }
  const columns: Facts['columns'] = [{ table: 'payments', column: 'pan', use: 'predicate' }]
  test.each<{ condition: string; facts?: Partial<Facts>; want: string }>([
    { condition: 'session.rowsReturned > 10000', want: HIT },
    { condition: 'session.denied * 2 == 2 && session.operations < 4', want: HIT },
    { condition: 'identity.email.endsWith("@example.org") && "engineering" in identity.groups', want: HIT },
    { condition: 'actor.kind == "agent" && actor.name.startsWith("claude")', want: HIT },
    { condition: 'target.labels.env == "production" && target.type == "postgres"', want: HIT },
    { condition: '"team" in target.labels', want: MISS },
    { condition: 'has(target.labels.team) && target.labels.team == "x"', want: MISS },
    { condition: 'target.labels.team == "x"', want: HIT },
    { condition: 'target.labels.constructor == "x" || true', want: HIT },
    { condition: 'now.getHours() == 12 && now < timestamp("2026-01-14T12:00:01Z")', want: HIT },
    { condition: 'facts.columns.exists(c, c.column == "pan" && c.use == "predicate")', facts: { columns }, want: HIT },
    { condition: 'facts.functions.exists(f, f.name == "pg_sleep")', want: MISS },
    {
      condition: '["a", "b"].exists(p, facts.reads.exists(r, r.startsWith(p)))',
      facts: { reads: ['beta'] },
      want: HIT,
    },
    { condition: 'facts.kind.matches("^sel[a-z]{1,5}$")', want: HIT },
    { condition: 'facts.unbounded || facts.estimatedRows > 1000', facts: { unbounded: true }, want: HIT },
    { condition: 'facts.estimatedRows > 1000 || facts.unbounded', facts: { unbounded: true }, want: HIT },
    { condition: 'facts.estimatedRows > 1000 && facts.unbounded', want: MISS },
    { condition: 'facts.unbounded || facts.estimatedRows > 1000', want: 'needs' },
    { condition: 'cel.bind(rows, facts.estimatedRows, rows > 1000)', want: 'needs' },
    { condition: 'cel.bind(rows, facts.estimatedRows, facts.unbounded && rows > 1000)', want: 'needs' },
    { condition: 'has(facts.estimatedRows)', want: 'needs' },
    { condition: '[1, 2].exists(n, facts.estimatedRows > n)', want: 'needs' },
    { condition: 'string(facts.estimatedRows) == ""', want: 'needs' },
    { condition: 'facts.estimatedRows > 100', facts: { estimatedRows: 101 }, want: HIT },
    { condition: 'facts.estimatedRows == 101', facts: { estimatedRows: 101 }, want: HIT },
    { condition: 'facts.estimatedRows != 101', facts: { estimatedRows: 101 }, want: MISS },
    {
      condition: 'facts.estimatedRows * 2 - 1 > 200 && 2 * facts.estimatedRows / 2 < 200',
      facts: { estimatedRows: 101 },
      want: HIT,
    },
    { condition: 'facts.estimatedRows > session.rowsReturned', facts: { estimatedRows: 101 }, want: MISS },
    { condition: 'facts.estimatedRows > 100', facts: { estimatedRows: Number.POSITIVE_INFINITY }, want: HIT },
    { condition: 'int(facts.estimatedRows) > 100', facts: { estimatedRows: Number.POSITIVE_INFINITY }, want: HIT },
    { condition: 'facts.estimatedRows > 100', facts: { estimatedRows: Number.NaN }, want: HIT },
    { condition: 'facts.estimatedRows > 100', facts: { estimatedRows: -1 }, want: HIT },
  ])('$condition: $want', ({ condition, facts, want }) => {
    expect(short(when(condition), facts, { session })).toBe(want)
  })

  test('a rule that throws denies and is named; its message may quote values, so only its code is told', () => {
    const decision = policy(when('target.labels.team == "x"')).decide(input())
    expect(decision).toMatchObject({ kind: 'deny', code: 'policy.failed', rule: 'r' })
    expect(decision).toMatchObject({
      reason: 'Rule r could not be evaluated (no_such_key), so the operation is refused.',
    })
  })

  test('an observed rule that throws refuses nothing', () => {
    const decision = policy(when('target.labels.team == "x"', ', mode: observe')).decide(input())
    expect(decision).toMatchObject({ kind: 'allow', observed: [{ rule: 'r', wouldHave: 'deny' }] })
  })

  test('whoever is excepted is not refused by a condition that throws', () => {
    const rule = when('target.labels.team == "x"', ', unless: { groups: engineering }')
    expect(short(rule)).toBe(MISS)
  })

  test('nobody asks the planner for what is denied anyway', () => {
    const rules = `
rules:
  - { name: a, match: { operation: drop }, then: deny }
  - { name: b, when: facts.estimatedRows > 5, then: deny }
  - { name: m, match: { detect: email }, when: facts.estimatedRows > 5, then: { mask: redact } }
`
    expect(short(rules, { kind: 'drop' })).toBe('deny a')
    expect(policy(rules).decide(input({ kind: 'drop' }))).toMatchObject({ masks: [{ rule: 'm' }] })
    expect(short(rules)).toBe('needs')
    expect(short(rules, { level: 'write' }, { level: 'read' })).toBe('deny b')
  })

  test('facts that are not facts deny', () => {
    const broken = { ...input(), facts: undefined as unknown as Facts }
    expect(policy(deny('{ operation: drop }')).decide(broken)).toMatchObject({ kind: 'deny', code: 'policy.failed' })
  })
})

describe('times', () => {
  const at = (times: string, now: string, zone = '') =>
    short(deny(`{ times: ${times} }`), {}, { now: Date.parse(now) }) + zone
  test.each([
    {
      times: '{ after: "2026-12-20T00:00:00Z", before: "2027-01-02T00:00:00+01:00" }',
      now: '2026-12-20T00:00:00Z',
      want: HIT,
    },
    { times: '{ after: "2026-12-20T00:00:00Z" }', now: '2026-12-19T23:59:59Z', want: MISS },
    { times: '{ before: "2027-01-02T00:00:00+01:00" }', now: '2027-01-01T23:00:00Z', want: MISS },
    { times: '{ windows: [{ days: [sat, sun] }] }', now: '2026-01-17T00:00:00Z', want: HIT },
    { times: '{ windows: [{ days: [sat, sun] }] }', now: '2026-01-19T00:00:00Z', want: MISS },
    { times: '{ windows: [{ days: sat, hours: "09:00-17:00" }] }', now: '2026-01-17T17:00:00Z', want: MISS },
    { times: '{ windows: [{ days: fri, hours: "22:00-06:00" }] }', now: '2026-01-16T22:00:00Z', want: HIT },
    { times: '{ windows: [{ days: fri, hours: "22:00-06:00" }] }', now: '2026-01-17T05:59:00Z', want: HIT },
    { times: '{ windows: [{ days: fri, hours: "22:00-06:00" }] }', now: '2026-01-17T06:00:00Z', want: MISS },
    { times: '{ windows: [{ days: fri, hours: "22:00-06:00" }] }', now: '2026-01-16T05:00:00Z', want: MISS },
    { times: '{ windows: [{ days: sun, hours: "22:00-02:00" }] }', now: '2026-01-19T01:00:00Z', want: HIT },
    { times: '{ windows: [{ hours: "00:00-24:00" }] }', now: '2026-01-19T23:59:59Z', want: HIT },
    {
      times: '{ windows: [{ hours: "09:00-10:00", timezone: America/New_York }] }',
      now: '2026-01-19T14:30:00Z',
      want: HIT,
    },
    {
      times: '{ windows: [{ hours: "09:00-10:00", timezone: America/New_York }] }',
      now: '2026-07-20T13:30:00Z',
      want: HIT,
    },
    {
      times: '{ windows: [{ hours: "09:00-10:00", timezone: America/New_York }] }',
      now: '2026-07-20T14:30:00Z',
      want: MISS,
    },
    { times: '{ windows: [{ days: mon, timezone: Pacific/Auckland }] }', now: '2026-01-18T12:00:00Z', want: HIT },
  ])('$times at $now: $want', ({ times, now, want }) => {
    expect(at(times, now)).toBe(want)
  })

  test('a window opens and closes as time goes on', () => {
    const snapshot = policy(deny('{ times: { windows: [{ hours: "12:00-12:01" }] } }'))
    const noon = Date.parse('2026-01-14T12:00:00Z')
    const kinds = [-1, 0, 59_999, 60_000].map((ms) => snapshot.decide(input({}, { now: noon + ms })).kind)
    expect(kinds).toEqual(['allow', 'deny', 'deny', 'allow'])
  })
})

test('rules are prepared for each principal and target apart', () => {
  const snapshot = policy(deny('{ groups: engineering, targets: shop }'))
  const bob = { ...ALICE, identity: { ...ALICE.identity, subject: 'bob', groups: [] } }
  const orders = { ...SHOP, name: 'orders' }
  for (let round = 0; round < 2; round++) {
    expect(snapshot.decide(input()).kind).toBe('deny')
    expect(snapshot.decide(input({}, { principal: bob })).kind).toBe('allow')
    expect(snapshot.decide(input({}, { target: orders })).kind).toBe('allow')
  }
})
