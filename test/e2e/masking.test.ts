import type pg from 'pg'
import copyStreams from 'pg-copy-streams'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  column,
  errorOf,
  eventually,
  type Gateway,
  needs,
  startGateway,
  startTarget,
  type Target,
} from '../harness/index.ts'

const CARD = '4111111111111111'
const SPACED = '4111 1111 1111 1111'
const MAIL = 'margarete.mueller@example.com'
const RULES = `rules:
  - name: cards
    match: { columns: ["*.card_number"], detect: [credit_card] }
    then: { mask: last4 }
    unless: { groups: [fraud-team] }
  - name: names
    match: { columns: ["people.full_name"] }
    then: { mask: redact }
    unless: { groups: [fraud-team] }
  - name: mails
    match: { columns: ["people.mail"] }
    then: { mask: email }
  - name: hashed
    match: { columns: ["people.hashed"] }
    then: { mask: hash }
  - name: tokens
    match: { columns: ["people.token"] }
    then: { mask: token }
  - name: nothing
    match: { columns: ["people.gone"] }
    then: { mask: null }
  - name: birthdays
    match: { columns: ["people.born"] }
    then: { mask: generalise }
`
/** What may never reach somebody who is not exempt, in whatever form. */
const RAW = [CARD, SPACED, '5555555555554444', 'Margarete', 'margarete.mueller', '1984-05-17']

let target: Target
let gateway: Gateway

beforeAll(async () => {
  target = await startTarget()
  await target.sql(`
    create table payments (id int primary key, card_number text, note text, amount numeric(10,2) check (amount > 0));
    insert into payments values (1, '${CARD}', 'paid with ${SPACED} ok', 10), (2, '5555555555554444', null, 20), (3, null, 'nothing here', 30);
    create table people (id int primary key, full_name text, mail text, hashed text, token text, gone text, born date);
    insert into people values (1, 'Margarete Mueller', '${MAIL}', 'secret-a', '${CARD}', 'x', '1984-05-17'),
                              (2, 'Someone Else', 'else@example.com', 'secret-a', '${CARD}', 'y', '1990-01-02');
    create table documents (id int, body jsonb, plain json, tags text[], raw bytea, wide text);
    insert into documents values (1, '{"card": "${CARD}", "n": [1, "${SPACED}"], "num": ${CARD}}', '{"pan":"${CARD}"}',
      array['${CARD}', 'a, b', null], convert_to('${CARD}', 'UTF8'), repeat('x', 70000) || ' ${CARD} ' || repeat('y', 70000));
    create type payment_kind as (label text, card text);
    create table typed (id int, kind payment_kind, kinds payment_kind[]);
    insert into typed values (1, row('visa', '${CARD}'), array[row('visa', '${CARD}')::payment_kind]);
    create view cards_seen as select id, card_number as pan, upper(card_number) as shouted from payments;
    create view deeper as select pan from cards_seen;
    create materialized view kept as select id, card_number as pan from payments;
    create function card_of(int) returns text language sql stable as $$ select card_number from payments where id = $1 $$;
    create function all_cards() returns setof payments language sql stable as $$ select * from payments $$;
    create function tell() returns void language plpgsql as $$ begin raise notice 'card % of %', '${CARD}', 'somebody'; end $$;
    create function fail_with() returns void language plpgsql as $$ declare c text;
      begin select card_number into c from payments where id = 1; raise exception 'bad card %', c using detail = 'it is ' || c, hint = c; end $$;
    analyze;
  `)
  gateway = await startGateway({ targets: { shop: target }, policy: RULES })
})

afterAll(async () => {
  await gateway?.close()
  await target?.stop()
})

function leaks(text: string): string[] {
  const hex = (raw: string) => Buffer.from(raw).toString('hex')
  return RAW.filter((raw) => text.includes(raw) || text.toLowerCase().includes(hex(raw)))
}

function shown(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) => {
    const buffer = part as { type?: string; data?: number[] } | null
    if (buffer?.type === 'Buffer' && buffer.data !== undefined) return Buffer.from(buffer.data).toString('latin1')
    return part
  })
}

