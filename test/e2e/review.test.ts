import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import {
  CTRL_C,
  column,
  errorOf,
  eventually,
  type Gateway,
  interactivePsql,
  needs,
  type Person,
  pipeline,
  startGateway,
  startTarget,
  statement,
  type Target,
} from '../harness/index.ts'

const RULES = `rules:
  - name: delete-needs-a-second-pair-of-eyes
    match: { operation: [delete] }
    then: { hold: { reviewers: ["group:dba"], expires: 1m } }
    message: Deleting rows needs approval.
  - name: update-needs-two
    match: { operation: [update] }
    then: { hold: { reviewers: ["group:dba", "user:alice"], approvals: 2, expires: 1m } }
  - name: insert-expires
    match: { operation: [insert], writes: [hurried] }
    then: { hold: { reviewers: ["group:dba"], expires: 2s } }
  - name: mails
    match: { columns: ["*.email"] }
    then: { mask: redact }
`

interface Notice {
  readonly message: string
  readonly hint?: string
}

interface Review {
  readonly id: string
  readonly state: string
  readonly text: string
  readonly parameters: readonly (string | null)[]
  readonly requester: string
  readonly rule: string
  readonly approvals: { readonly needed: number; readonly given: readonly string[] }
  readonly evidence: { readonly estimatedRows?: number; readonly affectedRows?: number }
  readonly facts: Record<string, unknown>
}

let target: Target
let gateway: Gateway
let number = 0
let table: string

beforeAll(async () => {
  target = await startTarget()
  await target.sql('create table hurried (id int)')
  gateway = await startGateway({ targets: { shop: target }, policy: RULES })
})

afterAll(async () => {
  await gateway?.close()
  await target?.stop()
})

/** Every test has ten rows of its own. */
beforeEach(async () => {
  number += 1
  table = `items_${number}`
  await target.sql(`create table ${table} (id int, email text);
    insert into ${table} select n, 'user' || n || '@example.com' from generate_series(1, 10) n; analyze ${table}`)
})

function rows(): Promise<unknown> {
  return target.value(`select count(*)::int from ${table}`)
}

async function reviewsOf(person: Person, state?: string): Promise<Review[]> {
  const { body } = await gateway.api(person, 'GET', '/api/v1/reviews?all=true')
  const { items } = body as { items: Review[] }
  return items.filter((one) => one.text.includes(table) && (state === undefined || one.state === state))
}

function pending(person: Person = 'bob'): Promise<Review> {
  return eventually('a pending review', async () => (await reviewsOf(person, 'pending'))[0])
}

function answer(person: Person, id: string, verdict: 'approve' | 'deny', reason = '') {
  return gateway.api(person, 'POST', `/api/v1/reviews/${id}/${verdict}`, { reason })
}

async function review(id: string): Promise<Review> {
  return (await gateway.api('bob', 'GET', `/api/v1/reviews/${id}`)).body as Review
}

function sessionWith(person: Person): Promise<{ client: pg.Client; notices: Notice[] }> {
  const notices: Notice[] = []
  return gateway.client(person).then((client) => {
    client.on('notice', (notice) => notices.push(notice as Notice))
    return { client, notices }
  })
}

test('the client is told at once, the reviewer sees what it is about, and an approval lets it run', async () => {
  const { client, notices } = await sessionWith('agent')
  const running = client.query(`delete from ${table} where id <= 4`)
  const held = await pending()
  await eventually('the notice', () => (notices.length > 0 ? true : undefined))
  expect(notices[0]?.message).toContain(held.id)
  expect(`${notices[0]?.hint}`).toContain(`${gateway.apiUrl}`)
  expect(held).toMatchObject({
    requester: 'alice via claude-code',
    rule: 'delete-needs-a-second-pair-of-eyes',
    approvals: { needed: 1, given: [] },
    evidence: { affectedRows: 4 },
  })
  expect(held.evidence.estimatedRows).toBeGreaterThan(0)
  expect(held.text).toBe(`delete from ${table} where id <= 4`)
  expect(await rows()).toBe(10)
  expect(await answer('bob', held.id, 'approve')).toMatchObject({ status: 200 })
  expect((await running).rowCount).toBe(4)
  expect(await rows()).toBe(6)
  expect((await review(held.id)).state).toBe('spent')
})

test('the same on the command line', async () => {
  const { client } = await sessionWith('agent')
  const running = client.query(`delete from ${table}`)
  const held = await pending()
  expect((await gateway.cli('bob', ['reviews', 'list'])).stdout).toContain(held.id)
  const shown = await gateway.cli('bob', ['reviews', 'show', held.id])
  expect(shown.stdout).toMatch(/touches 10 \(counted\)/)
  expect(shown.stdout).toContain('yes: it touches every row')
  const approved = await gateway.cli('bob', ['reviews', 'approve', held.id, '--reason', 'fine'])
  expect(approved).toMatchObject({ status: 0 })
  expect((await running).rowCount).toBe(10)
})

