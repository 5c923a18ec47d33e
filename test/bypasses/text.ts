import { expect, test } from 'vitest'
import { bind, close, describe, execute, flush, parse, query, sync } from '../../src/protocols/postgres/encode.ts'
import { gatewayCode, inSession, type Rig, stateOf } from './rig.ts'

function frame(tag: string, body: Buffer | string): Buffer {
  const bytes = typeof body === 'string' ? Buffer.from(body, 'latin1') : body
  const header = Buffer.alloc(5)
  header.write(tag, 'latin1')
  header.writeUInt32BE(bytes.length + 4, 1)
  return Buffer.concat([header, bytes])
}

const GONE = "insert into notes (text) values ('gone')"

interface Text {
  readonly name: string
  readonly bytes: Buffer
  /** The code of the refusal; undefined: the session ends after a FATAL. */
  readonly code: string
  readonly fatal?: boolean
}

/** Texts that the gateway and the server might read as different statements. */
const TEXTS: readonly Text[] = [
  { name: 'a NUL within Query', bytes: frame('Q', `select 1\0; ${GONE}\0`), code: 'pg.malformed', fatal: true },
  { name: 'no NUL after Query', bytes: frame('Q', 'select 1'), code: 'pg.malformed', fatal: true },
  { name: 'bytes after the NUL', bytes: frame('Q', 'select 1\0\0'), code: 'pg.malformed', fatal: true },
  { name: 'a NUL within Parse', bytes: frame('P', `\0select 1\0${GONE}\0\0\0`), code: 'pg.malformed', fatal: true },
  { name: 'bytes after Parse', bytes: frame('P', `\0select 1\0\0\0${GONE}`), code: 'pg.malformed', fatal: true },
  { name: 'a lone continuation byte', bytes: frame('Q', `select '\x80'; ${GONE}\0`), code: 'sql.encoding' },
  { name: 'an overlong quote', bytes: frame('Q', `select '\xc0\xa7; ${GONE}; --'\0`), code: 'sql.encoding' },
  { name: 'an overlong semicolon', bytes: frame('Q', `select 1 \xe0\x80\xbb ${GONE}\0`), code: 'sql.encoding' },
  {
    name: 'a character that swallows a quote',
    bytes: frame('Q', `select '\xe3\x81'; ${GONE}; --'\0`),
    code: 'sql.encoding',
  },
  { name: 'a surrogate', bytes: frame('Q', `select '\xed\xa0\x80'\0`), code: 'sql.encoding' },
  { name: 'beyond Unicode', bytes: frame('Q', `select '\xf5\x80\x80\x80'\0`), code: 'sql.encoding' },
  { name: 'FunctionCall', bytes: frame('F', '\0\0\0\x01\0\0\0\0\0\0'), code: 'pg.unsupported' },
]

const READER_TRICKS: readonly string[] = [
  `select 1 \u2028; ${GONE}`,
  `select 1 -- \u2028\u2029\u0085\n; ${GONE}`,
  `select 1 -- x\u000b\u000c\r; ${GONE}`,
  `select 1 /* \u202e */ ; ${GONE}`,
  `select '\u0027'; ${GONE}`.replace('\\u0027', "''"),
  `select 1\ufeff; ${GONE}`,
  `\ufeff${GONE}`,
  `select "a""; ${GONE}; --" from (select 1 as "a""; ${GONE}; --") x; ${GONE}`,
  `select $é$;$é$; ${GONE}`,
  `select $a$ $b$ $a$; ${GONE}; select $b$ $a$`,
  `select 1 as a$b$c; ${GONE}`,
  `select E'\\\\'; ${GONE}; select E'\\''`,
  `select e'\\u0027'; ${GONE}; --'`,
  `select U&'!0027' uescape '!'; ${GONE}`,
  `select n'x'; ${GONE}`,
  `select b'1'; ${GONE}`,
  `select 'a'\n'b'; ${GONE}`,
  `select 'a' -- c\n'; ${GONE}; --'; ${GONE}`,
  `select 1e; ${GONE}`,
  `select 1\u00a0; ${GONE}`,
]

const SETTINGS: readonly string[] = [
  'set standard_conforming_strings = off',
  "set standard_conforming_strings to 'false'",
  'set local standard_conforming_strings = 0',
  'SET STANDARD_CONFORMING_STRINGS TO OFF',
  'set "standard_conforming_strings" = off',
  'set "Standard_Conforming_Strings" = off',
  'set U&"standard_conforming_string\\0073" = off',
  "select set_config('standard_conforming_strings', 'off', false)",
  "select set_config('STANDARD_conforming_strings', 'no', true)",
  "select set_config('standard_conforming_strings', chr(111) || 'ff', false)",
  "update pg_settings set setting = 'off' where name = 'standard_conforming_strings'",
  'alter role current_user set standard_conforming_strings = off',
  "set client_encoding = 'SJIS'",
  "set client_encoding = 'BIG5'",
  "set names 'GBK'",
  "set client_encoding to 'gb-18030'",
  "select set_config('client_encoding', 'JOHAB', false)",
  "select set_config('client_encoding', lower('UHC'), false)",
  "set application_name = 'psql'",
  "set session application_name to 'me'",
  "select set_config('application_name', 'me', false)",
  "set local application_name = default; set application_name = 'x'",
]

