import { pipeline as flow } from 'node:stream/promises'
import pg from 'pg'
import copyStreams from 'pg-copy-streams'
import postgres from 'postgres'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  column,
  errorOf,
  eventually,
  type Gateway,
  needs,
  type Person,
  run,
  startGateway,
  startTarget,
  type Target,
} from '../harness/index.ts'

const PYTHON = '/usr/bin/python3'
const RULES = `rules:
  - name: cards
    match: { columns: ["*.card_number"], detect: [credit_card] }
    then: { mask: last4 }
    unless: { groups: [fraud-team] }
`

let target: Target
let gateway: Gateway

beforeAll(async () => {
  target = await startTarget()
  await target.sql(`
    create table items (id int primary key, name text not null);
    insert into items select n, 'item ' || n from generate_series(1, 1000) n;
    create table payments (id int primary key, card_number text);
    insert into payments values (1, '4111111111111111');
    create type mood as enum ('fine', 'grumpy');
    create type pair as (a int, b text);
    create domain short as text check (length(value) < 10);
    create table log (line text);
  `)
  gateway = await startGateway({ targets: { shop: target }, policy: RULES })
})

afterAll(async () => {
  await gateway?.close()
  await target?.stop()
})

/** One value of each type, and the awkward ones. */
const VALUES = `
  true, '-32768'::int2, 2147483647, '-9223372036854775808'::int8, 'NaN'::float4, 1.5e300::float8, '-Infinity'::float8,
  123456789012345678901234567890.0123456789::numeric, 'NaN'::numeric, '-1.50'::money, 'ä€😀'::text, 'x'::char(5), ''::text,
  '\\x00ff5c27'::bytea, '2024-02-29'::date, 'infinity'::timestamptz, '2024-02-29 12:34:56.789+02'::timestamptz,
  '0044-03-15 BC'::timestamp, '23:59:59.999999'::time, '12:00+05:30'::timetz, '1 year -2 mons 3 days 04:05:06.7'::interval,
  'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid, '192.168.0.1/24'::inet, '10.0.0.0/8'::cidr, '::1'::inet,
  '08:00:2b:01:02:03'::macaddr, b'101', b'10101'::varbit(9), '{"a": [1, null, "x"]}'::json, '{"b": {"c": 1.50}}'::jsonb,
  '$.a[*] ? (@ > 1)'::jsonpath, '<a>b</a>'::xml, to_tsvector('simple', 'the quick fox'), 'fat & (rat | cat)'::tsquery,
  '(1,2)'::point, '{1,2,3}'::line, '(1,2),(3,4)'::box, '<(1,2),3>'::circle, '((0,0),(1,1),(2,0))'::polygon,
  '[1,10)'::int4range, '(,2024-01-01]'::daterange, '{[1,3),[5,8)}'::int4multirange, 'empty'::numrange,
  array['a', 'b,"c', null, '']::text[], array[[1,2],[3,4]], '[0:1]={7,8}'::int[], '{}'::int[], 'grumpy'::mood,
  array['fine', 'grumpy']::mood[], row(1, 'two, "three"')::pair, array[row(1, null)::pair], row(1, 'anonymous', null), 'dom'::short,
  'pg_class'::regclass, 1::oid, '16/B374D848'::pg_lsn, null::text, null::int[], '(0,1)'::tid, "char"(65), 'name'::name`

const RAW = { types: { getTypeParser: () => (value: unknown) => value } } as unknown as pg.ClientConfig

async function rawValues(client: pg.Client, binary: boolean): Promise<unknown> {
  const query = { text: `select ${VALUES}`, values: [], rowMode: 'array', binary, types: RAW.types }
  const { rows, fields } = await client.query(query as unknown as pg.QueryArrayConfig)
  return {
    rows,
    types: fields.map(({ dataTypeID, dataTypeModifier, format }) => [dataTypeID, dataTypeModifier, format]),
  }
}