test('a denial tells who and why, and the session goes on', async () => {
  const { client } = await sessionWith('agent')
  const failed = errorOf(client.query(`delete from ${table}`))
  const held = await pending()
  expect((await gateway.cli('bob', ['reviews', 'deny', held.id, '--reason', 'not on a Friday'])).status).toBe(0)
  const error = await failed
  expect(error).toMatchObject({ code: '42501' })
  expect(error.message).toMatch(/bob.*not on a Friday/)
  expect(await rows()).toBe(10)
  expect(await column(client, 'select 1')).toEqual([1])
})

test('nobody answers: it expires', async () => {
  const { client } = await sessionWith('agent')
  const error = await errorOf(client.query(`insert into hurried select id from ${table}`))
  expect(error).toMatchObject({ code: '42501' })
  expect(error.message).toMatch(/in time/)
  expect(await target.value('select count(*)::int from hurried')).toBe(0)
  const [held] = await reviewsOf('bob')
  expect(held?.state).toBe('expired')
  expect(await answer('bob', held?.id ?? '', 'approve')).toMatchObject({ status: 409 })
})

test('a client that leaves withdraws it', async () => {
  const { client } = await sessionWith('agent')
  client.query(`delete from ${table}`).catch(() => undefined)
  const held = await pending()
  ;(client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy()
  await eventually('the withdrawal', async () => ((await review(held.id)).state === 'withdrawn' ? true : undefined))
  expect(await answer('bob', held.id, 'approve')).toMatchObject({ status: 409 })
  expect(await rows()).toBe(10)
})

needs('psql')('Ctrl-C withdraws it, and psql goes on', async () => {
  const psql = interactivePsql(gateway.environment('agent'))
  await psql.says(/=#/)
  psql.write(`delete from ${table};\n`)
  await psql.says(/held for review/)
  const held = await pending()
  psql.write(CTRL_C)
  await psql.says(/ERROR:.*withdrawn/)
  expect((await review(held.id)).state).toBe('withdrawn')
  psql.write('select 40 + 2;\n')
  await psql.says(/^\s*42\s*$/m)
  psql.write('\\q\n')
  await psql.ended
  expect(await rows()).toBe(10)
})

test('nobody approves for themselves, for their agent, or without being asked', async () => {
  const { client } = await sessionWith('agent')
  const running = client.query(`update ${table} set id = id + 100`)
  const held = await pending('alice')
  const refusals = {
    alice: 'review.self_approval',
    agent: 'access.forbidden',
    robot: undefined,
    carol: undefined,
    walter: undefined,
  } as const
  for (const [person, code] of Object.entries(refusals)) {
    const { status, body } = await answer(person as Person, held.id, 'approve')
    expect([403, 404]).toContain(status)
    if (code !== undefined) expect(body).toMatchObject({ code })
  }
  expect((await review(held.id)).approvals.given).toEqual([])
  expect(await rows()).toBe(10)
  await answer('bob', held.id, 'approve')
  await answer('dave', held.id, 'approve')
  expect((await running).rowCount).toBe(10)
})

test('an administrator who is no reviewer does not approve either', async () => {
  const { client } = await sessionWith('agent')
  const failed = errorOf(client.query(`delete from ${table}`))
  const held = await pending()
  expect((await answer('admin', held.id, 'approve')).status).toBe(403)
  await answer('bob', held.id, 'deny', 'no')
  await failed
})

test('two approvals are two people: one who answers twice counts once', async () => {
  const { client } = await sessionWith('agent')
  const running = client.query(`update ${table} set email = null where id = 1`)
  const held = await pending()
  expect((await answer('bob', held.id, 'approve')).body).toMatchObject({ state: 'pending' })
  expect((await answer('bob', held.id, 'approve')).status).toBeGreaterThanOrEqual(200)
  expect(await review(held.id)).toMatchObject({ state: 'pending', approvals: { needed: 2, given: ['bob'] } })
  expect(await target.value(`select count(*)::int from ${table} where email is null`)).toBe(0)
  await answer('dave', held.id, 'approve')
  expect((await running).rowCount).toBe(1)
})

test('two reviewers at the same moment: one answer counts, and it runs once', async () => {
  const { client } = await sessionWith('agent')
  const running = client.query(`delete from ${table} where id = 1`)
  const held = await pending()
  const answers = await Promise.all([answer('bob', held.id, 'approve'), answer('dave', held.id, 'approve')])
  expect(answers.map(({ status }) => status).sort()).toEqual([200, 409])
  expect((await running).rowCount).toBe(1)
  expect(await rows()).toBe(9)
})

test('an approval and a denial at the same moment: exactly one wins', async () => {
  const { client } = await sessionWith('agent')
  const outcome = client.query(`delete from ${table} where id = 1`).then(
    () => 'ran',
    () => 'denied',
  )
  const held = await pending()
  const [approved, denied] = await Promise.all([
    answer('bob', held.id, 'approve'),
    answer('dave', held.id, 'deny', 'no'),
  ])
  expect([approved.status, denied.status].sort()).toEqual([200, 409])
  expect(await outcome).toBe(approved.status === 200 ? 'ran' : 'denied')
  expect(await rows()).toBe(approved.status === 200 ? 9 : 10)
})

test('one approval is one run: the same statement asks again', async () => {
  const { client } = await sessionWith('agent')
  const text = `delete from ${table} where id = (select min(id) from ${table})`
  const first = client.query(text)
  const held = await pending()
  await answer('bob', held.id, 'approve')
  expect((await first).rowCount).toBe(1)
  const second = errorOf(client.query(text))
  const again = await pending()
  expect(again.id).not.toBe(held.id)
  expect((await answer('bob', held.id, 'approve')).status).toBe(409)
  await answer('bob', again.id, 'deny', 'once is enough')
  await second
  expect(await rows()).toBe(9)
})

test('an extended-protocol statement is held with its parameters, and other parameters are another review', async () => {
  const { client } = await sessionWith('agent')
  const text = `delete from ${table} where id = $1`
  const running = client.query({ name: 'one', text, values: [7] })
  const held = await pending()
  expect(held).toMatchObject({ text, parameters: ['7'], evidence: { affectedRows: 1 } })
  await answer('bob', held.id, 'approve')
  expect((await running).rowCount).toBe(1)
  const other = errorOf(client.query({ name: 'one', text, values: [8] }))
  const again = await pending()
  expect(again).toMatchObject({ parameters: ['8'] })
  expect(again.id).not.toBe(held.id)
  await answer('bob', again.id, 'deny', 'no')
  await other
  expect(await target.sql(`select id from ${table} where id in (7, 8)`)).toEqual([{ id: 8 }])
})

test('a statement that is prepared in SQL, a CTE and EXPLAIN ANALYZE are held all the same', async () => {
  for (const text of [
    `prepare gone as delete from ${table}; execute gone`,
    `with gone as (delete from ${table} returning *) select count(*) from gone`,
    `explain analyze delete from ${table}`,
    `begin; delete from ${table}; commit`,
  ]) {
    const { client } = await sessionWith('agent')
    const failed = errorOf(client.query(text))
    const held = await pending()
    await answer('bob', held.id, 'deny', 'no')
    expect(await failed).toMatchObject({ code: '42501' })
    expect(await rows()).toBe(10)
    await client.end()
  }
})

test('a denied review inside a transaction fails it', async () => {
  const { client } = await sessionWith('agent')
  await client.query('begin')
  await client.query(`insert into ${table} values (11)`)
  const failed = errorOf(client.query(`delete from ${table}`))
  await answer('bob', (await pending()).id, 'deny', 'no')
  await failed
  expect(await errorOf(client.query('select 1'))).toMatchObject({ code: '25P02' })
  expect((await client.query('commit')).command).toBe('ROLLBACK')
  expect(await rows()).toBe(10)
})

test('a pipeline waits behind what is held, in order', async () => {
  const { client } = await sessionWith('agent')
  const running = pipeline(client, (messages) => {
    statement(messages, `insert into ${table} values (11)`)
    statement(messages, `delete from ${table} where id = $1`, ['11'])
    statement(messages, `select count(*) from ${table}`)
    messages.sync()
  })
  const held = await pending()
  expect(await rows()).toBe(10)
  await answer('bob', held.id, 'approve')
  expect(await running).toMatchObject({ tags: ['INSERT 0 1', 'DELETE 1', 'SELECT 1'], rows: [['10']], errors: [] })
})

test('what a reviewer sees hides protected values', async () => {
  const { client } = await sessionWith('agent')
  const failed = errorOf(client.query({ text: `delete from ${table} where email = $1`, values: ['user3@example.com'] }))
  const held = await pending()
  expect(JSON.stringify(held)).not.toContain('user3@example.com')
  await answer('bob', held.id, 'deny', 'no')
  await failed
})

test('whoever has nothing to do with a review does not see it', async () => {
  const { client } = await sessionWith('agent')
  const failed = errorOf(client.query(`delete from ${table}`))
  const held = await pending()
  expect((await gateway.api('carol', 'GET', `/api/v1/reviews/${held.id}`)).status).toBe(404)
  expect(await reviewsOf('carol')).toEqual([])
  expect((await reviewsOf('agent')).map((one) => one.id)).toEqual([held.id])
  await answer('bob', held.id, 'deny', 'no')
  await failed
})

test('revoking the token ends the session and what it waits for, within two seconds', async () => {
  const made = await gateway.api('admin', 'POST', '/api/v1/tokens', { user: 'alice' })
  const { token, secret } = made.body as { token: { id: string }; secret: string }
  const { default: library } = await import('pg')
  const { host, port } = gateway.address
  const client = new library.Client({ host, port, user: token.id, password: secret, database: 'shop' })
  client.on('error', () => undefined)
  await client.connect()
  const failed = errorOf(client.query(`delete from ${table}`))
  const held = await pending()
  const revoked = performance.now()
  await gateway.api('admin', 'POST', `/api/v1/tokens/${token.id}/revoke`, {})
  expect(await failed).toMatchObject({ code: '57P01' })
  expect(performance.now() - revoked).toBeLessThan(2_000)
  await eventually('the withdrawal', async () => ((await review(held.id)).state === 'withdrawn' ? true : undefined))
  expect(await rows()).toBe(10)
})
