import { expect, test } from 'vitest'
import { query, startup } from '../../src/protocols/postgres/encode.ts'
import { gatewayCode, inSession, type Rig, stateOf } from './rig.ts'
import { knock, Wire } from './wire.ts'

function packet(code: number, body: Buffer | string = ''): Buffer {
  const bytes = typeof body === 'string' ? Buffer.from(body, 'latin1') : body
  const header = Buffer.alloc(8)
  header.writeUInt32BE(bytes.length + 8)
  header.writeUInt32BE(code, 4)
  return Buffer.concat([header, bytes])
}

const V3 = 0x0003_0000
const SSL = 80877103
const GSS = 80877104
const START = startup(
  new Map([
    ['user', 'nobody'],
    ['database', 'shop'],
  ]),
)

/** What somebody may try who has not logged in. The gateway says no (or nothing) and closes; nobody else notices. */
const KNOCKS: readonly {
  readonly name: string
  readonly bytes: readonly Buffer[]
  readonly says: RegExp | undefined
}[] = [
  { name: 'a length of 1 GiB', bytes: [Buffer.from([0x40, 0, 0, 0, 0, 3, 0, 0])], says: /pg\.frame_length/ },
  { name: 'a negative length', bytes: [Buffer.from([0xff, 0xff, 0xff, 0xff, 0, 3, 0, 0])], says: /pg\.frame_length/ },
  { name: 'a length of 0', bytes: [Buffer.alloc(8)], says: /pg\.frame_length/ },
  { name: 'protocol 2', bytes: [packet(0x0002_0000, Buffer.alloc(284))], says: /pg\.version/ },
  { name: 'protocol 9', bytes: [packet(0x0009_0000, 'user\0x\0\0')], says: /pg\.version/ },
  { name: 'HTTP', bytes: [Buffer.from('GET / HTTP/1.1\r\nhost: x\r\n\r\n')], says: /pg\.frame_length/ },
  { name: 'no user', bytes: [packet(V3, 'database\0shop\0\0')], says: /auth\.failed|pg\.malformed/ },
  { name: 'a parameter twice', bytes: [packet(V3, 'user\0x\0user\0y\0\0')], says: /pg\.malformed/ },
  { name: 'a name without a value', bytes: [packet(V3, 'user\0x\0options\0')], says: /pg\.malformed/ },
  { name: 'bytes after the parameters', bytes: [packet(V3, 'user\0x\0\0-c role=x\0\0')], says: /pg\.malformed/ },
  { name: 'parameters that are not UTF-8', bytes: [packet(V3, 'user\0\xff\xfe\0\0')], says: /pg\.malformed/ },
  { name: 'thousands of parameters', bytes: [packet(V3, `${'a\0b\0'.repeat(5_000)}\0`)], says: /pg\.frame_length/ },
  { name: 'replication', bytes: [packet(V3, 'user\0x\0replication\0database\0\0')], says: /pg\.unsupported/ },
  { name: 'replication as a boolean', bytes: [packet(V3, 'user\0x\0replication\0TRUE\0\0')], says: /pg\.unsupported/ },
  { name: 'TLS asked for twice', bytes: [packet(SSL), packet(SSL)], says: /pg\.malformed/ },
  { name: 'GSSAPI asked for twice', bytes: [packet(GSS), packet(GSS)], says: /pg\.malformed/ },
  { name: 'an SSLRequest with a tail', bytes: [packet(SSL, 'x')], says: /pg\.malformed/ },
  { name: 'a cancel key that is too short', bytes: [packet(80877102, 'abc')], says: /pg\.malformed/ },
  { name: 'a cancel key that nobody has', bytes: [packet(80877102, '\0\0\0\x01\0\0\0\x01')], says: undefined },
  { name: 'a query instead of a password', bytes: [START, query('drop table precious')], says: /pg\.|auth\./ },
  { name: 'two start-up packets', bytes: [START, START], says: /pg\.|auth\./ },
  { name: 'a password of 1 GiB', bytes: [START, Buffer.from([0x70, 0x40, 0, 0, 0])], says: /pg\.|auth\./ },
  { name: 'TLS without being asked', bytes: [Buffer.from([0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0])], says: undefined },
]

