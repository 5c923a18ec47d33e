import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '../../edge/clock.ts'
import { makeDial } from '../../edge/dial.ts'
import { type Listener, listen } from '../../edge/listen.ts'
import { systemRandom } from '../../edge/random.ts'
import { Certificates, type Pair } from '../../edge/test/certificates.ts'
import { PostgresServer, postgresBinaries } from '../../edge/test/postgres-server.ts'
import type { ByteStream, GatewayError } from '../../kernel/index.ts'
import { StreamReader } from '../../wire/stream-reader.ts'
import { type PostgresConnection, postgresConnection } from './config.ts'
import {
  authenticationOk,
  authenticationSasl,
  authenticationSaslContinue,
  backendKeyData,
  errorResponse,
  notice,
  parameterStatus,
  readyForQuery,
} from './encode.ts'
import { QueryClient } from './query-client.ts'
import { cancelTarget, connectTarget } from './target.ts'

const limits = { maxMessageBytes: 1 << 20 }
const dial = makeDial({ connectTimeoutMs: 5000 })
const PASSWORD = 'pässword \u2168' // SASLprep changes it
let certificates: Certificates
let tls: Pair

beforeAll(() => {
  certificates = new Certificates()
  tls = certificates.server('DNS:db.internal,IP:127.0.0.1')
})

afterAll(() => certificates.remove())

function connect(
  address: PostgresConnection['address'],
  user: string,
  mode: PostgresConnection['tls']['mode'],
  more: { ca?: string; password?: string | undefined; parameters?: [string, string][]; database?: string } = {},
) {
  const ca = more.ca === undefined ? {} : { ca: more.ca }
  const database = more.database ?? 'postgres'
  const connection = postgresConnection.parse({ address, database, tls: { mode, ...ca } })
  return connectTarget({
    dial,
    connection,
    credential: { user, password: 'password' in more ? more.password : PASSWORD },
    startupParameters: new Map(more.parameters ?? []),
    random: systemRandom,
    clock: systemClock,
    limits,
  })
}

