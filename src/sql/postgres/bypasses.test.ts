import { beforeAll, describe, expect, test } from 'vitest'
import type { GatewayError } from '../../kernel/index.ts'
import { DEFAULT_SQL_LIMITS, loadParser, redactLiterals, SqlAnalyzer } from '../index.ts'

beforeAll(loadParser)

const limits = { maxStatementBytes: 1_000_000, maxStatements: 20, maxDepth: 200 }
const analyzer = new SqlAnalyzer({ limits, cacheEntries: 100 })
const facts = (sql: string) => analyzer.analyze(sql).map((statement) => statement.facts)

const widest = new SqlAnalyzer({ limits: DEFAULT_SQL_LIMITS, cacheEntries: 0 })

function refusal(sql: string, by = analyzer): string {
  try {
    by.analyze(sql)
    return 'allowed'
  } catch (error) {
    return (error as GatewayError).code
  }
}

// Every evasion that was ever thought of stays here.
describe('a write is a write, whatever its spelling', () => {
  test.each([
    'DeLeTe FrOm t',
    '/**/delete/**/from/**/t',
    '/* select 1 */ delete from t',
    '/* a /* nested */ select */ delete from t',
    '-- select\ndelete from t',
    'delete\tfrom\nt',
    ';;;delete from t',
    'select 1; delete from t',
    'with x as (delete from t returning *) select 1',
    'with x as materialized (with y as (delete from t returning *) select * from y) select 1',
    'select * from a union (with x as (delete from t returning *) select * from x)',
    'with recursive x as (insert into t values (1) returning *) table x',
    'explain analyze delete from t',
    'explain analyse delete from t',
    'EXPLAIN (FORMAT json, ANALYZE true) delete from t',
    'explain (analyze off, analyze on) delete from t',
    "explain (analyze 'on') delete from t",
    'prepare select_1 as delete from t',
    'copy (delete from t returning *) to stdout',
    'copy t from stdin',
    'select * into temp x from t',
    'select * from t for update',
    'select * from t where a in (select b from u for no key update)',
    'create temp table x as table t',
    'truncate only t',
    "select nextval('s')",
    'select "nextval"(\'s\')',
    "select pg_catalog.nextval('s')",
    'select U&"next\\0076al"(\'s\')',
    "select setval('s', 1)",
    'select mystery()',
    'select x.mystery from mystery() x',
    'select * from mystery()',
    'select 1 order by mystery()',
    'select 1 limit mystery()',
    'values (mystery())',
    'table t order by mystery()',
    'select 1 from t tablesample system (mystery())',
    'select count(*) filter (where mystery()) from t',
    'select sum(1) over (partition by mystery()) from t',
    'select 1 from t join u on mystery()',
    'select xmltable.* from t, xmltable(mystery() passing x columns a int)',
    "select * from json_table('[]', '$' passing mystery() as x columns (a int path '$'))",
    'select json_object(mystery() : 1)',
    'select array[mystery()]',
    'select (array[1])[mystery()]',
    'select case when mystery() then 1 end',
    'select coalesce(null, mystery())',
    'select 1 group by grouping sets ((mystery()))',
    'select * from rows from (mystery(), generate_series(1, 2)) x',
    'select 1 where exists (select mystery())',
    'execute p(mystery())',
    'begin read write',
    'set transaction read write',
    'set transaction_read_only = off',
    'set TRANSACTION_READ_ONLY to "off"',
    'set default_transaction_read_only = n',
    "select set_config('transaction_read_only', 'off', false)",
    "select pg_catalog.set_config('Transaction_Read_Only', 'off', true)",
    "select set_config('transaction' || '_read_only', 'off', false)",
    "notify x, 'y'",
    'lock table t',
    'call p()',
  ])('%s', (sql) => {
    expect(facts(sql).some(({ level }) => level !== 'read')).toBe(true)
  })
})

