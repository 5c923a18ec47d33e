import { createHash, X509Certificate } from 'node:crypto'
import { connect } from 'node:net'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import type { ByteStream, TlsClientOptions } from '../kernel/index.ts'
import { systemClock } from './clock.ts'
import { makeDial } from './dial.ts'
import { serverEndPointOfPem } from './end-point.ts'
import { type Listener, type ListenOptions, listen } from './listen.ts'
import { Certificates, type Pair } from './test/certificates.ts'
import { Collected } from './test/collected.ts'

let certificates: Certificates
let server: Pair
let stranger: Certificates
const listeners: Listener[] = []
const dial = makeDial({ connectTimeoutMs: 5000 })

beforeAll(() => {
  certificates = new Certificates()
  server = certificates.server()
  stranger = new Certificates()
})

afterEach(async () => {
  for (const listener of listeners.splice(0)) {
    listener.destroyStreams()
    await listener.close()
  }
})

afterAll(() => {
  certificates.remove()
  stranger.remove()
})

async function open(options: Partial<ListenOptions> = {}) {
  const accepted: ByteStream[] = []
  let arrived: (stream: ByteStream) => void = () => undefined
  const first = new Promise<ByteStream>((resolve) => {
    arrived = resolve
  })
  const onStream = (stream: ByteStream) => {
    accepted.push(stream)
    arrived(stream)
  }
  const listener = await listen({ host: '127.0.0.1', port: 0, onStream, ...options })
  listeners.push(listener)
  return { listener, accepted, first }
}

async function pair(options: Partial<ListenOptions> = {}): Promise<{ near: ByteStream; far: ByteStream }> {
  const { listener, first } = await open(options)
  const near = await dial(listener.address)
  return { near, far: await first }
}

test('bytes go both ways in order, and a close is told once', async () => {
  const { near, far } = await pair()
  const [client, service] = [new Collected(near), new Collected(far)]
  near.write([Buffer.from('a'), Buffer.from('b'), Buffer.from('c')])
  expect((await service.untilLength(3)).toString()).toBe('abc')
  far.write([Buffer.from('answer')])
  far.end()
  expect(await client.closed).toBeUndefined()
  expect(await service.closed).toBeUndefined()
  expect(client.text).toBe('answer')
  expect(far.remoteAddress).toBe('127.0.0.1')
  const late = new Collected(near)
  expect(await late.closed).toBeUndefined()
  expect(near.write([Buffer.from('lost')])).toBe(true)
})

test('nothing is read before read(), during a pause, or lost between two readers', async () => {
  const { near, far } = await pair()
  const first = new Collected(far)
  near.write([Buffer.from('one')])
  await first.untilLength(3)
  far.pause()
  near.write([Buffer.from('two')])
  await new Promise((resolve) => setTimeout(resolve, 50))
  expect(first.text).toBe('one')
  const second = new Collected(far)
  expect((await second.untilLength(3)).toString()).toBe('two')
  expect(first.text).toBe('one')
})

test('a slow peer makes write() answer false, and onDrain calls when it has caught up', async () => {
  const { near, far } = await pair()
  const chunk = Buffer.alloc(1 << 20, 7)
  let sent = 0
  do sent += chunk.length
  while (near.write([chunk]) && sent < 1 << 28)
  expect(near.queuedBytes).toBeGreaterThan(0)
  const drained = new Promise<void>((resolve) => near.onDrain(resolve))
  let received = 0
  far.read({
    data: (bytes) => {
      received += bytes.length
    },
    closed: () => undefined,
  })
  await drained
  expect(near.queuedBytes).toBe(0)
  near.end()
  await new Promise<void>((resolve) => near.read({ data: () => undefined, closed: () => resolve() }))
  expect(received).toBe(sent)
})

test('a refused connection is told without its address', async () => {
  const { listener } = await open()
  await listener.close()
  const error = await dial(listener.address).catch((thrown: Error) => thrown)
  expect(error).toMatchObject({ code: 'target.unreachable', detail: expect.stringContaining('ECONNREFUSED') })
  expect((error as Error).message).not.toContain('127.0.0.1')
  await expect(dial({ path: '/nonexistent/socket' })).rejects.toMatchObject({ code: 'target.unreachable' })
})

