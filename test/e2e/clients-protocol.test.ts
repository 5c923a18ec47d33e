import { connect, type Socket } from 'node:net'
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { systemRandom } from '../../src/edge/random.ts'
import { BackendFramer, parseDataRow, parseDiagnostic } from '../../src/protocols/postgres/decode.ts'
import * as encode from '../../src/protocols/postgres/encode.ts'
import { AUTHENTICATION } from '../../src/protocols/postgres/messages.ts'
import { ScramClient } from '../../src/wire/scram.ts'
import {
  column,
  errorOf,
  eventually,
  type Gateway,
  type Person,
  startGateway,
  startTarget,
  type Target,
} from '../harness/index.ts'

const VERSION = { '2.0': 0x20000, '3.0': 0x30000, '3.2': 0x30002, '3.9999': 0x3270f, '4.0': 0x40000 } as const
const LONG_NAME = 'an-agent-whose-name-is-a-good-deal-longer-than-what-fits'

let target: Target
let gateway: Gateway

beforeAll(async () => {
  target = await startTarget()
  await target.sql('create schema archive; create table archive.only_here (id int)')
  gateway = await startGateway({ targets: { shop: target } })
})

afterAll(async () => {
  await gateway?.close()
  await target?.stop()
})

interface Door {
  readonly address: { readonly host: string; readonly port: number }
  readonly user: string
  readonly password: string
}

const direct = (): Door => ({ address: target, user: target.user, password: target.password })
const through = (person: Person = 'alice'): Door => {
  const { id, secret } = gateway.token(person)
  return { address: gateway.address, user: id, password: secret }
}

interface Frame {
  readonly tag: string
  readonly body: Buffer
}

/** A client that speaks the protocol by itself, whatever the version. */
class RawClient {
  readonly socket: Socket
  readonly frames: Frame[] = []
  closed = false
  readonly #framer = new BackendFramer({ maxMessageBytes: 1 << 24 })

  constructor({ address }: Door) {
    this.socket = connect({ ...address, noDelay: true })
    this.socket.on('error', () => undefined)
    this.socket.on('close', () => {
      this.closed = true
    })
    this.socket.on('data', (chunk: Buffer) =>
      this.#framer.push(chunk, (tag, buffer, start, end) =>
        this.frames.push({ tag: String.fromCharCode(tag), body: Buffer.from(buffer.subarray(start + 5, end)) }),
      ),
    )
  }

  /** Starts up and logs in; ends with the first ReadyForQuery or a closed connection. */
  static async open(door: Door, version: number, parameters: Record<string, string> = {}, pieces = false) {
    const client = new RawClient(door)
    const settings = new Map(Object.entries({ user: door.user, database: 'shop', ...parameters }))
    const send = (bytes: Buffer) => client.send(bytes, pieces)
    await send(encode.startup(settings, version))
    const scram = new ScramClient({
      user: '',
      password: door.password,
      random: systemRandom,
      mechanisms: ['SCRAM-SHA-256'],
      serverEndPoint: undefined,
    })
    const first = await client.authentication(AUTHENTICATION.sasl)
    if (first === undefined) return client
    await send(encode.saslInitialResponse(scram.mechanism, scram.first()))
    const challenge = await client.authentication(AUTHENTICATION.saslContinue)
    if (challenge === undefined) return client
    await send(encode.saslResponse(await scram.respond(challenge)))
    await client.until(() => client.count('Z') === 1)
    return client
  }

  async authentication(kind: number): Promise<Buffer | undefined> {
    const found = () => this.frames.find(({ tag, body }) => tag === 'R' && body.readInt32BE(0) === kind)
    await this.until(() => found() !== undefined)
    return found()?.body.subarray(4)
  }

  async send(bytes: Buffer, pieces = false): Promise<void> {
    if (!pieces) this.socket.write(bytes)
    else
      for (const byte of bytes) {
        this.socket.write(Buffer.from([byte]))
        await new Promise((resolve) => setImmediate(resolve))
      }
  }

  count(tag: string): number {
    return this.frames.filter((frame) => frame.tag === tag).length
  }

  body(tag: string): Buffer | undefined {
    return this.frames.find((frame) => frame.tag === tag)?.body
  }

  get error(): ReadonlyMap<string, string> | undefined {
    const body = this.frames.findLast(({ tag }) => tag === 'E')?.body
    if (body === undefined) return undefined
    const frame = Buffer.concat([Buffer.from('E\0\0\0\0'), body])
    return parseDiagnostic(frame, 0, frame.length)
  }

  /** What BackendKeyData says. */
  get key(): { readonly pid: number; readonly secret: Buffer } {
    const body = this.body('K')
    if (body === undefined) throw new Error('no key came')
    return { pid: body.readInt32BE(0), secret: body.subarray(4) }
  }

  async until(test: () => boolean): Promise<void> {
    await eventually('the answer', () => (test() || this.closed ? true : undefined))
  }

  /** The first cell of each row. */
  async ask(sql: string, pieces = false): Promise<(string | undefined)[]> {
    this.frames.length = 0
    await this.send(encode.query(sql), pieces)
    await this.until(() => this.count('Z') === 1)
    return this.frames
      .filter(({ tag }) => tag === 'D')
      .map(({ body }) => {
        const frame = Buffer.concat([Buffer.from('D\0\0\0\0'), body])
        return parseDataRow(frame, 0, frame.length)[0]?.toString()
      })
  }

  end(): void {
    this.socket.destroy()
  }
}

