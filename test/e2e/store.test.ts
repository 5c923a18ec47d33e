import { readFileSync, rmSync } from 'node:fs'
import path from 'node:path'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Logger } from '../../src/kernel/index.ts'
import { ManagedPostgres } from '../../src/store/managed-postgres.ts'
import {
  column,
  errorOf,
  eventually,
  Gateway,
  type Person,
  prepareStore,
  type StoreServer,
  startTarget,
  type Target,
  temporaryFolder,
} from '../harness/index.ts'

const RULES = `rules:
  - name: delete-needs-a-second-pair-of-eyes
    match: { operation: [delete] }
    then: { hold: { reviewers: ["group:dba"], expires: 5m } }
`
/** Other gateways take a gateway for gone when it was not seen for 30 seconds, and look every five. */
const GONE_AFTER_MS = 60_000
const TWO_SECONDS_MS = 2_000

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} }

/** A store's server that can go away and come back at its address. */
class StoreMachine {
  readonly #folder = temporaryFolder('store')
  #server: ManagedPostgres | undefined
  #port = 0
  store: StoreServer | undefined

  async up(): Promise<this> {
    const server = await ManagedPostgres.start({
      folder: path.join(this.#folder, 'server'),
      listen: { host: '127.0.0.1', port: this.#port },
      database: 'postgres',
      log: silent,
    })
    this.#server = server
    this.#port = server.connection.port
    this.store ??= await prepareStore({ ...server.connection, sql: (text) => this.sql(text) })
    return this
  }

  async down(): Promise<void> {
    await this.#server?.stop()
    this.#server = undefined
  }

  /** Stops or goes on with every process of the server: it neither answers nor goes away. */
  signal(name: 'SIGSTOP' | 'SIGCONT'): void {
    if (this.#server === undefined) return
    for (const pid of [...childrenOf(this.#server.pid), this.#server.pid]) process.kill(pid, name)
  }

  async sql<Row extends object>(text: string, database = 'postgres'): Promise<Row[]> {
    const client = new pg.Client({ ...this.#server?.connection, database })
    await client.connect()
    try {
      return (await client.query<Row>(text)).rows
    } finally {
      await client.end()
    }
  }

  get url(): string {
    const { user, password, host, port, database } = this.store!
    return `postgres://${user}:${encodeURIComponent(password)}@${host}:${port}/${database}`
  }

  async remove(): Promise<void> {
    this.signal('SIGCONT')
    await this.down()
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
  return text.split(' ').flatMap((word) => (word === '' ? [] : [Number(word)]))
}

interface Review {
  readonly id: string
  readonly state: string
  readonly text: string
}

interface Session {
  readonly id: string
  readonly endedAt: string | null
  readonly endReason: string | null
}

let target: Target
const machines: StoreMachine[] = []
const gateways: Gateway[] = []

beforeAll(async () => {
  target = await startTarget()
  await target.sql('create table items (id int)')
})

afterAll(() => target?.stop())

beforeEach(() => target.sql('truncate items; insert into items select generate_series(1, 10)'))

async function newMachine(): Promise<StoreMachine> {
  const machine = new StoreMachine()
  machines.push(machine)
  return await machine.up()
}

async function newGateway(settings: { store?: StoreServer; beside?: Gateway }): Promise<Gateway> {
  const gateway = new Gateway({ targets: { shop: target }, policy: RULES, ...settings })
  gateways.push(gateway)
  return await gateway.open()
}

async function removeAll(): Promise<void> {
  for (const gateway of gateways.splice(0)) await gateway.close()
  for (const machine of machines.splice(0)) await machine.remove()
}

function rows(): Promise<unknown> {
  return target.value('select count(*)::int from items')
}

async function sessionsOn(gateway: Gateway): Promise<Session[]> {
  const { body } = await gateway.api('admin', 'GET', '/api/v1/sessions?limit=200')
  return (body as { items: Session[] }).items
}

async function sessionOn(gateway: Gateway, id: string): Promise<Session> {
  return (await gateway.api('admin', 'GET', `/api/v1/sessions/${id}`)).body as Session
}

/** A session, and the id that the gateways know it by. */
async function openSession(gateway: Gateway, person: Person): Promise<{ client: pg.Client; id: string }> {
  const before = new Set((await sessionsOn(gateway)).map(({ id }) => id))
  const client = await gateway.client(person)
  const opened = (await sessionsOn(gateway)).find(({ id }) => !before.has(id))
  return { client, id: opened?.id ?? '' }
}

function pendingOn(gateway: Gateway): Promise<Review> {
  return eventually('a pending review', async () => {
    const { body } = await gateway.api('bob', 'GET', '/api/v1/reviews')
    return (body as { items: Review[] }).items.find(({ state }) => state === 'pending')
  })
}

function answer(gateway: Gateway, person: Person, id: string, verdict: 'approve' | 'deny') {
  return gateway.api(person, 'POST', `/api/v1/reviews/${id}/${verdict}`, { reason: '' })
}

async function expectVerified(gateway: Gateway): Promise<void> {
  expect(await gateway.sallyport(['audit', 'verify', '--folder', gateway.dataFolder])).toMatchObject({ status: 0 })
}

describe('two gateways on one store', () => {
  let one: Gateway
  let two: Gateway

  beforeAll(async () => {
    const { store } = await newMachine()
    one = await newGateway({ ...(store === undefined ? {} : { store }) })
    two = await newGateway({ beside: one })
  })
  afterAll(removeAll)

  test('a review that one requests is answered through the other, and released within two seconds', async () => {
    const client = await one.client('agent')
    const running = client.query('delete from items where id <= 3')
    const held = await pendingOn(two)
    expect(held.text).toBe('delete from items where id <= 3')
    expect(await rows()).toBe(10)
    const approved = performance.now()
    expect(await answer(two, 'bob', held.id, 'approve')).toMatchObject({ status: 200 })
    expect((await running).rowCount).toBe(3)
    expect(performance.now() - approved).toBeLessThan(TWO_SECONDS_MS)
    expect(await rows()).toBe(7)
    expect((await two.api('bob', 'GET', `/api/v1/reviews/${held.id}`)).body).toMatchObject({ state: 'spent' })
  })

  test('a denial through the other arrives as well', async () => {
    const client = await one.client('agent')
    const failed = errorOf(client.query('delete from items'))
    expect(await answer(two, 'bob', (await pendingOn(two)).id, 'deny')).toMatchObject({ status: 200 })
    expect(await failed).toMatchObject({ code: '42501' })
    expect(await rows()).toBe(10)
  })

  test('two reviewers at two gateways at the same moment: one answer counts', async () => {
    for (let round = 0; round < 5; round++) {
      const client = await one.client('agent')
      const outcome = client.query('delete from items where id = 1').then(
        () => 'ran',
        () => 'denied',
      )
      const held = await pendingOn(two)
      const [approved, denied] = await Promise.all([
        answer(one, 'bob', held.id, 'approve'),
        answer(two, 'dave', held.id, 'deny'),
      ])
      expect([approved.status, denied.status].sort()).toEqual([200, 409])
      expect(await outcome).toBe(approved.status === 200 ? 'ran' : 'denied')
      await client.end()
    }
  })

  test('a token that is revoked at one ends its session at the other within two seconds', async () => {
    const { body } = await one.api('admin', 'POST', '/api/v1/tokens', { user: 'alice' })
    const { token, secret } = body as { token: { id: string }; secret: string }
    const connection = { ...two.address, user: token.id, password: secret, database: 'shop' }
    const client = new pg.Client(connection)
    const ended = new Promise<number>((resolve) => client.once('end', () => resolve(performance.now())))
    const errors: unknown[] = []
    client.on('error', (error) => errors.push(error))
    await client.connect()
    expect(await column(client, 'select 1')).toEqual([1])
    const revoked = performance.now()
    expect(await one.api('admin', 'POST', `/api/v1/tokens/${token.id}/revoke`, {})).toMatchObject({ status: 200 })
    expect((await ended) - revoked).toBeLessThan(TWO_SECONDS_MS)
    expect(errors[0]).toMatchObject({ code: '57P01' })
    expect(await errorOf(new pg.Client(connection).connect())).toMatchObject({ code: '28P01' })
  })

  test('a session that is ended at one ends at the other within two seconds', async () => {
    const { client, id } = await openSession(two, 'agent')
    const asked = performance.now()
    const failed = errorOf(client.query('select pg_sleep(30)'))
    expect(await one.cli('admin', ['sessions', 'end', id, '--reason', 'enough'])).toMatchObject({ status: 0 })
    expect(await failed).toMatchObject({ code: '57P01', message: expect.stringContaining('enough') })
    expect(performance.now() - asked).toBeLessThan(TWO_SECONDS_MS + 1_000) // the command's own start
  })

  test('both list all sessions; what the other has recorded is not here, and it says so', async () => {
    const { client, id } = await openSession(two, 'agent')
    await client.end()
    await eventually('the end', async () => ((await sessionOn(one, id)).endedAt === null ? undefined : true))
    expect((await two.cli('admin', ['sessions', 'replay', id])).status).toBe(0)
    const elsewhere = await one.cli('admin', ['sessions', 'replay', id])
    expect(elsewhere.status).not.toBe(0)
    expect(elsewhere.stderr).toMatch(/recording/i)
  })

  test('the sessions of one that was killed are closed by the other, and its reviews with them', async () => {
    const { client, id } = await openSession(two, 'agent')
    const failed = client.query('delete from items').catch(() => undefined)
    const held = await pendingOn(one)
    await two.end('SIGKILL')
    await failed
    const closed = await eventually(
      'the interrupted session',
      async () => {
        const session = await sessionOn(one, id)
        return session.endedAt === null ? undefined : session
      },
      GONE_AFTER_MS,
    )
    expect(closed.endReason).toBe('interrupted')
    await eventually('the withdrawal', async () => {
      const { body } = await one.api('bob', 'GET', `/api/v1/reviews/${held.id}`)
      return (body as Review).state === 'withdrawn' ? true : undefined
    })
    expect(await answer(one, 'bob', held.id, 'approve')).toMatchObject({ status: 409 })
    expect(await rows()).toBe(10)
    expect(await column(await one.client('agent'), 'select 1')).toEqual([1])
  })

  test('one that starts again closes its own at once', async () => {
    await two.start()
    const { client, id } = await openSession(two, 'agent')
    expect(await column(client, 'select 1')).toEqual([1])
    await two.end('SIGKILL')
    await two.start()
    expect(await sessionOn(one, id)).toMatchObject({ endReason: 'interrupted' })
    expect((await two.cli('admin', ['sessions', 'replay', id])).stdout).toContain('the gateway stopped here')
    await expectVerified(one)
    await expectVerified(two)
  })
})

describe('a store that is away', () => {
  let machine: StoreMachine
  let gateway: Gateway

  beforeEach(async () => {
    machine = await newMachine()
    gateway = await newGateway({ ...(machine.store === undefined ? {} : { store: machine.store }) })
  })
  afterEach(removeAll)

  test('refuses what needs it, keeps recording what goes on, and recovers by itself', async () => {
    const { client, id } = await openSession(gateway, 'agent')
    expect(await column(client, 'select 111111')).toEqual([111111])
    const waiting = await gateway.client('agent')
    const running = waiting.query('delete from items where id = 1')
    const held = await pendingOn(gateway)
    await machine.down()

    expect(await answer(gateway, 'bob', held.id, 'approve')).toMatchObject({ status: 503 })
    expect(await errorOf(gateway.client('agent'))).toMatchObject({
      code: '58000',
      message: expect.stringContaining('store'),
    })
    expect(await column(client, 'select 222222')).toEqual([222222]) // recorded here, as ever
    expect(await errorOf(client.query('delete from items'))).toMatchObject({ code: '58000' }) // nobody can be asked
    expect(await rows()).toBe(10)
    expect(await column(client, 'select 333333')).toEqual([333333])
    expect(await gateway.api('admin', 'GET', '/api/v1/sessions')).toMatchObject({
      status: 503,
      body: { code: 'store.failed' },
    })
    expect(await gateway.api('admin', 'GET', '/api/v1/health')).toMatchObject({ status: 503 })
    const told = await gateway.cli('admin', ['sessions', 'list'])
    expect(told).toMatchObject({ status: 7, stderr: expect.stringContaining('store') })
    await client.end()

    await machine.up()
    await eventually('health', async () =>
      (await gateway.api('admin', 'GET', '/api/v1/health')).status === 200 ? true : undefined,
    )
    await eventually('the end of the session', async () =>
      (await sessionOn(gateway, id)).endedAt === null ? undefined : true,
    )
    const { stdout } = await gateway.cli('admin', ['sessions', 'replay', id])
    for (const text of ['select 111111', 'select 222222', 'select 333333', 'delete from items'])
      expect(stdout).toContain(text)
    await expectVerified(gateway)

    expect(await rows()).toBe(10)
    expect(await answer(gateway, 'bob', held.id, 'approve')).toMatchObject({ status: 200 })
    expect((await running).rowCount).toBe(1)
    expect(await column(await gateway.client('agent'), 'select 1')).toEqual([1])
    expect(gateway.log).not.toContain(machine.store?.password)
  })

  test('one that hangs is not waited for for ever', async () => {
    const client = await gateway.client('agent')
    machine.signal('SIGSTOP')
    expect(await column(client, 'select 1')).toEqual([1])
    const errors = await Promise.all([errorOf(gateway.client('agent')), errorOf(client.query('delete from items'))])
    expect(errors.map(({ code }) => code)).toEqual(['58000', '58000'])
    machine.signal('SIGCONT')
    expect(await rows()).toBe(10)
    const again = await eventually('a new session', () => gateway.client('agent'))
    expect(await column(again, 'select 2')).toEqual([2])
  })
})

describe('the tables', () => {
  afterEach(removeAll)

  async function migrations(machine: StoreMachine): Promise<unknown[]> {
    return await machine.sql('select hash, created_at from sallyport.migrations order by id', 'sallyport')
  }

  test('are made on an empty database, and kept on one that has them', async () => {
    const machine = await newMachine()
    const first = await newGateway({ store: machine.store! })
    const made = await migrations(machine)
    expect(made.length).toBeGreaterThan(0)
    await first.end('SIGTERM')
    await first.start()
    expect(await migrations(machine)).toEqual(made)
    // The tokens of the first start are good.
    expect(await column(await first.client('agent'), 'select 1')).toEqual([1])
  })

  test('are made once by gateways that start together', async () => {
    const machine = await newMachine()
    await Promise.all([newGateway({ store: machine.store! }), newGateway({ store: machine.store! })])
    const made = (await migrations(machine)) as { hash: string }[]
    expect(new Set(made.map(({ hash }) => hash)).size).toBe(made.length)
  })

  test('of a newer version are refused, and stay as they are', async () => {
    const machine = await newMachine()
    const gateway = await newGateway({ store: machine.store! })
    await gateway.end('SIGTERM')
    await machine.sql(
      "insert into sallyport.migrations (hash, created_at) values ('later', 99999999999999)",
      'sallyport',
    )
    const refused = await gateway.sallyport(['gateway', '--config', gateway.configFile])
    expect(refused.status).not.toBe(0)
    expect(refused.stderr).toMatch(/newer version of Sallyport/)
  })

  test('no right to make them, a wrong password, no server: each a clear error without the password', async () => {
    const machine = await newMachine()
    const gateway = await newGateway({ store: machine.store! })
    await gateway.end('SIGTERM')
    await machine.sql('create database bare')
    const attempts = {
      '/bare': /permission denied/,
      '/missing': /does not exist/,
    }
    const run = (url: string) =>
      gateway.sallyport(['--debug', 'gateway', '--config', gateway.configFile], { STORE_URL: url })
    for (const [database, reason] of Object.entries(attempts)) {
      const { status, stderr } = await run(machine.url.replace(/\/sallyport$/, database))
      expect(status).toBe(7)
      expect(stderr).toMatch(/store/)
      expect(stderr).toMatch(reason)
    }
    const wrong = await run(machine.url.replace(encodeURIComponent(machine.store!.password), 'not-it-at-all'))
    expect(wrong).toMatchObject({ status: 7, stderr: expect.stringMatching(/password authentication failed/) })
    expect(wrong.stderr).not.toContain('not-it-at-all')
    await machine.down()
    const gone = await run(machine.url)
    expect(gone).toMatchObject({ status: 7, stderr: expect.stringMatching(/ECONNREFUSED/) })
    expect(gone.stderr).not.toContain(machine.store!.password)
  })
})