describe('node-postgres', () => {
  test.each(['erin', 'agent'] as const)('%s gets every type as it is, in text and in binary', async (person) => {
    const { host, port, user, password, database } = target
    const direct = new pg.Client({ host, port, user, password, database })
    await direct.connect()
    const client = await gateway.client(person)
    for (const binary of [false, true]) expect(await rawValues(client, binary)).toEqual(await rawValues(direct, binary))
    await direct.end()
  })

  test('hundreds of queries queued at once are answered in order, the failing ones among them', async () => {
    const client = await gateway.client('agent')
    const answers = await Promise.allSettled(
      Array.from({ length: 500 }, (_, n) => column(client, 'select 100 / $1::int', [n % 50])),
    )
    const told = answers.map((answer) => (answer.status === 'fulfilled' ? answer.value[0] : answer.reason.code))
    expect(told).toEqual(answers.map((_, n) => (n % 50 === 0 ? '22012' : Math.trunc(100 / (n % 50)))))
    await client.end()
  })

  test('named statements stay what they are through errors and rollbacks', async () => {
    const client = await gateway.client('agent')
    const half = (value: number) => client.query({ name: 'half', text: 'select 10 / $1::int as n', values: [value] })
    expect((await half(2)).rows).toEqual([{ n: 5 }])
    expect(await errorOf(half(0))).toMatchObject({ code: '22012' })
    await client.query('begin')
    expect(await errorOf(half(0))).toMatchObject({ code: '22012' })
    expect(await errorOf(half(5))).toMatchObject({ code: '25P02' })
    await client.query('rollback')
    expect((await half(5)).rows).toEqual([{ n: 2 }])
    await client.query('deallocate all')
    expect(await errorOf(half(5))).toMatchObject({ code: expect.stringMatching(/^(26000|42501)$/) })
    expect(await column(client, 'select 1')).toEqual([1])
    await client.end()
  })

  test("only one's own query is cancelled, and by the protocol", async () => {
    const client = await gateway.client('agent')
    const text = 'select pg_sleep(600)'
    const failed = errorOf(client.query(text))
    const { activeQuery } = client as unknown as { activeQuery: unknown }
    const [asleep] = await eventually('the sleep', async () => {
      const rows = await target.sql<{ pid: number }>(
        "select pid from pg_stat_activity where query = $1 and state = 'active'",
        [text],
      )
      return rows.length > 0 ? rows : undefined
    })
    for (const person of ['carol', 'walter'] satisfies Person[]) {
      const other = await gateway.client(person)
      for (const by of ['pg_cancel_backend', 'pg_terminate_backend'])
        expect(await errorOf(other.query(`select ${by}(${asleep?.pid})`))).toMatchObject({ code: '42501' })
      await other.end()
    }
    const canceller = new pg.Client({ connectionString: gateway.url('agent') })
    ;(canceller as unknown as { cancel(client: pg.Client, query: unknown): void }).cancel(client, activeQuery)
    expect(await failed).toMatchObject({ code: '57014' })
    expect(await column(client, 'select 1')).toEqual([1])
    await client.end()
  })

  test('COPY FROM that fails, or is given up, leaves the session as it was', async () => {
    const client = await gateway.client('agent')
    const bad = client.query(copyStreams.from('copy items from stdin'))
    await expect(
      flow(async function* () {
        yield '2000\tgood\n'
        yield 'bad\trow\n'
      }, bad),
    ).rejects.toMatchObject({ code: '22P02' })
    const given = client.query(copyStreams.from('copy items from stdin'))
    given.on('error', () => undefined)
    given.write('2000\tgood\n')
    given.destroy(new Error('no more'))
    expect(await column(client, 'select count(*)::int from items')).toEqual([1000])
    await client.end()
  })

  test('a pool hands out sessions that were left in any state', async () => {
    const pool = new pg.Pool({ connectionString: gateway.url('agent'), max: 2 })
    const outcomes = await Promise.allSettled(
      Array.from({ length: 40 }, (_, n) => pool.query(n % 4 === 0 ? 'select 1 / 0' : 'select 1')),
    )
    expect(outcomes.filter(({ status }) => status === 'rejected')).toHaveLength(10)
    await pool.end()
  })
})

