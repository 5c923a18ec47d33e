import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect } from 'vitest'
import {
  eventually,
  type Finished,
  type Gateway,
  needs,
  type Person,
  run,
  start,
  startGateway,
  startTarget,
  type Target,
} from '../harness/index.ts'

const CARD = '4111111111111111'
/** `erin` is exempt from the mask, so that what she gets is what a direct connection gets. */
const RULES = `rules:
  - name: keep
    match: { operation: [drop], writes: [treasure] }
    then: deny
    message: The treasure stays.
  - name: cards
    match: { columns: ["*.card_number"], detect: [credit_card] }
    then: { mask: last4 }
    unless: { groups: [fraud-team] }
`

let target: Target
let gateway: Gateway

beforeAll(async () => {
  target = await startTarget('machine')
  await target.sql(`
    create table customers (id int primary key, name text not null, born date default '1990-01-01');
    insert into customers (id, name) select n, 'customer ' || n from generate_series(1, 50) n;
    create table payments (id int primary key, customer_id int references customers, card_number text, amount numeric(10,2) check (amount > 0));
    insert into payments select n, n, '${CARD}', n from generate_series(1, 50) n;
    create index payments_by_customer on payments (customer_id);
    create table treasure (id int);
    create table log (id serial, line text);
    create view rich as select name from customers join payments on customer_id = customers.id where amount > 25;
    create materialized view kept as select count(*) from customers;
    create type mood as enum ('fine', 'grumpy');
    create domain short as text check (length(value) < 10);
    create schema archive;
    create table archive.orders (id bigint generated always as identity, tags text[], body jsonb, at timestamptz, mood mood, s short);
    insert into archive.orders (tags, body, at, mood, s) select array['a', n::text], jsonb_build_object('n', n), 'epoch', 'fine', 'x' from generate_series(1, 300) n;
    create function add(a int, b int) returns int language sql immutable as 'select a + b';
    create procedure nothing() language plpgsql as 'begin end';
    create function stamp() returns trigger language plpgsql as 'begin return new; end';
    create trigger stamping before insert on treasure for each row execute function stamp();
    create role reporter;
    grant select on customers to reporter;
    comment on table customers is 'people who buy';
    create function tell() returns int language plpgsql as $$ begin
      raise notice 'to whom it may concern'; raise warning 'mind' using hint = 'the gap', detail = 'between'; return 1; end $$;
    select lo_from_bytea(4711, 'large');
    analyze;
  `)
  gateway = await startGateway({ targets: { shop: target }, policy: RULES })
})

afterAll(async () => {
  await gateway?.close()
  await target?.stop()
})

beforeEach(() => target.sql('truncate log restart identity'))

function direct(database = target.database): Record<string, string> {
  const { host, port, user, password } = target
  return { PGHOST: host, PGPORT: String(port), PGUSER: user, PGPASSWORD: password, PGDATABASE: database }
}

const QUIET = { PGOPTIONS: '-c client_min_messages=notice', LC_ALL: 'C.UTF-8', PSQL_HISTORY: '/dev/null' }

/** The same `psql` past the gateway and through it. */
async function both(args: readonly string[], input?: string, person: Person = 'erin'): Promise<[Finished, Finished]> {
  const psql = (env: Record<string, string>) =>
    run('psql', ['-X', ...args], { env: { ...env, ...QUIET }, ...(input === undefined ? {} : { input }) })
  return [await psql(direct()), await psql(gateway.environment(person))]
}

async function lines(): Promise<unknown> {
  return await target.value("select coalesce(string_agg(line, ',' order by id), '') from log")
}

const psqlTest = needs('psql')

/** Everything that psql asks the catalogues by itself. */
const CATALOGUE = [
  'd|d customers|d+ payments|d+ rich|d+ archive.*|d treasure|dt *.*|dtvmis+|df|df+ add|sf add|sv rich|dv|dm|ds|du|drds',
  'l|dn+|di+|dp|ddp|dT+|dD|dx|dy|db|dc|dC text|do +|da sum|dd|dl|dO|dF|dRp|dRs|des|dL|dA+|dAc|dP|dX|z payments',
].flatMap((names) => names.split('|').map((name) => `\\${name}`))

