import { connect as connectTls } from 'node:tls'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { systemClock } from '../../edge/clock.ts'
import { makeDial } from '../../edge/dial.ts'
import { type Listener, listen } from '../../edge/listen.ts'
import { Certificates } from '../../edge/test/certificates.ts'
import { Collected } from '../../edge/test/collected.ts'
import { type ByteStream, type Clock, GatewayError } from '../../kernel/index.ts'
import { BackendFramer, parseDiagnostic } from './decode.ts'
import { cancelRequest, sslRequest, startup } from './encode.ts'
import { type Arrival, DEFAULT_HANDSHAKE_LIMITS, type GreetOptions, greet } from './startup.ts'

const certificates = new Certificates()
const dial = makeDial()
let listener: Listener
let options: GreetOptions
let settle: (outcome: Arrival | GatewayError) => void = () => undefined

beforeAll(async () => {
  const onStream = (stream: ByteStream) => void greet(stream, options).then(settle, settle)
  listener = await listen({ host: '127.0.0.1', port: 0, tls: certificates.server(), onStream })
})

afterAll(async () => {
  listener.destroyStreams()
  await listener.close()
  certificates.remove()
})

const PLAIN: GreetOptions = {
  clock: systemClock,
  limits: DEFAULT_HANDSHAKE_LIMITS,
  tlsAvailable: true,
  requireTls: false,
}

/** Connects and starts the greeting; the outcome resolves when it settles, either way. */
async function arrive(more: Partial<GreetOptions> = {}) {
  options = { ...PLAIN, ...more }
  const outcome = new Promise<Arrival | GatewayError>((resolve) => {
    settle = resolve
  })
  const stream = await dial(listener.address)
  return { stream, client: new Collected(stream), outcome }
}

function client(outcome: Arrival | GatewayError) {
  if (outcome instanceof GatewayError || outcome.kind !== 'client') throw outcome
  return outcome
}

function errorOf(bytes: Buffer): Map<string, string> | undefined {
  let fields: Map<string, string> | undefined
  new BackendFramer({ maxMessageBytes: 10_000 }).push(bytes, (tag, buffer, start, end) => {
    if (tag === 0x45) fields = parseDiagnostic(buffer, start, end)
  })
  return fields
}

const parameters = new Map([
  ['user', 'tök'],
  ['database', 'shop'],
  ['options', '-c geqo=off'],
])
const gssRequest = Buffer.from([0, 0, 0, 8, 4, 210, 22, 48])