describe('versions', () => {
  test.each([
    ['3.0', {}],
    ['3.2', {}],
    ['3.9999', {}],
    ['3.0', { '_pq_.compression': 'zstd' }],
    ['3.2', { '_pq_.one': '1', '_pq_.two': '2' }],
    ['3.9999', { '_pq_.one': '1' }],
  ] as const)('%s with %j is negotiated as PostgreSQL does', async (version, options) => {
    const [plain, gated] = await Promise.all(
      [direct(), through()].map((door) => RawClient.open(door, VERSION[version], options)),
    )
    if (plain === undefined || gated === undefined) throw new Error('no clients')
    expect(gated.body('v')).toEqual(plain.body('v'))
    expect(gated.key.secret.length).toBe(plain.key.secret.length)
    expect(await gated.ask('select 1 as one')).toEqual(['1'])
    expect(gated.frames.map(({ tag }) => tag)).toEqual(['T', 'D', 'C', 'Z'])
    plain.end()
    gated.end()
  })

  test.each(['2.0', '4.0'] as const)('%s is refused', async (version) => {
    const client = await RawClient.open(through(), VERSION[version])
    expect(client.error?.get('S')).toBe('FATAL')
    expect(client.error?.get('M')).toContain(version)
    await eventually('the end', () => (client.closed ? true : undefined))
    expect(client.frames.map(({ tag }) => tag)).toEqual(['E'])
  })

  test.each(['3.0', '3.2'] as const)('%s byte by byte', async (version) => {
    const client = await RawClient.open(through(), VERSION[version], { application_name: 'slow' }, true)
    expect(await client.ask("select 'byte by byte'", true)).toEqual(['byte by byte'])
    client.end()
  })
})

describe('cancelling', () => {
  const asleep = () =>
    target.sql("select 1 from pg_stat_activity where query = 'select pg_sleep(600)' and state = 'active'")

  async function sleeper(version: keyof typeof VERSION) {
    const client = await RawClient.open(through(), VERSION[version])
    const { key } = client
    client.frames.length = 0
    await client.send(encode.query('select pg_sleep(600)'))
    await eventually('the sleep', async () => ((await asleep()).length === 1 ? true : undefined))
    return { client, key }
  }

  async function cancel(pid: number, secret: Buffer): Promise<void> {
    const client = new RawClient(through())
    await client.send(encode.cancelRequest(pid, secret))
    await client.until(() => false)
    expect(client.frames).toEqual([])
  }

  test.each(['3.0', '3.2'] as const)('%s: with the key of the session, and with no other', async (version) => {
    const { client, key } = await sleeper(version)
    const other = await RawClient.open(through('bob'), VERSION[version])
    const wrong = Buffer.from(key.secret)
    wrong[0] = (wrong[0] ?? 0) ^ 1
    await cancel(key.pid, wrong)
    await cancel(key.pid, other.key.secret)
    await cancel(other.key.pid, other.key.secret)
    await cancel(key.pid, key.secret.subarray(0, 4).equals(key.secret) ? Buffer.alloc(32) : key.secret.subarray(0, 4))
    expect(await asleep()).toHaveLength(1)
    await cancel(key.pid, key.secret)
    await client.until(() => client.count('Z') === 1)
    expect(client.error?.get('C')).toBe('57014')
    expect(await asleep()).toEqual([])
    expect(await client.ask('select 1')).toEqual(['1'])
    client.end()
    other.end()
  })

  test("a key is of no use at the target, nor the target's at the gateway", async () => {
    const client = await RawClient.open(through(), VERSION['3.0'])
    const pid = Number((await client.ask('select pg_backend_pid()'))[0])
    const fresh = await RawClient.open(through(), VERSION['3.0'])
    expect(fresh.key.pid).not.toBe(pid)
    client.end()
    fresh.end()
  })
})

