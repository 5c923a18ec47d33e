import { beforeAll, describe, expect, test } from 'vitest'
import type { ColumnRead, Facts } from '../../kernel/index.ts'
import { loadParser, SqlAnalyzer, type StatementAnalysis } from '../index.ts'

beforeAll(loadParser)

const functions = (name: string) =>
  ({ tax: 'immutable', lookup: 'stable', audit: 'volatile', 'shop.tax': 'immutable', lower: 'volatile' })[name] as
    | 'immutable'
    | 'stable'
    | 'volatile'
    | undefined
const analyzer = new SqlAnalyzer({
  limits: { maxStatementBytes: 100_000, maxStatements: 20, maxDepth: 200 },
  cacheEntries: 0,
  functions,
})

function one(sql: string): StatementAnalysis {
  const [first, ...more] = analyzer.analyze(sql)
  expect(more).toEqual([])
  return first!
}

const short = ({ table, column, use }: ColumnRead) => `${table ?? '?'}.${column} ${use}`

describe('kinds, relations and level', () => {
  // sql | kinds | reads | writes | level
  test.each<[string, string, string, string, Facts['level']]>([
    ['select 1', 'select', '', '', 'read'],
    ['table payments', 'select', 'payments', '', 'read'],
    ['values (1), (2)', 'select', '', '', 'read'],
    ['select * from shop.payments p, customers', 'select', 'shop.payments customers', '', 'read'],
    ['select * from db.shop.payments', 'select', 'shop.payments', '', 'read'],
    ['select * from "Shop"."Pay ments"', 'select', 'Shop.Pay ments', '', 'read'],
    ['SELECT * FROM PAYMENTS', 'select', 'payments', '', 'read'],
    ['select * from a union select * from b', 'select', 'a b', '', 'read'],
    ['select * from (select * from a) x join lateral (select * from b) y on true', 'select', 'a b', '', 'read'],
    ['select * from only a tablesample system (1)', 'select', 'a', '', 'read'],
    ['with a as (select 1) select * from a', 'select', '', '', 'read'],
    ['with a as (select * from a) select * from a', 'select', 'a', '', 'read'],
    ['with recursive a as (select 1 union all select * from a) select * from a', 'select', '', '', 'read'],
    ['with a as (select * from b), b as (select 1) select * from a', 'select', 'b', '', 'read'],
    ['with recursive a as (select * from b), b as (select 1) select * from a', 'select', '', '', 'read'],
    ['with a as (select 1) select * from public.a', 'select', 'public.a', '', 'read'],
    ['select (with a as (select 1) select 1 from a), x from a', 'select', 'a', '', 'read'],
    ['with a as (select 1) select (select 1 from a)', 'select', '', '', 'read'],
    ['insert into t values (1)', 'insert', '', 't', 'write'],
    ['insert into t select * from s', 'insert select', 's', 't', 'write'],
    ['insert into t values (1) on conflict (a) do update set b = excluded.b', 'insert update', 't', 't', 'write'],
    ['insert into t values (1) on conflict do nothing', 'insert', '', 't', 'write'],
    ['update t set a = 1', 'update', '', 't', 'write'],
    ['update t set a = s.b from s where s.id = t.id', 'update', 's t', 't', 'write'],
    ['delete from t using s where s.id = t.id', 'delete', 's t', 't', 'write'],
    ['with t as (select 1) delete from t', 'delete select', '', 't', 'write'],
    ['with d as (delete from t returning *) select * from d', 'select delete', 't', 't', 'write'],
    [
      'with d as (update t set a = 1 returning *) insert into l select * from d',
      'insert update select',
      't',
      'l t',
      'write',
    ],
    ['merge into t using s on t.id = s.id when matched then delete', 'merge delete', 's t', 't', 'write'],
    ['merge into t using s on true when not matched then insert values (1)', 'merge insert', 's', 't', 'write'],
    ['merge into t using s on true when matched then do nothing', 'merge', 's', 't', 'write'],
    ['truncate t, u', 'truncate', '', 't u', 'write'],
    ['select * from t for update', 'select lock', 't', '', 'write'],
    ['select * from t for key share of t skip locked', 'select lock', 't', '', 'write'],
    ['select * from (select * from t for share) s', 'select lock', 't', '', 'write'],
    ['select * into n from t', 'select create', 't', 'n', 'admin'],
    ['select * into temp n from t', 'select create', 't', 'n', 'write'],
    ['create table n as select * from t', 'create select', 't', 'n', 'admin'],
    ['create temp table n as select * from t', 'create select', 't', 'n', 'write'],
    ['create temp table n (a int)', 'create', '', 'n', 'write'],
    ['create table n as execute p', 'create execute', '', 'n', 'admin'],
    ['create materialized view m as select * from t', 'create select', 't', 'm', 'admin'],
    ['create view v as select * from t', 'create select', 't', 'v', 'admin'],
    [
      'create view v as with d as (delete from t returning *) select * from d',
      'create select delete',
      't',
      'v t',
      'admin',
    ],
    ['create rule r as on select to t do instead delete from u', 'create delete', '', 't u', 'admin'],
    ['create function f() returns void begin atomic delete from t; end', 'create delete', '', 't', 'admin'],
    ["create function f() returns void language sql as 'delete from t'", 'create', '', '', 'admin'],
    ['create schema s create table t (a int) create view v as select * from t', 'create select', 't', 't v', 'admin'],
    ['create index on t (lower(a))', 'create', 't', 't', 'admin'],
    ['alter table t add column c int', 'alter', '', 't', 'admin'],
    ['alter table t rename to u', 'alter', '', 't', 'admin'],
    ['alter default privileges grant select on tables to x', 'alter grant', '', '', 'admin'],
    ['drop table s.t, u', 'drop', '', 's.t u', 'admin'],
    ['drop schema s cascade', 'drop', '', 's.*', 'admin'],
    ['drop trigger g on s.t', 'drop', '', 's.t', 'admin'],
    ['drop function f', 'drop', '', '', 'admin'],
    ["comment on table t is 'x'", 'comment', '', 't', 'admin'],
    ["comment on column s.t.c is 'x'", 'comment', '', 's.t', 'admin'],
    ["security label on table t is 'x'", 'alter', '', 't', 'admin'],
    ['grant select on t to x', 'grant', '', 't', 'admin'],
    ['revoke all on t from x', 'revoke', '', 't', 'admin'],
    ['grant a to b', 'grant', '', '', 'admin'],
    ['reassign owned by a to b', 'alter', '', '', 'admin'],
    ['drop owned by a', 'drop', '', '', 'admin'],
    ["create role x password 'y'", 'create', '', '', 'admin'],
    ['import foreign schema a from server b into c', 'create', '', '', 'admin'],
    ['create extension x', 'create', '', '', 'admin'],
    ['create trigger g after insert on t for each row execute function f()', 'create', '', 't', 'admin'],
    ['create policy p on t using (true)', 'create', '', 't', 'admin'],
    ['create publication p for table t', 'create', 't', '', 'admin'],
    ['vacuum t', 'maintenance', '', 't', 'admin'],
    ['analyze t (a)', 'maintenance', '', 't', 'admin'],
    ['reindex table t', 'maintenance', '', 't', 'admin'],
    ['cluster t', 'maintenance', '', 't', 'admin'],
    ['refresh materialized view m', 'maintenance', '', 'm', 'admin'],
    ['checkpoint', 'maintenance', '', '', 'admin'],
    ["load 'x'", 'load', '', '', 'admin'],
    ['do $$ begin end $$', 'do', '', '', 'admin'],
    ['call p(1)', 'call', '', '', 'write'],
    ['copy t to stdout', 'copy_out', 't', '', 'read'],
    ['copy (select * from t) to stdout', 'copy_out select', 't', '', 'read'],
    ['copy (delete from t returning *) to stdout', 'copy_out delete', 't', 't', 'write'],
    ['copy t from stdin', 'copy_in', '', 't', 'write'],
    ["copy t from '/x'", 'copy_in', '', 't', 'admin'],
    ["copy t to '/x'", 'copy_out', 't', '', 'admin'],
    ["copy t to program 'x'", 'copy_out', 't', '', 'admin'],
    ['explain select * from t', 'explain', 't', '', 'read'],
    ['explain delete from t', 'explain', 't', '', 'write'],
    ['explain analyze delete from t', 'explain delete', '', 't', 'write'],
    ['explain (analyze, verbose) delete from t', 'explain delete', '', 't', 'write'],
    ['explain (analyze off, ANALYZE) delete from t', 'explain delete', '', 't', 'write'],
    ['explain (analyze false) delete from t', 'explain', 't', '', 'write'],
    ['explain (analyze 1) insert into t values (1)', 'explain insert', '', 't', 'write'],
    ['explain analyze create table n as select * from t', 'explain create select', 't', 'n', 'admin'],
    ['explain analyze execute p', 'explain execute', '', '', 'read'],
    ['prepare p as delete from t', 'prepare delete', '', 't', 'write'],
    ['prepare p (int) as select * from t where a = $1', 'prepare select', 't', '', 'read'],
    ['execute p (1)', 'execute', '', '', 'read'],
    ['deallocate all', 'deallocate', '', '', 'read'],
    ['declare c cursor for select * from t', 'declare select', 't', '', 'read'],
    ['declare c cursor for select * from t for update', 'declare select lock', 't', '', 'write'],
    ['fetch 5 from c', 'fetch', '', '', 'read'],
    ['move all in c', 'fetch', '', '', 'read'],
    ['close all', 'close', '', '', 'read'],
    ['lock t in access share mode', 'lock', 't', '', 'read'],
    ['lock t in row share mode', 'lock', 't', '', 'write'],
    ['listen c', 'listen', '', '', 'read'],
    ['unlisten *', 'listen', '', '', 'read'],
    ["notify c, 'x'", 'notify', '', '', 'write'],
    ['begin', 'transaction', '', '', 'read'],
    ['begin read write', 'transaction', '', '', 'write'],
    ['start transaction isolation level serializable, read only', 'transaction', '', '', 'read'],
    ['commit and chain', 'transaction', '', '', 'read'],
    ["prepare transaction 'x'", 'transaction', '', '', 'write'],
    ["commit prepared 'x'", 'transaction', '', '', 'write'],
    ['set transaction read write', 'set', '', '', 'write'],
    ['set session characteristics as transaction read write', 'set', '', '', 'write'],
    ['set session characteristics as transaction read only', 'set', '', '', 'read'],
    ['set default_transaction_read_only = off', 'set', '', '', 'write'],
    ['set "Transaction_Read_Only" to 0', 'set', '', '', 'write'],
    ['set transaction_read_only = on', 'set', '', '', 'read'],
    ['set search_path = a, b', 'set', '', '', 'read'],
    ['set role x', 'set', '', '', 'admin'],
    ['set session authorization x', 'set', '', '', 'admin'],
    ['set session_replication_role = replica', 'set', '', '', 'admin'],
    ['set constraints all deferred', 'set', '', '', 'read'],
    ['reset all', 'set', '', '', 'read'],
    ['show all', 'show', '', '', 'read'],
    ['discard all', 'discard', '', '', 'read'],
    ["alter system set x = 'y'", 'alter', '', '', 'admin'],
    ['insert into pg_class values (1)', 'insert', '', 'pg_class', 'admin'],
    ['delete from pg_catalog.pg_proc', 'delete', '', 'pg_catalog.pg_proc', 'admin'],
    ["update pg_settings set setting = 'off' where name = 'x'", 'update', 'pg_settings', 'pg_settings', 'admin'],
    ['insert into pg_temp.x values (1)', 'insert', '', 'pg_temp.x', 'write'],
    ['select * from pg_hba_file_rules', 'select', 'pg_hba_file_rules', '', 'admin'],
    ['select * from pg_authid', 'select', 'pg_authid', '', 'admin'],
  ])('%s', (sql, kinds, reads, writes, level) => {
    const { facts } = one(sql)
    const sorted = (text: string) => (text === '' ? [] : text.split(' ').sort())
    expect(facts.kinds.join(' ')).toBe(kinds)
    expect(facts.kind).toBe(kinds.split(' ')[0])
    expect([...facts.writes].sort()).toEqual(writes.includes('Pay ments') ? [writes] : sorted(writes))
    expect([...facts.reads].sort()).toEqual(reads.includes('Pay ments') ? [reads] : sorted(reads))
    expect(facts.level).toBe(level)
    expect(facts.levelReason === '').toBe(level === 'read')
  })
})

