import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  column,
  errorOf,
  eventually,
  type Gateway,
  needs,
  pipeline,
  startGateway,
  startTarget,
  statement,
  type Target,
} from '../harness/index.ts'

const RULES = `rules:
  - name: no-drop
    match: { operation: [drop, truncate] }
    then: deny
    message: Nothing is dropped here.
  - name: cards
    match: { columns: ["*.card_number"], detect: [credit_card] }
    then: { mask: last4 }
    unless: { groups: [fraud-team] }
  - name: watched
    match: { reads: [accounts] }
    then: deny
    mode: observe
  - name: no-robots-in-the-vault
    match: { actor: agent, reads: [vault] }
    then: deny
    message: The vault is for people.
`

let target: Target
let gateway: Gateway

beforeAll(async () => {
  target = await startTarget()
  await target.sql(`
    create table accounts (id int primary key, owner text, balance numeric);
    insert into accounts select n, 'owner ' || n, n * 10 from generate_series(1, 20) n;
    create table vault (id int, content text);
    create table payments (id int, card_number text);
    insert into payments values (1, '4111111111111111');
    create sequence tickets;
    create table log (line text);
    create function touch() returns int language plpgsql as
      $$ begin insert into log values ('touched'); return 1; end $$;
    create function sneaky() returns int language plpgsql stable as $$ begin return touch(); end $$;
    create view touching as select touch() as touched;
    create function lines() returns setof text language sql as $$ insert into log values ('x') returning line $$;
    create procedure write_down() language sql as $$ insert into log values ('called') $$;
    create type pair as (a int, b int);
    create function add_loudly(a pair, b pair) returns int language sql as $$ select touch() $$;
    create operator @+@ (leftarg = pair, rightarg = pair, function = add_loudly);
  `)
  gateway = await startGateway({ targets: { shop: target }, policy: RULES })
})

afterAll(async () => {
  await gateway?.close()
  await target?.stop()
})

describe('rules', () => {
  test('a denied statement tells the rule, the reason and the next step, and never reaches the target', async () => {
    const client = await gateway.client('agent')
    const error = await errorOf(client.query('drop table accounts'))
    expect(error).toMatchObject({ code: '42501', severity: 'ERROR', message: 'Nothing is dropped here.' })
    expect(error.detail).toContain('no-drop')
    expect(error.hint).not.toBe('')
    expect(await target.value('select count(*)::int from accounts')).toBe(20)
    expect(await column(client, 'select 1')).toEqual([1])
  })

  test.each([
    ['/* x */ DROP /* y */ TABLE accounts'],
    ['select 1; drop table accounts'],
    ['begin; drop table accounts; commit'],
    ['prepare gone as select 1; drop table accounts'],
    ['truncate accounts'],
    ['do $$ begin execute $q$drop table accounts$q$; end $$'],
    ['DROP\u00a0TABLE accounts'],
    ['explain analyze create table x as select 1; drop table accounts'],
  ])('denied however it is spelled: %s', async (text) => {
    const client = await gateway.client('agent')
    await errorOf(client.query(text))
    expect(await target.value("select to_regclass('accounts')::text")).toBe('accounts')
    expect(await target.value('select count(*)::int from accounts')).toBe(20)
    await client.end()
  })

  test('a rule may tell agents from people', async () => {
    const agent = await gateway.client('agent')
    const alice = await gateway.client('alice')
    expect((await errorOf(agent.query('select * from vault'))).message).toBe('The vault is for people.')
    expect(await column(alice, 'select * from vault')).toEqual([])
  })

  test('masks apply to those who are not exempt', async () => {
    const agent = await gateway.client('agent')
    const erin = await gateway.client('erin')
    expect(await column(agent, 'select card_number from payments')).toEqual(['************1111'])
    expect(await column(erin, 'select card_number from payments')).toEqual(['4111111111111111'])
  })

  test('a rule in observe mode changes nothing and is recorded', async () => {
    const client = await gateway.client('agent')
    expect(await column(client, 'select count(*)::int from accounts')).toEqual([20])
    await client.end()
    const text = await lastReplay()
    expect(text).toMatch(/observed: watched would have said deny/)
  })

  test('no grant, no access', async () => {
    const error = await errorOf(gateway.client('admin'))
    expect(error).toMatchObject({ code: '42501' })
    const { id } = gateway.token('agent')
    const wrong = gateway.url('agent').replace(gateway.token('agent').secret, gateway.token('bob').secret)
    expect(await errorOf(connectTo(wrong))).toMatchObject({ code: '28P01' })
    const unknown = gateway.url('agent').replace(id, `${id}x`)
    const [a, b] = [await errorOf(connectTo(wrong)), await errorOf(connectTo(unknown))]
    expect(a.message).toBe(b.message)
  })

  async function lastReplay(): Promise<string> {
    return await eventually('the sealed recording', async () => {
      const { stdout } = await gateway.cli('admin', ['--json', 'sessions', 'list', '--limit', '1'])
      const [session] = (JSON.parse(stdout) as { items: { id: string; endedAt: string | null }[] }).items
      if (session === undefined || session.endedAt === null) return undefined
      return (await gateway.cli('admin', ['sessions', 'replay', session.id])).stdout
    })
  }
})

