import { expect, test } from 'vitest'
import { systemClock } from '../../src/edge/clock.ts'
import { systemRandom } from '../../src/edge/random.ts'
import { bind, execute, parse, sync } from '../../src/protocols/postgres/encode.ts'
import { connectTarget } from '../../src/protocols/postgres/target.ts'
import { inSession, type Rig, restoring } from './rig.ts'
import { dial, Wire } from './wire.ts'

/** What must go on working, byte for byte as from the server itself. */
const STATEMENTS: readonly string[] = [
  'select id, customer, amount, note from payments order by id',
  'select count(*) from payments',
  'select c.name, p.amount from customers c join payments p on p.customer = c.id order by 1',
  "select 'it''s', E'a\\\\b', $$dollar$$, U&'\\0041', 'ünïcödé', '雪', '😀'",
  'select 1 as "ein Name", 2 as "UPPER", 3 as "quo""te"',
  '/* a comment */ select 1 -- another',
  "select now() > '2000-01-01', interval '1 day', date '2026-02-03', 1e10, 0x1f, 1_000",
  'values (1, null), (2, $$x$$)',
  "select jsonb_build_object('a', 1) -> 'a', array[1, 2, 3], row(1, 'x'), int4range(1, 5)",
  'with recursive n(i) as (select 1 union all select i + 1 from n where i < 5) select sum(i) from n',
  'select name, rank() over (order by id) from customers',
  "select string_agg(name, ', ' order by name) from customers",
  'select 1; select 2; select 3',
  'begin; select 1; commit',
  'set search_path = public; show search_path; reset search_path',
  "set timezone = 'UTC'; select current_setting('timezone')",
  'prepare p(int) as select $1 + 1; execute p(1); deallocate p',
  'begin; declare c cursor for select id from customers order by id; fetch 2 from c; fetch all from c; close c; commit',
  'explain (costs off) select 1',
  'copy (select id, name from customers order by id) to stdout',
  'copy customers (id, name) to stdout with (format csv, header)',
  "select relname from pg_class where relname = 'payments'",
  'select 1/0',
  'select nothing',
  '',
  ';',
]

export function honest(rig: () => Rig): void {
  test.each(STATEMENTS)('an honest statement: %s', async (sql) => {
    const { host, port, user, password, database } = rig().target
    await inSession(rig(), 'carol', async (wire) => {
      const direct = new Wire(
        await connectTarget({
          dial,
          connection: { address: { host, port }, database, tls: { mode: 'disable' }, connectTimeoutMs: 10_000 },
          credential: { user, password },
          startupParameters: new Map([['default_transaction_read_only', 'on']]),
          random: systemRandom,
          clock: systemClock,
          limits: { maxMessageBytes: 1 << 20 },
        }),
      )
      const [through, straight] = [await wire.ask(sql), await direct.ask(sql)]
      expect(
        through.raw.equals(straight.raw),
        `${through.raw.toString('latin1')}\n${straight.raw.toString('latin1')}`,
      ).toBe(true)
      direct.end()
    })
  })

  test('honest writes', async () => {
    await restoring(rig(), async () => {
      await inSession(rig(), 'walter', async (wire) => {
        expect(
          (await wire.ask("insert into notes (text) values ('three') returning id, text")).cells.map(String),
        ).toEqual(['3', 'three'])
        expect((await wire.ask('update notes set text = upper(text) where id = 1')).tags).toEqual(['UPDATE 1'])
        expect((await wire.ask('update payments set amount = amount + 1 where id = 1')).tags).toEqual(['UPDATE 1'])
        wire.send(parse('', 'insert into notes (text) values ($1)'), bind('', '', ['four']), execute(''), sync())
        expect((await wire.answer()).tags).toEqual(['INSERT 0 1'])
        expect((await wire.ask("select nextval('tickets')")).tags).toEqual(['SELECT 1'])
      })
    })
  })
}