const READS = [
  'select * from payments',
  'select p.* from payments p',
  'table payments',
  'select card_number from payments',
  'select card_number as harmless from payments',
  'select note from payments',
  'select p from payments p',
  'select (p).card_number from payments p',
  'select row(card_number, id) from payments',
  'select array_agg(card_number) from payments',
  'select json_agg(p) from payments p',
  'select jsonb_build_object($$a$$, card_number) from payments',
  'select to_jsonb(p) from payments p',
  "select string_agg(card_number, ', ') from payments",
  'select reverse(card_number) || $$$$ from payments',
  'select max(card_number), min(card_number) from payments',
  'select substr(card_number, 1, 8), substr(card_number, 9) from payments',
  'select left(card_number, 15) from payments',
  'select card_number::bytea from payments',
  'select encode(card_number::bytea, $$hex$$) from payments',
  'select encode(card_number::bytea, $$base64$$) from payments',
  "select case when card_number like '4%' then card_number end from payments",
  'select coalesce(card_number, note) from payments',
  'select x.y from (select card_number as y from payments) x',
  'with c as (select card_number from payments) select * from c',
  'with recursive c as (select id, card_number from payments where id = 1 union all select p.id, p.card_number from payments p join c on p.id = c.id + 1) select * from c',
  'select card_number from payments union select note from payments',
  'select note from payments union all select card_number from payments',
  'select * from cards_seen',
  'select * from deeper',
  'select * from kept',
  'select card_of(1)',
  'select * from all_cards()',
  'select (all_cards()).card_number',
  'select * from payments p, lateral (select p.card_number as inner_card) x',
  'select distinct on (card_number) card_number from payments',
  'select card_number, count(*) from payments group by 1',
  'select first_value(card_number) over (order by id) from payments',
  'select * from people',
  'select full_name, mail, hashed, token, gone, born from people',
  'select lower(full_name) from people',
  'select born::text from people',
  "select to_char(born, 'YYYY-MM-DD') from people",
  'select extract(year from born) from people',
  'select body, plain, tags from documents',
  'select body ->> $$card$$ from documents',
  "select jsonb_pretty(body), body #>> '{n,1}' from documents",
  'select unnest(tags) from documents',
  'select tags[1] from documents',
  'select wide from documents',
  'select kind, kinds from typed',
  'select (kind).card from typed',
  "select '4111' || '111111111111'",
  'select xmlelement(name a, card_number) from payments',
  "select format('%s', card_number) from payments",
  'select quote_literal(card_number) from payments',
  'select row_to_json(d) from documents d',
  'select raw from documents',
  'select * from documents',
  'select d from documents d',
  'select array_agg(raw) from documents',
  'select * from jsonb_each_text((select body from documents))',
  'select * from json_to_record((select plain from documents)) as t(pan text)',
  'select query from pg_stat_activity where query like $$%card%$$',
  'select most_common_vals::text from pg_stats where tablename = $$payments$$',
  'select histogram_bounds::text from pg_stats where tablename in ($$payments$$, $$people$$)',
  'select * from pg_statistic where starelid = $$payments$$::regclass',
]

describe('no raw value reaches the client', () => {
  for (const text of READS)
    test(text, async () => {
      const client = await gateway.client('agent')
      const outcomes: unknown[] = []
      const attempts: pg.QueryConfig[] = [
        { text },
        { text, values: [], queryMode: 'extended' } as pg.QueryConfig,
        { text, values: [], queryMode: 'extended', binary: true } as pg.QueryConfig,
        { text: `declare walk cursor for ${text}` },
      ]
      for (const attempt of attempts.slice(0, 3))
        outcomes.push(await client.query({ ...attempt, types: RAW_TYPES }).then(({ rows }) => rows, told))
      await client.query('begin')
      await client.query(attempts[3] as pg.QueryConfig).catch(told)
      outcomes.push(
        await client.query({ text: 'fetch all from walk', types: RAW_TYPES }).then(({ rows }) => rows, told),
      )
      await client.query('rollback')
      outcomes.push(await client.query(`prepare again as ${text}`).catch(told))
      outcomes.push(await client.query({ text: 'execute again', types: RAW_TYPES }).then(({ rows }) => rows, told))
      for (const options of ['', ' with (format csv, header)', ' with (format binary)'])
        outcomes.push(
          await copied(client, `copy (${text.replace(/^table /, 'select * from ')}) to stdout${options}`).catch(told),
        )
      await client.end()
      for (const outcome of outcomes)
        expect({ outcome: shown(outcome), leaks: leaks(shown(outcome)) }).toMatchObject({ leaks: [] })
    })
})