async function connectTo(url: string): Promise<void> {
  const { default: library } = await import('pg')
  const client = new library.Client({ connectionString: url })
  await client.connect()
  await client.end()
}

/** Everything that a writer could have changed. */
async function traces(): Promise<string> {
  return JSON.stringify(
    await target.sql(`select
      (select md5(string_agg(a::text, ',' order by id)) from accounts a) as accounts,
      (select count(*) from log) as lines,
      (select last_value::text || is_called from tickets) as tickets,
      (select count(*) from pg_class where relnamespace = 'public'::regnamespace) as relations,
      (select count(*) from pg_proc where pronamespace = 'public'::regnamespace) as functions,
      (select count(*) from pg_roles) as roles,
      (select count(*) from pg_largeobject_metadata) as objects,
      (select count(*) from pg_prepared_xacts) as prepared`),
  )
}

const WRITES = [
  'insert into log values (1)',
  'update accounts set balance = 0',
  'delete from accounts',
  'merge into accounts a using (select 1 as id) s on a.id = s.id when matched then update set balance = 0',
  'with new as (insert into log values (1) returning *) select * from new',
  'with gone as (delete from accounts returning *) select count(*) from gone',
  'with a as (with b as (update accounts set balance = 1 returning id) select * from b) select * from a',
  'select * into copied from accounts',
  'create table copied as select * from accounts',
  'create temp table copied as select * from accounts',
  'create view seen as select * from accounts',
  "select nextval('tickets')",
  "select setval('tickets', 99)",
  'select * from accounts for update',
  'select * from (select * from accounts for share) a',
  'select * from accounts for no key update skip locked',
  'select touch()',
  'select public.touch()',
  'select "touch"()',
  'select sneaky()',
  'select * from touching',
  'select * from lines()',
  'select id from accounts order by touch()',
  'select id from accounts where touch() = 1',
  'select (select touch())',
  'values (touch())',
  'select row(1, 2)::pair @+@ row(3, 4)::pair',
  'select row(1, 2)::pair operator(public.@+@) row(3, 4)::pair',
  "do $$ begin insert into log values ('do'); end $$",
  'call write_down()',
  'explain analyze insert into log values (1)',
  'explain (analyze, format json) with x as (delete from accounts returning 1) select * from x',
  'explain (analyze true) select touch()',
  'prepare w as insert into log values (1); execute w',
  'prepare w(text) as with x as (insert into log values ($1) returning 1) select * from x; execute w(1)',
  'begin; declare c cursor for select touch(); fetch all from c; commit',
  'begin; declare c cursor for select * from accounts for update; fetch all from c; commit',
  'set transaction read write; insert into log values (1)',
  'begin read write; insert into log values (1); commit',
  'begin; set transaction read write; insert into log values (1); commit',
  'start transaction read write; insert into log values (1); commit',
  'set default_transaction_read_only = off; insert into log values (1)',
  "select set_config('default_transaction_read_only', 'off', false); insert into log values (1)",
  "select set_config('transaction_' || 'read_only', 'off', false); insert into log values (1)",
  'set session characteristics as transaction read write; insert into log values (1)',
  'reset default_transaction_read_only; insert into log values (1)',
  'reset all; insert into log values (1)',
  'discard all; insert into log values (1)',
  "update pg_settings set setting = 'off' where name = 'default_transaction_read_only'; insert into log values (1)",
  'lock table accounts',
  'lock table accounts in share mode',
  'create role somebody',
  'grant all on accounts to public',
  'comment on table accounts is $$x$$',
  'alter table accounts add column x int',
  'drop table accounts',
  'truncate accounts',
  'vacuum accounts',
  'analyze accounts',
  'refresh materialized view touching',
  'reindex table accounts',
  'cluster accounts',
  'checkpoint',
  "notify somebody, 'x'",
  "select pg_notify('somebody', 'x')",
  'select lo_create(4711)',
  "select lo_from_bytea(4711, 'x')",
  "copy log from '/etc/hostname'",
  "copy accounts to '/tmp/accounts'",
  "copy log from program 'echo x'",
  "copy (select 1) to program 'touch /tmp/sallyport-was-here'",
  'copy (insert into log values (1) returning *) to stdout',
  "select pg_read_file('/etc/hostname')",
  'select pg_terminate_backend(pg_backend_pid())',
  "begin; insert into log values (1); prepare transaction 'x'",
  'security label on table accounts is null',
  "load 'auto_explain'",
  'set role postgres; insert into log values (1)',
  'set session authorization default; insert into log values (1)',
  'set local default_transaction_read_only to off; insert into log values (1)',
  "select query_to_xml('select touch()', true, true, '')",
  'import foreign schema x from server y into z',
]