describe('postgres.js', () => {
  function open(person: Person, more: postgres.Options<Record<string, never>> = {}) {
    const { id, secret } = gateway.token(person)
    return postgres({
      ...gateway.address,
      username: id,
      password: secret,
      database: 'shop',
      onnotice: () => undefined,
      ...more,
    })
  }

  test('transactions with savepoints, pipelined within', async () => {
    const sql = open('agent', { max: 1 })
    await sql.begin(async (all) => {
      await all`insert into log values ('kept')`
      await all
        .savepoint(async (part) => {
          await part`insert into log values ('lost')`
          await part`select 1 / 0`
        })
        .catch((error: { code: string }) => expect(error.code).toBe('22012'))
      const numbers = await Promise.all(
        Array.from({ length: 20 }, (_, n) => all<{ n: number }[]>`select ${n}::int as n`),
      )
      expect(numbers.map(([row]) => row?.n)).toEqual(Array.from({ length: 20 }, (_, n) => n))
    })
    expect(await sql`select line from log`).toEqual([{ line: 'kept' }])
    await sql`delete from log`
    await sql.end()
  })

  test('a pipeline of a transaction ends at its first error', async () => {
    const sql = open('agent', { max: 1 })
    const outcome = sql.begin((all) => [
      all`insert into log values ('first')`,
      all`select 1 / 0`,
      all`insert into log values ('last')`,
    ])
    await expect(outcome).rejects.toMatchObject({ code: '22012' })
    expect(await sql`select * from log`).toEqual([])
    await sql.end()
  })

  test('simple, unprepared, described, raw, copied in, and with types of its own', async () => {
    const sql = open('agent', { max: 1 })
    expect(await sql`select 1 as a; select 2 as b`.simple()).toEqual([[{ a: 1 }], [{ b: 2 }]])
    expect(await sql.unsafe('select $1::int as n', [7], { prepare: false })).toEqual([{ n: 7 }])
    for (let n = 0; n < 3; n++) expect(await sql.unsafe('select $1::int as n', [n], { prepare: true })).toEqual([{ n }])
    expect(await sql`select name from items where id = ${1}`.describe()).toMatchObject({ types: [23] })
    expect(await sql`select name, id from items where id = 1`.values()).toEqual([['item 1', 1]])
    expect((await sql`select id from items where id = 1`.raw())[0]?.[0]).toEqual(Buffer.from('1'))
    expect(
      await sql`select ${sql.array(['a', 'b'])}::text[] as list, ${sql.json({ deep: [1] })}::jsonb as json`,
    ).toEqual([{ list: ['a', 'b'], json: { deep: [1] } }])
    await flow(
      async function* () {
        yield 'copied\n'
      },
      await sql`copy log from stdin`.writable(),
    )
    expect(await sql`delete from log returning line`).toEqual([{ line: 'copied' }])
    expect(await sql`select card_number from payments`).toEqual([{ card_number: '************1111' }])
    await sql.end()
  })

  test('listens on a connection of its own', async () => {
    const sql = open('agent', { max: 2 })
    const heard: string[] = []
    await sql.listen('news', (payload) => heard.push(payload))
    await target.sql("select pg_notify('news', 'from outside')")
    await sql.notify('news', 'from itself')
    await eventually('both', () => (heard.length === 2 ? true : undefined))
    expect(heard).toEqual(['from outside', 'from itself'])
    await sql.end()
  })
})