/** Cells as they came: text as text, binary as its bytes. */
const RAW_TYPES = {
  getTypeParser: () => (value: string | Buffer) => (typeof value === 'string' ? value : value.toString('latin1')),
} as unknown as pg.CustomTypesConfig

function told(error: unknown): unknown {
  const { message, detail, hint, where } = error as Record<string, unknown>
  return { message, detail, hint, where }
}

async function copied(client: pg.Client, text: string): Promise<string> {
  const stream = client.query(copyStreams.to(text))
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString('latin1')
}

describe('what comes instead', () => {
  test('plain copies get the mask, computed values are withheld, the rest is as it was', async () => {
    const client = await gateway.client('agent')
    expect(await column(client, 'select card_number from payments order by id')).toEqual([
      '************1111',
      '************4444',
      null,
    ])
    expect(await column(client, 'select amount from payments order by id')).toEqual(['10.00', '20.00', '30.00'])
    expect(await column(client, 'select note from payments order by id')).toEqual([
      expect.stringMatching(/^paid with .*1111 ok$/),
      null,
      'nothing here',
    ])
    expect(await column(client, 'select upper(card_number) from payments where id = 1')).toEqual(['[redacted]'])
    expect(await column(client, 'select pan from deeper where pan is not null limit 1')).toEqual(['************1111'])
    expect(await column(client, 'select count(*)::int from payments')).toEqual([3])
  })

  test('every kind of mask', async () => {
    const client = await gateway.client('agent')
    const { rows } = await client.query(
      'select full_name, mail, hashed, token, gone, born::date from people order by id',
    )
    expect(rows[0].full_name).toBe('[redacted]')
    expect(rows[0].mail).toMatch(/@.*\.com$/)
    expect(rows[0].mail).not.toContain('mueller')
    expect(rows[0].hashed).toMatch(/^hash-[a-z2-7]{20}$/)
    expect(rows[1].hashed).toBe(rows[0].hashed)
    expect(rows[0].token).toBe(rows[1].token)
    expect(rows[0].token).not.toBe(CARD)
    expect(rows[0].gone).toBeNull()
  })

  test('the same in binary where the type allows it', async () => {
    const client = await gateway.client('agent')
    const { rows } = await client.query({
      text: 'select card_number, id from payments where id = 1',
      values: [],
      queryMode: 'extended',
      binary: true,
      types: RAW_TYPES,
    } as pg.QueryConfig)
    expect(rows[0].card_number).toBe('************1111')
    expect(Buffer.from(rows[0].id, 'latin1').readInt32BE()).toBe(1)
  })

  test('JSON stays JSON and arrays stay arrays', async () => {
    const client = await gateway.client('agent')
    const { rows } = await client.query('select body, plain, tags from documents')
    expect(rows[0].body.card).toMatch(/1111$/)
    expect(rows[0].tags).toEqual([expect.stringMatching(/1111$/), 'a, b', null])
    expect(rows[0].plain.pan).toMatch(/1111$/)
  })

  test('RETURNING is a result like any other', async () => {
    const client = await gateway.client('agent')
    expect(await column(client, `insert into payments values (50, '${CARD}', 'x', 5) returning card_number`)).toEqual([
      '************1111',
    ])
    expect(await column(client, 'delete from payments where id = 50 returning card_number')).toEqual([
      '************1111',
    ])
  })

  test('those who are exempt see the values, and only where they are exempt', async () => {
    const client = await gateway.client('erin')
    expect(await column(client, 'select card_number from payments where id = 1')).toEqual([CARD])
    expect(await column(client, 'select upper(card_number) from payments where id = 1')).toEqual([CARD])
    expect(await column(client, 'select full_name from people where id = 1')).toEqual(['Margarete Mueller'])
    expect(shown(await column(client, 'select mail from people where id = 1'))).not.toContain('mueller')
  })
})

