import { readFileSync, writeFileSync } from 'node:fs'
import { request } from 'node:https'
import { connect, createServer, type Server, type Socket } from 'node:net'
import path from 'node:path'
import tls from 'node:tls'
import { afterAll, beforeAll, describe, expect } from 'vitest'
import { parse, stringify } from 'yaml'
import { Certificates, type Pair } from '../../src/edge/test/certificates.ts'
import {
  column,
  errorOf,
  eventually,
  type Gateway,
  isMissing,
  needs,
  run,
  start,
  startGateway,
  startTarget,
  type Target,
} from '../harness/index.ts'

const PASSWORD = 'a password at the target'
/** Names of targets, each the same server seen in another way. */
const WAYS = {
  full: { host: 'localhost', mode: 'verify-full', ca: 'right' },
  byaddress: { host: '127.0.0.1', mode: 'verify-full', ca: 'right' },
  stranger: { host: 'localhost', mode: 'verify-full', ca: 'wrong' },
  systemroots: { host: 'localhost', mode: 'verify-full', ca: undefined },
  chain: { host: '127.0.0.1', mode: 'verify-ca', ca: 'right' },
  wrongchain: { host: '127.0.0.1', mode: 'verify-ca', ca: 'wrong' },
  require: { host: '127.0.0.1', mode: 'require', ca: undefined },
  requirechain: { host: '127.0.0.1', mode: 'require', ca: 'wrong' },
  prefer: { host: '127.0.0.1', mode: 'prefer', ca: undefined },
  disable: { host: '127.0.0.1', mode: 'disable', ca: undefined },
} as const
const ROLES = ['bound', 'hashed', 'clear', 'trusting'] as const
const openssl = needs('openssl')
const libpq = needs('openssl', 'psql')

let authority: Certificates
let others: Certificates
let target: Target
let gateway: Gateway
let between: Between
let server: Pair

/** Somebody in the middle, with a certificate of the same authority, who reads all and changes nothing. */
class Between {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  private constructor(listener: Server) {
    this.#server = listener
  }

  static async open(pair: Pair, towards: () => number): Promise<Between> {
    const secureContext = tls.createSecureContext(pair)
    const between = new Between(
      createServer((near) => {
        between.#keep(near)
        near.once('data', () => {
          near.pause()
          near.write('S')
          const far = between.#keep(connect(towards(), '127.0.0.1'))
          far.write(Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]))
          far.once('data', () => {
            const client = new tls.TLSSocket(near, { isServer: true, secureContext, ALPNProtocols: ['postgresql'] })
            const behind = tls.connect({ socket: far, rejectUnauthorized: false, ALPNProtocols: ['postgresql'] })
            for (const socket of [client, behind]) socket.on('error', () => undefined)
            client.pipe(behind).pipe(client)
          })
        })
      }),
    )
    await new Promise<void>((resolve) => between.#server.listen(0, '127.0.0.1', resolve))
    return between
  }

  #keep(socket: Socket): Socket {
    this.#sockets.add(socket)
    return socket.on('error', () => undefined)
  }

  get port(): number {
    const address = this.#server.address()
    return typeof address === 'object' && address !== null ? address.port : 0
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
  }
}

/** Writes a file as the server's own account, which alone may read its key. */
async function writeAtTarget(name: string, text: string): Promise<void> {
  await target.sql(
    `copy (select line from unnest(string_to_array('${text.trim()}', E'\\n')) line) to program 'umask 077; cat > ${name}'`,
  )
}

async function turnOnTls(): Promise<void> {
  await writeAtTarget('server.crt', server.cert)
  await writeAtTarget('server.key', server.key)
  await target.sql(`
    create role bound login password '${PASSWORD}';
    create role clear login password '${PASSWORD}';
    create role trusting login;
    set password_encryption = 'md5';
    create role hashed login password '${PASSWORD}';
    reset password_encryption`)
  await target.sql('alter system set ssl = on')
  const access = String(await target.value('show hba_file'))
  const rules = `hostnossl all bound,clear,hashed,trusting all reject
    hostssl all bound all scram-sha-256\nhostssl all clear all password\nhostssl all hashed all md5\nhostssl all trusting all trust\n`
  writeFileSync(access, `${rules}${readFileSync(access, 'utf8')}`)
  await target.sql('select pg_reload_conf()')
  await eventually('TLS', async () => ((await target.value('show ssl')) === 'on' ? true : undefined))
}

