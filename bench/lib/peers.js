import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { ManagedPostgres } from '../../dist/store/index.js'
import { accepts, debianBinaries, ensure, freePort, run, until } from './processes.js'

/** @typedef {import('./processes.js').Workplace} Workplace */
/**
 * Something that a PostgreSQL client can connect to.
 *
 * @typedef {{ name: string, host: string, port: number, user: string, password: string, database: string, pid?: number }} Peer
 */

export const SALLYPORT = fileURLToPath(new URL('../../bin/sallyport.js', import.meta.url))
const PIPE = fileURLToPath(new URL('pipe.js', import.meta.url))
const silent = { debug() {}, info() {}, warn() {}, error() {} }

/**
 * A PostgreSQL server of its own.
 *
 * @param {Workplace} workplace
 * @param {Record<string, string>} [settings]
 * @returns {Promise<Peer>}
 */
export async function startPostgres(workplace, settings = {}) {
  const server = await ManagedPostgres.start({
    folder: path.join(workplace.folder, 'server'),
    listen: { host: '127.0.0.1', port: 0 },
    database: 'bench',
    binFolder: debianBinaries(),
    settings: { fsync: 'off', shared_buffers: '256MB', max_connections: '200', autovacuum: 'off', ...settings },
    log: silent,
  })
  workplace.onClose(() => server.stop())
  return { name: 'direct', ...server.connection, pid: server.pid }
}

/**
 * @param {Workplace} workplace
 * @param {Peer} server
 * @returns {Promise<Peer>}
 */
export async function startPipe(workplace, server) {
  const port = await freePort()
  const { pid } = await workplace.start(process.execPath, [PIPE, String(port), String(server.port)])
  await until('the pipe', () => accepts(port))
  return { ...server, name: 'pipe', port, pid }
}

/**
 * @param {Workplace} workplace
 * @param {Peer} server
 * @param {{ connections?: number, tls?: { cert: string, key: string } | undefined }} [options]
 * @returns {Promise<Peer | undefined>} nothing where PgBouncer cannot be had
 */
export async function startPgBouncer(workplace, server, { connections = 200, tls } = {}) {
  const program = ensure('pgbouncer')
  if (program === undefined) return undefined
  const port = await freePort()
  const folder = path.join(workplace.folder, `pgbouncer-${port}`)
  mkdirSync(folder)
  const file = (/** @type {string} */ name, /** @type {string} */ text) => {
    writeFileSync(path.join(folder, name), text, { mode: 0o644 })
    return path.join(folder, name)
  }
  const users = file('users.txt', `"${server.user}" "${server.password}"\n`)
  const lines = [
    '[databases]',
    `${server.database} = host=${server.host} port=${server.port}`,
    '[pgbouncer]',
    `listen_addr = 127.0.0.1`,
    `listen_port = ${port}`,
    'unix_socket_dir =',
    'auth_type = scram-sha-256',
    `auth_file = ${users}`,
    'pool_mode = session', // as in Sallyport, a client keeps its server connection
    `default_pool_size = ${connections}`,
    `max_client_conn = ${connections + 10}`,
    'ignore_startup_parameters = extra_float_digits,options',
    'log_connections = 0',
    'log_disconnections = 0',
    ...(tls === undefined
      ? []
      : ['client_tls_sslmode = require', `client_tls_cert_file = ${tls.cert}`, `client_tls_key_file = ${tls.key}`]),
  ]
  const config = file('pgbouncer.ini', `${lines.join('\n')}\n`)
  const asNobody = process.getuid?.() === 0 ? ['-u', 'nobody'] : [] // it refuses to be root
  const { pid } = await workplace.start(program, ['-q', ...asNobody, config])
  await until('PgBouncer', () => accepts(port))
  return { ...server, name: 'pgbouncer', port, pid }
}

/** What an installation has in force: rules on kinds, one masked column, all the detectors. */
const POLICY = (/** @type {readonly string[]} */ columns) => `rules:
  - { name: no-destruction, match: { operation: [drop, truncate, alter] }, then: deny }
  - { name: careful-deletes, match: { operation: [delete], unbounded: true }, then: deny }
  - { name: columns, match: { columns: ${JSON.stringify(columns)} }, then: { mask: email } }
  - name: contents
    match: { detect: [credit_card, iban, email, phone, national_id, secret] }
    then: { mask: redact }
`

