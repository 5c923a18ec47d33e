import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { MaskInstruction } from '../../../kernel/index.ts'
import type { CopyOptions } from '../../../sql/analysis.ts'
import { type CatalogSnapshot, loadCatalog } from '../catalog.ts'
import { parseDataRow } from '../decode.ts'
import type { FieldDescription } from '../messages.ts'
import { type CopyOutOptions, CopyOutTransformer } from './copy.ts'
import { transformDiagnostic } from './diagnostics.ts'
import { planResult } from './plan.ts'
import { transformRows } from './rows.ts'
import { type RawAnswer, RealServer, SERVERS } from './test/real-server.ts'
import { DETECT_CARDS, masker } from './test/shop.ts'

const CARD = '4111111111111111'
const MASKED = '************1111'

const SCHEMA = `
  create type pair as (a int, b text, j jsonb);
  create domain pan as text;
  create extension if not exists hstore;
  create table things (
    id int, card text, cards text[], docs json[], doc jsonb, number numeric, big int8, raw bytea, duo pair, many pair[],
    tags hstore, free text, at date, domained pan[], nothing text);
  insert into things values (
    1, '${CARD}', '{{${CARD},NULL},{"a \\"b\\"",c}}', array['{"n": "${CARD}"}'::json, '1'], '{"deep": ["${CARD}", 1]}',
    ${CARD}, ${CARD}, '${CARD}', row(1, '${CARD}', '"${CARD}"'), array[row(1, 'x ${CARD}', null)::pair, null],
    'k=>"${CARD}"', E'a\\tb\\n"${CARD}"\\\\, end', '1987-06-05', '{${CARD}}', null);
  create view thing_view as select card as pan, upper(card) as loud, id from things;
`
const LAST4: MaskInstruction = {
  rule: 'cards',
  mask: 'last4',
  columns: ['things.card', 'things.cards', 'things.domained'],
  detect: [],
}