describe('an administrator’s act needs admin', () => {
  test.each([
    'do $$ begin delete from t; end $$',
    "do 'begin end'",
    'create rule r as on select to t do instead delete from u',
    'create or replace view v as select 1',
    'create function pg_temp.f() returns int language sql as $$ select 1 $$',
    'alter default privileges in schema s grant all on tables to public',
    "security label for x on column a.b is 'c'",
    'import foreign schema a limit to (b) from server s into c',
    'set local role postgres',
    "set role 'postgres'",
    'set role none',
    "set session authorization 'postgres'",
    "select set_config('role', 'postgres', false)",
    'set "role" = postgres',
    "copy t from program 'x'",
    "copy (select 1) to '/tmp/x'",
    "select pg_read_file('x')",
    'table pg_file_settings',
    "select lo_export(1, '/tmp/x')",
    "select query_to_xml('delete from t', true, true, '')",
    'update pg_catalog.pg_authid set rolsuper = true',
    'insert into information_schema.sql_features values (1)',
    'update pg_settings set setting = 1',
    "alter role x password 'y'",
    'explain analyze create table x as select 1',
    'explain (analyze, verbose) declare c no scroll cursor with hold for select pg_reload_conf()',
    'create schema s grant all on t to public',
    'create table s.t as execute p',
    'vacuum full',
    'select * into x from t',
    'alter table t disable row level security',
    'alter table t disable trigger all',
    'select pg_terminate_backend(1)',
  ])('%s', (sql) => {
    expect(facts(sql).some(({ level }) => level === 'admin')).toBe(true)
  })
})

describe('a protected column is seen', () => {
  const sees = (sql: string) =>
    facts(sql).some(({ columns, opaque }) => {
      const touched = columns.some(({ table, column, use }) => {
        return (table === undefined || table.endsWith('payments')) && /^(card|\*)$/.test(column) && use !== 'output'
      })
      return touched || opaque.length > 0
    })
  test.each([
    'select to_json(payments) from payments',
    'select payments::text from payments',
    'select (payments).card from payments',
    'select payments.to_json from payments',
    'select public.payments.row_to_json from public.payments',
    'select p.concat from payments p',
    'select card(p) from payments p',
    'select p.c from payments p(c)',
    'select c from payments as p(a, b, c)',
    'select p.* from payments p(c) group by p',
    'with p(c) as (table payments) select c from p',
    'select x from (select p x from payments p) s',
    'select s from (table payments) s',
    'select (s).card from (table payments) s',
    'select to_json(s) from (select * from (table payments) x) s',
    'select array_agg(s.*) from payments s',
    'select row(s.*) from payments s',
    'select s is null from payments s',
    'select (array_agg(s))[1].card from payments s',
    'select v from payments p, lateral (values (p.card)) x(v)',
    'select j.value from payments p, jsonb_each(to_jsonb(p)) j',
    'select card from payments union select null',
    'select null union all (select card from payments)',
    'select card from payments intersect table x',
    'select (select card from payments limit 1)',
    'select array(select card from payments)',
    'with recursive r as (select card from payments union all select card from r) table r',
    "select card || '' from payments",
    'select "card"::bytea from payments',
    'select U&"\\0063ard"::text from payments',
    'select CARD::text from PAYMENTS',
    "select 1 from payments where card like '4%'",
    'select 1 from payments order by card',
    'select id from payments order by 1, card',
    'select 1 from payments p join x using (card)',
    'select 1 from payments natural join x',
    'select * from payments natural full join x',
    'select card from payments full join x using (card)',
    'select count(distinct card) from payments',
    'select rank() over (order by card) from payments',
    'select mode() within group (order by card) from payments',
    'insert into x table payments',
    'insert into x select card from payments',
    'insert into x with y as (select card from payments) select * from y',
    'with y as (select card c from payments) insert into x select c from y',
    'with y as (table payments) update x set a = y.card from y',
    'update x set a = (select card from payments)',
    'update payments set note = card',
    "update payments set id = 1 returning card || ''",
    'update payments set id = 1 returning old.card',
    'delete from payments returning to_json(payments)',
    'insert into payments values (1) on conflict (id) do update set note = excluded.card',
    'merge into x using payments p on true when not matched then insert values (p.card)',
    'merge into x using (select card c from payments) p on true when matched then update set a = p.c',
    'create table x as select card from payments',
    'create temp table x as table payments',
    'select card into x from payments',
    'create view x as table payments',
    'create materialized view x as select card from payments',
    "copy payments to program 'cat'",
    "copy (table payments) to '/tmp/x'",
    'alter table payments rename card to c',
    'alter table payments rename to c',
    'alter table payments set schema x',
    'alter table x attach partition payments default',
    'alter table payments inherit x',
    'alter table payments add c text generated always as (card) stored',
    'alter table payments alter id type text using card',
    'create index on payments (card)',
    'create rule r as on insert to x do also insert into y select card from payments',
    'create function f() returns text return (select card from payments)',
    'select * from pg_stats',
    "select table_to_xml('payments', true, true, '')",
    'select lo_get(1)',
    "select my_function('payments')",
    'execute p(1); create table x as execute p',
    "explain analyze select 1 from payments where card = '4'",
    'with p as (select * from payments) select p from p',
    'select * from (payments join x on true) as j(c)',
    'select j.card from (payments join x on true) as j',
    'select u.card from payments join x using (card) as u',
  ])('%s', (sql) => {
    expect(sees(sql)).toBe(true)
  })
})

