import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { pipeline as flow } from 'node:stream/promises'
import type pg from 'pg'
import copyStreams from 'pg-copy-streams'
import Cursor from 'pg-cursor'
import postgres from 'postgres'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  CTRL_C,
  column,
  errorOf,
  eventually,
  type Finished,
  type Gateway,
  interactivePsql,
  needs,
  pipeline,
  run,
  startGateway,
  startTarget,
  statement,
  type Target,
  temporaryFolder,
} from '../harness/index.ts'

const PYTHON = '/usr/bin/python3'
const folder = temporaryFolder('clients')
let targets: Record<'newest' | 'older', Target>
let gateway: Gateway

beforeAll(async () => {
  const [newest, older] = await Promise.all([startTarget('packaged'), startTarget('machine')])
  targets = { newest, older }
  for (const target of [newest, older])
    await target.sql(`
      create table items (id int primary key, name text not null, price numeric(8,2) default 1.50, tags text[], data jsonb, seen timestamptz default now());
      insert into items (id, name, tags, data) select n, 'item ' || n, array['a', 'b,c', null], jsonb_build_object('n', n) from generate_series(1, 1000) n;
      create index on items (name);
      create view cheap as select id, name from items where price < 2;
      create materialized view counted as select count(*) from items;
      create function double(int) returns int language sql immutable as 'select $1 * 2';
      create type mood as enum ('fine', 'bad');
      create table moods (id int references items, mood mood);
      create sequence numbers;
      comment on table items is 'what there is';
      analyze`)
  gateway = await startGateway({ targets, policy: 'defaults: { opaque: allow }\nrules: []\n' })
  mkdirSync(path.join(folder, 'work'))
})

afterAll(async () => {
  await gateway?.close()
  await Promise.all(Object.values(targets ?? {}).map((target) => target.stop()))
  rmSync(folder, { recursive: true, force: true })
})

function fine(finished: Finished): string {
  expect({ status: finished.status, stderr: finished.stderr }).toEqual({ status: 0, stderr: '' })
  return finished.stdout
}

describe.each(['newest', 'older'] as const)('psql, %s server', (name) => {
  /** The same script past the gateway: what psql shows must not differ. */
  async function both(script: string): Promise<[Finished, Finished]> {
    const { host, port, user, password, database } = targets[name]
    const direct = { PGHOST: host, PGPORT: String(port), PGUSER: user, PGPASSWORD: password, PGDATABASE: database }
    const args = ['-X', '-a', '-v', 'ON_ERROR_STOP=0']
    return await Promise.all([
      run('psql', args, { env: gateway.environment('alice', name), input: script }),
      run('psql', args, { env: direct, input: script }),
    ])
  }

  needs('psql')('the \\d family shows what it shows without a gateway', async () => {
    const commands = `d|d items|d+ items|dt|dt+|di|dv|dv+ cheap|dm|ds|df|df+ double|dT|dT+|du|dn|dn+|dx|dp|dp items|dd|dD|dc|dC|dO|do double|dy|dconfig work_mem|l|dRp|dRs|des|dew|dF|dL|dl|dA|db|drds|dP|dAc btree|sf double|sv cheap|z items|d cheap|d moods`
    const script = commands
      .split('|')
      .map((command) => `\\${command}\n`)
      .join('')
    const [through, direct] = await both(script)
    expect(through.stdout).toBe(direct.stdout)
    expect(through.stderr).toBe(direct.stderr)
  })

  needs('psql')('queries, errors and settings show what they show without a gateway', async () => {
    const [through, direct] = await both(`
      select * from items order by id limit 3;
      select 1 / 0;
      select 'ä', E'\\\\x', $$dollar$$, U&'\\0041';
      begin; insert into moods values (1, 'fine') returning *; select mood from moods; rollback;
      insert into moods values (4711, 'fine');
      insert into items values (1, 'again');
      select * from nowhere;
      do $$ begin raise notice 'hello'; raise warning 'careful' using hint = 'slow down'; end $$;
      explain (costs off) select * from items where id = 1;
      \\set n 5
      select :n + 1 as six \\gset
      \\echo :six
      select id, name from items order by id limit 2 \\gx
      select 1 as a, 'x' as b \\gdesc
      select format('select %s', n) from generate_series(1, 3) n \\gexec
      prepare p(int) as select $1 * 2; execute p(21); deallocate p;
      declare c cursor for select 1;
      begin; declare c cursor for select id from items order by id; fetch 2 from c; move 2 in c; fetch 1 from c; close c; commit;
      set work_mem = '5MB'; show work_mem; reset work_mem;
      select 1; select 2 \\; select 3;
      \\crosstabview
      table counted;
      listen x; notify x, 'payload'; select 1;
      select pg_typeof(now()), 1.5::float8, null, true, array[1,2], '{"a":1}'::jsonb;
      savepoint s;
      ;
      `)
    const comparable = ({ stdout }: Finished) => stdout.replaceAll(/with PID \d+/g, 'with PID 1')
    expect(comparable(through)).toBe(comparable(direct))
    expect(through.stderr).toBe(direct.stderr)
  })

  needs('psql')('\\copy in and out in every format, and COPY with the data inline', async () => {
    for (const format of ['text', 'csv', 'binary']) {
      const file = path.join(folder, 'work', `items.${format}`)
      const script = `create table copied_${format} (like items);
        \\copy items to '${file}' with (format ${format})
        \\copy copied_${format} from '${file}' with (format ${format})
        select count(*), md5(string_agg(c::text, ',' order by id)) = (select md5(string_agg(i::text, ',' order by id)) from items i) from copied_${format} c;
        drop table copied_${format};`
      expect(fine(await gateway.psql('alice', ['-v', 'ON_ERROR_STOP=1'], { target: name, input: script }))).toBe(
        '1000|t\n',
      )
    }
    const inline = `create temp table t (a int, b text);\ncopy t from stdin;\n1\tone\n2\t\\N\n\\.\nselect count(*), count(b) from t;\n`
    expect(fine(await gateway.psql('alice', [], { target: name, input: inline }))).toBe('2|1\n')
    const broken = `create temp table t (a int);\ncopy t from stdin;\nnot a number\n\\.\nselect 'still here';\n`
    expect(await gateway.psql('alice', [], { target: name, input: broken })).toMatchObject({
      stdout: 'still here\n',
      stderr: expect.stringMatching(/invalid input syntax for type integer/),
    })
  })
})