describe('columns', () => {
  test.each<[string, string[]]>([
    ['select card from payments', ['payments.card output']],
    ['select p.card as c from shop.payments p', ['shop.payments.card output']],
    ['select * from payments', ['payments.* output']],
    ['select p.* from payments p, c', ['payments.* output']],
    ['select upper(card) from payments', ['payments.card expression']],
    ['select card::text from payments', ['payments.card expression']],
    ["select card || '' from payments", ['payments.card expression']],
    ['select case when card is null then 1 end from payments', ['payments.card expression']],
    ['select max(card) from payments', ['payments.card expression']],
    ['select (card) from payments', ['payments.card output']],
    ['select payments from payments', ['payments.payments output', 'payments.* expression']],
    ['select p from payments p', ['payments.p output', 'payments.* expression']],
    ['select to_json(p) from payments p', ['payments.p expression', 'payments.* expression']],
    ['select card(p) from payments p', ['payments.p expression', 'payments.* expression']],
    ['select row(p.*) from payments p', ['payments.* expression']],
    ["select set_config('my.x', card, false) from payments", ['payments.card write']],
    ["select pg_notify('c', card) from payments", ['payments.card write']],
    ["select 1 from payments where pg_notify('c', card) is null", ['payments.card write']],
    ['select pg_advisory_lock(card::bigint) from payments', ['payments.card write']],
    ["select setval('s', card::bigint) from payments", ['payments.card write']],
    ['select lo_from_bytea(0, card::bytea) from payments', ['payments.card write']],
    ['select pg_sleep(length(card)) from payments', ['payments.card expression']],
    ['select p.*::text from payments p', ['payments.* expression']],
    ['select (p).card from payments p', ['payments.p expression', 'payments.* expression']],
    ['select (p).* from payments p', ['payments.p expression', 'payments.* expression']],
    ['select p.to_jsonb from payments p', ['payments.to_jsonb output', 'payments.* expression']],
    ['select p.tax from payments p', ['payments.tax output', 'payments.* expression']],
    ['select 1 from payments where card = 1', ['payments.card predicate']],
    ['select 1 from payments order by card', ['payments.card predicate']],
    ['select 1 from payments group by card having min(card) > 1', ['payments.card predicate']],
    ['select distinct on (card) 1 from payments', ['payments.card predicate']],
    [
      'select card c from payments order by c',
      ['payments.card output', 'payments.card predicate', 'payments.c predicate'],
    ],
    ['select card from payments order by 1', ['payments.card output', 'payments.card predicate']],
    ['select 1 from payments limit (select max(card) from payments)', ['payments.card predicate']],
    ['select row_number() over (partition by card) from payments', ['payments.card predicate']],
    ['select row_number() over w from payments window w as (order by card)', ['payments.card predicate']],
    ['select percentile_disc(0.5) within group (order by card) from payments', ['payments.card expression']],
    ['select array_agg(id order by card) from payments', ['payments.id expression', 'payments.card predicate']],
    ['select count(*) filter (where card > 1) from payments', ['payments.card predicate']],
    ['select a from x union select b from y', ['x.a expression', 'y.b expression']],
    ['select (select card from payments)', ['payments.card expression']],
    ['select array(select card from payments)', ['payments.card expression']],
    ['select exists (select card from payments)', ['payments.card predicate']],
    ['select 1 where 1 in (select card from payments)', ['payments.card predicate']],
    ['select 1 in (select card from payments)', ['payments.card expression']],
    ['select x.card from (select card from payments) x', ['payments.card output']],
    ['select upper(x.c) from (select card c from payments) x', ['payments.card output', 'payments.card expression']],
    ['select upper(c) from (select card c from payments) x', ['payments.card output', 'payments.card expression']],
    ['select upper(x.card) from (select * from payments) x', ['payments.* output', 'payments.card expression']],
    ['select x.u from (select upper(card) u from payments) x', ['payments.card expression']],
    ['with x as (select card from payments) select card from x', ['payments.card output']],
    [
      'with x as (select card from payments) select upper(card) from x',
      ['payments.card output', 'payments.card expression'],
    ],
    ['with x(c) as (select card from payments) select c from x', ['payments.card output']],
    ['with x(c) as (select * from payments) select c from x', ['payments.* output', 'payments.* expression']],
    ['select c from payments as p(a, c)', ['payments.* expression']],
    ['select x from payments x(a)', ['payments.* expression']],
    ['select c from (select card from payments) as s(c)', ['payments.card output']],
    ['select card from a, b', ['?.card output']],
    ['select a.card from a join b on a.id = b.id', ['a.id predicate', 'b.id predicate', 'a.card output']],
    ['select (select card) from a', ['a.card expression']],
    ['select (select card from b) from a', ['?.card expression']],
    ['select (select b.card from b) from a', ['b.card expression']],
    ['select id from a join b using (id)', ['a.id predicate', 'b.id predicate', '?.id expression']],
    [
      'select * from a full join b using (card)',
      ['a.card predicate', 'b.card predicate', 'a.* output', 'a.card expression', 'b.* output', 'b.card expression'],
    ],
    ['select j.card from (a join b on true) j', ['a.card expression', 'b.card expression']],
    [
      'select value from payments p, json_each(to_json(p)) j',
      ['payments.p expression', 'payments.* expression', 'payments.value expression'],
    ],
    ['select v from payments p cross join lateral (select p.card v) s', ['payments.card output']],
    [
      'with recursive r as (select card from payments union select card from r where card > 1) select card from r',
      ['payments.card expression', 'payments.card predicate'],
    ],
    ['insert into t select card from payments', ['payments.card write']],
    ['insert into t select upper(card) from payments', ['payments.card write']],
    [
      'with x as (select card c from payments) insert into t select c from x',
      ['payments.card output', 'payments.card write'],
    ],
    ['with x as (select * from payments) insert into t select * from x', ['payments.* output', 'payments.* write']],
    ['insert into t values ((select card from payments))', ['payments.card write']],
    ['insert into t values (1) returning card, upper(card), t.*', ['t.card output', 't.card expression', 't.* output']],
    ['update t set a = card where b = 1 returning c', ['t.card write', 't.b predicate', 't.c output']],
    [
      'update t set a = p.card from payments p where p.id = t.id',
      ['payments.card write', 'payments.id predicate', 't.id predicate'],
    ],
    ['update t set (a, b) = (select card, 1 from payments)', ['?.card write']],
    ['update t set a = 1 returning old.card', ['t.card expression']],
    ['update t set a = 1 returning with (new as n) n.card', ['t.card expression']],
    ['delete from t where card = 1 returning *', ['t.card predicate', 't.* output']],
    [
      'merge into t using payments p on p.id = t.id when matched then update set a = p.card',
      ['payments.id predicate', 't.id predicate', 'payments.card write'],
    ],
    ['create table n as select card from payments', ['payments.card write']],
    ['select card into n from payments', ['payments.card write']],
    ['create view v as select card from payments', ['payments.card write']],
    ['copy payments (card) to stdout', ['payments.card output']],
    ['copy payments to stdout', ['payments.* output']],
    ["copy payments (card) to '/x'", ['payments.card write']],
    ["copy (select card from payments) to program 'x'", ['payments.card write']],
    ['alter table payments rename column card to c', ['payments.card write']],
    ['alter table t add column c text generated always as (card) stored', ['t.card write']],
    ['alter table t attach partition payments default', ['payments.* write']],
    ['explain analyze select card from payments where id = 1', ['payments.card predicate', 'payments.id predicate']],
    ['declare c cursor for select card from payments', ['payments.card output']],
  ])('%s', (sql, want) => {
    expect(one(sql).facts.columns.map(short).sort()).toEqual([...want].sort())
  })
})