/**
 * The real gateway in a process of its own: one target that records `buffered`, one that records `strict`.
 *
 * @param {Workplace} workplace
 * @param {Peer} server
 * @param {{ columns: readonly string[], connections?: number, node?: readonly string[],
 *   tls?: { cert: string, key: string } | undefined }} options - `columns`: the masked ones.
 * @returns {Promise<{ buffered: Peer, strict: Peer, folder: string }>}
 */
export async function startSallyport(workplace, server, { columns, connections = 200, node = [], tls }) {
  const folder = path.join(workplace.folder, `sallyport-${await freePort()}`)
  mkdirSync(folder)
  chmodSync(folder, 0o711)
  const { host, port, database, user } = server
  const target = (/** @type {'buffered' | 'strict'} */ recording) => ({
    name: recording,
    type: 'postgres',
    connection: { address: { host, port }, database, tls: { mode: 'disable' } },
    credential: { user, password: 'env:BENCH_PASSWORD' },
    recording,
  })
  const config = {
    name: 'bench',
    dataFolder: 'data',
    logLevel: 'warn',
    listeners: {
      postgres: { host: '127.0.0.1', port: 0, ...(tls ? { tls: { certFile: tls.cert, keyFile: tls.key } } : {}) },
    },
    api: { host: '127.0.0.1', port: 0 },
    users: [{ subject: 'bench', email: 'bench@example.com', groups: ['admins'] }],
    grants: [{ groups: ['admins'], targets: ['buffered', 'strict'], level: 'admin' }],
    targets: [target('buffered'), target('strict')],
    policies: ['policy.yaml'],
    limits: { maxSessionsPerPrincipal: connections + 10, maxUnauthenticatedConnections: 256 },
  }
  writeFileSync(path.join(folder, 'policy.yaml'), POLICY(columns))
  const file = path.join(folder, 'sallyport.json')
  writeFileSync(file, JSON.stringify(config))
  const env = { ...process.env, BENCH_PASSWORD: server.password }
  const cli = (/** @type {string[]} */ ...args) => [...node, SALLYPORT, '--json', ...args, '--config', file]
  const made = JSON.parse(
    await run(process.execPath, [SALLYPORT, '--json', 'token', 'create', '--user', 'bench', '--config', file], { env }),
  )
  const running = await workplace.start(process.execPath, cli('gateway'), { env, ready: /\n}\n/, cwd: folder })
  const ready = JSON.parse(running.output())
  const peer = (/** @type {'buffered' | 'strict'} */ recording) => ({
    name: recording === 'buffered' ? 'sallyport' : 'sallyport strict',
    host: ready.postgres.host,
    port: ready.postgres.port,
    user: made.token.id,
    password: made.secret,
    database: recording,
    pid: running.pid,
  })
  return { buffered: peer('buffered'), strict: peer('strict'), folder }
}

/**
 * @param {Peer} peer
 * @param {pg.ClientConfig} [more]
 */
export async function connectTo({ host, port, user, password, database }, more = {}) {
  const client = new pg.Client({ host, port, user, password, database, ...more })
  client.on('error', () => undefined) // a peer that ends first is not what is measured
  await client.connect()
  return client
}

/**
 * For libpq.
 *
 * @param {Peer} peer
 */
export function environmentOf({ host, port, user, password, database }) {
  const own = { PGHOST: host, PGPORT: String(port), PGUSER: user, PGPASSWORD: password, PGDATABASE: database }
  return { ...process.env, ...own, PGSSLMODE: 'disable', PGGSSENCMODE: 'disable' }
}

/**
 * A certificate for the measurement of TLS sessions.
 *
 * @param {Workplace} workplace
 */
export async function makeCertificate(workplace) {
  const openssl = ensure('openssl')
  if (openssl === undefined) return undefined
  const [key, cert] = ['bench.key', 'bench.crt'].map((name) => path.join(workplace.folder, name))
  const subject = ['-subj', '/CN=localhost', '-days', '2', '-nodes']
  const kind = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1']
  await run(openssl, ['req', ...kind, ...subject, '-keyout', key, '-out', cert])
  chmodSync(key, 0o644)
  return { key, cert }
}