const COMMANDS = [
  '\\encoding',
  'select 1 as one, null as nothing \\gdesc',
  'select * from archive.orders limit 3 \\gx',
  "select format('select %s', n) from generate_series(1, 3) n \\gexec",
  "select 'from gset' as got \\gset",
  '\\echo :got',
  'select customer_id, amount > 0 as y, count(*) from payments group by 1, 2 order by 1 \\crosstabview',
  "\\set who 'o''clock'",
  "select :'who';",
  '\\set FETCH_COUNT 100',
  'select * from archive.orders order by id;',
  '\\unset FETCH_COUNT',
  'select tell();',
  "select name from pg_settings where name <> 'application_name';",
  'select 1 / 0;',
  'select * from nowhere;',
  "insert into payments values (1, 1, 'x', 1);",
  "insert into payments values (1000, 1, 'x', -1);",
  'select 1\\; select 2\\; select 3 / 0\\; select 4;',
  ';;',
  '-- nothing',
  '/* nor this */;',
  'copy customers to stdout with (format csv, header);',
  "copy (select 'a', null) to stdout;",
  'table archive.orders;',
  'set search_path = archive;',
  'select count(*) from orders;',
  'select current_schemas(false);',
  'reset search_path;',
  'begin;',
  'declare c scroll cursor for select id from customers order by id;',
  ...['fetch 2 from c;', 'fetch last from c;', 'move first in c;', 'fetch relative 1 from c;', 'close c;', 'commit;'],
  'prepare p(int) as select $1 + 1;',
  'execute p(41);',
  'deallocate p;',
  'explain (costs off) select * from customers where id = 1;',
  'insert into log (line) values ($$x$$) returning id > 0, line;',
  "select repeat('x', 100000);",
  'create temp table mine as select 1 as one;',
  'alter table mine add two text default $$two$$;',
  'select * from mine;',
  'drop table mine;',
  'show transaction isolation level;',
  'lock table nowhere;',
  'vacuum log;',
  'analyze customers;',
]

describe('psql shows the same as directly', () => {
  for (const [what, commands] of Object.entries({ 'about the catalogues': CATALOGUE, 'of everything else': COMMANDS }))
    psqlTest(what, async () => {
      const script = commands.map((command) => `\\echo === ${command.replaceAll(/[\\']/g, '')}\n${command}\n`).join('')
      const [plain, through] = await both([], script)
      expect(through.stdout.split('===')).toEqual(plain.stdout.split('==='))
      expect(through).toEqual(plain)
      expect(through.stdout.split('===')).toHaveLength(commands.length + 1)
    })

  psqlTest('errors of the script itself', async () => {
    const [plain, through] = await both(
      ['-v', 'ON_ERROR_STOP=1', '-v', 'VERBOSITY=verbose'],
      'select 1;\nselect 1 / 0;\n',
    )
    expect(through).toEqual(plain)
    expect(through.status).toBe(3)
  })

  psqlTest('but for large objects, which libpq reads by function number', async () => {
    const { stdout, stderr } = await gateway.psql('erin', [], {
      input: `\\lo_export 4711 '${path.join(gateway.folder, 'large')}'\nselect 'goes on';\n`,
    })
    expect(stderr).toMatch(
      /Function calls by number[\s\S]*pg\.unsupported[\s\S]*HINT: {2}Call the function with SELECT/,
    )
    expect(stdout).toBe('goes on\n')
    await target.sql('select lo_unlink(4711)')
  })

  psqlTest('a 20 MB row', async () => {
    const { stdout, stderr } = await gateway.psql('erin', ['-c', "select repeat('Sallyport', 2330000)"])
    expect(stderr).toBe('')
    expect(stdout.length).toBe(20_970_001)
    expect(stdout.replaceAll('Sallyport', '')).toBe('\n')
  })
})