describe('unbounded', () => {
  test.each([
    ['select * from t', true],
    ['select * from t where true', true],
    ['select * from t where 1 = 1', true],
    ["select * from t where 'a' = 'a'", true],
    ['select * from t where not false', true],
    ['select * from t where id = 1 or true', true],
    ['select * from t where id = id', true],
    ['select * from t where id is null or id is not null', true],
    ['select * from t where not (id is null) or id is null', true],
    ["select * from t where name like '%'", true],
    ["select * from t where name ~ '.*'", true],
    ["select * from t where name similar to '%'", true],
    ['select * from t where $1', true],
    ['select * from t where $1 = 1', true],
    ['select * from t where length($1) > 0', true],
    ['select * from t where now() > now()', true],
    ['select * from t where exists (select 1)', true],
    ['select * from t where id in (1, id)', true],
    ['select * from t where id between id and id', true],
    ['select * from t where id is not distinct from id', true],
    ['select * from t where (id = 1 or true) and 1 = 1', true],
    ['select * from t where id = 1 or id <> 1', true],
    ['select * from t where id < 5 or id >= 5', true],
    ['select * from t where not (id <> id)', true],
    ['select * from t limit all', true],
    ['select * from t limit null', true],
    ['select * from t limit 1000000000', true],
    ['select * from t limit $1', true],
    ['select * from t limit 5 + 5', true],
    ['select * from t order by a fetch first 5 rows with ties', true],
    ['select a, count(*) from t group by a', true],
    ['select array_agg(a) from t', true],
    ['select count(*) over () from t', true],
    ["select string_agg(a, ',') from t", true],
    ['select (select array_agg(a) from t)', true],
    ['select array(select a from t)', true],
    ['select * from (select * from t) s', true],
    ['with c as (select * from t) select * from c', true],
    ['select * from t where id = 1 union select * from u', true],
    ['insert into n select * from t', true],
    ['copy t to stdout', true],
    ['delete from t', true],
    ['delete from t where 1 = 1', true],
    ['update t set a = 1', true],
    ['update t set a = 1 from s', true],
    ['with d as (delete from t returning 1) select 1', true],
    ['merge into t using s on true when matched then delete', true],
    ['merge into t using s on s.a = t.a when not matched by source then delete', true],
    ['truncate t', true],
    ['prepare p as select * from t', true],
    ['explain analyze delete from t', true],
    ['select 1', false],
    ['select * from t where id = 1', false],
    ['select * from t where false', false],
    ['select * from t where 1 = 0', false],
    ['select * from t where id = 1 and true', false],
    ["select * from t where name like 'a%'", false],
    ['select * from t limit 10', false],
    ['select * from t fetch first row only', false],
    ['select count(*) from t', false],
    ['select round(avg(a), 2), max(b) + 1 from t', false],
    ['select * from (select * from t) s where s.id = 1', false],
    ['select * from (select * from t limit 5) s', false],
    ['select * from generate_series(1, 5)', false],
    ['insert into t values (1)', false],
    ['delete from t where id = 1', false],
    ['delete from t where current of c', false],
    ['update t set a = 1 where id = $1', false],
    ['merge into t using s on s.a = t.a when matched then delete', false],
    ['explain delete from t', false],
    ['create view v as select * from t', false],
  ])('%s: %s', (sql, unbounded) => {
    expect(one(sql).facts.unbounded).toBe(unbounded)
  })
})