/** Start-up parameters of somebody who has logged in, or nearly. */
const PARAMETERS: readonly (readonly [name: string, value: string])[] = [
  ['options', '-c standard_conforming_strings=off'],
  ['options', '--standard-conforming-strings=off'],
  ['options', '-cstandard_conforming_strings=off'],
  ['options', '-c STANDARD_CONFORMING_STRINGS=OFF'],
  ['options', '-c\tstandard_conforming_strings\\=off'],
  ['options', '-c role=postgres'],
  ['options', '--role=postgres'],
  ['options', '--session-authorization=postgres'],
  ['options', '-c default_transaction_read_only=off'],
  ['options', '-c session_replication_role=replica'],
  ['options', '-c client_encoding=SJIS'],
  ['options', '-c allow_system_table_mods=on'],
  ['options', '-c session_preload_libraries=auto_explain'],
  ['options', '-c local_preload_libraries=x'],
  ['options', '-c log_statement=none'],
  ['options', '-c zero_damaged_pages=on'],
  ['options', '-d 5'],
  ['options', '-E'],
  ['options', '-f s'],
  ['options', '-c'],
  ['options', '-c x'],
  ['role', 'postgres'],
  ['ROLE', 'postgres'],
  ['session_authorization', 'postgres'],
  ['standard_conforming_strings', 'off'],
  ['Standard_Conforming_Strings', 'no'],
  ['client_encoding', 'GBK'],
  ['transaction_read_only', 'off'],
  ['default_transaction_read_only', 'off'],
  ['log_min_messages', 'panic'],
  ['ignore_system_indexes', 'on'],
]

export function doors(rig: () => Rig): void {
  test.each(KNOCKS)('before the login: $name', async ({ bytes, says }) => {
    const before = await stateOf(rig())
    const { received, closed } = await knock(rig().gateway, bytes)
    expect(closed).toBe(true)
    if (says !== undefined) expect(received.toString('latin1')).toMatch(says)
    await inSession(rig(), 'carol', async (wire) => {
      expect(await wire.value('select 1')).toBe('1')
    })
    expect(await stateOf(rig())).toEqual(before)
  })

  test.each(PARAMETERS)('a reader starts with %s %j', async (name, value) => {
    await expect(Wire.open(rig().gateway, 'carol', { [name]: value })).rejects.toThrow()
    await inSession(rig(), 'carol', async (wire) => {
      expect(await wire.value('select 1')).toBe('1')
    })
  })

  test('names of applications do not hide who it is', async () => {
    const spoofs = ['psql', "x'; drop table precious; --", 'sallyport s_1 admin', '\u202emoc', 'x'.repeat(300)]
    for (const application_name of spoofs)
      await inSession(
        rig(),
        'agent',
        async (wire) => {
          const name = await wire.value('select current_setting($$application_name$$)')
          expect(name).toMatch(/^sallyport \S+ alice via claude-code/)
          expect(wire.session).not.toBe('s_1')
        },
        { application_name },
      )
  })

  test('names of targets that are not there, or not granted, look the same', async () => {
    const reasons = await Promise.all(
      ['nothing', 'shop; select 1', '../shop', 'SHOP', ''].map((database) =>
        Wire.open(rig().gateway, 'carol', { database }).then(
          () => 'opened',
          (error: { detail?: string }) => String(error.detail),
        ),
      ),
    )
    for (const reason of reasons.slice(0, 4)) expect(reason).toContain('42501')
  })

  test('messages after the login that cannot be', async () => {
    const frames = {
      'a length of 1 GiB': { bytes: Buffer.from([0x51, 0x40, 0, 0, 0]), code: 'pg.frame_length' },
      'a negative length': { bytes: Buffer.from([0x51, 0xff, 0xff, 0xff, 0xff]), code: 'pg.frame_length' },
      'a length of 3': { bytes: Buffer.from([0x51, 0, 0, 0, 3]), code: 'pg.frame_length' },
      'an unknown type': { bytes: Buffer.from([0x7e, 0, 0, 0, 4]), code: 'pg.unknown_message' },
      'a type of zero': { bytes: Buffer.from([0, 0, 0, 0, 4]), code: 'pg.unknown_message' },
      'a password': { bytes: Buffer.from([0x70, 0, 0, 0, 5, 0]), code: 'pg.unexpected_message' },
      'a Bind with a negative parameter': {
        bytes: Buffer.from([0x42, 0, 0, 0, 16, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xfe, 0, 0]),
        code: 'pg.malformed',
      },
      'a Bind that promises more than it holds': {
        bytes: Buffer.from([0x42, 0, 0, 0, 12, 0, 0, 0, 0, 0xff, 0xff, 0, 0]),
        code: 'pg.malformed',
      },
      'a Describe of neither': { bytes: Buffer.from([0x44, 0, 0, 0, 6, 0x58, 0]), code: 'pg.malformed' },
      'an Execute that is cut': { bytes: Buffer.from([0x45, 0, 0, 0, 6, 0, 0]), code: 'pg.malformed' },
    }
    for (const [name, { bytes, code }] of Object.entries(frames))
      await inSession(rig(), 'agent', async (wire) => {
        wire.send(bytes)
        await wire.until(() => false)
        expect(gatewayCode(wire.take().errors.at(-1)), name).toContain(code)
      })
  })
}
