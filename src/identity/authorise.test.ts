import { expect, test } from 'vitest'
import type { ErrorCode, Principal, TargetInfo } from '../kernel/index.ts'
import { ACTIONS, type Action, authorise, demand, isAdministrator, type Resource } from './authorise.ts'

function person(subject: string, groups: string[] = [], actor: Principal['actor'] = { kind: 'human', name: subject }) {
  return { identity: { issuer: 'local', subject, email: `${subject}@example.com`, groups }, actor } satisfies Principal
}

const agent = { kind: 'agent', name: 'claude-code' } as const
const principals: Readonly<Record<string, Principal | undefined>> = {
  nobody: undefined,
  user: person('alice', ['support']),
  'her agent': person('alice', ['support'], agent),
  'her other agent': person('alice', ['support'], { kind: 'agent', name: 'other-agent' }),
  other: person('bob', ['dba']),
  "other's agent": person('bob', ['dba'], agent),
  admin: person('root', ['admins']),
  "admin's agent": person('root', ['admins'], agent),
  'admin service': person('ci', ['admins'], { kind: 'service', name: 'ci' }),
}

const shop: TargetInfo = { name: 'shop', type: 'postgres', labels: { env: 'demo' } }
const context = {
  adminGroups: ['admins'],
  grants: [{ users: [], groups: ['support'], targets: ['shop'], level: 'read' as const }],
  now: 1_000,
}
const alice = principals['user']!
const alicesAgent = principals['her agent']!

/** What belongs to alice, done by her agent; reviews of it are addressed to the DBAs. */
const resources: Readonly<Record<string, Resource>> = {
  anything: { kind: 'any' },
  "the user's": { kind: 'owned', owner: alice },
  "the agent's": { kind: 'owned', owner: alicesAgent },
  'the review': { kind: 'review', requester: alicesAgent, reviewers: ['group:dba', 'user:alice'] },
  'the target': { kind: 'target', target: shop },
}

function outcome(who: string, action: Action, what: string): string {
  const verdict = authorise(principals[who], action, resources[what]!, context)
  return verdict.allowed ? verdict.reach : verdict.error.code
}

// One line for each action and thing; the columns are in this order.
const WHO = Object.keys(principals)
const F = 'access.forbidden' satisfies ErrorCode
const A = 'auth.failed' satisfies ErrorCode
const S = 'recording.not_found' satisfies ErrorCode
const R = 'review.not_found' satisfies ErrorCode
const T = 'api.not_found' satisfies ErrorCode
const G = 'access.no_grant' satisfies ErrorCode
const SELF = 'review.self_approval' satisfies ErrorCode
const NOT = 'review.not_reviewer' satisfies ErrorCode
const table: [Action, string, ...string[]][] = [
  // action, thing: nobody, user, her agent, her other agent, other, other's agent, admin, admin's agent, admin service
  ['self.read', 'anything', A, 'own', 'own', 'own', 'own', 'own', 'own', 'own', 'own'],
  ['session.open', 'the target', A, 'own', 'own', 'own', G, G, G, G, G],
  ['target.read', 'the target', A, 'own', 'own', 'own', G, G, 'all', G, 'all'],
  ['session.read', 'anything', A, 'own', 'own', 'own', 'own', 'own', 'all', 'own', 'all'],
  ['session.read', "the user's", A, 'own', S, S, S, S, 'all', S, 'all'],
  ['session.read', "the agent's", A, 'own', 'own', S, S, S, 'all', S, 'all'],
  ['session.replay', "the user's", A, 'own', S, S, S, S, 'all', S, 'all'],
  ['session.replay', "the agent's", A, 'own', 'own', S, S, S, 'all', S, 'all'],
  ['session.export', "the user's", A, 'own', S, S, S, S, 'all', S, 'all'],
  ['session.export', "the agent's", A, 'own', 'own', S, S, S, 'all', S, 'all'],
  ['session.end', "the user's", A, 'own', S, S, S, S, 'all', S, 'all'],
  ['session.end', "the agent's", A, 'own', 'own', S, S, S, 'all', S, 'all'],
  ['review.read', 'anything', A, 'addressed', 'own', 'own', 'addressed', 'own', 'all', 'own', 'all'],
  ['review.read', 'the review', A, 'own', 'own', R, 'addressed', R, 'all', R, 'all'],
  ['review.answer', 'anything', A, 'addressed', F, F, 'addressed', F, 'addressed', F, F],
  ['review.answer', 'the review', A, SELF, F, F, 'addressed', F, NOT, F, F],
  ['token.read', "the user's", A, 'own', T, T, T, T, 'all', T, 'all'],
  ['token.create', 'anything', A, 'own', F, F, 'own', F, 'all', F, 'all'],
  ['token.create', "the user's", A, 'own', F, F, F, F, 'all', F, 'all'],
  ['token.create', "the agent's", A, 'own', F, F, F, F, 'all', F, 'all'],
  ['token.revoke', "the user's", A, 'own', T, T, T, T, 'all', T, 'all'],
  ['token.revoke', "the agent's", A, 'own', T, T, T, T, 'all', T, 'all'],
  ['policy.read', 'anything', A, F, F, F, F, F, 'all', F, 'all'],
  ['policy.reload', 'anything', A, F, F, F, F, F, 'all', F, 'all'],
  ['policy.explain', "the user's", A, 'own', F, F, F, F, 'all', F, 'all'],
  ['policy.explain', "the agent's", A, 'own', 'own', F, F, F, 'all', F, 'all'],
  ['audit.read', 'anything', A, F, F, F, F, F, 'all', F, 'all'],
]