describe.skipIf(postgresBinaries === undefined)('a real server', () => {
  let server: PostgresServer
  let address: { host: string; port: number }
  let ca: string

  beforeAll(async () => {
    const access = [
      'host all trusty 127.0.0.1/32 trust',
      'host all scrammy 127.0.0.1/32 scram-sha-256',
      'host all emmdee 127.0.0.1/32 md5',
      'host all clear 127.0.0.1/32 password',
      'hostssl all secure 127.0.0.1/32 scram-sha-256',
    ]
    server = await PostgresServer.start(access, tls)
    address = { host: '127.0.0.1', port: server.port }
    ca = certificates.authority.cert
    const client = new QueryClient(await connect({ path: server.socket }, 'postgres', 'disable'))
    await client.query(`
      create role trusty login; create role scrammy login password '${PASSWORD}';
      create role secure login password '${PASSWORD}'; create role clear login password '${PASSWORD}';
      set password_encryption = 'md5'; create role emmdee login password '${PASSWORD}'`)
    client.close()
  }, 60_000)

  afterAll(() => server?.stop())

  test.each([
    ['trusty', 'disable'],
    ['scrammy', 'disable'],
    ['emmdee', 'disable'],
    ['scrammy', 'prefer'],
    ['emmdee', 'require'],
    ['clear', 'require'],
    ['scrammy', 'verify-ca'],
    ['secure', 'verify-full'],
    ['clear', 'verify-full'],
  ] as const)('%s logs in with TLS mode %s', async (user, mode) => {
    const more = mode.startsWith('verify') ? { ca } : {}
    const link = await connect(address, user, mode, { ...more, parameters: [['application_name', "it's mé"]] })
    expect(link.stream.tls === undefined).toBe(mode === 'disable')
    expect(link.pid).toBeGreaterThan(0)
    expect(link.secret).toHaveLength(4)
    expect(link.parameterStatus.get('server_encoding')).toBe('UTF8')
    const client = new QueryClient(link)
    const sql = 'select current_user, ssl from pg_stat_ssl where pid = pg_backend_pid()'
    expect((await client.query(sql)).rows).toEqual([[user, mode === 'disable' ? 'f' : 't']])
    client.close()
  })

  test('channel binding is used where the server offers it', async () => {
    const seen: Buffer[] = []
    const spying: typeof dial = async (to) => spyOn(await dial(to), seen)
    const connection = postgresConnection.parse({ address, database: 'postgres', tls: { mode: 'require' } })
    const credential = { user: 'scrammy', password: PASSWORD }
    const startupParameters = new Map<string, string>()
    const common = { credential, startupParameters, random: systemRandom, clock: systemClock, limits }
    const link = await connectTarget({ dial: spying, connection, ...common })
    link.stream.destroy()
    const sent = Buffer.concat(seen).toString('latin1')
    expect(sent).toContain('SCRAM-SHA-256-PLUS')
    expect(sent).toContain('p=tls-server-end-point,,')
    expect(sent).not.toContain(PASSWORD)
  })

  test("the client's parameters pass, but not the user, the database or replication", async () => {
    const parameters: [string, string][] = [
      ['user', 'postgres'],
      ['database', 'template1'],
      ['replication', 'true'],
      ['_pq_.x', '1'],
      ['TimeZone', 'Asia/Tokyo'],
    ]
    const link = await connect(address, 'trusty', 'disable', { parameters })
    expect(link.parameterStatus.get('TimeZone')).toBe('Asia/Tokyo')
    const client = new QueryClient(link)
    expect((await client.query('select current_user, current_database()')).rows).toEqual([['trusty', 'postgres']])
    client.close()
  })

  const secrets = () => [PASSWORD, 'wr0ng', 'scrammy', String(address.port), '127.0.0.1', 'nosuch', 'db.internal']

  interface Refused {
    name: string
    user: string
    mode?: 'verify-ca'
    more?: Parameters<typeof connect>[3]
    code: string
  }

  test.each<Refused>([
    { name: 'a wrong password', user: 'scrammy', more: { password: 'wr0ng' }, code: 'target.auth' },
    { name: 'no password', user: 'scrammy', more: { password: undefined }, code: 'target.auth' },
    { name: 'a role that the server lets in nowhere', user: 'nosuch', code: 'target.auth' },
    { name: 'a role for TLS only', user: 'secure', code: 'target.auth' },
    { name: 'clear text without TLS', user: 'clear', code: 'target.auth' },
    { name: 'an unknown database', user: 'trusty', more: { database: 'nosuch' }, code: 'target.unreachable' },
    { name: "the system's roots", user: 'trusty', mode: 'verify-ca', code: 'target.tls' },
  ])('$name: the client learns nothing of the target', async ({ user, mode, more, code }) => {
    const error: GatewayError = await connect(address, user, mode ?? 'disable', more).catch((thrown) => thrown)
    expect(error).toMatchObject({ name: 'GatewayError', code })
    const shown = errorResponse(error, 'FATAL').toString('utf8')
    for (const secret of secrets()) expect(shown).not.toContain(secret)
  })

  test.each([
    ['DateStyle', 'nosuch', 'invalid value for parameter "DateStyle": "nosuch"'],
    ['nosuch', '1', 'unrecognized configuration parameter "nosuch"'],
  ])('of its own setting %s=%s the client learns what is wrong', async (name, value, message) => {
    const error = await connect(address, 'trusty', 'disable', { parameters: [[name, value]] }).catch((thrown) => thrown)
    expect(error).toMatchObject({ code: 'sql.setting', message: expect.stringContaining(message) })
  })

  test('verify-full wants the name, require with an authority wants the chain', async () => {
    const stranger = new Certificates()
    const { port } = server
    const named = connect({ host: 'localhost', port }, 'scrammy', 'verify-full', { ca })
    await expect(named).rejects.toMatchObject({ code: 'target.tls' })
    const chained = connect(address, 'scrammy', 'require', { ca: stranger.authority.cert })
    await expect(chained).rejects.toMatchObject({ code: 'target.tls' })
    stranger.remove()
  })

  test.each(['disable', 'require'] as const)('a cancel request cancels, TLS mode %s', async (mode) => {
    const link = await connect(address, 'trusty', mode)
    const client = new QueryClient(link)
    const sleeping = client.query('select pg_sleep(60)')
    const settled = sleeping.catch((error) => error)
    const watcher = new QueryClient(await connect({ path: server.socket }, 'postgres', 'disable'))
    for (let active = false; !active; ) {
      const { rows } = await watcher.query('select wait_event from pg_stat_activity where pid = $1', [String(link.pid)])
      active = rows[0]?.[0] === 'PgSleep'
    }
    const connection = postgresConnection.parse({ address, database: 'postgres', tls: { mode } })
    await cancelTarget({ dial, connection, pid: link.pid, secret: link.secret, clock: systemClock })
    expect(await settled).toMatchObject({ code: 'target.protocol', message: expect.stringContaining('57014') })
    expect((await client.query('select 1')).rows).toEqual([['1']])
    client.close()
    watcher.close()
  })

  test('the query client: parameters, NULLs, origins, several statements, errors, COPY, order', async () => {
    const client = new QueryClient(await connect({ path: server.socket }, 'postgres', 'disable'))
    const asked = [
      client.query('select $1::text, $2::int + 1, $3::text', ["a'b", '41', null]),
      client.query('create temp table t (a int, "B" text); insert into t values (1, $$x$$); select * from t'),
      client.query('select nosuch').catch((error) => error),
      client.query(''),
      client.query('copy t from stdin').catch((error) => error),
      client.query('copy t to stdout'),
      client.query('update t set a = $1', ['5']),
    ] as const
    const [first, second, failed, nothing, copyIn, copyOut, update] = await Promise.all(asked)
    expect(first.rows).toEqual([["a'b", '42', null]])
    expect(second.rows).toEqual([['1', 'x']])
    expect(second.tag).toBe('SELECT 1')
    expect(failed).toMatchObject({ code: 'target.protocol', detail: expect.stringContaining('nosuch') })
    expect(failed.message).not.toContain('nosuch')
    expect(nothing).toEqual({ fields: [], rows: [], tag: '' })
    expect(copyIn).toMatchObject({ code: 'target.protocol' })
    expect(copyOut.tag).toBe('COPY 1')
    expect(update.tag).toBe('UPDATE 1')
    const fields = await client.describe('select "B" as alias, a + 1 from t where a = $1')
    const oid = Number((await client.query("select 't'::regclass::oid")).rows[0]?.[0])
    expect(fields).toMatchObject([
      { name: 'alias', tableOid: oid, attribute: 2, typeOid: 25 },
      { name: '?column?', tableOid: 0, attribute: 0, typeOid: 23 },
    ])
    expect(await client.describe('insert into t values (1)')).toEqual([])
    await expect(client.describe('selec')).rejects.toMatchObject({ code: 'target.protocol' })
    client.close()
    await expect(client.query('select 1')).rejects.toMatchObject({ code: 'target.lost' })
  })

  test('the query client: an answer over the limit, a deadline and a lost server end it', async () => {
    const open = () => connect({ path: server.socket }, 'postgres', 'disable')
    const greedy = new QueryClient(await open(), { maxResultBytes: 1000 })
    const many = greedy.query('select generate_series(1, 100000)')
    await expect(many).rejects.toMatchObject({ code: 'target.lost', message: expect.stringContaining('over 1000') })
    const slow = new QueryClient(await open(), {}, { clock: systemClock, timeoutMs: 30 })
    await expect(slow.query('select pg_sleep(60)')).rejects.toMatchObject({ code: 'target.lost' })
    const killed = new QueryClient(await open())
    const gone = killed.query('select pg_terminate_backend(pg_backend_pid())')
    await expect(gone).rejects.toMatchObject({ message: expect.stringContaining('57P01') })
    await expect(killed.query('select 1')).rejects.toMatchObject({ code: 'target.lost' })
  })
})