function targetConfig(
  name: string,
  user: string,
  way: { readonly host: string; readonly mode: string; readonly ca: 'right' | 'wrong' | undefined },
  port = target.port,
) {
  const ca = way.ca === undefined ? {} : { ca: (way.ca === 'right' ? authority : others).authority.cert }
  return {
    name,
    type: 'postgres',
    connection: { address: { host: way.host, port }, database: target.database, tls: { mode: way.mode, ...ca } },
    credential: { user, ...(user === 'trusting' ? {} : { password: `env:TARGET_${name.toUpperCase()}_PASSWORD` }) },
  }
}

beforeAll(async () => {
  if (isMissing('openssl')) return
  authority = new Certificates()
  others = new Certificates()
  server = authority.server('DNS:localhost')
  target = await startTarget()
  await turnOnTls()
  between = await Between.open(authority.server('DNS:localhost'), () => target.port)
  const files = {
    certFile: path.join(authority.folder, 'gateway.pem'),
    keyFile: path.join(authority.folder, 'gateway.key'),
  }
  const own = authority.server('DNS:localhost,IP:127.0.0.1')
  writeFileSync(files.certFile, own.cert)
  writeFileSync(files.keyFile, own.key)
  const configs = [
    ...Object.entries(WAYS).map(([name, way]) => targetConfig(name, target.user, way)),
    ...ROLES.map((role) => targetConfig(role, role, WAYS.full)),
    targetConfig('plainbound', 'bound', WAYS.disable),
    targetConfig('plainclear', 'clear', WAYS.disable),
    targetConfig('middlebound', 'bound', WAYS.full, between.port),
    targetConfig('middleclear', 'clear', WAYS.full, between.port),
  ]
  const passwords = configs.map(({ name, credential }) => {
    const password = credential.user === target.user ? target.password : PASSWORD
    return [name, { ...target, password }] as const
  })
  gateway = await startGateway({
    targets: Object.fromEntries(passwords),
    config: { targets: configs, listeners: { postgres: { host: '127.0.0.1', port: 0, tls: files, requireTls: true } } },
  })
})

afterAll(async () => {
  between?.close()
  await gateway?.close()
  await target?.stop()
  authority?.remove()
  others?.remove()
})

function open(name: string) {
  const { id, secret } = gateway.token('alice')
  const url = `postgres://${id}:${secret}@127.0.0.1:${gateway.address.port}/${name}`
  return gateway.client('alice', name, { connectionString: url, ssl: { ca: authority.authority.cert } })
}

async function encrypted(name: string): Promise<unknown> {
  const client = await open(name)
  const [ssl] = await column(client, 'select ssl from pg_stat_ssl where pid = pg_backend_pid()')
  await client.end()
  return ssl
}

describe('towards the target', () => {
  for (const [name, want] of Object.entries({
    full: true,
    byaddress: 'refused',
    stranger: 'refused',
    systemroots: 'refused',
    chain: true,
    wrongchain: 'refused',
    require: true,
    requirechain: 'refused',
    prefer: true,
    disable: false,
  } satisfies Record<keyof typeof WAYS, boolean | 'refused'>)) {
    const { host, mode, ca } = WAYS[name as keyof typeof WAYS]
    openssl(`${mode} of ${host}, ${ca ?? 'no'} authority: ${want}`, async () => {
      if (want !== 'refused') {
        expect(await encrypted(name)).toBe(want)
        return
      }
      const error = await errorOf(open(name))
      expect(error).toMatchObject({ code: '08001', severity: 'FATAL', message: 'The TLS handshake failed.' })
      for (const secret of [target.port, target.user, 'certificate of', PASSWORD])
        expect(`${error.message} ${error.detail}`).not.toContain(String(secret))
    })
  }

  for (const role of ROLES) openssl(`over TLS as ${role}`, async () => expect(await encrypted(role)).toBe(true))

  openssl('a password is never sent in clear text without TLS', async () => {
    for (const name of ['plainclear', 'plainbound'])
      expect(await errorOf(open(name))).toMatchObject({ severity: 'FATAL' })
  })

  openssl('SCRAM is bound to the channel: somebody in the middle with a good certificate is found out', async () => {
    expect(await encrypted('middleclear')).toBe(true)
    expect(await errorOf(open('middlebound'))).toMatchObject({
      severity: 'FATAL',
      message: "The target refused the gateway's credential.",
    })
  })
})

