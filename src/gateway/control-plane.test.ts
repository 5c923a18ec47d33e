import { randomBytes } from 'node:crypto'
import path from 'node:path'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { systemClock } from '../edge/clock.ts'
import { systemRandom } from '../edge/random.ts'
import type { Facts, GatewayError, Identity, PendingReview, Principal, SessionInfo } from '../kernel/index.ts'
import type { AdministrativeEntry } from '../recording/index.ts'
import { createSecretResolver } from '../secrets/index.ts'
import { ManagedPostgres, openStore, type Store } from '../store/index.ts'
import { memoryLog, temporaryFolder } from '../store/test/surroundings.ts'
import { mockVerifier, verifySecret } from '../wire/scram.ts'
import { type ControlSettings, createControlPlane, type GatewayControl } from './control-plane.ts'

const SLOW_MACHINE_MS = 120_000
vi.setConfig({ testTimeout: SLOW_MACHINE_MS, hookTimeout: SLOW_MACHINE_MS })
const WAIT = { timeout: 30_000, interval: 20 }

const { folder, remove } = temporaryFolder('control')
const log = memoryLog()
let server: ManagedPostgres
let databases = 0
let stores: Store[] = []
let controls: GatewayControl[] = []
/** Two gateways on one store. */
let one: GatewayControl
let two: GatewayControl
let audited: AdministrativeEntry[] = []
let auditFails = false

const person = (subject: string, groups: string[]): Identity => ({
  issuer: 'local',
  subject,
  email: `${subject}@example.com`,
  groups,
})
const human = (identity: Identity): Principal => ({ identity, actor: { kind: 'human', name: identity.subject } })
const alice = person('alice', ['support'])
const bob = person('bob', ['dba'])
const carol = person('carol', ['dba'])
const root = human(person('root', ['admins']))
const agent = { kind: 'agent', name: 'claude-code' } as const
const alicesAgent: Principal = { identity: alice, actor: agent }

const settings: ControlSettings = {
  publicUrl: 'http://127.0.0.1:15480/',
  adminGroups: ['admins'],
  grants: [
    { users: ['alice', 'bob'], groups: [], targets: ['shop'], level: 'write' },
    { users: ['alice'], groups: [], targets: ['broken'], level: 'read' },
  ],
  targets: [
    {
      name: 'shop',
      type: 'postgres',
      labels: { env: 'demo' },
      connection: { host: 'db' },
      credential: { user: 'shop', password: 'env:SHOP' },
      recording: 'buffered',
    },
    {
      name: 'broken',
      type: 'postgres',
      labels: {},
      connection: {},
      credential: { user: 'x', password: 'env:MISSING' },
      recording: 'strict',
    },
  ],
  limits: { maxSessionsPerPrincipal: 20, maxSessions: 100 },
}

async function addGateway(store: Store, change: Partial<ControlSettings> = {}): Promise<GatewayControl> {
  const control = await createControlPlane({
    store,
    clock: systemClock,
    random: systemRandom,
    log,
    secrets: createSecretResolver({ environment: { SHOP: 'hunter2' }, log }),
    settings: { ...settings, ...change },
    audit: async (entry) => {
      if (auditFails) throw new Error('disk full')
      audited.push(entry)
    },
    timings: { pollMs: 200, beatMs: 400, goneAfterMs: 60_000 },
  })
  controls.push(control)
  return control
}

async function openOne(url: string): Promise<Store> {
  const store = await openStore({ kind: 'postgres', url }, { clock: systemClock, log })
  stores.push(store)
  return store
}

let url = ''
beforeAll(async () => {
  server = await ManagedPostgres.start({ folder: path.join(folder, 'pg'), listen: { host: '127.0.0.1', port: 0 }, log })
})
afterAll(async () => {
  await server.stop()
  remove()
})
beforeEach(async () => {
  const name = `test_${++databases}`
  const client = new pg.Client(server.connection)
  await client.connect()
  await client.query(`create database ${name}`)
  await client.end()
  const address = new URL(server.url)
  address.pathname = `/${name}`
  url = address.href
  one = await addGateway(await openOne(url))
  two = await addGateway(await openOne(url))
})
afterEach(async () => {
  auditFails = false
  await Promise.all(controls.map((control) => control.close()))
  await Promise.all(stores.map((store) => store.close()))
  stores = []
  controls = []
  audited = []
})

