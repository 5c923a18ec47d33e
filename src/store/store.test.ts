import { randomBytes } from 'node:crypto'
import path from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import type { Facts, SessionInfo } from '../kernel/index.ts'
import { answer, openReview, type Review, withdraw } from '../review/index.ts'
import { ManagedPostgres, openStore, type Store, type TokenRow } from './index.ts'
import { clock, memoryLog, temporaryFolder } from './test/surroundings.ts'

const SLOW_MACHINE_MS = 120_000
vi.setConfig({ testTimeout: SLOW_MACHINE_MS, hookTimeout: SLOW_MACHINE_MS })

const NOW = 1_900_000_000_000
const { folder, remove } = temporaryFolder('store')
const log = memoryLog()
let server: ManagedPostgres
let opened: Readonly<Record<Store['kind'], Store>>
const nothing = async () => undefined

beforeAll(async () => {
  server = await ManagedPostgres.start({
    folder: path.join(folder, 'yours'),
    listen: { host: '127.0.0.1', port: 0 },
    log,
  })
  opened = {
    embedded: await openStore({ kind: 'embedded', folder: path.join(folder, 'own') }, { clock, log }),
    postgres: await openStore({ kind: 'postgres', url: server.url }, { clock, log }),
  }
})
afterAll(async () => {
  await Promise.all([opened.embedded.close(), opened.postgres.close()])
  await server.stop()
  remove()
})

const alice = { issuer: 'local', subject: 'alice', email: 'alice@example.com', groups: ['support'] }
const bob = { issuer: 'local', subject: 'Bob', email: 'Bob@Example.com', groups: ['dba'] }
const agent = { kind: 'agent', name: 'claude-code' } as const

let counter = 0
const fresh = (prefix: string) => `${prefix}_${String(++counter).padStart(6, '0')}`