describe('towards the client', () => {
  const psql = (env: Record<string, string>) =>
    run('psql', ['-X', '-A', '-t', '-q', '-c', 'select 42'], {
      env: { ...gateway.environment('alice', 'full'), PGHOST: 'localhost', PGHOSTADDR: '127.0.0.1', ...env },
    })
  const root = (which: Certificates) => path.join(which.folder, '0.pem')

  for (const [mode, host, ca, fine] of [
    ['require', 'elsewhere', undefined, true],
    ['prefer', 'elsewhere', undefined, true],
    ['verify-ca', 'elsewhere', 'right', true],
    ['verify-ca', 'localhost', 'wrong', false],
    ['verify-full', 'localhost', 'right', true],
    ['verify-full', 'elsewhere', 'right', false],
    ['verify-full', 'localhost', 'wrong', false],
    ['disable', 'localhost', undefined, false],
  ] as const)
    libpq(`sslmode=${mode} of ${host}, ${ca ?? 'no'} authority: ${fine ? 'opens' : 'refused'}`, async () => {
      const trusted = ca === undefined ? {} : { PGSSLROOTCERT: root(ca === 'right' ? authority : others) }
      const { status, stdout } = await psql({ PGSSLMODE: mode, PGHOST: host, ...trusted })
      expect({ status, stdout }).toEqual(fine ? { status: 0, stdout: '42\n' } : { status: 2, stdout: '' })
    })

  libpq('channel binding finds out somebody in the middle', async () => {
    const middle = await Between.open(authority.server('DNS:localhost'), () => gateway.address.port)
    const env = { PGSSLMODE: 'verify-full', PGSSLROOTCERT: root(authority), PGPORT: String(middle.port) }
    expect(await psql({ ...env, PGCHANNELBINDING: 'disable' })).toMatchObject({ status: 0 })
    for (const binding of ['prefer', 'require'])
      expect(await psql({ ...env, PGCHANNELBINDING: binding })).toMatchObject({
        status: 2,
        stderr: expect.stringMatching(/FATAL/),
      })
    middle.close()
  })

  libpq('Ctrl-C cancels with TLS on both sides', async () => {
    const env = { ...gateway.environment('alice', 'full'), PGSSLMODE: 'require' }
    const client = start('psql', ['-X', '-c', 'select pg_sleep(600)'], { env })
    const asleep = () =>
      target.sql("select 1 from pg_stat_activity where query = 'select pg_sleep(600)' and state = 'active'")
    await eventually('the sleep', async () => ((await asleep()).length === 1 ? true : undefined))
    const { status, stderr } = await client.signal('SIGINT')
    expect({ status, stderr }).toMatchObject({ status: 1, stderr: expect.stringContaining('canceling statement') })
    expect(await asleep()).toEqual([])
  })
})

describe('the API', () => {
  function get(url: URL, ca: string): Promise<{ status: number | undefined; body: string }> {
    const { id, secret } = gateway.token('admin')
    return new Promise((resolve, reject) => {
      request(url, { ca, headers: { authorization: `Bearer ${id}:${secret}` } }, (response) => {
        let body = ''
        response.setEncoding('utf8').on('data', (text: string) => {
          body += text
        })
        response.on('end', () => resolve({ status: response.statusCode, body }))
      })
        .on('error', reject)
        .end()
    })
  }

  openssl('over TLS, for programs, the command line and links', async () => {
    await gateway.end('SIGTERM')
    const config = parse(gateway.readConfig()) as { listeners: { postgres: { tls: object } }; api: object }
    config.api = { ...config.api, tls: config.listeners.postgres.tls }
    writeFileSync(gateway.configFile, stringify(config))
    await gateway.start()
    expect(gateway.apiUrl).toMatch(/^https:/)
    const sessions = new URL('/api/v1/sessions', gateway.apiUrl)
    expect(await get(sessions, authority.authority.cert)).toMatchObject({ status: 200 })
    await expect(get(sessions, others.authority.cert)).rejects.toThrow(/certificate|self-signed/)
    await expect(fetch(gateway.apiUrl.replace('https:', 'http:'))).rejects.toThrow()
    const { id, secret } = gateway.token('admin')
    const env = { SALLYPORT_TOKEN: `${id}:${secret}`, SALLYPORT_API: gateway.apiUrl }
    const trusting = await gateway.sallyport(['sessions', 'list'], {
      ...env,
      NODE_EXTRA_CA_CERTS: path.join(authority.folder, '0.pem'),
    })
    expect(trusting).toMatchObject({ status: 0, stderr: '' })
    const wary = await gateway.sallyport(['sessions', 'list'], env)
    expect(wary.status).not.toBe(0)
    expect(wary.stderr).toMatch(/certificate/i)
  })
})