describe('scripts', () => {
  const REFUSED = { direct: 'drop table nowhere;', gateway: 'drop table treasure;' }
  const script = (refused: string) => `
    insert into log (line) values ('before');
    ${refused}
    \\echo after :ERROR :SQLSTATE
    insert into log (line) values ('between');
    begin;
    insert into log (line) values ('inside');
    ${refused}
    insert into log (line) values ('lost');
    commit;
    begin;
    savepoint s;
    ${refused}
    rollback to s;
    insert into log (line) values ('saved');
    commit;
    select 'end';
  `
  async function outcome(side: 'direct' | 'gateway', args: readonly string[], work = script(REFUSED[side])) {
    await target.sql('truncate log restart identity')
    const env = side === 'direct' ? direct() : gateway.environment('erin')
    const { status, stdout, stderr } = await run('psql', ['-X', '-At', ...args], { env, input: work })
    const errors = stderr.replaceAll(
      /ERROR: {2}(table "nowhere" does not exist|The treasure stays\.|current transaction .*)/g,
      'ERROR: refused',
    )
    return {
      status,
      stdout: stdout.replaceAll(/42P01|42501|25P02/g, 'SQLSTATE'),
      errors: errors.split('\n').filter((line) => !/^(DETAIL|HINT)/.test(line)),
      lines: await lines(),
    }
  }

  for (const args of [
    [],
    ['-v', 'ON_ERROR_STOP=1'],
    ['-v', 'ON_ERROR_ROLLBACK=on'],
    ['-v', 'AUTOCOMMIT=off'],
    ['-1'],
    ['-1', '-v', 'ON_ERROR_STOP=1'],
  ])
    psqlTest(`a denied statement does to a script what an error does: ${args.join(' ') || 'plain'}`, async () => {
      const plain = await outcome('direct', args)
      expect(await outcome('gateway', args)).toEqual(plain)
      expect(plain.errors.join()).toContain('refused')
    })

  psqlTest('several statements of one -c are one transaction', async () => {
    const work = (refused: string) => ['-c', `insert into log (line) values ('first'); ${refused} select 'last'`]
    const plain = await outcome('direct', work(REFUSED.direct), '')
    // Refused as a whole, so that not even the first one's tag comes.
    expect(await outcome('gateway', work(REFUSED.gateway), '')).toEqual({ ...plain, stdout: '' })
    expect(plain.lines).toBe('')
  })
})

describe('\\copy', () => {
  psqlTest('out and in again, in every format', async () => {
    const file = path.join(gateway.folder, 'copied')
    for (const format of ['text', 'csv', 'binary']) {
      const input = `\\copy archive.orders to '${file}' (format ${format})\n`
      const [plain, through] = await both([], input)
      expect(through).toEqual(plain)
      const bytes = readFileSync(file)
      await target.sql('create table archive.again (like archive.orders)')
      const into = await gateway.psql('erin', ['-c', `\\copy archive.again from '${file}' (format ${format})`])
      expect(into).toMatchObject({ status: 0, stderr: '' })
      expect(await target.value('select count(*)::int from (table archive.orders except table archive.again) d')).toBe(
        0,
      )
      expect(await target.value('select count(*)::int from archive.again')).toBe(300)
      await both([], input)
      expect(readFileSync(file).equals(bytes)).toBe(true)
      await target.sql('drop table archive.again')
    }
  })

  psqlTest('FROM STDIN in a script, data that does not fit, and what follows it', async () => {
    const work = 'copy log (id, line) from stdin;\n1\tone\n2\ttwo\n\\.\nselect count(*) from log;\n'
    const bad = "copy log (id, line) from stdin;\nnot a number\tone\n\\.\nselect 'goes on';\n"
    for (const input of [work, bad]) {
      await target.sql('truncate log')
      const plain = await run('psql', ['-X', '-At'], { env: direct(), input })
      await target.sql('truncate log')
      const through = await run('psql', ['-X', '-At'], { env: gateway.environment('erin'), input })
      expect(through).toEqual(plain)
    }
  })

  psqlTest('masks what it copies out', async () => {
    const file = path.join(gateway.folder, 'masked.csv')
    const { status } = await gateway.psql('agent', ['-c', `\\copy payments to '${file}' csv`])
    expect(status).toBe(0)
    expect(readFileSync(file, 'utf8')).not.toContain(CARD)
    expect(readFileSync(file, 'utf8').split('\n')[0]).toBe('1,1,************1111,1.00')
  })
})