describe('start-up parameters', () => {
  const settings = [
    'timezone',
    'datestyle',
    'extra_float_digits',
    'client_encoding',
    'statement_timeout',
    'search_path',
    'work_mem',
    'application_name',
  ]

  async function shown(client: pg.Client): Promise<Record<string, unknown>> {
    const answers: Record<string, unknown> = {}
    for (const name of settings) answers[name] = (await column(client, `show ${name}`))[0]
    return answers
  }

  test('reach the target, in whatever spelling', async () => {
    const client = await RawClient.open(through(), VERSION['3.0'], {
      TimeZone: 'Asia/Tokyo',
      DATESTYLE: 'German',
      extra_float_digits: '2',
      client_encoding: 'LATIN1',
      work_mem: '7MB',
      options: '-c search_path=archive,public -cstatement_timeout=9s --geqo=off -c default_text_search_config=simple',
    })
    const answers = {
      TimeZone: 'Asia/Tokyo',
      datestyle: 'German, DMY',
      extra_float_digits: '2',
      client_encoding: 'LATIN1',
      work_mem: '7MB',
      search_path: 'archive,public',
      statement_timeout: '9s',
      geqo: 'off',
    }
    for (const [name, value] of Object.entries(answers)) expect(await client.ask(`show ${name}`)).toEqual([value])
    expect(await client.ask('select count(*) from only_here')).toEqual(['0'])
    expect(await client.ask('reset timezone; show timezone')).toEqual(['Asia/Tokyo'])
    client.end()
  })

  test('a space in options is written with a backslash', async () => {
    const client = await gateway.client('alice', 'shop', { options: '-c search_path=\\"$user\\",\\ archive' })
    expect((await shown(client))['search_path']).toBe('"$user", archive')
  })

  test.each([
    ['-c nonsense.setting', '0A000'],
    ['-d 5', '0A000'],
    ['-c application_name=somebody', undefined],
    ['-c standard_conforming_strings=off', '42501'],
    ['-c client_encoding=SJIS', '22021'],
    ['-c role=postgres', '42501'],
    ['-c session_replication_role=replica', '42501'],
  ])('options %j', async (options, code) => {
    if (code !== undefined) {
      expect((await errorOf(gateway.client('alice', 'shop', { options }))).code).toBe(code)
      return
    }
    const client = await gateway.client('alice', 'shop', { options })
    expect((await shown(client))['application_name']).toMatch(/^sallyport s_/)
  })

  test.each([
    ['TimeZone', 'Nowhere/Atlantis'],
    ['nonsense', '1'],
    ['work_mem', 'a lot'],
  ])('%s=%s: the client is told what the target says of it', async (name, value) => {
    const [plain, gated] = await Promise.all(
      [direct(), through()].map((door) => RawClient.open(door, VERSION['3.0'], { [name]: value })),
    )
    expect(gated?.error?.get('S')).toBe('FATAL')
    expect(gated?.error?.get('C')).toBe('42501')
    expect(gated?.error?.get('M')).toBe(`The target refuses a start-up setting: ${plain?.error?.get('M')}`)
  })

  test.each(['true', 'on', '1', 'yes', 'database', 'TRUE', 'nonsense'])('replication=%s is refused', async (value) => {
    const client = await RawClient.open(through(), VERSION['3.0'], { replication: value })
    expect(client.error?.get('C')).toBe('0A000')
    expect(client.error?.get('M')).toMatch(/[Rr]eplication/)
    expect(client.count('R')).toBe(0)
  })

  test.each(['false', 'off', 'no', '0'])('replication=%s is an ordinary session', async (value) => {
    const client = await RawClient.open(through(), VERSION['3.0'], { replication: value })
    expect(await client.ask('select 1')).toEqual(['1'])
    client.end()
  })

  test('a target that is not there, or not for this person, is refused alike', async () => {
    const refusals = await Promise.all(
      ['nowhere', 'template1', 'postgres'].map((database) => RawClient.open(through(), VERSION['3.0'], { database })),
    )
    const told = refusals.map(({ error }) => `${error?.get('S')} ${error?.get('C')} ${error?.get('M')}`)
    expect(new Set(told).size).toBe(1)
    expect(told[0]).toMatch(/^FATAL (42501|3D000|28000) /)
  })
})