function session(change: Partial<SessionInfo> = {}): SessionInfo {
  return {
    id: fresh('s'),
    principal: { identity: alice, actor: agent },
    target: { name: 'shop', type: 'postgres', labels: { env: 'demo' } },
    level: 'read',
    tokenId: 'spt_x',
    client: { address: '127.0.0.1', application: 'psql \u0000\ud800 "\'; drop table sessions' },
    startedAt: NOW,
    ...change,
  }
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

function review(approvals = 1): Review {
  return openReview(
    {
      session: session(),
      rule: 'deletes',
      reason: 'A second pair of eyes.',
      hold: { reviewers: ['group:DBA', 'group:dba', 'user:carol@example.com'], approvals, expiresInMs: 60_000 },
      digest: randomBytes(32),
      text: "delete from customers -- \u0000 \ud800 '",
      parameters: ['\u0000', null, '\ud800x'],
      facts,
      evidence: { estimatedRows: 3, affectedRows: undefined, note: undefined },
    },
    fresh('r'),
    NOW,
  )
}

function token(): TokenRow {
  return {
    id: fresh('spt'),
    name: 'laptop',
    identity: alice,
    actor: agent,
    targets: ['shop', 'with "quotes", {braces} and \\'],
    levelCap: 'write',
    verifier: {
      salt: randomBytes(16),
      iterations: 4096,
      storedKey: randomBytes(32),
      serverKey: randomBytes(32),
    },
    createdAt: NOW,
    createdBy: 'root',
    expiresAt: NOW + 1000,
    revokedAt: undefined,
    revokedBy: undefined,
    lastUsedAt: undefined,
  }
}

const limits = { maxSessionsPerPrincipal: 100, maxSessions: 1000 }
const summary = {
  endedAt: NOW + 5,
  reason: 'closed',
  operations: 7,
  denied: 1,
  rowsReturned: 2 ** 40,
  bytesReturned: 9,
}
const bySubject = (reviewer: typeof alice) => ({ identity: reviewer, actor: { kind: 'human', name: 'x' } as const })

describe.each(['embedded', 'postgres'] as const)('the %s store', (kind) => {
  test('keeps tokens as they were', async () => {
    const { tokens } = opened[kind]
    const one = token()
    await tokens.insert(one, nothing)
    expect(await tokens.get(one.id)).toEqual(one)
    expect(await tokens.get('spt_none')).toBeUndefined()
    expect((await tokens.list(alice)).map((each) => each.id)).toContain(one.id)
    expect(await tokens.list(bob)).toEqual([])
    expect(await tokens.list({ ...alice, issuer: 'elsewhere' })).toEqual([])
    await tokens.markUsed(
      new Map([
        [one.id, NOW + 50],
        ['spt_none', NOW],
      ]),
    )
    await tokens.markUsed(new Map([[one.id, NOW + 40]]))
    expect((await tokens.get(one.id))?.lastUsedAt).toBe(NOW + 50)
    await tokens.revoke(one.id, NOW + 60, 'root')
    await tokens.revoke(one.id, NOW + 70, 'mallory')
    expect(await tokens.get(one.id)).toMatchObject({ revokedAt: NOW + 60, revokedBy: 'root' })
  })

  test('keeps nothing that could not be logged', async () => {
    const one = token()
    const failing = opened[kind].tokens.insert(one, () => Promise.reject(new Error('disk full')))
    await expect(failing).rejects.toThrow()
    expect(await opened[kind].tokens.get(one.id)).toBeUndefined()
  })

  test('keeps sessions, whatever the client calls itself, in pages', async () => {
    const { sessions } = opened[kind]
    const mine = [session(), session(), session({ target: { name: 'other', type: 'postgres', labels: {} } })]
    for (const one of mine) await sessions.open(one, 'postgres', 'g_1', limits)
    expect(await sessions.get(mine[0]!.id)).toEqual({
      ...mine[0],
      protocol: 'postgres',
      killed: undefined,
      ended: undefined,
      recordingDigest: undefined,
    })
    await sessions.close(mine[0]!.id, { ...summary, reason: 'a\u0000b' })
    await sessions.setRecordingDigest(mine[0]!.id, Buffer.alloc(32, 1))
    expect(await sessions.get(mine[0]!.id)).toMatchObject({
      ended: { ...summary, reason: 'a\u2400b' },
      recordingDigest: Buffer.alloc(32, 1),
    })
    const filter = { owner: alice, actor: agent, open: undefined, cursor: undefined, limit: 2 }
    const page = await sessions.list(filter)
    expect(page.map((row) => row.id)).toEqual([mine[2]!.id, mine[1]!.id])
    expect((await sessions.list({ ...filter, cursor: page[1]!.id }))[0]?.id).toBe(mine[0]!.id)
    expect((await sessions.list({ ...filter, open: false })).map((row) => row.id)).toEqual([mine[0]!.id])
    expect((await sessions.list({ ...filter, target: 'other' })).map((row) => row.id)).toEqual([mine[2]!.id])
    expect(await sessions.list({ ...filter, owner: bob })).toEqual([])
    expect(await sessions.list({ ...filter, actor: { kind: 'human', name: 'claude-code' } })).toEqual([])
    await sessions.leave('g_1', 'stopped')
    expect(await sessions.list({ ...filter, open: true })).toEqual([])
  })

  test('counts sessions exactly, however many open at once', async () => {
    const { sessions } = opened[kind]
    const three = { maxSessionsPerPrincipal: 3, maxSessions: 1000 }
    const tries = await Promise.allSettled(
      Array.from({ length: 12 }, () => sessions.open(session(), 'postgres', 'g_2', three)),
    )
    expect(tries.filter((one) => one.status === 'fulfilled')).toHaveLength(3)
    for (const one of tries) if (one.status === 'rejected') expect(one.reason).toMatchObject({ code: 'session.limit' })
    const other = session({ principal: { identity: alice, actor: { kind: 'human', name: 'alice' } } })
    await sessions.open(other, 'postgres', 'g_2', three)
    await expect(
      sessions.open(session({ principal: { identity: bob, actor: agent } }), 'postgres', 'g_2', {
        ...three,
        maxSessions: 4,
      }),
    ).rejects.toMatchObject({ code: 'session.limit' })
    await sessions.leave('g_2', 'stopped')
  })

  test('closes the sessions of gateways that are gone, and no others', async () => {
    const { sessions } = opened[kind]
    const [lives, gone, known] = [session(), session(), session()]
    const totals = { operations: 3, denied: 1, rowsReturned: 40, bytesReturned: 500 }
    await sessions.beat('g_lives')
    await sessions.open(lives, 'postgres', 'g_lives', limits)
    await sessions.open(gone, 'postgres', 'g_gone', limits)
    await sessions.open(known, 'postgres', 'g_lives', limits)
    expect(await sessions.closeAbandoned(60_000)).toEqual([gone.id])
    expect(await sessions.closeAbandoned(60_000, [{ session: gone.id }, { session: known.id, totals }])).toEqual([
      known.id,
    ])
    expect(await sessions.get(known.id)).toMatchObject({ ended: { ...totals, reason: 'interrupted' } })
    expect((await sessions.get(gone.id))?.ended?.reason).toBe('interrupted')
    expect((await sessions.get(lives.id))?.ended).toBeUndefined()
    expect(await sessions.closeAbandoned(0)).toEqual([lives.id])
    expect(await sessions.kill(lives.id, 'root', '')).toBe(false)
  })

  test('keeps reviews as they were, and steps them once', async () => {
    const { reviews } = opened[kind]
    const one = review(2)
    expect(await reviews.insert(one, 1000, nothing)).toBe(true)
    expect(await reviews.insert(one, 1000, nothing)).toBe(false)
    expect(await reviews.get(one.id)).toEqual(JSON.parse(JSON.stringify(one)))
    const approve = (reviewer: typeof alice) =>
      reviews.change(one.id, (found) =>
        answer(found, { reviewer: bySubject(reviewer), verdict: 'approve', reason: '\u0000', now: NOW }),
      )
    const dba = (subject: string) => ({ ...bob, subject, email: `${subject}@example.com` })
    const tries = await Promise.allSettled(['b', 'c', 'd', 'e', 'f'].map((name) => approve(dba(name))))
    expect(tries.filter((attempt) => attempt.status === 'fulfilled')).toHaveLength(2)
    const settled = await reviews.get(one.id)
    expect(settled).toMatchObject({ state: 'approved', version: 3 })
    expect(settled?.answers).toHaveLength(2)
    expect(await reviews.change('r_none', (found) => found)).toBeUndefined()
  })

  test('spends an approval once, for what it was given and in time', async () => {
    const { reviews } = opened[kind]
    const approved = async () => {
      const one = review()
      await reviews.insert(one, 1000, nothing)
      const given = { reviewer: bySubject(bob), verdict: 'approve', reason: '', now: NOW } as const
      await reviews.change(one.id, (found) => answer(found, given))
      return { id: one.id, digest: Buffer.from(one.digest, 'hex') }
    }
    const { id, digest } = await approved()
    expect(await reviews.spend(id, randomBytes(32), NOW)).toBe(false)
    expect(await reviews.spend(id, Buffer.alloc(0), NOW)).toBe(false)
    expect(await reviews.spend(id, digest, NOW + 60_000)).toBe(false)
    const tries = await Promise.all(Array.from({ length: 10 }, () => reviews.spend(id, digest, NOW)))
    expect(tries.filter(Boolean)).toHaveLength(1)
    expect((await reviews.get(id))?.state).toBe('spent')
    const pending = review()
    await reviews.insert(pending, 1000, nothing)
    expect(await reviews.spend(pending.id, Buffer.from(pending.digest, 'hex'), NOW)).toBe(false)
    const gone = await approved()
    await reviews.change(gone.id, (found) => withdraw(found, 'left', NOW))
    expect(await reviews.spend(gone.id, gone.digest, NOW)).toBe(false)
    expect(await reviews.overdue(NOW + 59_999, 100)).not.toContain(pending.id)
    expect(await reviews.overdue(NOW + 60_000, 100)).toContain(pending.id)
    expect(await reviews.openOf([pending.sessionId])).toEqual([pending.id])
  })

  test('lists reviews to those whom they concern, and lets nobody flood them', async () => {
    const { reviews } = opened[kind]
    const one = review()
    await reviews.insert(one, 1000, nothing)
    const seenBy = async (viewer: typeof alice | undefined, addressed: boolean) =>
      (await reviews.list({ viewer, addressed, states: ['pending'], limit: 100 })).some((each) => each.id === one.id)
    expect(await seenBy(undefined, true)).toBe(true)
    expect(await seenBy(alice, false)).toBe(true)
    expect(await seenBy(bob, true)).toBe(true)
    expect(await seenBy(bob, false)).toBe(false)
    expect(await seenBy({ ...bob, groups: ['x'], email: 'CAROL@example.com' }, true)).toBe(true)
    expect(await seenBy({ ...bob, groups: ['x'] }, true)).toBe(false)
    await expect(reviews.insert(review(), 1, nothing)).rejects.toMatchObject({ code: 'session.limit' })
  })

  test('makes a shared setting once', async () => {
    const { settings } = opened[kind]
    const made = await Promise.all(
      Array.from({ length: 5 }, () => settings.getOrMake('mock-key', () => randomBytes(32))),
    )
    expect(new Set(made.map((value) => value.toString('hex'))).size).toBe(1)
    await settings.set('mock-key', Buffer.from('x'))
    expect(await settings.get('mock-key')).toEqual(Buffer.from('x'))
  })

  test('wakes listeners, and lists what they may have missed', async () => {
    const store = opened[kind]
    const heard: unknown[] = []
    const before = (await store.changesSince(undefined)).at
    const [one, killed, held] = [token(), session(), review()]
    // What other tests did may still be on its way here.
    const own = new Set([one.id, killed.id, held.id])
    const stop = store.events.subscribe((notice) => {
      if ('id' in notice && own.has(notice.id)) heard.push(notice)
    })
    await store.tokens.insert(one, nothing)
    await store.sessions.open(killed, 'postgres', 'g_3', limits)
    await store.reviews.insert(held, 1000, nothing)
    await store.tokens.revoke(one.id, NOW, 'root')
    await store.sessions.kill(killed.id, 'root', 'enough')
    await vi.waitFor(
      () =>
        expect(heard).toEqual([
          { kind: 'review', id: held.id },
          { kind: 'token', id: one.id },
          { kind: 'session', id: killed.id },
        ]),
      { timeout: 10_000 },
    )
    stop()
    const changes = await store.changesSince(before)
    expect(changes.tokens).toContain(one.id)
    expect(changes.sessions).toContain(killed.id)
    expect(changes.reviews).toContain(held.id)
    await store.sessions.leave('g_3', 'stopped')
  })
})

test('a lost listening connection comes back and says that notices may be missing', async () => {
  const store = opened.postgres
  const heard: string[] = []
  const stop = store.events.subscribe((notice) => void heard.push(notice.kind))
  const client = new pg.Client(server.connection)
  await client.connect()
  await client.query(
    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'sallyport events'",
  )
  await client.end()
  await vi.waitFor(() => expect(heard).toContain('resync'), 20_000)
  await store.tokens.revoke('spt_any', NOW, 'root')
  await vi.waitFor(() => expect(heard).toContain('token'), 20_000)
  stop()
})

test('gateways that start together on an empty database make the tables once, and an older one keeps off', async () => {
  const client = new pg.Client(server.connection)
  await client.connect()
  await client.query('create database together')
  const url = new URL(server.url)
  url.pathname = '/together'
  const stores = await Promise.all(
    Array.from({ length: 4 }, () => openStore({ kind: 'postgres', url: url.href }, { clock, log })),
  )
  await Promise.all(stores.map((store) => store.health()))
  await Promise.all(stores.map((store) => store.close()))
  const newer = new pg.Client({ connectionString: url.href })
  await newer.connect()
  await newer.query("insert into sallyport.migrations (hash, created_at) values ('later', 99999999999999)")
  await newer.end()
  await expect(openStore({ kind: 'postgres', url: url.href }, { clock, log })).rejects.toThrow(/newer version/)
  await client.end()
})

test('a store that cannot be reached is a clear error without the password', async () => {
  const url = 'postgres://someone:hunter2@127.0.0.1:1/none'
  const error = await openStore({ kind: 'postgres', url }, { clock, log }).catch((thrown: unknown) => thrown)
  expect(error).toMatchObject({ code: 'store.failed' })
  expect(JSON.stringify(error) + String(error) + String((error as { detail?: string }).detail)).not.toContain('hunter2')
})

test('a failed statement does not tell its parameters', async () => {
  const secret = 'not-for-the-log'
  const error = await opened.postgres.tokens
    .insert({ ...token(), name: `${secret}\u0000` }, nothing)
    .catch((thrown: unknown) => thrown)
  expect(error).toMatchObject({ code: 'store.failed' })
  expect(String(error) + String((error as { detail?: string }).detail)).not.toContain(secret)
})

test('a store that is closed leaves nothing behind that a stopping server could cut off', async () => {
  const warned = memoryLog()
  for (let round = 0; round < 3; round++) {
    const store = await openStore({ kind: 'embedded', folder: path.join(folder, 'closed') }, { clock, log: warned })
    await Promise.all(Array.from({ length: 10 }, () => store.health()))
    await store.close()
  }
  expect(warned.lines.join()).not.toContain('idle connection')
})