describe('names are read as the target reads them', () => {
  test.each([
    ['select * from "payments"', 'payments'],
    ['select * from PayMents', 'payments'],
    ['select * from "PayMents"', 'PayMents'],
    ['select * from U&"p\\0061yments"', 'payments'],
    ['select * from U&"p!0061yments" uescape \'!\'', 'payments'],
    ['select * from "a""b"', 'a"b'],
    ['select * from É', 'É'],
    [`select * from ${'a'.repeat(80)}`, 'a'.repeat(63)],
    [`select * from "${'é'.repeat(40)}"`, 'é'.repeat(31)],
    ['with payments as (select 1) select * from public.payments', 'public.payments'],
    ['with "PAYMENTS" as (select 1) select * from payments', 'payments'],
    ['with payments as (select * from payments) select * from payments', 'payments'],
    ['select 1 from (with payments as (select 1) select 1) x, payments', 'payments'],
  ])('%s', (sql, name) => {
    expect(facts(sql)[0]?.reads).toEqual([name])
  })
})

describe('refused', () => {
  test.each([
    ['select 1\0; delete from t', 'sql.encoding'],
    ["select '\ud800'", 'sql.encoding'],
    ['selec 1', 'sql.unparsable'],
    ["select 'unclosed", 'sql.unparsable'],
    ['select $$unclosed', 'sql.unparsable'],
    ['select 1 /* unclosed', 'sql.unparsable'],
    ["select e'\\", 'sql.unparsable'],
    ['select 1\\gexec', 'sql.unparsable'],
    ['\\! rm x', 'sql.unparsable'],
    [`select 1${'; select 1'.repeat(20)}`, 'sql.too_large'],
    [`select '${'x'.repeat(1_000_000)}'`, 'sql.too_large'],
  ])('%j', (sql, code) => {
    expect(refusal(sql)).toBe(code)
  })

  test('an error does not repeat the text near it', () => {
    expect(() => analyzer.analyze("alter role x password 'hunter2' 'again' hunter3")).toThrow(/^(?!.*hunter)/)
    expect(() => analyzer.analyze("select 1 'hunter2'")).toThrow(/^(?!.*hunter)/)
  })
})