async function makeToken(principal: Principal, change: object = {}) {
  return one.administration.issueToken({ name: 'test', ...principal, ...change }, 'test')
}

function request(tokenId: string, targetName = 'shop') {
  const client = { address: '127.0.0.1', application: 'psql' }
  return { tokenId, targetName, protocol: 'postgres', client }
}

async function openAs(control: GatewayControl, principal = alicesAgent): Promise<SessionInfo> {
  const { token } = await makeToken(principal)
  return (await control.openSession(request(token.id))).info
}

const facts: Facts = {
  kind: 'delete',
  kinds: ['delete'],
  reads: [],
  writes: ['customers'],
  columns: [],
  functions: [],
  unbounded: true,
  level: 'write',
  levelReason: 'DELETE',
  rowLocks: false,
  changesSession: [],
  changesPrivileges: false,
  serverFiles: false,
  serverPrograms: false,
  dynamicSql: false,
  opaque: [],
}

async function hold(control: GatewayControl, session: SessionInfo, approvals = 1, expiresInMs = 60_000) {
  const digest = randomBytes(32)
  const pending = await control.requestReview({
    session,
    rule: 'deletes',
    reason: 'A second pair of eyes.',
    hold: { reviewers: ['group:dba', 'user:alice'], approvals, expiresInMs },
    digest,
    text: 'delete from customers',
    parameters: [],
    facts,
    evidence: { estimatedRows: 3, affectedRows: 3, note: undefined },
  })
  return { ...pending, digest }
}

function ending(control: GatewayControl, session: SessionInfo): Promise<GatewayError> {
  return new Promise((resolve) => control.onRevoked(session.id, resolve))
}

const summary = { endedAt: 5, reason: 'closed', operations: 1, denied: 0, rowsReturned: 2, bytesReturned: 3 }
const approve = (control: GatewayControl, who: Identity, review: Pick<PendingReview, 'id'>) =>
  control.administration.answerReview(human(who), review.id, 'approve', 'fine')

test('a token opens what its grants and its own bounds allow', async () => {
  const { token, secret } = await makeToken(alicesAgent)
  const { verifier, known } = await two.verifierFor(token.id)
  expect([known, verifySecret(verifier, secret)]).toEqual([true, true])
  const opened = await two.openSession(request(token.id))
  expect(opened.info).toMatchObject({ principal: alicesAgent, level: 'write', tokenId: token.id })
  expect(opened.target).toMatchObject({ credential: { user: 'shop', password: 'hunter2' }, connection: { host: 'db' } })
  await two.closeSession(opened.info.id, summary)
  expect(await one.administration.getSession(root, opened.info.id)).toMatchObject({ ended: summary })
  const capped = await makeToken(alicesAgent, { levelCap: 'read', targets: ['shop'] })
  expect((await one.openSession(request(capped.token.id))).info.level).toBe('read')
})

test.each([
  ['an unknown target', {}, request('', 'nowhere'), 'access.no_grant'],
  ['a target of another protocol', {}, { ...request(''), protocol: 'mysql' }, 'access.no_grant'],
  ['a target that the token does not name', { targets: ['other'] }, request(''), 'access.no_grant'],
  ['somebody without a grant', human(carol), request(''), 'access.no_grant'],
  ['a credential that is not there', {}, request('', 'broken'), 'secret.unresolved'],
])('%s is refused', async (_, change, what, code) => {
  const { token } = await makeToken(alicesAgent, change)
  await expect(one.openSession({ ...what, tokenId: token.id })).rejects.toMatchObject({ code })
  expect((await one.administration.listSessions(root, { limit: 10 })).items).toEqual([])
  expect(one.liveSessions).toEqual([])
  expect(log.lines.join()).not.toContain('hunter2')
})