test('connections over the cap are dropped', async () => {
  const { listener, accepted, first } = await open({ limits: { maxConnections: 1 } })
  await dial(listener.address)
  await first
  const dropped = new Collected(await dial(listener.address))
  await dropped.closed
  expect(accepted).toHaveLength(1)
})

test('a certificate that cannot be used is a problem of the configuration', async () => {
  const tls = { cert: server.cert, key: stranger.authority.key }
  await expect(open({ tls })).rejects.toMatchObject({ code: 'config.invalid' })
})

/** Both sides of one handshake, settled. */
async function handshake(options: Partial<TlsClientOptions>, tls: Pair = server, alpn = ['postgresql']) {
  const { near, far } = await pair({ tls })
  const client = near.startTls({
    role: 'client',
    alpn,
    verify: 'full',
    serverName: 'localhost',
    ca: certificates.authority.cert,
    ...options,
  })
  const service = far.startTls({ role: 'server', alpn: ['postgresql'] })
  const [ours, theirs] = await Promise.allSettled([client, service])
  return { ours, theirs }
}

test('TLS: both sides know the protocol and the same channel binding, and bytes pass', async () => {
  const { ours, theirs } = await handshake({})
  if (ours.status === 'rejected' || theirs.status === 'rejected') throw new Error('the handshake failed')
  const binding = createHash('sha256').update(new X509Certificate(server.cert).raw).digest()
  expect(ours.value.tls).toEqual({ alpn: 'postgresql', serverEndPoint: binding })
  expect(theirs.value.tls).toEqual(ours.value.tls)
  const [client, service] = [new Collected(ours.value), new Collected(theirs.value)]
  const big = Buffer.alloc(300_000, 5)
  ours.value.write([big, Buffer.from('end')])
  expect(await service.untilLength(big.length + 3)).toHaveLength(big.length + 3)
  theirs.value.write([Buffer.from('bye')])
  theirs.value.end()
  await client.closed
  await service.closed
  expect(client.text).toBe('bye')
})

test.each([
  { name: 'a name that is not in the certificate', options: { serverName: 'elsewhere' }, ok: false },
  { name: 'the same, when only the chain counts', options: { serverName: 'elsewhere', verify: 'ca' }, ok: true },
  { name: 'an address in the certificate', options: { serverName: '127.0.0.1' }, ok: true },
  { name: 'an address that is not', options: { serverName: '127.0.0.2' }, ok: false },
  { name: "the system's roots, which do not know the authority", options: { ca: undefined, verify: 'ca' }, ok: false },
  { name: 'no verification', options: { ca: undefined, verify: 'none', serverName: 'elsewhere' }, ok: true },
] as const)('TLS client: $name', async ({ options, ok }) => {
  const { ours } = await handshake(options)
  expect(ours.status).toBe(ok ? 'fulfilled' : 'rejected')
  if (ours.status === 'rejected') expect(ours.reason).toMatchObject({ code: 'target.tls' })
})

test('TLS client: a certificate of another authority is refused', async () => {
  const { ours, theirs } = await handshake({}, stranger.server())
  expect(ours).toMatchObject({ status: 'rejected', reason: { code: 'target.tls' } })
  expect(theirs.status === 'rejected' || theirs.value).toBeTruthy()
})

test('TLS server: another application protocol is refused by both sides', async () => {
  const { ours, theirs } = await handshake({}, server, ['h2'])
  expect(ours).toMatchObject({ status: 'rejected', reason: { code: 'target.tls' } })
  expect(theirs).toMatchObject({ status: 'rejected', reason: { code: 'auth.tls_required' } })
})

