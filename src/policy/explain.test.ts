import { expect, test } from 'vitest'
import { input, policy } from './test-inputs.ts'

const RULES = `
rules:
  - { name: bulk, match: { operation: select, reads: customers }, when: facts.estimatedRows > 1000, then: { hold: { reviewers: ["group:dba"] } } }
  - { name: cards, match: { detect: [credit_card] }, then: { mask: last4 }, unless: { groups: fraud-team } }
  - { name: freeze, match: { operation: ddl, targets: { env: [production, staging] } }, then: deny, message: Not now. }
  - { name: mails, match: { detect: [email] }, then: { mask: "null" }, unless: { groups: engineering, operation: select } }
  - { name: team, when: 'target.labels.team == "x"', then: deny, mode: observe }
  - { name: humans, match: { actor: human }, then: deny }
`

test('says of every rule whether it applies and which part decided', () => {
  const explanation = policy(RULES).explain(
    input({ reads: ['public.customers'], estimatedRows: 5000 }, { level: 'read' }),
  )
  expect(explanation.text).toMatchInlineSnapshot(`
    "alice via claude-code at shop, read access: select needing read access; reads public.customers; about 5000 rows.
    + bulk (hold): matched, operation: select; reads: customers and when facts.estimatedRows > 1000
    + cards (mask): matched, whatever the operation; masks detected credit_card
    - freeze (deny): not matched, operation is not ddl
    - humans (deny): not matched, actor is not human
    ~ mails (mask): excepted, unless groups: engineering; operation: select
    ! team (deny, observe only): failed, could not be evaluated: No such key: team
    = hold by bulk: Rule bulk asks for a review by group:dba.; masks cards (last4); observed team (would have: deny)"
  `)
  expect(explanation.rules.map(({ rule, outcome, part }) => [rule, outcome, part])).toEqual([
    ['bulk', 'matched', undefined],
    ['cards', 'matched', undefined],
    ['freeze', 'not matched', 'match.operation'],
    ['humans', 'not matched', 'match.actor'],
    ['mails', 'excepted', 'unless'],
    ['team', 'failed', 'when'],
  ])
})

test('says that the decision hangs on the estimate', () => {
  const explanation = policy(RULES).explain(input({ reads: ['public.customers'] }))
  expect(explanation.decision).toEqual({ kind: 'needs', what: 'estimatedRows' })
  expect(explanation.rules.find(({ rule }) => rule === 'bulk')?.outcome).toBe('needs estimate')
})

test('says why the grant is not enough and what cannot be seen', () => {
  const facts = {
    kind: 'do' as const,
    level: 'write' as const,
    levelReason: 'DO can do anything',
    opaque: ['the body of DO'],
  }
  const explanation = policy('rules: []').explain(input(facts, { level: 'read' }))
  expect(explanation.level).toEqual({ granted: 'read', needed: 'write', covers: false, reason: 'DO can do anything' })
  expect(explanation.opaque).toEqual(['the body of DO'])
  expect(explanation.text).toMatchInlineSnapshot(`
    "alice via claude-code at shop, read access: do needing write access.
    Cannot be seen from outside: the body of DO.
    = deny access.level by grant:read: This needs write access (DO can do anything); the grant gives read."
  `)
})