describe('the level read only reads', () => {
  for (const text of WRITES)
    test(`${text}`, async () => {
      const before = await traces()
      const client = await gateway.client('carol')
      const error = await errorOf(client.query(text))
      expect(['42501', '25006', '42601', '42809', '0A000', '25001']).toContain(error.code)
      await errorOf(client.query('rollback')).catch(() => undefined)
      if (!text.includes(';')) {
        const extended = await errorOf(client.query({ text, values: [], queryMode: 'extended' } as pg.QueryConfig))
        expect(['42501', '25006', '42601', '42809', '0A000', '25001']).toContain(extended.code)
      }
      await client.end()
      expect(await traces()).toBe(before)
    })

  test('COPY FROM STDIN', async () => {
    const before = await traces()
    const client = await gateway.client('carol')
    expect(await errorOf(client.query('copy log from stdin'))).toMatchObject({ code: '42501' })
    expect(await column(client, 'select 1')).toEqual([1])
    expect(await traces()).toBe(before)
  })

  test('start-up options cannot make a session writable', async () => {
    for (const options of ['-c default_transaction_read_only=off', '-c role=postgres'])
      expect(await errorOf(gateway.client('carol', 'shop', { options }))).toMatchObject({ code: '42501' })
  })

  test.each([
    ['select * from accounts limit 1'],
    ['select count(*), max(balance) from accounts'],
    ['show search_path'],
    ['explain select * from accounts'],
    ['explain analyze select count(*) from accounts'],
    ['begin; select 1; commit'],
    ['begin isolation level repeatable read, read only; select 1; rollback'],
    ["set statement_timeout = '5s'"],
    ['prepare r as select 1; execute r; deallocate r'],
    ['begin; declare r cursor for select * from accounts; fetch 3 from r; close r; commit'],
    ['with recursive t(n) as (values (1) union all select n + 1 from t where n < 5) select sum(n) from t'],
    ['table accounts'],
    ['select now(), random(), current_user, version(), gen_random_uuid()'],
    ['select * from generate_series(1, 3)'],
    ['copy accounts to stdout'],
    ['copy (select id from accounts) to stdout with csv header'],
    ['listen something; unlisten *'],
    ['select pg_sleep(0)'],
    ["select '{}'::jsonb ->> 'a', array_agg(id) from accounts"],
  ])('and reads: %s', async (text) => {
    const { status, stderr } = await gateway.psql('carol', ['-v', 'ON_ERROR_STOP=1', '-c', text])
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
  })
})

describe('the level write', () => {
  test('writes rows and changes no structure', async () => {
    const client = await gateway.client('walter')
    await client.query("insert into log values ('walter')")
    await client.query("delete from log where line = 'walter'")
    for (const text of [
      'create table mine (id int)',
      'alter table log add x int',
      'create role walter',
      'grant all on log to public',
    ])
      expect(await errorOf(client.query(text))).toMatchObject({ code: '42501' })
    expect(await target.value("select to_regclass('mine')")).toBeNull()
  })
})

