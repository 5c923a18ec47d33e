import { expect, test } from 'vitest'
import type { Principal } from '../kernel/index.ts'
import { evaluateGrants, type Grant, lowerLevel } from './grants.ts'

const identity = { issuer: 'local', subject: 'alice', email: 'alice@example.com', groups: ['support', 'eu'] }
const alice: Principal = { identity, actor: { kind: 'human', name: 'alice' } }
const agent: Principal = { identity, actor: { kind: 'agent', name: 'claude-code' } }
const shop = { name: 'shop', type: 'postgres', labels: { env: 'production', region: 'eu' } }
const NOW = Date.parse('2030-01-01T12:00:00Z')
const grant = (change: Partial<Grant>): Grant => ({
  users: ['alice'],
  groups: [],
  targets: ['shop'],
  level: 'read',
  ...change,
})

test.each<{ name: string; grants: Grant[]; who?: Principal; want: unknown }>([
  { name: 'none', grants: [], want: undefined },
  { name: 'by subject', grants: [grant({})], want: { level: 'read', until: undefined } },
  { name: 'by group', grants: [grant({ users: [], groups: ['eu'] })], want: { level: 'read', until: undefined } },
  { name: 'an e-mail address is no subject', grants: [grant({ users: ['alice@example.com'] })], want: undefined },
  { name: 'to somebody else', grants: [grant({ users: ['bob'], groups: ['dba'] })], want: undefined },
  { name: 'another target', grants: [grant({ targets: ['shop2'] })], want: undefined },
  {
    name: 'by labels',
    grants: [grant({ targets: { labels: { env: 'production', region: 'eu' } } })],
    want: { level: 'read', until: undefined },
  },
  {
    name: 'one label differs',
    grants: [grant({ targets: { labels: { env: 'production', region: 'us' } } })],
    want: undefined,
  },
  {
    name: 'a label from the prototype',
    grants: [grant({ targets: { labels: { constructor: 'x' } } })],
    want: undefined,
  },
  { name: 'humans only, to an agent', grants: [grant({ actors: ['human'] })], who: agent, want: undefined },
  {
    name: 'agents by kind',
    grants: [grant({ actors: ['agent'] })],
    who: agent,
    want: { level: 'read', until: undefined },
  },
  {
    name: 'agents by name',
    grants: [grant({ actors: ['claude-code'] })],
    who: agent,
    want: { level: 'read', until: undefined },
  },
  { name: 'no actor at all', grants: [grant({ actors: [] })], want: undefined },
  {
    name: 'an agent that calls itself human',
    grants: [grant({ actors: ['human'] })],
    who: { identity, actor: { kind: 'agent', name: 'human' } },
    want: undefined,
  },
  {
    name: 'a human who is called like an agent',
    grants: [grant({ actors: ['claude-code'] })],
    who: { identity, actor: { kind: 'human', name: 'claude-code' } },
    want: undefined,
  },
  { name: 'over', grants: [grant({ until: '2030-01-01T12:00:00Z' })], want: undefined },
  { name: 'an unreadable end', grants: [grant({ until: 'tomorrow' })], want: undefined },
  {
    name: 'not over yet',
    grants: [grant({ until: '2030-01-01T12:00:01Z' })],
    want: { level: 'read', until: NOW + 1000 },
  },
  {
    name: 'the highest wins, with its own end',
    grants: [grant({}), grant({ level: 'admin', until: '2030-01-02' }), grant({ level: 'write' })],
    want: { level: 'admin', until: Date.parse('2030-01-02') },
  },
  {
    name: 'of two alike the longer wins',
    grants: [grant({ until: '2030-01-02' }), grant({ until: '2030-01-03' })],
    want: { level: 'read', until: Date.parse('2030-01-03') },
  },
])('$name', ({ grants, who, want }) => {
  expect(evaluateGrants(grants, who ?? alice, shop, NOW)).toEqual(want)
})

test('a cap lowers and never raises', () => {
  expect([lowerLevel('admin', 'read'), lowerLevel('read', 'admin'), lowerLevel('write', 'write')]).toEqual([
    'read',
    'read',
    'write',
  ])
})