describe('while it runs', () => {
  psqlTest('\\watch repeats', async () => {
    const psql = start('psql', ['-X', '-At'], { env: gateway.environment('erin') })
    psql.write("insert into log (line) values ('watched') returning 'round ' || id \\watch 0.2\n")
    await psql.says(/round 1\n[\s\S]*round 2\n/)
    psql.child.kill('SIGINT')
    psql.close()
    await psql.ended
    expect(await lines()).toMatch(/^watched,watched/)
  })

  psqlTest('Ctrl-C cancels at the target, and the session goes on', async () => {
    const psql = start('psql', ['-X', '-At'], { env: gateway.environment('erin') })
    psql.write('select pg_sleep(600);\n')
    const sleeping = () =>
      target.sql("select 1 from pg_stat_activity where query like 'select pg_sleep%' and state = 'active'")
    await eventually('the sleep', async () => ((await sleeping()).length > 0 ? true : undefined))
    const cancelled = psql.signal('SIGINT')
    await psql.says(/canceling statement due to user request/)
    await eventually('its end', async () => ((await sleeping()).length === 0 ? true : undefined))
    psql.close()
    await cancelled
  })

  psqlTest('LISTEN hears what others NOTIFY', async () => {
    const psql = start('psql', ['-X', '-At'], { env: gateway.environment('erin') })
    psql.write('listen news;\n')
    await psql.says(/LISTEN/)
    await target.sql("notify news, 'from outside'")
    await eventually('the notification', () => {
      psql.write('select 1;\n')
      return /"news" with payload "from outside" received/.test(psql.stdout) ? true : undefined
    })
    psql.write("notify news, 'from itself';\n")
    await psql.says(/payload "from itself"/)
    psql.close()
    expect((await psql.ended).status).toBe(0)
  })
})

psqlTest('what a session of one statement changed is known to the next one', async () => {
  for (let n = 0; n < 3; n++) {
    const changed = await gateway.psql('agent', [
      '-c',
      `create or replace view newest as select id, name, ${n} from customers`,
    ])
    expect(changed).toMatchObject({ status: 0, stderr: '' })
    const { stdout } = await gateway.psql('agent', ['-c', 'select * from newest order by id limit 1'])
    expect(stdout).toBe(`1|customer 1|${n}\n`)
    await gateway.psql('agent', ['-c', 'drop view newest'])
  }
})

