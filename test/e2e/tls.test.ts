import { readFileSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import tls from 'node:tls'
import { afterAll, beforeAll, describe, expect } from 'vitest'
import {
  type Certificates,
  column,
  errorOf,
  type Gateway,
  isMissing,
  makeCertificates,
  needs,
  run,
  startGateway,
  startTarget,
  type Target,
  temporaryFolder,
} from '../harness/index.ts'

const folder = temporaryFolder('tls')
let target: Target
let strict: Gateway
let lenient: Gateway
let files: Certificates

beforeAll(async () => {
  if (isMissing('openssl')) return
  files = makeCertificates(folder)
  target = await startTarget()
  const listener = { host: '127.0.0.1', port: 0, tls: { certFile: files.cert, keyFile: files.key } }
  const api = { host: '127.0.0.1', port: 0 }
  const [one, two] = await Promise.all([
    startGateway({
      targets: { shop: target },
      config: { api, listeners: { postgres: { ...listener, requireTls: true } } },
    }),
    startGateway({ targets: { shop: target }, config: { api, listeners: { postgres: listener } } }),
  ])
  strict = one
  lenient = two
})

afterAll(async () => {
  await Promise.all([strict?.close(), lenient?.close()])
  await target?.stop()
  rmSync(folder, { recursive: true, force: true })
})

function psql(gateway: Gateway, more: Record<string, string>, text = 'select 42') {
  const env = { ...gateway.environment('alice'), PGHOST: 'localhost', PGHOSTADDR: '127.0.0.1', ...more }
  return run('psql', ['-X', '-A', '-t', '-q', '-c', text], { env })
}

const libpq = needs('openssl', 'psql')
const node = needs('openssl')

describe('libpq', () => {
  libpq('verify-full with the right authority and name', async () => {
    expect(await psql(strict, { PGSSLMODE: 'verify-full', PGSSLROOTCERT: files.ca })).toMatchObject({
      status: 0,
      stdout: '42\n',
    })
  })

  libpq('verify-full refuses another authority and another name', async () => {
    const other = await psql(strict, { PGSSLMODE: 'verify-full', PGSSLROOTCERT: files.otherCa })
    expect(other.stderr).toMatch(/certificate verify failed/)
    const name = await psql(strict, { PGSSLMODE: 'verify-full', PGSSLROOTCERT: files.ca, PGHOST: 'elsewhere' })
    expect(name.stderr).toMatch(/does not match host name/)
  })

  libpq('channel_binding=require', async () => {
    const env = { PGSSLMODE: 'verify-full', PGSSLROOTCERT: files.ca, PGCHANNELBINDING: 'require' }
    expect(await psql(strict, env)).toMatchObject({ status: 0, stdout: '42\n' })
    expect((await psql(lenient, { PGSSLMODE: 'disable', PGCHANNELBINDING: 'require' })).status).toBe(2)
  })

  libpq('requireTls refuses plain connections before any password', async () => {
    const plain = await psql(strict, { PGSSLMODE: 'disable' })
    expect(plain.status).toBe(2)
    expect(plain.stderr).toMatch(/TLS/)
    expect(await psql(lenient, { PGSSLMODE: 'disable' })).toMatchObject({ status: 0, stdout: '42\n' })
    expect(await psql(lenient, { PGSSLMODE: 'require' })).toMatchObject({ status: 0, stdout: '42\n' })
  })

  libpq('a wrong secret is refused over TLS as it is without', async () => {
    const wrong = { PGSSLMODE: 'require', PGPASSWORD: `${strict.token('alice').secret}x` }
    for (const binding of ['require', 'disable'])
      expect((await psql(strict, { ...wrong, PGCHANNELBINDING: binding })).stderr).toMatch(/FATAL/)
  })

  libpq('cancelling works over TLS', async () => {
    const cancelled = await psql(
      strict,
      { PGSSLMODE: 'require' },
      "set statement_timeout = '200ms'; select pg_sleep(30)",
    )
    expect(cancelled.stderr).toMatch(/statement timeout/)
  })
})

describe('node-postgres', () => {
  node('over verified TLS', async () => {
    const { id, secret } = strict.token('alice')
    const { default: pg } = await import('pg')
    const client = new pg.Client({
      host: '127.0.0.1',
      port: strict.address.port,
      user: id,
      password: secret,
      database: 'shop',
      ssl: { ca: readFileSync(files.ca, 'utf8'), servername: 'localhost' },
      enableChannelBinding: true,
    } as ConstructorParameters<typeof pg.Client>[0])
    await client.connect()
    expect(await column(client, "select repeat('x', 3000000) is not null")).toEqual([true])
    await client.end()
  })

  node('without TLS is refused by requireTls', async () => {
    expect(await errorOf(strict.client('alice'))).toMatchObject({ code: '28000' })
  })
})

describe('raw sockets', () => {
  const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47])
  const STARTUP = (() => {
    const body = Buffer.from('user\0x\0database\0shop\0\0')
    const head = Buffer.alloc(8)
    head.writeInt32BE(8 + body.length, 0)
    head.writeInt32BE(196608, 4)
    return Buffer.concat([head, body])
  })()

  /** Everything that comes back until the other side closes, or for a moment. */
  function said(write: readonly Buffer[], port: number, momentMs = 1_500): Promise<Buffer> {
    return new Promise((resolve) => {
      const chunks: Buffer[] = []
      const socket = connect(port, '127.0.0.1', () => {
        for (const bytes of write) socket.write(bytes)
      })
      const timer = setTimeout(() => socket.destroy(), momentMs)
      socket.on('data', (chunk) => chunks.push(chunk))
      socket.on('error', () => undefined)
      socket.on('close', () => {
        clearTimeout(timer)
        resolve(Buffer.concat(chunks))
      })
    })
  }

  /** TLS from the first byte. */
  function direct(alpn: string[] | undefined): Promise<{ alpn: string | false | null; answer: Buffer } | Error> {
    return new Promise((resolve) => {
      const socket = tls.connect({
        host: '127.0.0.1',
        port: strict.address.port,
        servername: 'localhost',
        ca: readFileSync(files.ca),
        ...(alpn === undefined ? {} : { ALPNProtocols: alpn }),
      })
      socket.once('secureConnect', () => socket.write(STARTUP))
      socket.once('data', (answer: Buffer) => {
        resolve({ alpn: socket.alpnProtocol, answer })
        socket.destroy()
      })
      socket.once('error', resolve)
      socket.once('close', () => resolve(new Error('closed')))
    })
  }

  node('direct TLS needs the protocol name, and is answered with it', async () => {
    const good = await direct(['postgresql'])
    expect(good).toMatchObject({ alpn: 'postgresql' })
    expect((good as { answer: Buffer }).answer[0]).toBe('R'.charCodeAt(0))
    expect((good as { answer: Buffer }).answer.toString('latin1')).toContain('SCRAM-SHA-256-PLUS')
    for (const alpn of [undefined, ['http/1.1']]) {
      const refused = await direct(alpn)
      if (!(refused instanceof Error)) expect(refused.answer[0]).not.toBe('R'.charCodeAt(0))
    }
  })

  node('bytes sent along with the SSLRequest are refused: they might be injected', async () => {
    const answer = await said([Buffer.concat([SSL_REQUEST, STARTUP])], lenient.address.port)
    expect(answer.includes('SCRAM')).toBe(false)
    expect(answer.toString('latin1')).toMatch(/^(S|E[\s\S]*08P01)?/)
    expect(answer.includes('R\0\0\0')).toBe(false)
  })

  node('GSSENCRequest is declined, then the connection goes on', async () => {
    const gss = Buffer.from([0, 0, 0, 8, 4, 210, 22, 48])
    const answer = await said([gss], lenient.address.port)
    expect(answer.toString('latin1', 0, 1)).toBe('N')
    const both = await said([gss, STARTUP], lenient.address.port)
    expect(both.toString('latin1', 0, 1)).toMatch(/N|E/)
  })

  node('a replication connection is refused', async () => {
    const { stderr, status } = await run('psql', ['-X', '-c', 'IDENTIFY_SYSTEM', 'dbname=shop replication=database'], {
      env: lenient.environment('alice'),
    })
    expect(status).toBe(2)
    expect(stderr).toMatch(/replication/i)
  })
})