describe('diagnostics', () => {
  test.each([
    [`insert into payments values (1, '${CARD}', null, 1)`],
    [`insert into payments values (90, '${CARD}', null, -1)`],
    ['select card_number::int from payments'],
    ['select cast(full_name as int) from people'],
    ['select fail_with()'],
    ['do $$ declare c text; begin select card_number into c from payments limit 1; raise exception $q$%$q$, c; end $$'],
    ['select 1 / (case when card_number like $$4%$$ then 0 else 1 end) from payments'],
    ["select ('x' || card_number)::date from payments"],
    ['select to_number(card_number, card_number)::int2 from payments'],
  ])('an error tells nothing: %s', async (text) => {
    const client = await gateway.client('agent')
    const error = await errorOf(client.query(text))
    expect(leaks(shown({ ...error, message: error.message }))).toEqual([])
    await client.end()
  })

  test('notices', async () => {
    const client = await gateway.client('agent')
    const notices: string[] = []
    client.on('notice', (notice) => notices.push(shown({ ...notice, message: notice.message })))
    await client.query('select tell()').catch(() => undefined)
    await client
      .query(`do $$ begin raise warning 'card ${CARD}' using hint = '${SPACED}'; end $$`)
      .catch(() => undefined)
    expect(notices.flatMap(leaks)).toEqual([])
  })

  test('notifications', async () => {
    const client = await gateway.client('agent')
    const heard: (string | undefined)[] = []
    client.on('notification', ({ payload }) => heard.push(payload))
    await client.query('listen news')
    await target.sql(`select pg_notify('news', 'card ${CARD}')`)
    const payload = await eventually('the notification', () => heard[0])
    expect(payload).toMatch(/^card /)
    expect(leaks(payload)).toEqual([])
  })

  test('EXPLAIN does not show values', async () => {
    const client = await gateway.client('agent')
    for (const text of [
      "explain (analyze, verbose) select * from payments where card_number > '4'",
      'explain verbose select * from (values ($$4111111111111111$$)) v',
    ]) {
      const outcome = await client.query(text).then(({ rows }) => rows, told)
      expect(leaks(shown(outcome))).toEqual([])
    }
  })
})

describe('protected values cannot be written where they would be read unmasked', () => {
  test.each([
    ['create table stolen as select card_number as x from payments'],
    ['select card_number as x into stolen from payments'],
    ['create temp table stolen as select upper(card_number) as x from payments'],
    ['create view stolen as select card_number as x from payments'],
    ['insert into documents (id, wide) select 9, card_number from payments'],
    ['update documents set wide = (select card_number from payments limit 1)'],
    ['update payments set note = card_number'],
    ['update payments set note = reverse(card_number)'],
    ['insert into documents (id, wide) select 9, full_name from people'],
    ['with c as (select full_name from people) insert into documents (id, wide) select 9, full_name from c'],
    ['alter table people rename column full_name to harmless'],
  ])('%s', async (text) => {
    const client = await gateway.client('agent')
    await client.query('begin')
    await client.query(text).catch(() => undefined)
    const after = [
      'select * from stolen',
      'select wide from documents where id = 9',
      'select wide from documents',
      'select note from payments',
      'select * from people',
    ]
    for (const read of after) {
      await client.query('savepoint s').catch(() => undefined)
      const outcome = await client.query(read).then(({ rows }) => rows, told)
      await client.query('rollback to s').catch(() => undefined)
      expect({ read, leaks: leaks(shown(outcome)) }).toEqual({ read, leaks: [] })
    }
    await client.query('rollback').catch(() => undefined)
    await client.end()
  })
})

describe('COPY', () => {
  for (const format of ['text', 'csv', 'csv, header, force_quote *', 'binary', "text, delimiter '|', null 'NIX'"])
    test(`of a table, ${format}`, async () => {
      const client = await gateway.client('agent')
      const outcome = await copied(client, `copy payments to stdout with (format ${format})`)
      expect(leaks(outcome)).toEqual([])
      expect(outcome).toMatch(/1111/)
      expect(outcome).toContain('nothing here')
    })

  needs('psql')('\\copy and COPY in psql', async () => {
    for (const text of [
      '\\copy payments to stdout',
      '\\copy (select card_number, full_name from payments, people) to stdout csv',
    ]) {
      const { stdout, stderr, status } = await gateway.psql('agent', ['-c', text])
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
      expect(leaks(stdout)).toEqual([])
    }
  })
})