/** Passes everything on and keeps what is written, also inside TLS. */
function spyOn(stream: ByteStream, seen: Buffer[]): ByteStream {
  return new Proxy(stream, {
    get(of, name) {
      if (name === 'write') {
        return (buffers: readonly Buffer[]) => {
          seen.push(...buffers.map((buffer) => Buffer.from(buffer)))
          return of.write(buffers)
        }
      }
      if (name === 'startTls') {
        return async (options: Parameters<ByteStream['startTls']>[0]) => spyOn(await of.startTls(options), seen)
      }
      const value: unknown = Reflect.get(of, name, of)
      return typeof value === 'function' ? value.bind(of) : value
    },
  })
}

describe('a hostile or broken server', () => {
  let listener: Listener | undefined

  afterEach(async () => {
    listener?.destroyStreams()
    await listener?.close()
  })

  type Script = (stream: ByteStream, reader: StreamReader) => unknown

  async function attempt(script: Script, mode: PostgresConnection['tls']['mode'] = 'disable', timeoutMs = 5000) {
    const onStream = (stream: ByteStream) => {
      const closed = () => new Error('left') as GatewayError
      const reader = new StreamReader(stream, { maxBufferedBytes: 10_000, closed })
      void Promise.resolve(script(stream, reader)).catch(() => undefined)
    }
    listener = await listen({ host: '127.0.0.1', port: 0, tls, onStream })
    const connection = postgresConnection.parse({
      address: listener.address,
      database: 'postgres',
      tls: { mode },
      connectTimeoutMs: timeoutMs,
    })
    const credential = { user: 'u', password: PASSWORD }
    const startupParameters = new Map<string, string>()
    return connectTarget({
      dial,
      connection,
      credential,
      startupParameters,
      random: systemRandom,
      clock: systemClock,
      limits,
    })
  }

  const ready = [authenticationOk(), parameterStatus('a', 'b'), backendKeyData(1, Buffer.alloc(4)), readyForQuery('I')]

  test.each<{ name: string; script: Script; code: string; mode?: 'require' | 'prefer' }>([
    {
      name: 'bytes smuggled in behind its yes to TLS',
      script: (stream) => stream.write([Buffer.concat([Buffer.from('S'), ...ready])]),
      code: 'target.tls',
      mode: 'require',
    },
    {
      name: 'no TLS where it is required',
      script: (stream) => stream.write([Buffer.from('N')]),
      code: 'target.tls',
      mode: 'require',
    },
    {
      name: 'neither yes nor no',
      script: (stream) => stream.write([Buffer.from('E')]),
      code: 'target.tls',
      mode: 'prefer',
    },
    {
      name: 'TLS that is none',
      script: (stream) =>
        stream.write([Buffer.from('S')]) && setTimeout(() => stream.write([Buffer.from('garbage!')]), 20),
      code: 'target.tls',
      mode: 'require',
    },
    {
      name: 'a password in clear text',
      script: (stream) => stream.write([Buffer.from('R\0\0\0\u0008\0\0\0\u0003', 'latin1')]),
      code: 'target.auth',
    },
    {
      name: 'Kerberos',
      script: (stream) => stream.write([Buffer.from('R\0\0\0\u0008\0\0\0\u0007', 'latin1')]),
      code: 'target.auth',
    },
    {
      name: 'only an unknown mechanism',
      script: (stream) => stream.write([authenticationSasl(['OAUTHBEARER'])]),
      code: 'target.auth',
    },
    {
      name: 'a welcome in the middle of SCRAM',
      script: (stream) => stream.write([authenticationSasl(['SCRAM-SHA-256']), ...ready]),
      code: 'target.auth',
    },
    {
      name: 'SCRAM out of order',
      script: (stream) => stream.write([authenticationSaslContinue(Buffer.from('r=x'))]),
      code: 'target.protocol',
    },
    {
      name: 'a welcome twice',
      script: (stream) => stream.write([authenticationOk(), authenticationOk()]),
      code: 'target.protocol',
    },
    {
      name: 'ready without a welcome',
      script: (stream) => stream.write([readyForQuery('I')]),
      code: 'target.protocol',
    },
    {
      name: 'ready inside a transaction',
      script: (stream) => stream.write([authenticationOk(), readyForQuery('T')]),
      code: 'target.protocol',
    },
    {
      name: 'a message of 1 GiB',
      script: (stream) => stream.write([Buffer.from('S\u0040\0\0\0', 'latin1')]),
      code: 'target.protocol',
    },
    {
      name: 'rows',
      script: (stream) => stream.write([authenticationOk(), Buffer.from('D\0\0\0\u0006\0\0', 'latin1')]),
      code: 'target.protocol',
    },
    {
      name: 'notices without end',
      script: (stream) => stream.write(Array.from({ length: 2000 }, () => notice({ message: 'x' }))),
      code: 'target.protocol',
    },
    {
      name: 'a short message',
      script: (stream) => stream.write([authenticationOk(), Buffer.from('K\0\0\0\u0006\0\0', 'latin1')]),
      code: 'target.protocol',
    },
    { name: 'goodbye', script: (stream) => stream.end(), code: 'target.lost' },
  ])('$name', async ({ script, code, mode }) => {
    await expect(attempt(script, mode)).rejects.toMatchObject({ name: 'GatewayError', code })
  })

  test.each(['disable', 'require'] as const)('silence ends at the deadline, TLS mode %s', async (mode) => {
    const outcome = attempt(() => undefined, mode, 100)
    await expect(outcome).rejects.toMatchObject({
      code: 'target.unreachable',
      message: 'The target did not answer in time.',
    })
  })

  test('silence in the TLS handshake ends at the deadline, too', async () => {
    const outcome = attempt((stream) => stream.write([Buffer.from('S')]), 'require', 100)
    await expect(outcome).rejects.toMatchObject({ code: 'target.unreachable' })
  })

  test('a server without TLS serves prefer, and what follows ReadyForQuery is handed on', async () => {
    const link = await attempt(async (stream, reader) => {
      await reader.take(8)
      stream.write([Buffer.from('N')])
      await reader.peek(4)
      stream.write([Buffer.concat([...ready, notice({ message: 'later' })])])
    }, 'prefer')
    expect(link).toMatchObject({ pid: 1, transactionStatus: 'I' })
    expect(link.leftover).toEqual(notice({ message: 'later' }))
    link.stream.destroy()
  })
})

test.each([
  { name: 'an unknown key', given: { sslmode: 'require' } },
  { name: 'a port that is none', given: { address: { host: 'a', port: 70000 } } },
  { name: 'two addresses', given: { address: { host: 'a', path: '/x' } } },
  { name: 'an authority that is not PEM', given: { tls: { ca: '/etc/ca.pem' } } },
  { name: 'an unknown mode', given: { tls: { mode: 'allow' } } },
])('configuration: $name is refused', ({ given }) => {
  const base = { address: { host: 'db' }, database: 'shop' }
  expect(postgresConnection.safeParse({ ...base, ...given }).success).toBe(false)
  expect(postgresConnection.parse(base)).toEqual({
    address: { host: 'db', port: 5432 },
    database: 'shop',
    tls: { mode: 'verify-full' },
    connectTimeoutMs: 10_000,
  })
})