test('unknown, expired and revoked tokens look alike and open nothing', async () => {
  const expired = await makeToken(alicesAgent, { expiresInMs: 1 })
  const revoked = await makeToken(alicesAgent)
  await two.verifierFor(revoked.token.id)
  await one.administration.revokeToken(root, revoked.token.id)
  await vi.waitFor(async () => expect((await two.verifierFor(revoked.token.id)).known).toBe(false), WAIT)
  for (const id of [
    expired.token.id,
    revoked.token.id,
    'spt_0000000000000000',
    "' or 1=1 --",
    '\u0000',
    'x'.repeat(9999),
  ]) {
    const first = await two.verifierFor(id)
    expect(first.known).toBe(false)
    expect(await one.verifierFor(id)).toEqual(first) // made of a key that all gateways share
    expect(first.verifier.salt).toHaveLength(mockVerifier(Buffer.alloc(32), id).salt.length)
    await expect(one.openSession(request(id))).rejects.toMatchObject({ code: 'auth.failed' })
  }
})

test('a bearer is checked, throttled, and logged once', async () => {
  const { token, secret } = await makeToken(root)
  for (let round = 0; round < 3; round++)
    expect(await one.authenticate(token.id, secret, '192.0.2.1')).toEqual({
      principal: root,
      tokenId: token.id,
      administrator: true,
    })
  const codes = new Set<unknown>()
  for (let round = 0; round < 40; round++)
    await one
      .authenticate(round % 2 ? token.id : 'spt_0000000000000000', `${secret}x`, '192.0.2.9')
      .catch((error: GatewayError) => codes.add(`${error.code} ${error.message}`))
  expect(codes.size).toBe(2)
  expect(audited.filter((entry) => entry.type === 'login_failed')).toHaveLength(1)
  await expect(one.authenticate(token.id, secret, '192.0.2.9')).rejects.toMatchObject({ code: 'auth.throttled' })
  await one.administration.revokeToken(root, token.id)
  await vi.waitFor(
    () => expect(one.authenticate(token.id, secret, '192.0.2.1')).rejects.toMatchObject({ code: 'auth.failed' }),
    WAIT,
  )
})

test('an approval on one gateway wakes the hold on the other, and is spent once for exactly its digest', async () => {
  const session = await openAs(one)
  const held = await hold(one, session)
  expect(held.link).toBe(`http://127.0.0.1:15480/reviews/${held.id}`)
  expect((await two.administration.listReviews(human(bob), { limit: 10 })).map((each) => each.id)).toEqual([held.id])
  await approve(two, bob, held)
  expect(await held.outcome).toEqual({ kind: 'approved', reviewId: held.id, by: ['bob'] })
  expect(await one.spendApproval(held.id, randomBytes(32))).toBe(false)
  const tries = await Promise.all([one, two, one, two].map((control) => control.spendApproval(held.id, held.digest)))
  expect(tries.filter(Boolean)).toHaveLength(1)
  expect(audited.map((entry) => entry.type)).toEqual([
    'token_created',
    'review_requested',
    'review_answered',
    'review_spent',
  ])
})

test('of two approvers who race for one approval one wins; two approvals need two people', async () => {
  const session = await openAs(one)
  const single = await hold(one, session)
  const race = await Promise.allSettled([approve(one, bob, single), approve(two, carol, single)])
  expect(race.filter((each) => each.status === 'fulfilled')).toHaveLength(1)
  expect(race.find((each) => each.status === 'rejected')).toMatchObject({ reason: { code: 'review.not_pending' } })
  const double = await hold(one, session, 2)
  await approve(one, bob, double)
  await approve(two, bob, double)
  expect((await one.administration.getReview(root, double.id)).state).toBe('pending')
  await approve(two, carol, double)
  expect(await double.outcome).toMatchObject({ kind: 'approved', by: ['bob', 'carol'] })
})

