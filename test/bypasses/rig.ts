import { expect } from 'vitest'
import { type Gateway, type Person, startGateway, startTarget, type Target } from '../harness/index.ts'
import { CARDS, leakIn, SALARIES, SECRETS } from './leaks.ts'
import { type Answer, Wire } from './wire.ts'

const RULES = `rules:
  - name: cards
    match: { columns: ["*.card_number"], detect: [credit_card] }
    then: { mask: last4 }
  - name: secrets
    match: { columns: ["public.payments.secret", "public.payments.salary"] }
    then: { mask: redact }
  - name: no-drop
    match: { operation: [drop, truncate] }
    then: deny
    message: Nothing is dropped here.
  - name: deletes
    match: { operation: [delete] }
    then: { hold: { reviewers: ["group:dba"], expires: 1m } }
`

const SHOP = `
  create schema if not exists public;
  create table customers (id int primary key, name text, email text);
  create table payments (
    id int primary key, customer int, card_number text unique deferrable initially deferred, secret text unique,
    salary bigint check (salary > 0), amount numeric(10, 2), note text);
  create table links (id int primary key, secret text references payments (secret) deferrable initially deferred);
  create table notes (id serial primary key, text text, number bigint);
  create table precious (id int primary key, what text);
  create view pay_view as select id, secret as c, upper(secret) as u, salary * 2 as d from payments;
  create materialized view pay_kept as select id, secret as c from payments;
  create sequence tickets;
  create table touched (at timestamptz);
  create function touch() returns int language plpgsql as $$ begin insert into touched values (now()); return 1; end $$;
  create function peek() returns text language sql stable as 'select secret from payments limit 1';
  create function rows_of() returns setof payments language sql stable as 'select * from payments';
`

const ROWS = `
  truncate customers, payments, links, notes, precious, touched restart identity;
  insert into customers values (1, 'Ann', 'ann@shop.example'), (2, 'Ben', 'ben@shop.example'), (3, 'Cy', 'cy@shop.example');
  insert into payments values ${SECRETS.map(
    (secret, at) => `(${at + 1}, ${at + 1}, '${CARDS[at]}', '${secret}', ${SALARIES[at]}, ${at + 1}.50, 'plain')`,
  ).join(', ')};
  insert into links select id, secret from payments;
  insert into notes (text) values ('one'), ('two');
  insert into precious values (1, 'kept'), (2, 'kept too');
  refresh materialized view pay_kept;
  select setval('tickets', 1, false);
  select lo_unlink(oid) from pg_largeobject_metadata;
  analyze payments;
`

/** Everything of the database that an attack could change. */
const STATE = `select jsonb_build_object(
  'rows', (select jsonb_object_agg(relname, query_to_xml(format('select * from %s t order by t::text', oid::regclass), true, true, '')::text)
    from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace),
  'objects', (select jsonb_agg(concat(relname, relkind) order by oid) from pg_class where relnamespace = 'public'::regnamespace),
  'functions', (select count(*) from pg_proc where pronamespace = 'public'::regnamespace),
  'tickets', (select concat(last_value, is_called) from tickets),
  'large', (select count(*) from pg_largeobject_metadata),
  'roles', (select count(*) from pg_roles), 'settings', (select count(*) from pg_db_role_setting),
  'slots', (select count(*) from pg_replication_slots),
  'prepared', (select count(*) from pg_prepared_xacts),
  'config', (select md5(string_agg(name || setting, ',' order by name)) from pg_file_settings),
  'loaded', pg_conf_load_time(),
  'comments', (select count(*) from pg_description where classoid = 'pg_class'::regclass and objoid > 16384)
)::text`

export interface Rig {
  readonly gateway: Gateway
  readonly target: Target
}

export async function startRig(): Promise<Rig> {
  const target = await startTarget('packaged', { max_prepared_transactions: '5' })
  await target.sql(SHOP)
  await target.sql(ROWS)
  const gateway = await startGateway({ targets: { shop: target }, policy: RULES })
  return { gateway, target }
}