describe('functions', () => {
  // sql | level | opaque | flags
  test.each<[string, Facts['level'], boolean, string]>([
    ['select now(), lower(1::text)', 'write', true, ''], // a user's lower() shadows the built-in
    ['select pg_catalog.lower($1)', 'read', false, ''],
    ['select random(), gen_random_uuid(), clock_timestamp(), pg_sleep(1)', 'read', false, ''],
    ['select tax(1)', 'read', true, ''],
    ['select shop.tax(1), lookup(2)', 'read', true, ''],
    ['select audit()', 'write', true, ''],
    ['select nobody_knows()', 'write', true, ''],
    ['select other.lower($1)', 'write', true, ''],
    ['select pg_catalog.nobody_knows()', 'write', true, ''],
    ["select nextval('s')", 'write', false, ''],
    ["select currval('s')", 'read', false, ''],
    ["select pg_notify('c', 'x')", 'write', false, ''],
    ['select pg_advisory_lock(1)', 'write', false, ''],
    ['select lo_get(1)', 'write', true, ''],
    ["select lo_import('/etc/passwd')", 'admin', true, 'files'],
    ["select pg_read_file('/etc/passwd')", 'admin', false, 'files'],
    ["select * from pg_ls_dir('.')", 'admin', false, 'files'],
    ["select pg_stat_file('x')", 'admin', false, 'files'],
    ["select query_to_xml('delete from t', true, true, '')", 'admin', true, 'dynamic'],
    ["select table_to_xml('t', true, true, '')", 'read', true, 'dynamic'],
    ["select * from ts_stat('select 1')", 'admin', true, 'dynamic'],
    ["select ts_rewrite('a', 'select 1')", 'admin', true, 'dynamic'],
    ["select ts_rewrite('a'::tsquery, 'a', 'b')", 'read', false, ''],
    ["select * from dblink('host=x password=y', 'select 1') as t(a int)", 'admin', true, 'dynamic secret'],
    ["select * from crosstab('select 1') as t(a int)", 'admin', true, 'dynamic'],
    ['select pg_terminate_backend(1)', 'admin', false, ''],
    ['select pg_cancel_backend(1), pg_reload_conf()', 'admin', false, ''],
    ["select pg_create_physical_replication_slot('x')", 'admin', false, ''],
    ["select pg_logical_slot_peek_changes('s', null, null)", 'admin', true, ''],
    ['select 1 operator(public.+) 2', 'read', true, ''],
    ['select 1 operator(pg_catalog.+) 2', 'read', false, ''],
    ["create server s foreign data wrapper w options (password 'x')", 'admin', false, 'secret'],
    ["copy t from program 'x'", 'admin', false, 'programs'],
    ['create language x', 'admin', true, 'programs'],
    ['create language x handler h', 'admin', false, 'programs'],
    ['do language plpython3u $$ x $$', 'admin', true, 'dynamic programs'],
    ["create function f() returns int language c as 'x', 'y'", 'admin', true, 'dynamic programs'],
    ['create table n as execute p', 'admin', true, ''],
    ['select * from pg_stats', 'read', true, ''],
  ])('%s', (sql, level, opaque, flags) => {
    const { facts, secretLiterals } = one(sql)
    expect(facts.level).toBe(level)
    expect(facts.opaque.length > 0).toBe(opaque)
    const set = {
      files: facts.serverFiles,
      programs: facts.serverPrograms,
      dynamic: facts.dynamicSql,
      secret: secretLiterals,
    }
    const on = Object.entries(set).flatMap(([name, is]) => (is ? [name] : []))
    expect(on.sort()).toEqual(flags.split(' ').filter(Boolean).sort())
  })

  test('volatility is the worst of the built-in and the user function', () => {
    expect(one('select lower($1), upper($1), now(), random(), mystery()').facts.functions).toEqual([
      { name: 'lower', volatility: 'volatile' },
      { name: 'upper', volatility: 'immutable' },
      { name: 'now', volatility: 'stable' },
      { name: 'random', volatility: 'volatile' },
      { name: 'mystery', volatility: 'unknown' },
    ])
  })

  test('a moved sequence is written, its name folded and cut as the target does', () => {
    expect(one(`select nextval('Shop."My Seq"'::regclass)`).facts.writes).toEqual(['shop.My Seq'])
    expect(one(`select nextval('${'S'.repeat(70)}')`).facts.writes).toEqual(['s'.repeat(63)])
  })
})