test('only another human who is asked can answer', async () => {
  const held = await hold(one, await openAs(one))
  const answers: [Principal, string][] = [
    [human(alice), 'review.self_approval'],
    [alicesAgent, 'access.forbidden'],
    [{ identity: bob, actor: agent }, 'access.forbidden'],
    [root, 'review.not_reviewer'],
    [human(person('dave', ['support'])), 'review.not_found'],
  ]
  for (const [who, code] of answers)
    for (const verdict of ['approve', 'deny'] as const)
      await expect(one.administration.answerReview(who, held.id, verdict, '')).rejects.toMatchObject({ code })
  await expect(approve(one, bob, { id: 'r_00000000' })).rejects.toMatchObject({ code: 'review.not_found' })
  await expect(approve(one, bob, { id: "r_' --" })).rejects.toMatchObject({ code: 'review.not_found' })
  await two.administration.answerReview(human(bob), held.id, 'deny', 'not\u001b[2J today')
  expect(await held.outcome).toEqual({ kind: 'denied', reviewId: held.id, by: 'bob', reason: 'not [2J today' })
  expect(await one.spendApproval(held.id, held.digest)).toBe(false)
})

test('a hold expires, and an approval that comes too late is refused', async () => {
  const held = await hold(one, await openAs(one), 1, 50)
  expect(await held.outcome).toEqual({ kind: 'expired', reviewId: held.id })
  await expect(approve(two, bob, held)).rejects.toMatchObject({ code: 'review.not_pending' })
  expect(await one.spendApproval(held.id, held.digest)).toBe(false)
})

test('a client that leaves withdraws its hold, also one that was approved already', async () => {
  const session = await openAs(one)
  const waiting = await hold(one, session)
  waiting.withdraw('cancelled')
  waiting.withdraw('cancelled')
  expect(await waiting.outcome).toEqual({ kind: 'withdrawn', reviewId: waiting.id })
  await expect(approve(two, bob, waiting)).rejects.toMatchObject({ code: 'review.not_pending' })
  const approved = await hold(one, session)
  await approve(two, bob, approved)
  await approved.outcome
  approved.withdraw('left')
  await vi.waitFor(
    async () => expect((await two.administration.getReview(root, approved.id)).state).toBe('withdrawn'),
    WAIT,
  )
  expect(await one.spendApproval(approved.id, approved.digest)).toBe(false)
  const open = await hold(one, session)
  await one.closeSession(session.id, summary)
  expect(await open.outcome).toMatchObject({ kind: 'withdrawn' })
})

test('what cannot be logged does not happen, but revoking always works', async () => {
  const session = await openAs(one)
  const held = await hold(one, session)
  auditFails = true
  await expect(approve(two, bob, held)).rejects.toThrow()
  await expect(makeToken(alicesAgent)).rejects.toThrow()
  await expect(hold(one, session)).rejects.toThrow()
  expect((await one.administration.getReview(root, held.id)).state).toBe('pending')
  expect(await one.administration.listTokens(root)).toHaveLength(1)
  const ended = ending(one, session)
  await two.administration.revokeToken(root, session.tokenId)
  expect((await ended).code).toBe('session.revoked')
})

test('revoking a token ends its sessions on every gateway, and no others', async () => {
  const { token } = await makeToken(alicesAgent)
  const [first, second] = [await one.openSession(request(token.id)), await two.openSession(request(token.id))]
  const other = await openAs(one)
  const ends = [ending(one, first.info), ending(two, second.info)]
  await one.administration.revokeToken(human(alice), token.id)
  for (const reason of await Promise.all(ends)) expect(reason).toMatchObject({ code: 'session.revoked' })
  expect(await ending(one, first.info)).toMatchObject({ code: 'session.revoked' }) // who asks late is told as well
  let disturbed = false
  one.onRevoked(other.id, () => (disturbed = true))
  await one.administration.listTokens(root)
  expect(disturbed).toBe(false)
})

test('a revocation is noticed without its notice', async () => {
  const { token } = await makeToken(alicesAgent)
  const { info } = await one.openSession(request(token.id))
  const ended = ending(one, info)
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query('update sallyport.tokens set revoked_at = now(), changed_at = now() where id = $1', [token.id])
  await client.end()
  expect((await ended).code).toBe('session.revoked')
})