/** Rows of every table but those that hold the protected values, where an attack may have put some. */
const ELSEWHERE = `select coalesce(string_agg(query_to_xml(
    case when relname = 'payments' then 'select note from payments' else format('select * from %s', c.oid::regclass) end,
    true, true, '')::text, ''), '')
  from pg_class c join pg_namespace n on n.oid = relnamespace
  where relkind in ('r', 'm', 'S') and nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
    and not (nspname = 'public' and relname in ('links', 'pay_kept'))`

/** What of the protected values lies about in other places. */
export async function elsewhere({ target }: Rig): Promise<string | undefined> {
  return leakIn(Buffer.from(String(await target.value(ELSEWHERE))))
}

const SCHEMA = `select string_agg(concat(oid, relname, relkind, relnamespace, xmin), ',' order by oid) from pg_class
  where oid > 16383 and relpersistence <> 't'
  union all select string_agg(concat(proname, oid), ',') from pg_proc where oid > 16383
  union all select string_agg(concat(attname, atttypid, attnum), ',' order by attrelid, attnum) from pg_attribute where attrelid in (
    select oid from pg_class where oid > 16383 and relpersistence <> 't')`

/** The shop as it was, whatever the work did to it. */
export async function restoring(rig: Rig, work: () => Promise<void>): Promise<void> {
  const { target } = rig
  const before = JSON.stringify(await target.sql(SCHEMA))
  try {
    await work()
  } finally {
    if (JSON.stringify(await target.sql(SCHEMA)) === before) await target.sql(ROWS)
    else await rebuild(rig)
  }
}

async function rebuild(rig: Rig): Promise<void> {
  const { target } = rig
  await target.sql(`do $$ declare s text; begin
    for s in select pubname from pg_publication loop execute format('drop publication %I', s); end loop;
    for s in select nspname from pg_namespace where oid > 16383 or nspname = 'public' loop
      execute format('drop schema if exists %I cascade', s); end loop; end $$`)
  await target.sql(SHOP)
  await target.sql(ROWS)
  // DDL through the gateway makes it look at the catalogue again, and what follows waits for that.
  const wire = await Wire.open(rig.gateway, 'agent')
  await wire.ask('alter table notes alter text set default null')
  await wire.ask('select 1')
  wire.end()
}

export async function stopRig(rig: Rig | undefined): Promise<void> {
  await rig?.gateway.close()
  await rig?.target.stop()
}

export async function stateOf({ target }: Rig): Promise<unknown> {
  return JSON.parse(String(await target.value(STATE)))
}

/** Runs the work in a session of its own; afterwards the next session must be served. */
export async function inSession<T>(
  { gateway }: Rig,
  person: Person,
  work: (wire: Wire) => Promise<T>,
  parameters: Readonly<Record<string, string>> = {},
): Promise<T> {
  const wire = await Wire.open(gateway, person, parameters)
  try {
    return await work(wire)
  } finally {
    wire.end()
    const next = await Wire.open(gateway, person)
    expect(await next.value('select 40 + 2'), 'the gateway serves the next session').toBe('42')
    next.end()
  }
}

export function expectNoLeak(...answers: readonly Answer[]): void {
  for (const { raw, cells } of answers) expect(leakIn(raw, cells)).toBeUndefined()
}

/** The code that the gateway gives in the error's DETAIL; undefined where the target itself refused. */
export function gatewayCode(error: ReadonlyMap<string, string> | undefined): string | undefined {
  return /code ([a-z_]+\.[a-z_]+)/.exec(error?.get('D') ?? '')?.[1]
}

export interface Recorded {
  readonly type: string
  readonly code?: string
  readonly decision?: { readonly kind: string; readonly code?: string }
}

/** The session's recording as it may be read by those who may. */
export async function recordingOf({ gateway }: Rig, session: string): Promise<{ events: Recorded[]; text: string }> {
  const { id, secret } = gateway.token('admin')
  const response = await fetch(new URL(`/api/v1/sessions/${session}/export?format=jsonl`, gateway.apiUrl), {
    headers: { authorization: `Bearer ${id}:${secret}` },
  })
  const text = await response.text()
  const events = text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Recorded)
  return { events, text }
}