describe('session effects', () => {
  test.each<[string, readonly object[]]>([
    [
      'set standard_conforming_strings = off',
      [{ kind: 'set', name: 'standard_conforming_strings', value: 'off', local: false, via: 'set' }],
    ],
    [
      'set local STATEMENT_timeout to 5',
      [{ kind: 'set', name: 'statement_timeout', value: '5', local: true, via: 'set' }],
    ],
    ["set names 'latin1'", [{ kind: 'set', name: 'client_encoding', value: 'latin1', local: false, via: 'set' }]],
    ["set schema 'Shop'", [{ kind: 'set', name: 'search_path', value: '"Shop"', local: false, via: 'set' }]],
    ['set search_path to a, "B"', [{ kind: 'set', name: 'search_path', value: 'a, "B"', local: false, via: 'set' }]],
    ['set role x', [{ kind: 'set', name: 'role', value: 'x', local: false, via: 'set' }]],
    ['reset search_path', [{ kind: 'reset', name: 'search_path' }]],
    ['set search_path to default', [{ kind: 'reset', name: 'search_path' }]],
    ['reset all', [{ kind: 'reset', name: undefined }]],
    [
      "select set_config('Search_Path', 'x', true)",
      [{ kind: 'set', name: 'search_path', value: 'x', local: true, via: 'set_config' }],
    ],
    [
      "select set_config('a.b', $1, false)",
      [{ kind: 'set', name: 'a.b', value: undefined, local: false, via: 'set_config' }],
    ],
    [
      "select set_config('a.b', 'x', false) where false",
      [{ kind: 'set', name: 'a.b', value: undefined, local: false, via: 'set_config' }],
    ],
    [
      "select case when $1 then set_config('a.b', 'x', false) end",
      [{ kind: 'set', name: 'a.b', value: undefined, local: false, via: 'set_config' }],
    ],
    [
      "select set_config($1, 'x', false)",
      [{ kind: 'set', name: '*', value: undefined, local: false, via: 'set_config' }],
    ],
    ["update pg_settings set setting = 'x'", [{ kind: 'set', name: '*', value: undefined, local: false, via: 'rule' }]],
    ['begin read only', [{ kind: 'transaction', what: 'begin', readOnly: true }]],
    ['savepoint S', [{ kind: 'transaction', what: 'savepoint', name: 's' }]],
    ['rollback to s', [{ kind: 'transaction', what: 'rollback_to', name: 's' }]],
    ['end and chain', [{ kind: 'transaction', what: 'commit', chain: true }]],
    ['set transaction read only', [{ kind: 'transaction', what: 'set', readOnly: true }]],
    ['execute "P"(1)', [{ kind: 'execute', name: 'P' }]],
    ['deallocate p', [{ kind: 'deallocate', name: 'p' }]],
    ['deallocate all', [{ kind: 'deallocate', name: undefined }]],
    ['fetch 1 from c', [{ kind: 'fetch', name: 'c', move: false }]],
    ['move 1 in c', [{ kind: 'fetch', name: 'c', move: true }]],
    ['close c', [{ kind: 'close', name: 'c' }]],
    ['discard plans', [{ kind: 'discard', what: 'plans' }]],
    [
      'discard all',
      [
        { kind: 'discard', what: 'all' },
        { kind: 'reset', name: undefined },
      ],
    ],
    ['create temp table x (a int)', [{ kind: 'ddl', temporary: true }]],
    ['drop table x', [{ kind: 'ddl', temporary: false }]],
    ['listen c', [{ kind: 'listen', channel: 'c' }]],
    ['explain select 1', []],
    ["explain select set_config('a.b', 'x', false)", []],
    ['explain execute p', [{ kind: 'execute', name: 'p' }]],
  ])('%s', (sql, want) => {
    expect(one(sql).effects).toEqual(want)
  })

  test.each([
    ['prepare p (int, text) as delete from t where é = $1', 'delete from t where é = $1'],
    ['prepare "as" /* as */ as -- as\n select 1 as x', 'select 1 as x'],
    ['declare "for" no scroll cursor with hold for select a from t for update', 'select a from t for update'],
  ])('%s keeps its inner statement', (sql, inner) => {
    const [effect] = one(`  ${sql}`).effects
    const statement = effect !== undefined && 'statement' in effect ? effect.statement : undefined
    expect(statement?.text).toBe(inner)
    expect(Buffer.from(`  ${sql}`).toString('utf8', statement?.startByte, statement?.endByte)).toBe(inner)
  })

  test('DECLARE tells hold and binary', () => {
    expect(one('declare c binary cursor with hold for select 1').effects).toMatchObject([{ hold: true, binary: true }])
    expect(one('declare c cursor for select 1').effects).toMatchObject([{ hold: false, binary: false }])
  })
})