test.each(table)('%s of %s', (action, what, ...want) => {
  expect(Object.fromEntries(WHO.map((who) => [who, outcome(who, action, what)]))).toEqual(
    Object.fromEntries(WHO.map((who, index) => [who, want[index]])),
  )
})

test('the table has every action', () => {
  expect(new Set(table.map(([action]) => action))).toEqual(new Set(ACTIONS))
})

test('nobody may do anything to anything', () => {
  for (const action of ACTIONS)
    for (const what of Object.keys(resources)) expect(outcome('nobody', action, what)).toBe('auth.failed')
})

test('an agent never approves, never makes or revokes tokens, and administers nothing, whosever it is', () => {
  for (const [who, principal] of Object.entries(principals)) {
    if (principal?.actor.kind !== 'agent') continue
    expect(isAdministrator(principal, context.adminGroups)).toBe(false)
    for (const what of Object.keys(resources)) {
      for (const action of ['review.answer', 'token.create', 'token.revoke', 'policy.reload', 'audit.read'] as const)
        expect(authorise(principal, action, resources[what]!, context).allowed, `${who} ${action} ${what}`).toBe(false)
      for (const action of ACTIONS) expect(outcome(who, action, what)).not.toBe('all')
    }
  }
})

test('an action that does not fit the thing is refused', () => {
  expect(outcome('admin', 'review.answer', "the user's")).toBe('review.not_found')
  expect(outcome('user', 'session.open', "the user's")).toBe('access.no_grant')
  expect(outcome('user', 'audit.read', 'the target')).toBe('access.forbidden')
})

test('one human with two identities cannot approve themselves', () => {
  const elsewhere: Principal = {
    identity: { issuer: 'other-idp', subject: 'a.smith', email: 'ALICE@example.com', groups: ['dba'] },
    actor: { kind: 'human', name: 'a.smith' },
  }
  expect(() => demand(elsewhere, 'review.answer', resources['the review']!, context)).toThrow(
    expect.objectContaining({ code: 'review.self_approval' }),
  )
})

test('a refusal for want of rights says what to do, and not the same again', () => {
  for (const who of WHO)
    for (const action of ACTIONS)
      for (const resource of Object.values(resources)) {
        const verdict = authorise(principals[who], action, resource, context)
        if (verdict.allowed || !/^(access|review)\.(?!not_found)/.test(verdict.error.code)) continue
        const { message, next = '' } = verdict.error
        expect(next).not.toBe('')
        expect(message).not.toContain(next)
        expect(next).not.toContain(message)
      }
})