describe('hostile depth', () => {
  const deep: Readonly<Record<string, (n: number) => string>> = {
    brackets: (n) => `select ${'('.repeat(n)}1${')'.repeat(n)}`,
    sum: (n) => `select 1${'+1'.repeat(n)}`,
    minus: (n) => `select ${'- '.repeat(n)}1`,
    not: (n) => `select ${'not '.repeat(n)}true`,
    sublinks: (n) => `select ${'(select '.repeat(n)}1${')'.repeat(n)}`,
    subselects: (n) => `select * from ${'(select * from '.repeat(n)}t${') x'.repeat(n)}`,
    union: (n) => `select 1${' union select 1'.repeat(n)}`,
    joins: (n) => `select * from t${' join t on true'.repeat(n)}`,
    arrays: (n) => `select array${'['.repeat(n)}${']'.repeat(n)}`,
    cases: (n) => `select ${'case when true then '.repeat(n)}1${' end'.repeat(n)}`,
    calls: (n) => `select ${'f('.repeat(n)}${')'.repeat(n)}`,
    casts: (n) => `select 1${'::int'.repeat(n)}`,
    tests: (n) => `select 1${' is null'.repeat(n)}`,
    joinsWithLists: (n) => `select * from t${' join t on a and b'.repeat(n)}`,
    unionsWithLists: (n) => `select 1${' union select 1, 1'.repeat(n)}`,
    casesWithLists: (n) => `select ${'case when a and b then '.repeat(n)}1${' end'.repeat(n)}`,
    elses: (n) => `select ${'case when a or b then 1 else '.repeat(n)}1${' end'.repeat(n)}`,
    commaSublinks: (n) => `select ${'a, (select '.repeat(n)}1${')'.repeat(n)}`,
    commaSubselects: (n) => `select 1 from ${'a, (select 1 from '.repeat(n)}t${') x'.repeat(n)}`,
    andSublinks: (n) => `select ${'a and exists (select '.repeat(n)}1${')'.repeat(n)}`,
    continued: (n) => `select E'a'\n'\\'', ${'('.repeat(n)}1${')'.repeat(n)} --'`,
    nestedComments: (n) => `/* /* */ ' */ select ${'('.repeat(n)}1${')'.repeat(n)} --'`,
    // Made to look flat to a reader that does not know escape strings.
    masked: (n) => `select E'\\'', ${'('.repeat(n)}1${')'.repeat(n)} --'`,
    masked2: (n) => `select e'\\'', 1${'+1'.repeat(n)} --'`,
  }
  test.each(Object.keys(deep))('%s', (name) => {
    for (const depth of [300, 900, 1_000, 5_000, 50_000]) {
      // At the limits of the product and at narrow ones; a trapped parser would say sql.unparsable.
      for (const by of [analyzer, widest])
        expect(['allowed', 'sql.too_large']).toContain(refusal(deep[name]!(depth), by))
      expect(facts('select a from t')[0]?.reads).toEqual(['t'])
    }
  })

  test.each([
    ['unclosed comments', '/* '.repeat(100_000)],
    ['comments side by side', `select ${'/*'.repeat(200_000)}${'*/'.repeat(200_000)} 1`],
    ['comments side by side with operators', `select ${'//*+'.repeat(100_000)}${'*/'.repeat(100_000)} 1`],
    ['dollars', '$a$ $b$ '.repeat(50_000)],
    [
      'stars over stars',
      `with c0 as (select 1 a, x.* from x)${Array.from({ length: 60 }, (_, i) => `, c${i + 1} as (select c${i}.*, c${i}.*, upper(c${i}.a) from c${i} join c${i} d using (a))`).join('')} select * from c60`,
    ],
    [
      'recursion in recursion',
      `${'with recursive r as ((select 1 union '.repeat(20)}select 1${') union select 1 from r) select 1 from r'.repeat(20)}`,
    ],
    ['nots over ors', `select 1 from t where ${'not (a = 1 or '.repeat(60)}a = 1${')'.repeat(60)}`],
    [
      'many common tables',
      `with ${Array.from({ length: 5_000 }, (_, i) => `c${i} as (select 1 from t)`).join()} select 1`,
    ],
    ['many tables', `select ${'a,'.repeat(5_000)}a from ${'t,'.repeat(5_000)}t`],
    ['many columns', `select ${'a.b,'.repeat(50_000)}a from a`],
  ])(
    '%s take no more than their share of work',
    (_name, sql) => {
      expect(['allowed', 'sql.too_large', 'sql.unparsable']).toContain(refusal(sql))
    },
    5_000,
  )

  test('wide is not deep', () => {
    const rows = Array.from({ length: 2_000 }, (_, index) => `(${index}, 'name ${index}', now())`).join(', ')
    expect(facts(`insert into t values ${rows}`)[0]?.kind).toBe('insert')
    const ors = Array.from({ length: 2_000 }, (_, index) => `a = ${index}`).join(' or ')
    expect(facts(`select 1 from t where ${ors}`)[0]?.kind).toBe('select')
  })
})

describe('redacted text', () => {
  test.each([
    ["alter role x password 'hunter2'", "alter role x password '?'"],
    [
      "select 1.5, 'é', E'a\\'b', $$c$$, $t$d$t$, x'ff', U&'e' from t1",
      "select ?, '?', '?', '?', '?', '?', '?' from t1",
    ],
    ['select 1 -- hunter2', 'select ? /* ? */'],
    ["select 'unclosed", '[redacted statement]'],
    ["select 'a\0b'", '[redacted statement]'],
  ])('%s', (sql, want) => {
    expect(redactLiterals(sql)).toBe(want)
  })

  test.each([
    "create user x with encrypted password 'y'",
    "create subscription s connection 'password=y' publication p",
    "alter subscription s connection 'password=y'",
    "create user mapping for x server s options (user 'a', password 'y')",
    "alter server s options (set password 'y')",
    "select dblink_connect('c', 'password=y')",
    "select public.dblink('password=y', 'select 1')",
    "select pgp_sym_encrypt(a, 'key') from t",
    "alter system set ssl_passphrase_command = 'y'",
    "alter role x set app.secret = 'y'",
    "create schema s; create role x login password 'y'",
    "prepare p as select pgp_sym_decrypt(a, 'key') from t",
  ])('%s holds secrets', (sql) => {
    expect(analyzer.analyze(sql).some((statement) => statement.secretLiterals)).toBe(true)
  })
})