test('TLS server: what is no handshake, or ends early, is refused and closed', async () => {
  for (const bytes of [Buffer.from('GET / HTTP/1.1\r\n\r\n'), Buffer.from([0x16, 3, 1, 0, 5, 1, 2, 3, 4, 5])]) {
    const { near, far } = await pair({ tls: server })
    const client = new Collected(near)
    const answer = far.startTls({ role: 'server', alpn: ['postgresql'] })
    client.send(bytes)
    await expect(answer).rejects.toMatchObject({ code: 'auth.tls_required' })
    await client.closed
  }
  const { near, far } = await pair({ tls: server })
  const answer = far.startTls({ role: 'server', alpn: ['postgresql'] })
  near.destroy()
  await expect(answer).rejects.toMatchObject({ code: 'auth.tls_required' })
})

test('TLS server: a broken record after the handshake closes the stream', async () => {
  const { listener, first } = await open({ tls: server })
  const raw = connect(listener.address)
  const far = await first
  const { connect: connectTls } = await import('node:tls')
  const secure = connectTls({ socket: raw, rejectUnauthorized: false, ALPNProtocols: ['postgresql'] })
  secure.on('error', () => undefined)
  const answered = new Collected(await far.startTls({ role: 'server', alpn: ['postgresql'] }))
  const { Socket } = await import('node:net')
  Socket.prototype.write.call(raw, Buffer.concat([Buffer.from([0x17, 3, 3, 0, 40]), Buffer.alloc(40, 9)]))
  await answered.closed
  raw.destroy()
})

test('a listener without a certificate cannot answer TLS', async () => {
  const { far } = await pair()
  await expect(far.startTls({ role: 'server', alpn: [] })).rejects.toMatchObject({ code: 'gateway.internal' })
})

test.each([
  { name: 'ECDSA with SHA-384', options: ['-sha384'], hash: 'sha384' },
  { name: 'RSA with SHA-512', options: ['-newkey', 'rsa:2048', '-sha512'], hash: 'sha512' },
])('channel binding of a certificate: $name', ({ options, hash }) => {
  const authority = new Certificates()
  const { cert } = authority.server('DNS:x', options)
  expect(serverEndPointOfPem(cert)).toEqual(createHash(hash).update(new X509Certificate(cert).raw).digest())
  authority.remove()
})

test.each([
  {
    name: 'RSASSA-PSS with SHA-384',
    options: ['-newkey', 'rsa:2048', '-sha384', '-sigopt', 'rsa_padding_mode:pss'],
    hash: 'sha384',
  },
  { name: 'RSA with SHA-1, counted as SHA-256', options: ['-newkey', 'rsa:2048', '-sha1'], hash: 'sha256' },
  { name: 'Ed25519, which has none', options: ['-newkey', 'ed25519'], hash: undefined },
])('channel binding of a self-signed certificate: $name', async ({ options, hash }) => {
  const { execFileSync } = await import('node:child_process')
  const command = ['req', '-x509', '-nodes', '-days', '1', '-subj', '/CN=x', '-keyout', '/dev/null', ...options]
  const cert = execFileSync('openssl', command, { stdio: 'pipe', encoding: 'utf8' })
  const wanted = hash && createHash(hash).update(new X509Certificate(cert).raw).digest()
  expect(serverEndPointOfPem(cert)).toEqual(wanted)
})

test('the clock calls once, unless cancelled', async () => {
  const calls: string[] = []
  const cancel = systemClock.after(1, () => calls.push('never'))
  cancel()
  await new Promise<void>((resolve) => {
    systemClock.after(5, () => {
      calls.push('once')
      resolve()
    })
    // The port's timers do not keep the process alive; this one does.
    setTimeout(() => undefined, 1000)
  })
  expect(calls).toEqual(['once'])
})

test('an address that cannot be had is a problem of the configuration, and its setting is named', async () => {
  const { listener } = await open()
  const { host, port } = listener.address
  const setting = 'listeners.postgres'
  await expect(open({ host, port, setting })).rejects.toMatchObject({
    code: 'config.invalid',
    message: `The address ${host}:${port} is in use (EADDRINUSE).`,
    hint: 'Stop what uses it, or choose another one: listeners.postgres.host and listeners.postgres.port.',
  })
  await expect(open({ host: '192.0.2.1', setting })).rejects.toMatchObject({
    code: 'config.invalid',
    hint: expect.stringContaining('listeners.postgres.host'),
  })
})