describe('psql at a terminal', () => {
  needs('psql')('Ctrl-C really cancels what runs at the server, and the session goes on', async () => {
    const psql = interactivePsql(gateway.environment('alice', 'newest'))
    await psql.says(/=#/)
    psql.write("select pg_sleep(60), 'sleeping here';\n")
    const asleep = () =>
      targets.newest.sql(
        `select pid from pg_stat_activity where state = 'active' and query like '%sleeping here%' and pid <> pg_backend_pid()`,
      )
    await eventually('the sleep', async () => ((await asleep()).length === 1 ? true : undefined))
    psql.write(CTRL_C)
    await psql.says(/canceling statement due to user request/)
    await eventually('the end of the sleep', async () => ((await asleep()).length === 0 ? true : undefined))
    psql.write('select 40 + 2;\n')
    await psql.says(/^\s*42\s*$/m)
    psql.write('\\q\n')
    await psql.ended
  })

  needs('psql')('\\watch repeats until Ctrl-C', async () => {
    const psql = interactivePsql(gateway.environment('alice', 'newest'))
    await psql.says(/=#/)
    psql.write("select 'tick' || nextval('numbers') \\watch 0.2\n")
    await psql.says(/tick\d+[\s\S]*tick\d+[\s\S]*tick\d+/)
    psql.write(CTRL_C)
    psql.write('select 40 + 2;\n')
    await psql.says(/^\s*42\s*$/m)
    psql.write('\\q\n')
    await psql.ended
  })

  test('nobody can cancel with a wrong key', async () => {
    const client = await gateway.client('alice', 'newest')
    const running = client.query('select pg_sleep(1.5)')
    const { processID } = client as unknown as { processID: number }
    const { host, port } = gateway.address
    const { connect } = await import('node:net')
    const request = Buffer.alloc(16)
    for (const [at, value] of [16, 80877102, processID, 12345].entries()) request.writeInt32BE(value, at * 4)
    for (let n = 0; n < 20; n++)
      connect(port, host)
        .on('error', () => undefined)
        .end(request)
    await expect(running).resolves.toBeDefined()
  })
})

describe('node-postgres', () => {
  test('prepared statements, types, nulls, binary', async () => {
    const client = await gateway.client('alice', 'newest')
    for (const id of [1, 2, 1])
      expect(
        (await client.query({ name: 'by-id', text: 'select name, tags, data from items where id = $1', values: [id] }))
          .rows,
      ).toEqual([{ name: `item ${id}`, tags: ['a', 'b,c', null], data: { n: id } }])
    expect(await column(client, 'select $1::int8 is null', [null])).toEqual([true])
    const { rows } = await client.query({
      text: 'select 1::int4 as n, true as yes',
      values: [],
      binary: true,
    } as pg.QueryConfig)
    expect(rows).toEqual([{ n: 1, yes: true }])
    expect(await column(client, 'select $1::bytea', [Buffer.from([0, 255, 92])])).toEqual([Buffer.from([0, 255, 92])])
    expect(
      await errorOf(client.query({ name: 'by-id', text: 'select 1 / $1::int', values: [0] })).catch(
        (error: Error) => error,
      ),
    ).toBeInstanceOf(Error)
  })

  test('a cursor reads in helpings, and its portal may be closed early', async () => {
    const client = await gateway.client('alice', 'newest')
    const cursor = client.query(new Cursor<{ id: number }>('select id from items where id > $1 order by id', [10]))
    const first = await cursor.read(100)
    const second = await cursor.read(100)
    expect([first[0]?.id, first.length, second[0]?.id, second.length]).toEqual([11, 100, 111, 100])
    await cursor.close()
    const whole = client.query(new Cursor<{ id: number }>('select id from items order by id'))
    let count = 0
    for (let rows = await whole.read(300); rows.length > 0; rows = await whole.read(300)) count += rows.length
    expect(count).toBe(1000)
    expect(await column(client, 'select 1')).toEqual([1])
  })

  test('portals that are suspended and gone on with, among other statements', async () => {
    const client = await gateway.client('alice', 'newest')
    const result = await pipeline(client, (messages) => {
      messages.parse({ text: 'select n from generate_series(1, 5) n' })
      messages.bind({ portal: 'p' })
      messages.describe({ type: 'P', name: 'p' })
      messages.execute({ portal: 'p', rows: 2 })
      statement(messages, 'select 100')
      messages.execute({ portal: 'p', rows: 2 })
      messages.execute({ portal: 'p', rows: 0 })
      messages.sync()
    })
    expect(result.errors).toEqual([])
    expect(result.rows.flat()).toEqual(['1', '2', '100', '3', '4', '5'])
    expect(result.suspended).toBe(2)
  })

  test('COPY streams both ways', async () => {
    const client = await gateway.client('alice', 'newest')
    await client.query('create temp table streamed (id int, name text)')
    const into = client.query(copyStreams.from('copy streamed from stdin'))
    await flow(async function* () {
      for (let n = 0; n < 20_000; n++) yield `${n}\tname ${n}\n`
    }, into)
    expect(await column(client, 'select count(*)::int from streamed')).toEqual([20_000])
    const out = client.query(copyStreams.to('copy streamed to stdout'))
    let bytes = 0
    for await (const chunk of out) bytes += (chunk as Buffer).length
    expect(bytes).toBe(Number(await column(client, 'select sum(length(id::text) + length(name) + 2) from streamed')))
  })

  test('LISTEN and NOTIFY', async () => {
    const [listener, speaker] = await Promise.all([gateway.client('alice', 'newest'), gateway.client('bob', 'newest')])
    const heard: string[] = []
    listener.on('notification', ({ channel, payload }) => heard.push(`${channel}: ${payload}`))
    await listener.query('listen news')
    await speaker.query("notify news, 'one'")
    await speaker.query("select pg_notify('news', 'two')")
    await eventually('both', () => (heard.length === 2 ? true : undefined))
    expect(heard).toEqual(['news: one', 'news: two'])
  })

  test('large values and many rows, with a slow reader', async () => {
    const client = await gateway.client('alice', 'newest')
    const [large] = await column(client, "select repeat('x', 20000000)")
    expect((large as string).length).toBe(20_000_000)
    expect(await column(client, 'select length($1::text)', ['y'.repeat(5_000_000)])).toEqual([5_000_000])
    const cursor = client.query(
      new Cursor<{ n: number }>("select n, repeat('z', 500) as z from generate_series(1, 50000) n"),
    )
    let last = 0
    for (let rows = await cursor.read(5_000); rows.length > 0; rows = await cursor.read(5_000))
      last = rows.at(-1)?.n ?? 0
    expect(last).toBe(50_000)
  })

  test('many sessions at once', async () => {
    const clients = await Promise.all(Array.from({ length: 30 }, () => gateway.client('alice', 'newest')))
    const answers = await Promise.all(clients.map((client, n) => column(client, 'select $1::int', [n])))
    expect(answers.flat()).toEqual(clients.map((_, n) => n))
    await Promise.all(clients.map((client) => client.end()))
  })

  test('the target knows who is there', async () => {
    const client = await gateway.client('agent', 'newest')
    const [name] = await column(client, 'show application_name')
    expect(name).toMatch(/^sallyport s_\S+ alice via claude-code/)
    expect(Buffer.byteLength(String(name))).toBeLessThanOrEqual(63)
    // Drivers set theirs after connecting: it is taken, and changes nothing.
    await client.query("set application_name = 'somebody else'")
    expect(await column(client, 'show application_name')).toEqual([name])
    const hidden = client.query("select set_config('application_name', 'somebody else', false)")
    expect(await errorOf(hidden)).toMatchObject({ code: '42501' })
  })

  test('settings in the start-up packet', async () => {
    const client = await gateway.client('alice', 'newest', {
      options: '-c statement_timeout=1234 -c search_path=pg_catalog',
    })
    expect(await column(client, 'show statement_timeout')).toEqual(['1234ms'])
    expect(await column(client, 'show search_path')).toEqual(['pg_catalog'])
  })
})

describe('postgres.js', () => {
  test('prepared statements, pipelining, transactions, cursors, COPY, LISTEN', async () => {
    const { id, secret } = gateway.token('alice')
    const sql = postgres({
      ...gateway.address,
      username: id,
      password: secret,
      database: 'newest',
      max: 3,
      onnotice: () => undefined,
    })
    try {
      expect(await sql`select ${40}::int + ${2}::int as n`).toEqual([{ n: 42 }])
      const many = await Promise.all(Array.from({ length: 200 }, (_, n) => sql`select ${n}::int as n`))
      expect(many.map(([row]) => row?.['n'])).toEqual(Array.from({ length: 200 }, (_, n) => n))
      const rolled = sql.begin(async (transaction) => {
        await transaction`insert into items (id, name) values (5001, 'in a transaction')`
        throw new Error('no')
      })
      await expect(rolled).rejects.toThrow('no')
      expect(await sql`select count(*)::int as n from items where id = 5001`).toEqual([{ n: 0 }])
      let seen = 0
      for await (const rows of sql`select id from items`.cursor(300)) seen += rows.length
      expect(seen).toBe(1000)
      const readable = await sql`copy (select id from items order by id) to stdout`.readable()
      const lines: Buffer[] = []
      for await (const chunk of readable) lines.push(chunk as Buffer)
      expect(Buffer.concat(lines).toString().trim().split('\n')).toHaveLength(1000)
      const heard: string[] = []
      await sql.listen('postgresjs', (payload) => heard.push(payload))
      await sql.notify('postgresjs', 'hello')
      await eventually('the notification', () => heard[0])
      await expect(sql`select 1 / 0`).rejects.toMatchObject({ code: '22012' })
      expect(await sql.unsafe('select 1 as a; select 2 as b')).toEqual([[{ a: 1 }], [{ b: 2 }]])
      const slow = sql`select pg_sleep(30)`
      setTimeout(() => slow.cancel(), 200)
      await expect(slow).rejects.toMatchObject({ code: '57014' })
    } finally {
      await sql.end({ timeout: 5 })
    }
  })
})

describe('psycopg', () => {
  async function python(script: string, target = 'newest'): Promise<string> {
    const file = path.join(folder, 'work', 'script.py')
    writeFileSync(file, script)
    return fine(await run(PYTHON, [file], { env: gateway.environment('alice', target) }))
  }

  needs('psycopg')('psycopg 3: binary, server-side cursors, COPY, pipelines, prepared statements', async () => {
    const output = await python(`
import psycopg
with psycopg.connect("") as connection:
    print(connection.execute("select %s::int + 1", (41,)).fetchone()[0])
    with connection.cursor(binary=True) as cursor:
        print(cursor.execute("select 1::int4, 2.5::float8, now() is not null, '{}'::jsonb, array[1, 2], 1.25::numeric").fetchone())
    with connection.cursor(name="walk") as cursor:
        cursor.itersize = 150
        cursor.execute("select id from items order by id")
        print(sum(1 for _ in cursor))
    with connection.cursor(name="scrolls", scrollable=True) as cursor:
        cursor.execute("select id from items order by id")
        cursor.fetchmany(5); cursor.scroll(-2); print(cursor.fetchone())
    connection.execute("create temp table t (a int, b text)")
    with connection.cursor() as cursor:
        with cursor.copy("copy t (a, b) from stdin") as copy:
            for n in range(1000): copy.write_row((n, f"row {n}"))
        with cursor.copy("copy t to stdout (format binary)") as copy:
            copy.set_types(["int4", "text"])
            print(sum(row[0] for row in copy.rows()))
        cursor.executemany("insert into t values (%s, %s)", [(n, "many") for n in range(500)])
        print(cursor.rowcount)
        cursor.executemany("insert into t values (%s, %s) returning a", [(1, "x"), (2, "y")], returning=True)
        print(cursor.fetchone(), cursor.nextset(), cursor.fetchone())
    with connection.pipeline():
        cursors = [connection.execute("select %s::int", (n,)) for n in range(50)]
    print(sum(cursor.fetchone()[0] for cursor in cursors))
    for n in range(12): connection.execute("select count(*) from t where a = %s", (n,), prepare=True)
    connection.commit()
    try:
        with connection.pipeline():
            connection.execute("insert into t values (-1, 'x')")
            connection.execute("select 1 / 0")
    except psycopg.errors.DivisionByZero: print("division by zero")
    connection.rollback()
    print(connection.execute("select count(*) from t where a = -1").fetchone()[0])
    print(connection.execute("select 'still here'").fetchone()[0])
`)
    expect(output).toBe(
      [
        '42',
        "(1, 2.5, True, {}, [1, 2], Decimal('1.25'))",
        '1000',
        '(4,)',
        '499500',
        '500',
        '(1,) True (2,)',
        '1225',
        'division by zero',
        '0',
        'still here',
        '',
      ].join('\n'),
    )
  })

  needs('psycopg')('psycopg 3, asynchronous, with cancelling', async () => {
    const output = await python(`
import asyncio, psycopg
async def main():
    async with await psycopg.AsyncConnection.connect("", autocommit=True) as connection:
        task = asyncio.create_task(connection.execute("select pg_sleep(30)"))
        await asyncio.sleep(0.3)
        connection.cancel()
        try: await task
        except psycopg.errors.QueryCanceled: print("cancelled")
        print((await (await connection.execute("select 1")).fetchone())[0])
asyncio.run(main())
`)
    expect(output).toBe('cancelled\n1\n')
  })

  needs('psycopg')('psycopg2: named cursors, COPY, execute_values, notices', async () => {
    const output = await python(
      `
import io, psycopg2, psycopg2.extras
connection = psycopg2.connect("")
cursor = connection.cursor()
cursor.execute("select %s + 1, %s", (41, "it's"))
print(cursor.fetchone())
named = connection.cursor("named")
named.itersize = 100
named.execute("select id from items")
print(sum(1 for _ in named))
cursor.execute("create temp table t (a int, b text)")
cursor.copy_expert("copy t from stdin csv", io.StringIO("1,one\\n2,two\\n"))
psycopg2.extras.execute_values(cursor, "insert into t values %s", [(n, "v") for n in range(300)])
out = io.StringIO()
cursor.copy_expert("copy t to stdout csv", out)
print(len(out.getvalue().splitlines()))
cursor.execute("do $$ begin raise notice 'noticed'; end $$")
print(connection.notices[-1].strip())
psycopg2.extras.register_uuid()
cursor.execute("select '{1,2}'::int[], '2020-01-02'::date, 1.5::numeric, 'x'::bytea")
print(cursor.fetchone()[:3])
connection.rollback()
connection.close()
`,
      'older',
    )
    expect(output).toBe(
      [
        '(42, "it\'s")',
        '1000',
        '302',
        'NOTICE:  noticed',
        "([1, 2], datetime.date(2020, 1, 2), Decimal('1.5'))",
        '',
      ].join('\n'),
    )
  })
})