test('a start-up is read at every chunk size, and what follows it is handed on', async () => {
  const bytes = Buffer.concat([startup(parameters), Buffer.from('later')])
  for (const step of [1, 3, 7, bytes.length]) {
    const { stream, outcome } = await arrive()
    for (let at = 0; at < bytes.length; at += step) {
      stream.write([bytes.subarray(at, at + step)])
      if (step < 5 && at % 10 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    const arrival = client(await outcome)
    expect([...arrival.parameters]).toEqual([...parameters])
    expect(arrival.minor).toBe(0)
    const rest = new Collected(arrival.stream)
    await rest.untilLength(5 - arrival.leftover.length)
    expect(arrival.leftover.toString() + rest.text).toBe('later')
    stream.destroy()
  }
})

test.each([
  { name: '3.2', version: 0x30002, minor: 2, answer: '' },
  { name: '3.1, which never was', version: 0x30001, minor: 0, answer: 'v\0\0\0\u000c\0\u0003\0\0\0\0\0\0' },
  { name: '3.9999', version: 0x3270f, minor: 2, answer: 'v\0\0\0\u000c\0\u0003\0\u0002\0\0\0\0' },
  {
    name: '3.0 with an option of the protocol',
    version: 0x30000,
    option: '_pq_.x',
    minor: 0,
    answer: 'v\0\0\0\u0013\0\u0003\0\0\0\0\0\u0001_pq_.x\0',
  },
])('version $name', async ({ version, minor, answer, option }) => {
  const { stream, client: collected, outcome } = await arrive()
  stream.write([startup(option === undefined ? parameters : new Map([...parameters, [option, '1']]), version)])
  const arrival = client(await outcome)
  expect(arrival.minor).toBe(minor)
  expect([...arrival.parameters.keys()]).toEqual([...parameters.keys()])
  await collected.untilLength(answer.length)
  expect(collected.text).toBe(answer)
  stream.destroy()
})

const user = 'user\0a\0'
function packet(code: number, body: string): Buffer {
  const bytes = Buffer.alloc(8 + body.length)
  bytes.writeInt32BE(bytes.length)
  bytes.writeInt32BE(code, 4)
  bytes.write(body, 8, 'latin1')
  return bytes
}

test.each([
  { name: 'protocol 2', bytes: packet(0x20000, user), code: 'pg.version', sqlstate: '08P01' },
  { name: 'replication', bytes: packet(0x30000, `${user}replication\0true\0\0`), code: 'pg.unsupported' },
  { name: 'logical replication', bytes: packet(0x30000, `${user}replication\0database\0\0`), code: 'pg.unsupported' },
  { name: 'no user', bytes: packet(0x30000, 'database\0a\0\0'), code: 'auth.failed', sqlstate: '28P01' },
  { name: 'the user twice', bytes: packet(0x30000, `${user}user\0b\0\0`), code: 'pg.malformed' },
  { name: 'no end', bytes: packet(0x30000, user), code: 'pg.malformed' },
  { name: 'bytes behind the end', bytes: packet(0x30000, `${user}\0x`), code: 'pg.malformed' },
  { name: 'a name without a value', bytes: packet(0x30000, 'user\0'), code: 'pg.malformed' },
  { name: 'what is not UTF-8', bytes: packet(0x30000, 'user\0\u00e9\0\0'), code: 'pg.malformed' },
  { name: 'HTTP', bytes: Buffer.from('GET / HTTP/1.1\r\n\r\n'), code: 'pg.frame_length' },
  { name: 'a length of 7', bytes: Buffer.from([0, 0, 0, 7, 0, 3, 0, 0]), code: 'pg.frame_length' },
  { name: '10,001 bytes', bytes: Buffer.from([0, 0, 0x27, 0x11, 0, 3, 0, 0]), code: 'pg.frame_length' },
  { name: 'TLS asked for with more in the packet', bytes: packet(80877103, 'x'), code: 'pg.malformed' },
  { name: 'a cancel key of 3 bytes', bytes: cancelRequest(1, Buffer.alloc(3)), code: 'pg.malformed' },
  { name: 'a cancel key of 257 bytes', bytes: cancelRequest(1, Buffer.alloc(257)), code: 'pg.malformed' },
  { name: 'a cancel request without a process', bytes: packet(80877102, ''), code: 'pg.malformed' },
  {
    name: 'bytes behind the request for TLS',
    bytes: Buffer.concat([sslRequest(), startup(parameters)]),
    code: 'pg.buffered_before_tls',
  },
])('refused as FATAL: $name', async ({ bytes, code, sqlstate }) => {
  const { stream, client: collected, outcome } = await arrive()
  stream.write([bytes])
  expect(await outcome).toMatchObject({ code })
  await collected.closed
  const fields = errorOf(collected.bytes)
  expect(fields?.get('S')).toBe('FATAL')
  expect(fields?.get('D')).toBe(`code ${code}`)
  if (sqlstate !== undefined) expect(fields?.get('C')).toBe(sqlstate)
})

test('replication switched off is no replication', async () => {
  const { stream, outcome } = await arrive()
  stream.write([packet(0x30000, `${user}replication\0Off\0\0`)])
  expect([...client(await outcome).parameters]).toEqual([['user', 'a']])
  stream.destroy()
})

test('GSSAPI is refused by N, once; TLS after it is fine', async () => {
  const first = await arrive({ tlsAvailable: false })
  first.stream.write([gssRequest])
  await first.client.untilLength(1)
  first.stream.write([sslRequest()])
  await first.client.untilLength(2)
  expect(first.client.text).toBe('NN')
  first.stream.write([startup(parameters)])
  expect(client(await first.outcome).stream.tls).toBeUndefined()
  first.stream.destroy()

  for (const request of [gssRequest, sslRequest()]) {
    const twice = await arrive({ tlsAvailable: false })
    twice.stream.write([request, request])
    expect(await twice.outcome).toMatchObject({ code: 'pg.malformed' })
    await twice.client.closed
    expect(twice.client.text.startsWith('NE')).toBe(true)
  }
})

async function secured(more: Partial<GreetOptions> = {}) {
  const { stream, client: collected, outcome } = await arrive(more)
  stream.write([sslRequest()])
  await collected.untilLength(1)
  expect(collected.text).toBe('S')
  const ca = certificates.authority.cert
  const tls = await stream.startTls({
    role: 'client',
    alpn: ['postgresql'],
    verify: 'full',
    serverName: 'localhost',
    ca,
  })
  return { stream: tls, client: new Collected(tls), outcome }
}

test('TLS by request', async () => {
  const { stream, outcome } = await secured({ requireTls: true })
  stream.write([startup(parameters)])
  const arrival = client(await outcome)
  expect(arrival.stream.tls?.serverEndPoint).toEqual(stream.tls?.serverEndPoint)
  expect(arrival.stream.tls?.alpn).toBe('postgresql')
  stream.destroy()
})

test.each([
  ['TLS', sslRequest()],
  ['GSSAPI', gssRequest],
])('%s cannot be asked for inside TLS', async (_name, request) => {
  const { stream, client: collected, outcome } = await secured()
  stream.write([request])
  expect(await outcome).toMatchObject({ code: 'pg.malformed' })
  await collected.closed
  expect(errorOf(collected.bytes)?.get('C')).toBe('08P01')
})

test('a listener for TLS only refuses a start-up without it, and takes a cancel request', async () => {
  const plain = await arrive({ requireTls: true })
  plain.stream.write([startup(parameters)])
  expect(await plain.outcome).toMatchObject({ code: 'auth.tls_required' })
  await plain.client.closed
  expect(errorOf(plain.client.bytes)?.get('C')).toBe('28000')
  const secret = Buffer.alloc(256, 9)
  const cancel = await arrive({ requireTls: true })
  cancel.stream.write([cancelRequest(-5, secret)])
  expect(await cancel.outcome).toEqual({ kind: 'cancel', pid: -5, secret })
  await cancel.client.closed
  expect(cancel.client.bytes).toHaveLength(0)
  const insideTls = await secured()
  insideTls.stream.write([cancelRequest(7, Buffer.alloc(4))])
  expect(await insideTls.outcome).toMatchObject({ kind: 'cancel', pid: 7 })
})

test.each([
  { name: 'with its ALPN', alpn: ['postgresql'], code: undefined },
  { name: 'without ALPN', alpn: [], code: 'pg.unsupported' },
])('TLS without asking, $name', async ({ alpn, code }) => {
  options = PLAIN
  const outcome = new Promise<Arrival | GatewayError>((resolve) => {
    settle = resolve
  })
  const secure = connectTls({ ...listener.address, ALPNProtocols: alpn, rejectUnauthorized: false })
  const received: Buffer[] = []
  secure.on('data', (chunk) => received.push(chunk))
  const closed = new Promise((resolve) => secure.once('close', resolve))
  secure.write(startup(parameters))
  if (code === undefined) {
    expect(client(await outcome).parameters.get('user')).toBe('tök')
    secure.destroy()
    return
  }
  expect(await outcome).toMatchObject({ code })
  await closed
  expect(errorOf(Buffer.concat(received))?.get('S')).toBe('FATAL')
})

test('TLS without asking is closed where there is no TLS', async () => {
  const { stream, client: collected, outcome } = await arrive({ tlsAvailable: false })
  stream.write([Buffer.from([0x16, 3, 1, 0, 200, 1])])
  expect(await outcome).toMatchObject({ code: 'pg.unsupported' })
  await collected.closed
  expect(collected.bytes).toHaveLength(0)
})

/** A clock whose deadlines a test lets pass. */
function handClock(): Clock & { pass(): void } {
  const calls = new Set<() => void>()
  return {
    ...systemClock,
    after(_ms, call) {
      calls.add(call)
      return () => calls.delete(call)
    },
    pass: () => {
      for (const call of calls) call()
    },
  }
}

test.each([
  { name: 'says nothing', bytes: Buffer.alloc(0) },
  { name: 'stops in the length', bytes: Buffer.from([0, 0]) },
  { name: 'stops in the parameters', bytes: startup(parameters).subarray(0, 20) },
  { name: 'asks for TLS and does not begin', bytes: sslRequest() },
  { name: 'stops in a handshake', bytes: Buffer.from([0x16, 3, 1, 0, 200, 1]) },
])('the deadline ends a client that $name', async ({ bytes }) => {
  const clock = handClock()
  const { stream, client: collected, outcome } = await arrive({ clock })
  stream.write([bytes])
  await new Promise((resolve) => setTimeout(resolve, 20))
  clock.pass()
  expect(await outcome).toMatchObject({ code: 'auth.timeout' })
  await collected.closed
})

test('a client that floods before its start-up is read no further', async () => {
  const { stream, outcome } = await arrive()
  stream.write([Buffer.from([0, 0, 0x20, 0]), Buffer.alloc(1 << 24)])
  expect(await outcome).toMatchObject({ code: 'pg.version' })
  expect(stream.queuedBytes).toBeGreaterThan(0)
  stream.destroy()
})

test('property: whatever a client sends and then leaves, one outcome', async () => {
  const pieces = fc.oneof(
    fc.uint8Array({ maxLength: 30 }).map((bytes) => Buffer.from(bytes)),
    fc.constantFrom(sslRequest(), gssRequest, startup(parameters), cancelRequest(1, Buffer.alloc(4))),
    fc
      .tuple(fc.constantFrom(0x30000, 0x30002, 80877102), fc.uint8Array({ maxLength: 40 }))
      .map(([code, body]) => packet(code, Buffer.from(body).toString('latin1'))),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(pieces, { maxLength: 4 }), fc.boolean(), async (parts, tlsAvailable) => {
      const { stream, client: collected, outcome } = await arrive({ tlsAvailable })
      stream.write(parts.length === 0 ? [Buffer.alloc(0)] : parts)
      stream.end()
      const result = await outcome
      if (!(result instanceof GatewayError)) expect(['client', 'cancel']).toContain(result.kind)
      if (!(result instanceof GatewayError) && result.kind === 'client') result.stream.destroy()
      await collected.closed
    }),
    { numRuns: 150 },
  )
})