describe('psycopg', () => {
  async function python(script: string): Promise<string[]> {
    const env = { ...gateway.environment('agent'), PYTHONIOENCODING: 'utf-8' }
    const { status, stdout, stderr } = await run(PYTHON, ['-'], { env, input: script, patienceMs: 30_000 })
    expect({ status, stdout: status === 0 ? '' : stdout, stderr }).toEqual({ status: 0, stdout: '', stderr: '' })
    return stdout.trim().split('\n')
  }

  needs('psycopg')(
    'psycopg 3: prepared at once, savepoints, pipelines that fail, binary COPY, notifications',
    async () => {
      const output = await python(`
import psycopg, threading, time
from psycopg import errors
c = psycopg.connect("", autocommit=True, prepare_threshold=0)
print([c.execute("select 10 / %s::int", (n,)).fetchone()[0] for n in (1, 2, 5)])
print(c.execute("select count(*) from pg_prepared_statements where statement like 'select 10 /%'").fetchone()[0])
with c.transaction():
    c.execute("insert into log values ('outer')")
    try:
        with c.transaction():
            c.execute("insert into log values ('inner')")
            c.execute("select 10 / %s::int", (0,))
    except errors.DivisionByZero: print("inner rolled back")
    with c.transaction(savepoint_name="named"): c.execute("insert into log values ('named')")
print([r[0] for r in c.execute("select line from log order by 1")])
with c.pipeline() as p:
    cur = c.cursor()
    cur.executemany("insert into log values (%s)", [(f"many {n}",) for n in range(100)])
    p.sync()
    doomed = c.execute("select * from nowhere")
    after = c.cursor()
    try: p.sync()
    except errors.UndefinedTable: print("undefined table")
    print(c.execute("select count(*) from log where line like 'many%%'").fetchone()[0])
try:
    with c.pipeline() as p:
        a = c.execute("select 1 / 0"); b = c.execute("select 1"); b.fetchone()
except errors.DivisionByZero: print("aborted")
with c.cursor() as cur:
    with cur.copy("copy items from stdin (format binary)") as copy:
        copy.set_types(["int4", "text"])
        for n in range(3000, 3100): copy.write_row((n, f"binary {n}"))
    try:
        with cur.copy("copy items from stdin") as copy:
            copy.write("4000\\tgood\\n")
            raise ValueError("given up")
    except (ValueError, errors.QueryCanceled): print("given up")
    print(cur.execute("delete from items where id >= 3000").rowcount)
with c.transaction():
    with c.cursor(name="binary", binary=True) as cur:
        cur.execute("select id, name from items order by id")
        print(cur.fetchmany(2), len(cur.fetchall()))
    with c.cursor(name="held", withhold=True) as cur:
        cur.execute("select card_number from payments"); print(cur.fetchone())
notices = []
c.add_notice_handler(lambda d: notices.append((d.severity, d.message_primary)))
c.execute("create table if not exists items (id int)")
print(notices)
c.execute("listen news")
threading.Timer(0.3, lambda: psycopg.connect("", autocommit=True).execute("select pg_notify('news', 'heard')")).start()
print([n.payload for n in [next(c.notifies())]])
threading.Timer(0.5, c.cancel).start()
try: c.execute("select pg_sleep(600)")
except errors.QueryCanceled: print("cancelled")
c.isolation_level = psycopg.IsolationLevel.SERIALIZABLE; c.read_only = True; c.autocommit = False
try: c.execute("delete from log")
except errors.ReadOnlySqlTransaction: print("read only")
c.rollback(); c.read_only = False
c.execute("delete from log"); c.commit()
d = psycopg.connect("", client_encoding="latin1")
print(d.execute("select %s", ("äß",)).fetchone()[0], d.info.parameter_status("client_encoding"))
`)
      expect(output).toEqual([
        '[10, 5, 2]',
        '1',
        'inner rolled back',
        "['named', 'outer']",
        'undefined table',
        '100',
        'aborted',
        'given up',
        '100',
        "[(1, 'item 1'), (2, 'item 2')] 998",
        "('************1111',)",
        `[('NOTICE', 'relation "items" already exists, skipping')]`,
        "['heard']",
        'cancelled',
        'read only',
        'äß LATIN1',
      ])
    },
  )

  needs('psycopg')('psycopg2: savepoints, isolation, scrolling, callproc, cancelling, COPY', async () => {
    const output = await python(`
import io, psycopg2, psycopg2.extras, threading
from psycopg2 import errors
c = psycopg2.connect("")
cur = c.cursor(cursor_factory=psycopg2.extras.RealDictCursor)
cur.execute("select 1 as one"); print(dict(cur.fetchone()))
cur = c.cursor()
cur.execute("savepoint s")
try: cur.execute("select 1 / 0")
except errors.DivisionByZero: cur.execute("rollback to s")
cur.callproc("lower", ("ABC",)); print(cur.fetchone()[0])
cur.executemany("insert into log values (%s)", [("one",), ("two",)])
psycopg2.extras.execute_batch(cur, "insert into log values (%s)", [(str(n),) for n in range(250)])
cur.copy_from(io.StringIO("three\\nfour\\n"), "log")
out = io.StringIO(); cur.copy_to(out, "log"); print(len(out.getvalue().splitlines()))
scroll = c.cursor("scroll", scrollable=True)
scroll.execute("select id from items order by id"); scroll.fetchmany(10); scroll.scroll(500); print(scroll.fetchone()); scroll.scroll(0, mode="absolute"); print(scroll.fetchone())
c.rollback()
c.set_session(isolation_level="SERIALIZABLE", readonly=True, autocommit=False)
try: cur.execute("insert into log values ('x')")
except errors.ReadOnlySqlTransaction: print("read only")
c.rollback()
threading.Timer(0.5, c.cancel).start()
try: cur.execute("select pg_sleep(600)")
except errors.QueryCanceled: print("cancelled")
c.rollback()
cur.execute("select card_number from payments"); print(cur.fetchone())
with c: cur.execute("select 'still here'"); print(cur.fetchone()[0])
c.close()
`)
    expect(output).toEqual([
      "{'one': 1}",
      'abc',
      '254',
      '(511,)',
      '(1,)',
      'read only',
      'cancelled',
      "('************1111',)",
      'still here',
    ])
  })
})