test('a session is ended by its owner or an administrator, from any gateway', async () => {
  const session = await openAs(one)
  await expect(two.administration.endSession(human(bob), session.id, '')).rejects.toMatchObject({
    code: 'recording.not_found',
  })
  const ended = ending(one, session)
  expect(await two.administration.endSession(root, session.id, 'suspicious')).toBe(true)
  expect((await ended).message).toBe('The session was ended by root: suspicious.')
  await one.closeSession(session.id, summary)
  expect(await two.administration.endSession(root, session.id, '')).toBe(false)
})

test('a session ends with its token and with its grant', async () => {
  const short = await makeToken(alicesAgent, { expiresInMs: 1_500 })
  const { info } = await one.openSession(request(short.token.id))
  expect(await ending(one, info)).toMatchObject({ code: 'session.expired', message: /token/ })
  const until = new Date(Date.now() + 1_500).toISOString()
  one.reconfigure({ ...settings, grants: [{ ...settings.grants[0]!, until }] })
  const session = await openAs(one)
  expect(await ending(one, session)).toMatchObject({ code: 'session.expired', message: /grant/ })
})

test('a grant or a person that is gone after a reload ends the sessions', async () => {
  const directory = { issuer: 'local', identities: [{ ...alice, groups: ['new'] }, bob] }
  one.reconfigure({ ...settings, directory })
  const session = await openAs(one)
  expect(session.principal.identity.groups).toEqual(['new'])
  const kept = await openAs(one, human(bob))
  const ended = ending(one, session)
  one.reconfigure({ ...settings, directory: { ...directory, identities: [bob] } })
  expect((await ended).code).toBe('session.revoked')
  await expect(one.openSession(request(session.tokenId))).rejects.toMatchObject({ code: 'auth.failed' })
  expect((await one.verifierFor(session.tokenId)).known).toBe(false)
  const lowered = ending(one, kept)
  one.reconfigure({ ...settings, directory, grants: [{ ...settings.grants[0]!, level: 'read' }] })
  expect((await lowered).code).toBe('session.revoked')
})

test('people make tokens for themselves with no more than they have, administrators for anyone, agents for nobody', async () => {
  const { administration } = one
  const wish = { name: 'x', identity: { ...alice, groups: ['admins'] }, actor: agent }
  expect((await administration.createToken(human(alice), wish)).token.identity).toEqual(alice)
  expect((await administration.createToken(root, wish)).token.identity.groups).toEqual(['admins'])
  for (const who of [alicesAgent, human(bob), { identity: root.identity, actor: agent }])
    await expect(administration.createToken(who, wish)).rejects.toMatchObject({ code: 'access.forbidden' })
  for (const bad of [
    { expiresInMs: 0 },
    { expiresInMs: Number.NaN },
    { expiresInMs: 1e12 },
    { name: 'x'.repeat(999) },
    { actor: { kind: 'agent', name: 'a\u0000b' } as const },
    { actor: { kind: 'robot', name: 'x' } as never },
    { levelCap: 'root' as never },
    { targets: [''] },
  ])
    await expect(administration.createToken(root, { ...wish, ...bad })).rejects.toMatchObject({ code: 'api.invalid' })
  expect((await administration.listTokens(human(alice))).map((token) => token.identity.subject)).toEqual([
    'alice',
    'alice',
  ])
  expect(await administration.listTokens(human(bob))).toEqual([])
  await expect(administration.listTokens(alicesAgent)).rejects.toMatchObject({ code: 'access.forbidden' })
  const [mine] = await administration.listTokens(human(alice))
  await expect(administration.revokeToken(human(bob), mine!.id)).rejects.toMatchObject({ code: 'api.not_found' })
  await expect(administration.revokeToken(alicesAgent, mine!.id)).rejects.toMatchObject({ code: 'api.not_found' })
})