describe('pgbench', () => {
  const pgbench = needs('pgbench')

  async function bench(args: readonly string[]): Promise<Finished> {
    return await run('pgbench', [...args], { env: gateway.environment('erin') })
  }

  pgbench('fills its tables', async () => {
    const { status, stderr } = await bench(['-i', '-s', '1', '--foreign-keys'])
    expect({ status, stderr }).toMatchObject({ status: 0, stderr: expect.stringContaining('done in') })
    expect(await target.value('select count(*)::int from pgbench_accounts')).toBe(100_000)
  })

  for (const mode of ['simple', 'extended', 'prepared'])
    pgbench(`no transaction fails: ${mode}`, async () => {
      const before = await target.value('select count(*)::int from pgbench_history')
      const { status, stdout, stderr } = await bench(['-n', '-M', mode, '-c', '4', '-j', '2', '-t', '50'])
      expect({ status, stderr }).toMatchObject({ status: 0 })
      expect(stdout).toContain('number of transactions actually processed: 200/200')
      expect(stdout).toContain('number of failed transactions: 0 (0.000%)')
      expect(await target.value('select count(*)::int from pgbench_history')).toBe(Number(before) + 200)
    })

  pgbench('pipelines', async () => {
    const script = path.join(gateway.folder, 'pipeline.sql')
    writeFileSync(
      script,
      '\\startpipeline\nselect 1;\nselect abalance from pgbench_accounts where aid = 7;\nselect 3;\n\\endpipeline\n',
    )
    for (const mode of ['extended', 'prepared']) {
      const { status, stdout, stderr } = await bench(['-n', '-M', mode, '-f', script, '-c', '2', '-t', '50'])
      expect({ status, stderr }).toMatchObject({ status: 0 })
      expect(stdout).toContain('number of failed transactions: 0 (0.000%)')
    }
  })

  pgbench('drops them', async () => {
    expect((await bench(['-i', '-I', 'd'])).status).toBe(0)
    expect(await target.value("select to_regclass('pgbench_accounts')")).toBeNull()
  })
})

describe('pg_dump', () => {
  const key = '--restrict-key=sallyport'

  /** How many rows each table has. */
  async function counts(database: string): Promise<unknown> {
    const client = new pg.Client({ ...target, database })
    await client.connect()
    try {
      const { rows } = await client.query(`
        select relnamespace::regnamespace || '.' || relname as name,
          (xpath('//n/text()', query_to_xml(format('select count(*) as n from %s', oid::regclass), false, true, '')))[1]::text as n
        from pg_class where relkind in ('r', 'm') and relnamespace::regnamespace::text in ('public', 'archive') order by 1`)
      return rows
    } finally {
      await client.end()
    }
  }

  for (const args of [[], ['--inserts'], ['--rows-per-insert=100', '--column-inserts'], ['--schema-only']])
    psqlTest(`writes the same as directly: ${args.join(' ') || 'plain'}`, async () => {
      const plain = await run('pg_dump', [key, ...args], { env: direct() })
      const through = await run('pg_dump', [key, ...args], { env: gateway.environment('erin') })
      expect(through.stderr).toBe('')
      expect(through.status).toBe(0)
      expect(through.stdout === plain.stdout, 'the same text').toBe(true)
    })

  psqlTest('restores into an empty database, directly and through the gateway', async () => {
    const file = path.join(gateway.folder, 'shop.dump')
    const dumped = await run('pg_dump', ['-Fc', '-f', file], { env: gateway.environment('erin') })
    expect(dumped).toMatchObject({ status: 0, stderr: '' })
    await target.sql('create database fresh')
    const restored = await run('pg_restore', ['--exit-on-error', '-d', 'fresh', file], { env: direct('fresh') })
    expect(restored).toMatchObject({ status: 0, stderr: '' })
    expect(await counts('fresh')).toEqual(await counts(target.database))
    await target.sql('drop database fresh')
  })

  psqlTest('of somebody with masks holds masks only', async () => {
    for (const args of [[], ['--inserts'], ['-Fc', '-Z0'], ['--data-only']]) {
      const { status, stdout, stderr } = await run('pg_dump', args, { env: gateway.environment('agent') })
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
      expect(stdout).not.toContain(CARD)
      expect(stdout).toContain('************1111')
    }
  })

  psqlTest('of somebody with masks is the same data but for them', async () => {
    for (const args of [['--data-only'], ['--data-only', '--inserts']]) {
      const plain = await run('pg_dump', [key, ...args], { env: direct() })
      const masked = await run('pg_dump', [key, ...args], { env: gateway.environment('agent') })
      expect(masked).toEqual({ ...plain, stdout: plain.stdout.replaceAll(CARD, '************1111') })
    }
  })
})