describe('transactions', () => {
  test('a denial inside a transaction fails it: COMMIT rolls back', async () => {
    const client = await gateway.client('agent')
    await client.query('begin')
    await client.query("insert into log values ('in a transaction')")
    expect(await errorOf(client.query('drop table accounts'))).toMatchObject({ code: '42501' })
    expect(await errorOf(client.query('select 1'))).toMatchObject({ code: '25P02' })
    expect((await client.query('commit')).command).toBe('ROLLBACK')
    expect(await target.value("select count(*)::int from log where line = 'in a transaction'")).toBe(0)
    expect(await column(client, 'select 1')).toEqual([1])
  })

  test('a savepoint survives it', async () => {
    const client = await gateway.client('agent')
    await client.query("begin; insert into log values ('before')")
    await client.query('savepoint here')
    await errorOf(client.query('drop table accounts'))
    await client.query('rollback to here')
    await client.query('commit')
    expect(await target.value("select count(*)::int from log where line = 'before'")).toBe(1)
    await target.sql("delete from log where line = 'before'")
  })

  test('one denied statement of a simple query stops all of them', async () => {
    const client = await gateway.client('agent')
    expect(await errorOf(client.query("insert into log values ('first'); drop table accounts"))).toMatchObject({
      code: '42501',
    })
    expect(await target.value("select count(*)::int from log where line = 'first'")).toBe(0)
  })

  test('a denial in a pipeline rolls back what came before it in the same implicit transaction', async () => {
    const client = await gateway.client('agent')
    const result = await pipeline(client, (messages) => {
      statement(messages, "insert into log values ('pipelined')")
      statement(messages, 'drop table accounts')
      statement(messages, "insert into log values ('after')")
      messages.sync()
    })
    expect(result.tags).toEqual(['INSERT 0 1'])
    expect(result.errors).toMatchObject([{ code: '42501', message: 'Nothing is dropped here.' }])
    expect(await target.value("select count(*)::int from log where line in ('pipelined', 'after')")).toBe(0)
    expect(await column(client, 'select 1')).toEqual([1])
  })

  test('a denial at the start of a pipeline skips the rest up to Sync only', async () => {
    const client = await gateway.client('agent')
    const result = await pipeline(client, (messages) => {
      statement(messages, 'truncate accounts')
      statement(messages, "insert into log values ('skipped')")
      messages.sync()
    })
    expect(result).toMatchObject({ tags: [], errors: [{ code: '42501' }] })
    const next = await pipeline(client, (messages) => {
      statement(messages, 'select 5')
      messages.sync()
    })
    expect(next).toMatchObject({ rows: [['5']], errors: [] })
    expect(await target.value("select count(*)::int from log where line = 'skipped'")).toBe(0)
  })

  test('an error of the target itself fails a pipeline in the same way', async () => {
    const client = await gateway.client('agent')
    const result = await pipeline(client, (messages) => {
      statement(messages, "insert into log values ('doomed')")
      statement(messages, 'select 1 / 0')
      statement(messages, 'select 2')
      messages.sync()
    })
    expect(result).toMatchObject({ tags: ['INSERT 0 1'], errors: [{ code: '22012' }] })
    expect(await target.value("select count(*)::int from log where line = 'doomed'")).toBe(0)
    expect(await column(client, 'select 1')).toEqual([1])
  })

  test('what is not SQL is refused and the session goes on', async () => {
    const client = await gateway.client('agent')
    expect(await errorOf(client.query('selec 1'))).toMatchObject({ code: '42601' })
    expect(await column(client, 'select 1')).toEqual([1])
  })
})

describe('a changed policy', () => {
  test('holds for open sessions at once, without ending them', async () => {
    const client = await gateway.client('agent')
    const prepared = { name: 'balances', text: 'select balance::int from accounts where id = $1' }
    expect(await column(client, prepared.text, [1])).toEqual([10])
    expect((await client.query({ ...prepared, values: [2] })).rows).toEqual([{ balance: 20 }])
    await gateway.changePolicy(
      `${RULES}  - { name: closed, match: { reads: [accounts] }, then: deny, message: Closed. }\n`,
    )
    expect(await errorOf(client.query('select * from accounts'))).toMatchObject({ code: '42501', message: 'Closed.' })
    expect(await errorOf(client.query({ ...prepared, values: [2] }))).toMatchObject({ code: '42501' })
    await gateway.changePolicy(RULES)
    expect(await column(client, 'select balance::int from accounts where id = 3')).toEqual([30])
  })

  test('a broken file keeps the rules in force and says so', async () => {
    const client = await gateway.client('agent')
    gateway.writePolicy(`${RULES}  - { name: broken, match: { operatoin: [drop] }, then: allow }\n`)
    const { problems } = await eventually('the problem', async () => {
      const status = await gateway.policyStatus()
      return status.problems.length > 0 ? status : undefined
    })
    expect(JSON.stringify(problems)).toContain('operatoin')
    expect(gateway.log).toMatch(/POLICY NOT LOADED|policy.*(not loaded|kept|stays)/i)
    expect(await errorOf(client.query('drop table accounts'))).toMatchObject({ code: '42501' })
    const health = await (await fetch(new URL('/api/v1/health', gateway.apiUrl))).json()
    expect(JSON.stringify(health)).toMatch(/degraded/)
    await gateway.changePolicy(RULES)
    expect((await gateway.policyStatus()).problems).toEqual([])
  })
})

describe('the command line', () => {
  test('explains a decision before anything runs', async () => {
    const { status, stdout } = await gateway.cli('admin', [
      'policy',
      'explain',
      'drop table accounts',
      '--target',
      'shop',
      '--as',
      'alice',
    ])
    expect(status).toBe(0)
    expect(stdout).toMatch(/no-drop/)
    expect(stdout).toMatch(/den/i)
  })

  needs('psql')('psql shows the refusal as it shows any error', async () => {
    const { status, stderr } = await gateway.psql('agent', ['-c', 'drop table accounts'])
    expect(status).toBe(1)
    expect(stderr).toMatch(/ERROR: {2}Nothing is dropped here\.\nDETAIL: {2}.*no-drop.*\nHINT: /)
  })
})