export function text(rig: () => Rig): void {
  test.each(TEXTS)('text: $name', async ({ bytes, code, fatal }) => {
    const before = await stateOf(rig())
    for (const person of ['carol', 'agent'] as const)
      await inSession(rig(), person, async (wire) => {
        wire.send(bytes)
        if (fatal === true) await wire.until(() => false)
        const { errors } = await wire.answer()
        expect(gatewayCode(errors[0])).toBe(code)
        if (fatal !== true) expect((await wire.ask('select 1')).tags).toEqual(['SELECT 1'])
        expect(wire.closed).toBe(fatal === true)
      })
    expect(await stateOf(rig())).toEqual(before)
  })

  test.each(READER_TRICKS)('a hidden statement of a reader: %j', async (sql) => {
    const before = await stateOf(rig())
    await inSession(rig(), 'carol', async (wire) => {
      wire.send(query(sql))
      expect(gatewayCode((await wire.answer()).errors[0])).toMatch(/^(access\.level|sql\.unparsable)$/)
      wire.send(parse('', sql), bind('', '', []), execute(''), sync())
      expect(gatewayCode((await wire.answer()).errors[0])).toMatch(/^(access\.level|sql\.unparsable)$/)
    })
    expect(await stateOf(rig())).toEqual(before)
  })

  test.each(SETTINGS)('a setting that changes how text is read: %s', async (sql) => {
    await inSession(rig(), 'agent', async (wire) => {
      const shown = 'select current_setting($$standard_conforming_strings$$) || current_setting($$client_encoding$$)'
      const name = await wire.value('show application_name')
      const { errors } = await wire.ask(sql)
      if (!wire.closed) {
        expect(await wire.value(shown)).toBe('onUTF8')
        expect(await wire.value('show application_name')).toBe(name)
      } else expect(errors).toHaveLength(1)
    })
    // For the next session, too.
    await rig().target.sql('alter role current_user reset standard_conforming_strings')
  })

  test('text in the new encoding is not judged as the old one while the change is under way', async () => {
    await inSession(rig(), 'agent', async (wire) => {
      wire.send(
        parse('', "set client_encoding = 'LATIN1'"),
        bind('', '', []),
        execute(''),
        parse('x', "select 'ü'"),
        sync(),
      )
      expect(gatewayCode((await wire.answer()).errors[0])).toBe('sql.setting')
      expect(await wire.value('show client_encoding')).toBe('UTF8')
      await wire.ask("begin; set local client_encoding = 'LATIN1'")
      expect(gatewayCode((await wire.ask("select 'ü'")).errors[0])).toBe('sql.encoding')
    })
  })

  test('a name is what the server makes of it', async () => {
    await inSession(rig(), 'agent', async (wire) => {
      const long = 'n'.repeat(64)
      wire.send(parse(long, 'select 1'), sync())
      expect(gatewayCode((await wire.answer()).errors[0])).toBe('pg.unsupported')
      await wire.ask(`prepare ${long} as select 'cut'`)
      expect((await wire.ask(`execute ${long.slice(0, 63)}`)).cells.map(String)).toEqual(['cut'])
      expect((await wire.ask(`execute ${long.toUpperCase()}`)).cells.map(String)).toEqual(['cut'])
      expect(gatewayCode((await wire.ask(`execute "${long.toUpperCase()}"`)).errors[0])).toBe('sql.unknown_name')
      for (const homoglyph of ['рrecious', 'preciоus', 'precious\u200b'])
        expect((await wire.ask(`select * from ${homoglyph}`)).errors).toHaveLength(1)
      const accented = Buffer.from('é').toString('latin1')
      wire.send(parse(accented, "select 'wire'"), sync())
      expect((await wire.answer()).errors).toEqual([])
      wire.send(describe('statement', accented), close('statement', accented), flush(), sync())
      expect((await wire.answer()).errors).toEqual([])
    })
  })

  test.each([
    { name: '100,000 statements', sql: 'select 1;'.repeat(100_000), code: 'sql.too_large' },
    { name: 'over 4 MiB', sql: `select '${'x'.repeat(5 * 1024 * 1024)}'`, code: 'sql.too_large' },
    { name: 'deep parentheses', sql: `select ${'('.repeat(60_000)}1${')'.repeat(60_000)}`, code: 'sql.too_large' },
    { name: 'deep sub-selects', sql: `${'select ('.repeat(5_000)}1${')'.repeat(5_000)}`, code: 'sql.too_large' },
    { name: 'a long chain', sql: `select ${'1+'.repeat(50_000)}1`, code: 'sql.too_large' },
    { name: 'a chain of NOT', sql: `select ${'not '.repeat(50_000)}true`, code: 'sql.too_large' },
    { name: 'deep comments', sql: `select ${'/*'.repeat(100_000)}${'*/'.repeat(100_000)} 1; ${GONE}`, code: '' },
    { name: 'an open comment', sql: `select 1 /* ; ${GONE}`, code: 'sql.unparsable' },
  ])('a statement too large to judge: $name', async ({ sql, code }) => {
    const before = await stateOf(rig())
    await inSession(rig(), 'carol', async (wire) => {
      const found = gatewayCode((await wire.ask(sql)).errors[0])
      if (code === '') expect(found).toMatch(/^(access\.level|sql\.)/)
      else expect(found).toBe(code)
      expect((await wire.ask('select 1')).tags).toEqual(['SELECT 1'])
    })
    expect(await stateOf(rig())).toEqual(before)
  })
}