describe('COPY', () => {
  test('options in both grammars', () => {
    const modern = one(
      `copy s.t (a, "B") to stdout with (format csv, delimiter ';', null 'N', quote '"', escape '\\', header match, force_quote *, encoding 'utf8')`,
    ).copy
    expect(modern).toMatchObject({
      direction: 'out',
      source: 'stdio',
      relation: 's.t',
      columns: ['a', 'B'],
      format: 'csv',
      options: {
        delimiter: ';',
        null: 'N',
        quote: '"',
        escape: '\\',
        header: 'match',
        encoding: 'utf8',
        forceQuote: ['*'],
      },
    })
    const old = one(`copy t from stdin with csv header delimiter ';' force not null a`).copy
    expect(old).toMatchObject({
      direction: 'in',
      format: 'csv',
      options: { delimiter: ';', header: 'names', unknown: [] },
    })
    expect(one('copy binary t to stdout').copy?.format).toBe('binary')
    expect(one('copy t to stdout (format nonsense, wild 1)').copy).toMatchObject({
      format: 'other',
      options: { unknown: ['wild'] },
    })
  })

  test('the span of the inner query is in bytes', () => {
    const sql = "/* é */ copy (select 'é)' as x from t) to stdout"
    const { copy } = one(sql)
    expect(copy?.query?.text).toBe("select 'é)' as x from t")
    expect(Buffer.from(sql).toString('utf8', copy?.query?.startByte, copy?.query?.endByte)).toBe(copy?.query?.text)
  })
})

test('statements are split with exact byte spans', () => {
  const sql = "  select 'é;' ;; \n delete from t ; -- end"
  const spans = analyzer.analyze(sql).map((statement) => {
    expect(Buffer.from(sql).toString('utf8', statement.startByte, statement.endByte)).toBe(statement.text)
    return statement.text
  })
  expect(spans).toEqual(["select 'é;'", 'delete from t'])
})

test('parameters are counted', () => {
  expect(one('select $3, $1').parameterCount).toBe(3)
  expect(one('prepare p as select $3').parameterCount).toBe(0)
})

test.each(['', '  ', ';;', '-- nothing', '/* nothing */'])('an empty text has no statements: %j', (sql) => {
  expect(analyzer.analyze(sql)).toEqual([])
})