test('sessions are shown to whom they belong, in pages', async () => {
  const mine = [await openAs(one), await openAs(two), await openAs(one, human(alice))].map((session) => session.id)
  await openAs(one, human(bob))
  const { administration } = two
  const ids = async (who: Principal, limit = 10, cursor?: string) => {
    const page = await administration.listSessions(who, { limit, cursor })
    return { ids: page.items.map((row) => row.id), next: page.next }
  }
  expect((await ids(root)).ids).toHaveLength(4)
  expect((await ids(human(alice))).ids.sort()).toEqual([...mine].sort())
  expect((await ids(alicesAgent)).ids.sort()).toEqual(mine.slice(0, 2).sort())
  expect((await ids({ identity: alice, actor: { kind: 'agent', name: 'other' } })).ids).toEqual([])
  const first = await ids(human(alice), 2)
  const rest = await ids(human(alice), 2, first.next)
  expect([...first.ids, ...rest.ids].sort()).toEqual([...mine].sort())
  expect(rest.next).toBeUndefined()
  await expect(ids(root, 2, "x' or true --")).rejects.toMatchObject({ code: 'api.invalid' })
  await expect(administration.getSession(human(bob), mine[0]!)).rejects.toMatchObject({ code: 'recording.not_found' })
})

test('a gateway that stops in order refuses, withdraws and closes; one that was killed is cleaned up after', async () => {
  const session = await openAs(one)
  const held = await hold(one, session)
  one.drain()
  await expect(one.openSession(request(session.tokenId))).rejects.toMatchObject({ code: 'gateway.draining' })
  await one.close()
  expect(await held.outcome).toMatchObject({ kind: 'withdrawn' })
  expect((await two.administration.getSession(root, session.id)).ended?.reason).toBe('the gateway stopped')
  const left = await openAs(two)
  const waiting = await hold(two, left)
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  // As if the gateway that has it had not been seen for an hour.
  await client.query("update sallyport.sessions set instance = 'g_killed' where id = $1", [left.id])
  await client.end()
  const third = await addGateway(await openOne(url))
  await vi.waitFor(async () => {
    expect((await third.administration.getSession(root, left.id)).ended?.reason).toBe('interrupted')
    expect((await third.administration.getReview(root, waiting.id)).state).toBe('withdrawn')
  }, WAIT)
})

test('limits of sessions hold over all gateways', async () => {
  for (const control of [one, two])
    control.reconfigure({ ...settings, limits: { maxSessionsPerPrincipal: 2, maxSessions: 100 } })
  const { token } = await makeToken(alicesAgent)
  const tries = await Promise.allSettled([one, two, one, two].map((control) => control.openSession(request(token.id))))
  expect(tries.filter((each) => each.status === 'fulfilled')).toHaveLength(2)
  expect(one.liveSessions.length + two.liveSessions.length).toBe(2)
})

test('a review too large to be shown is refused', async () => {
  const session = await openAs(one)
  await expect(
    one.requestReview({
      session,
      rule: 'r',
      reason: '',
      hold: { reviewers: ['group:dba'], approvals: 1, expiresInMs: 1000 },
      digest: randomBytes(32),
      text: 'x'.repeat(5_000_000),
      parameters: [],
      facts,
      evidence: { estimatedRows: undefined, affectedRows: undefined, note: undefined },
    }),
  ).rejects.toMatchObject({ code: 'sql.too_large' })
})

test('sessions end when the store stays out of reach', async () => {
  const store = await openOne(url)
  const control = await createControlPlane({
    store,
    clock: systemClock,
    random: systemRandom,
    log,
    secrets: createSecretResolver({ environment: { SHOP: 'x' }, log }),
    settings,
    audit: async () => undefined,
    timings: { pollMs: 50, storeLossMs: 300 },
  })
  const session = await openAs(control)
  const ended = ending(control, session)
  await store.close()
  stores = stores.filter((each) => each !== store)
  expect((await ended).code).toBe('session.revoked')
  expect(await control.health()).not.toEqual([])
  await control.close().catch(() => undefined)
})