describe.each(SERVERS)('$name', ({ binFolder }) => {
  let server: RealServer
  let catalog: CatalogSnapshot

  beforeAll(async () => {
    server = await RealServer.start(binFolder)
    const client = await server.client()
    await client.query(SCHEMA)
    catalog = await loadCatalog(client)
  }, 120_000)
  afterAll(() => server.stop())

  function masked(
    answer: RawAnswer,
    masks: readonly MaskInstruction[],
    computedIsProtected = false,
  ): (string | undefined)[] {
    expect(answer.error).toBeUndefined()
    const plan = planResult(answer.fields, { masks, masker, catalog, computedIsProtected })
    return answer.rows.flatMap((frame) => {
      const changed = transformRows(plan, frame, 0, frame.length) ?? frame
      return parseDataRow(changed, 0, changed.length).map((cell) => cell?.toString('latin1'))
    })
  }

  test('by origin: aliases, stars, subqueries, CTEs and views keep it, expressions lose it', async () => {
    const names = 'select card as x, (select 1) as y from things'
    expect(masked(await server.ask(names), [LAST4])).toEqual([MASKED, '1'])
    expect(masked(await server.ask('select s.* from (select card c from things) s'), [LAST4])).toEqual([MASKED])
    expect(masked(await server.ask('with w as (select * from things) select card from w'), [LAST4])).toEqual([MASKED])
    expect(masked(await server.ask('select * from thing_view'), [LAST4])).toEqual([MASKED, '[redacted]', '1'])
    expect(masked(await server.ask('select upper(card), 5 from things'), [LAST4], true)).toEqual([
      '[redacted]',
      undefined,
    ])
    expect(masked(await server.ask('select things from things'), [LAST4])).toEqual([undefined])
    expect(masked(await server.ask('select card from things union select card from things'), [LAST4], true)).toEqual([
      '[redacted]',
    ])
  })

  test.each([false, true])(
    'every type, binary: %s: no card is left, and the target reads the masked values back',
    async (binary) => {
      const masks = [LAST4, DETECT_CARDS]
      const answer = await server.ask('select * from things', binary)
      const cells = masked(answer, masks)
      const shown = cells.join('\n')
      expect(shown).not.toContain(CARD)
      expect(cells[1]).toBe(MASKED)
      expect(cells.at(-1)).toBeUndefined()
      // The types that keep a value must take it in again: the target itself is the judge of the format.
      const client = await server.client()
      for (const [index, name] of answer.fields.map((each) => each.name).entries()) {
        const cell = cells[index]
        if (cell === undefined || binary) continue
        const type = (
          await client.query(
            `select format_type(atttypid, atttypmod) from pg_attribute where attrelid = 'things'::regclass and attname = '${name}'`,
          )
        ).rows[0]?.[0]
        const again = await client.query(`select $1::${type}::text`, [cell])
        expect(again.rows[0]?.[0]).toBe(cell)
      }
    },
  )

  test('binary arrays, composites and documents are rebuilt as the target would send them', async () => {
    const masks = [LAST4, DETECT_CARDS]
    const before = await server.ask('select cards, docs, doc, duo, many, domained from things', true)
    const swap = (sql: string) => sql.replaceAll('CARD', MASKED).replaceAll('FOUND', '[redacted]')
    const after = await server.ask(
      swap(`select '{{CARD,NULL},{[redacted],[redacted]}}'::text[], array['{"n": "FOUND"}'::json, '1'],
        '{"deep": ["FOUND", 1]}'::jsonb, row(1, 'FOUND', '"FOUND"')::pair,
        array[row(1, 'x FOUND', null)::pair, null], '{CARD}'::pan[]`),
      true,
    )
    const wanted = after.rows.flatMap((frame) =>
      parseDataRow(frame, 0, frame.length).map((cell) => cell?.toString('latin1')),
    )
    expect(masked(before, masks)).toEqual(wanted)
  })

  test.each([false, true])('addresses, birthdays and numbers that detectors know, binary: %s', async (binary) => {
    const detect: MaskInstruction = {
      ...DETECT_CARDS,
      detect: ['credit_card', 'ip_address', 'mac_address', 'date_of_birth'],
    }
    const hidden = `select inet '192.0.2.7/24', cidr '2001:db8::/32', macaddr '08:00:2b:01:02:03',
      date '1987-06-05' as birth_date, numeric '5555555555554444', int8 '4000000000000002', array[inet '192.0.2.7']`
    const cells = masked(await server.ask(hidden, binary), [detect])
    expect(cells.slice(0, 6)).toEqual([undefined, undefined, undefined, undefined, undefined, undefined])
    expect(cells[6]).toBe(binary ? '\0\0\0\x01\0\0\0\x01\0\0\x03e\0\0\0\x01\0\0\0\x01\xff\xff\xff\xff' : '{NULL}')
    const shown = await server.ask(
      `select date '1987-06-05' as due, numeric '12.5', -1::int8, 0::numeric, 'NaN'::numeric,
      numeric '4111111111111111.5', 1e30::numeric`,
      binary,
    )
    expect(masked(shown, [detect])).toEqual(masked(shown, []))
  })

  const options = (more: Partial<CopyOptions> = {}): CopyOutOptions['options'] => ({
    delimiter: undefined,
    null: undefined,
    quote: undefined,
    escape: undefined,
    header: 'none',
    encoding: undefined,
    unknown: [],
    ...more,
  })

  async function copied(
    select: string,
    clause: string,
    given: CopyOutOptions,
    masks: readonly MaskInstruction[],
    step: number,
  ): Promise<{ before: Buffer; after: Buffer }> {
    const client = await server.client()
    const format = given.format === 'binary' ? 1 : 0
    const fields: FieldDescription[] = (await client.describe(select)).map((each) => ({ ...each, format }))
    const answer = await server.ask(`copy (${select}) to stdout (${clause})`)
    const plan = planResult(fields, { masks, masker, catalog, computedIsProtected: false })
    const copy = new CopyOutTransformer(plan, given)
    copy.start(answer.copyResponse!)
    const before = Buffer.concat(answer.copy)
    const out: Buffer[] = []
    for (let at = 0; at < before.length; at += step)
      out.push(copy.push(before.subarray(at, at + step)) ?? Buffer.alloc(0))
    copy.finish()
    expect(copy.rows).toBe(1)
    return { before, after: Buffer.concat(out) }
  }

  const FORMATS: readonly (readonly [string, CopyOutOptions])[] = [
    ['format text', { format: 'text', options: options() }],
    ["format text, delimiter '|', null 'nil'", { format: 'text', options: options({ delimiter: '|', null: 'nil' }) }],
    ['format csv', { format: 'csv', options: options() }],
    ['format csv, header, force_quote *', { format: 'csv', options: options({ header: 'names' }) }],
    [
      `format csv, quote '''', escape '\\', null '\\N', delimiter ';'`,
      { format: 'csv', options: options({ quote: "'", escape: '\\', null: '\\N', delimiter: ';' }) },
    ],
    ['format binary', { format: 'binary', options: options() }],
  ]

  test.each(FORMATS)(
    'COPY %s: what passes is the same, what is masked can be copied in again',
    async (clause, given) => {
      for (const step of [1, 7, 1_000_000]) {
        const none = await copied('select * from things', clause, given, [], step)
        expect(none.after).toEqual(none.before)
        const { after } = await copied('select * from things', clause, given, [LAST4, DETECT_CARDS], step)
        expect(after.includes(CARD)).toBe(false)
        expect(after.includes(MASKED)).toBe(true)
        expect(after.includes(Buffer.from(CARD).toString('hex'))).toBe(false)
      }
    },
  )

  test.each(FORMATS)('COPY %s of simple columns equals the copy of masked values', async (clause, given) => {
    const select = 'select id, card, nothing, at from things'
    const { after } = await copied(select, clause, given, [LAST4], 5)
    const wanted = await server.ask(
      `copy (select 1 as id, '${MASKED}'::text as card, ${clause.includes("'nil'") ? "'[redacted]'::text" : 'null::text'} as nothing, date '1987-06-05' as at) to stdout (${clause})`,
    )
    // Under a NULL that a value may spell, an unmasked NULL stays what it was.
    const expected = Buffer.concat(wanted.copy).toString('latin1').replace('|[redacted]|', '|nil|')
    expect(after.toString('latin1')).toBe(expected)
  })

  test('errors that quote values', async () => {
    const answer = await server.ask('select card::int from things')
    const strict = transformDiagnostic(answer.error!, { scanner: undefined, strict: true })
    expect(JSON.stringify([...strict])).not.toContain('4111')
    expect(strict.get('C')).toBe('22003')
    expect(strict.get('M')).toBe('value is out of range for type integer')
    const scanned = transformDiagnostic(answer.error!, { scanner: masker.scanner([DETECT_CARDS]), strict: false })
    expect(scanned.get('M')).toBe('value "[redacted]" is out of range for type integer')
  })

  test.each([
    ['select card::regclass from things', '42P01'],
    ["select ('{' || card)::jsonb from things", '22P02'],
    ['select card::pg_lsn from things', '22P02'],
    ["select to_number(card, 'x'), to_date(card, 'YYYY-MM-DD') from things", undefined],
    ["do $$ begin raise exception 'it is %', (select card from things); end $$", 'P0001'],
    ['alter table things add constraint short check (length(card) < 3)', '23514'],
    ['insert into things (id, card) select id, card from things returning 1 / (id - id)', '22012'],
    ["select set_config(card, 'x', false) from things", undefined],
    ['select card::xml::text::interval from things', undefined],
  ])('strict: %s tells nothing', async (sql, code) => {
    const { error } = await server.ask(sql)
    expect(error).toBeDefined()
    if (code !== undefined) expect(error?.get('C')).toBe(code)
    const strict = transformDiagnostic(error!, { scanner: undefined, strict: true })
    expect(JSON.stringify([...strict])).not.toContain('4111')
  })
})