describe('the application name at the target', () => {
  async function names(): Promise<string[]> {
    const rows = await target.sql<{ name: string }>(
      "select application_name as name from pg_stat_activity where application_name like 'sallyport s\\_%' order by 1",
    )
    return rows.map(({ name }) => name)
  }

  test('says who, through which agent, in which session', async () => {
    const client = await gateway.client('agent', 'shop', { application_name: 'innocent' })
    const found = (await names()).find((name) => name.endsWith('alice via claude-code'))
    const session = found?.split(' ')[1] ?? ''
    expect(found).toBe(`sallyport ${session} alice via claude-code`)
    const { status, body } = await gateway.api('admin', 'GET', `/api/v1/sessions/${session}`)
    expect({ status, body }).toMatchObject({ status: 200, body: { id: session, client: { application: 'innocent' } } })
    for (const set of ["set application_name = 'x'", "set application_name to 'x'", 'reset application_name']) {
      await client.query(set).catch(() => undefined)
      expect(await names()).toContain(found)
    }
    await errorOf(client.query("select set_config('application_name', 'x', false)"))
    expect(await names()).toContain(found)
    await client.end()
  })

  test('is cut to what PostgreSQL keeps, never within the session id', async () => {
    const actor = { kind: 'agent', name: LONG_NAME }
    const { body } = await gateway.api('admin', 'POST', '/api/v1/tokens', { user: 'alice', actor })
    const { token, secret } = body as { token: { id: string }; secret: string }
    const client = await RawClient.open({ address: gateway.address, user: token.id, password: secret }, VERSION['3.0'])
    const [name] = await client.ask('show application_name')
    expect(Buffer.byteLength(name ?? '')).toBe(63)
    expect(name).toMatch(/^sallyport s_\w{26} alice via an-agent/)
    client.end()
  })
})

describe('without Sync', () => {
  test('Flush brings what is there, an error waits for Sync, and the next Sync starts anew', async () => {
    const client = await RawClient.open(through(), VERSION['3.0'])
    client.frames.length = 0
    await client.send(
      Buffer.concat([encode.parse('s', 'select $1::int + 1'), encode.describe('statement', 's'), encode.flush()]),
    )
    await client.until(() => client.count('T') === 1)
    expect(client.frames.map(({ tag }) => tag)).toEqual(['1', 't', 'T'])
    client.frames.length = 0
    await client.send(Buffer.concat([encode.bind('', 's', ['41']), encode.execute(''), encode.flush()]))
    await client.until(() => client.count('C') === 1)
    expect(client.frames.map(({ tag }) => tag)).toEqual(['2', 'D', 'C'])
    client.frames.length = 0
    await client.send(Buffer.concat([encode.parse('', 'select nowhere'), encode.flush()]))
    await client.until(() => client.count('E') === 1)
    await client.send(Buffer.concat([encode.bind('', 's', ['1']), encode.execute(''), encode.flush()]))
    await client.send(encode.sync())
    await client.until(() => client.count('Z') === 1)
    expect(client.frames.map(({ tag }) => tag)).toEqual(['E', 'Z'])
    expect(await client.ask('select 7')).toEqual(['7'])
    client.end()
  })

  test('the fast path is refused, and the session goes on', async () => {
    const client = await RawClient.open(through(), VERSION['3.0'])
    client.frames.length = 0
    const call = Buffer.alloc(15)
    call.write('F')
    call.writeInt32BE(14, 1)
    await client.send(call)
    await client.until(() => client.count('Z') === 1)
    expect(client.frames.map(({ tag }) => tag)).toEqual(['E', 'Z'])
    expect(client.error?.get('C')).toBe('0A000')
    expect(await client.ask('select 7')).toEqual(['7'])
    client.end()
  })

  test('what is no message ends the session', async () => {
    const client = await RawClient.open(through(), VERSION['3.0'])
    await client.send(Buffer.from('~\0\0\0\x04'))
    await client.until(() => false)
    expect(client.error?.get('S')).toBe('FATAL')
    expect(client.error?.get('C')).toBe('08P01')
  })
})
