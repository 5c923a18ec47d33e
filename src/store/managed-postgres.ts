import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, existsSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import path from 'node:path'
import pg from 'pg'
import { GatewayError, type Logger } from '../kernel/index.ts'
import { asAccount } from './managed/account.ts'
import { findBinaries, type PostgresBinaries } from './managed/binaries.ts'
import { makeData, passwordOf, pidFileLines, stopLeftover, USER } from './managed/data.ts'
import {
  dataVersion,
  type Home,
  makeSocketFolder,
  prepareHome,
  programFolder,
  removeSocketFolder,
} from './managed/home.ts'
import { FolderLock } from './managed/lock.ts'
import { endServer, signal, waitFor } from './managed/processes.ts'

const SOCKET_PORT = 5432
const START_TIMEOUT_MS = 60_000
const LOG_TAIL_BYTES = 2_000
const LOOPBACK = new Set(['127.0.0.1', '::1', 'localhost'])

export interface ManagedPostgresOptions {
  /** A folder of its own; made when missing. */
  readonly folder: string
  /** A unix socket that only this gateway can reach, or a port on loopback (0 picks a free one) with a password. */
  readonly listen: { readonly socket: true } | { readonly host: string; readonly port: number }
  /** Server settings beyond the defaults, e.g. `{ shared_buffers: '128MB' }`. */
  readonly settings?: Readonly<Record<string, string>>
  /** Made when missing. */
  readonly database?: string
  /** Use the server programs in this folder and no others. */
  readonly binFolder?: string | undefined
  readonly log: Logger
  /** The server ended although nobody stopped it. */
  readonly onLost?: (error: GatewayError) => void
}

/** What `pg` needs to connect. */
export interface ManagedConnection {
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password: string
  readonly database: string
}

/**
 * A PostgreSQL server that belongs to this gateway: its programs come with npm, its data lives in one folder, and it
 * lives and dies with the gateway. Nobody gets in without the password, which is generated and kept in the folder.
 */
export class ManagedPostgres {
  readonly connection: ManagedConnection
  readonly majorVersion: number
  /** Where the data really is; see the log when that is not the folder asked for. */
  readonly folder: string
  readonly #child: ChildProcess
  readonly #release: () => void
  #stopping: Promise<void> | undefined

  private constructor(
    connection: ManagedConnection,
    version: number,
    folder: string,
    child: ChildProcess,
    release: () => void,
  ) {
    this.connection = connection
    this.majorVersion = version
    this.folder = folder
    this.#child = child
    this.#release = release
  }

  /**
   * Starts the server, making its data at the first time and ending one that a killed gateway left behind.
   *
   * @throws GatewayError `store.locked` - another gateway uses the folder; `store.failed` - there is no server program,
   * or it does not start;
   * `config.invalid` - an address that is not on loopback.
   */
  static async start(options: ManagedPostgresOptions): Promise<ManagedPostgres> {
    if ('host' in options.listen && !LOOPBACK.has(options.listen.host))
      throw new GatewayError('config.invalid', 'A managed PostgreSQL server listens on loopback only.')
    const home = prepareHome(options.folder, options.log)
    const lock = FolderLock.take(home.folder)
    try {
      await stopLeftover(home, options.log)
      const binaries = findBinaries({
        binFolder: options.binFolder,
        account: home.account,
        privateFolder: programFolder(home),
        wantedVersion: dataVersion(home),
        log: options.log,
      })
      const password = passwordOf(home)
      if (dataVersion(home) === undefined) await makeData(home, binaries, password)
      return await launch(options, home, binaries, password, lock)
    } catch (error) {
      lock.release()
      throw GatewayError.from(error, 'store.failed')
    }
  }

  /** @internal Used by `launch` once the server answers. */
  static running(
    connection: ManagedConnection,
    version: number,
    folder: string,
    child: ChildProcess,
    release: () => void,
  ): ManagedPostgres {
    return new ManagedPostgres(connection, version, folder, child, release)
  }

  /** The connection as a URL, for clients that want one. Holds the password. */
  get url(): string {
    const { host, port, user, password, database } = this.connection
    const authority = host.startsWith('/') ? '' : `${host.includes(':') ? `[${host}]` : host}:${port}`
    const query = host.startsWith('/') ? `?host=${encodeURIComponent(host)}&port=${port}` : ''
    return `postgres://${user}:${password}@${authority}/${encodeURIComponent(database)}${query}`
  }

  /** Process id of the server, for the operator's log. */
  get pid(): number {
    return this.#child.pid ?? -1
  }

  /** Somebody asked it to stop. */
  get stopping(): boolean {
    return this.#stopping !== undefined
  }

  /** Ends connections and stops; at once if it takes too long. Idempotent. */
  stop(): Promise<void> {
    this.#stopping ??= endServer(this.#child.pid!, () => hasEnded(this.#child)).then(this.#release)
    return this.#stopping
  }
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null
}

async function freePort(host: string): Promise<number> {
  return await new Promise((resolve, reject) => {
    const server = createServer().once('error', reject)
    server.listen(0, host, () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}

/** Kept outside the data folder, where the server's account cannot change who may connect. */
function writeAccessRules(home: Home): string {
  const file = path.join(home.folder, 'pg_hba.conf')
  const rules = ['local all all', 'host all all 127.0.0.1/32', 'host all all ::1/128']
  rmSync(file, { force: true })
  writeFileSync(file, rules.map((rule) => `${rule} scram-sha-256\n`).join(''), { mode: 0o644 })
  return file
}

interface Place {
  readonly host: string
  readonly port: number
  readonly settings: Readonly<Record<string, string>>
}

async function chooseAddress(options: ManagedPostgresOptions, home: Home): Promise<Place> {
  if ('socket' in options.listen) {
    const folder = makeSocketFolder(home, SOCKET_PORT)
    const settings = { listen_addresses: '', unix_socket_directories: folder, unix_socket_permissions: '0700' }
    return { host: folder, port: SOCKET_PORT, settings }
  }
  const { host } = options.listen
  const port = options.listen.port === 0 ? await freePort(host) : options.listen.port
  return { host, port, settings: { listen_addresses: host, unix_socket_directories: '' } }
}

async function launch(
  options: ManagedPostgresOptions,
  home: Home,
  binaries: PostgresBinaries,
  password: string,
  lock: FolderLock,
): Promise<ManagedPostgres> {
  const place = await chooseAddress(options, home)
  const settings: Record<string, string> = {
    max_connections: '100',
    shared_buffers: '32MB',
    // Statements may hold what must not be at rest outside the store; the server's log is no place for them.
    log_min_error_statement: 'panic',
    log_parameter_max_length_on_error: '0',
    ...options.settings,
    ...place.settings,
    port: String(place.port),
    hba_file: writeAccessRules(home),
    password_encryption: 'scram-sha-256',
    fsync: 'on',
    full_page_writes: 'on',
    logging_collector: 'off',
    log_destination: 'stderr',
  }
  const logFile = path.join(home.folder, 'server.log')
  if (existsSync(logFile)) renameSync(logFile, `${logFile}.1`)
  const output = openSync(logFile, 'w', 0o600)
  const child = spawn(
    path.join(binaries.folder, 'postgres'),
    ['-D', home.data, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])],
    // A process group of its own: Ctrl-C must reach the gateway first, which still has to write.
    { ...asAccount(home.account), stdio: ['ignore', output, output], detached: true },
  )
  closeSync(output)
  child.unref()
  const failed = new Promise<never>((_, reject) => child.once('error', reject))
  failed.catch(() => undefined)
  const endWithGateway = () => signal(child.pid!, 'SIGINT')
  process.once('exit', endWithGateway)
  const release = () => {
    process.off('exit', endWithGateway)
    removeSocketFolder(home, place.host)
    lock.release()
  }
  const database = options.database ?? USER
  const connection = { host: place.host, port: place.port, user: USER, password, database }
  try {
    await Promise.race([failed, untilReady(child, home)])
    await makeDatabase(connection)
  } catch (error) {
    if (child.pid !== undefined) await endServer(child.pid, () => hasEnded(child))
    release()
    throw new GatewayError('store.failed', 'The managed PostgreSQL server did not start.', {
      detail: `${error instanceof Error ? error.message : String(error)}\n${tail(logFile)}`,
      hint: `Its log is ${logFile}.`,
      cause: error,
    })
  }
  const server = ManagedPostgres.running(connection, binaries.majorVersion, home.folder, child, release)
  child.once('exit', () => {
    if (server.stopping) return
    options.log.error('the managed PostgreSQL server ended by itself', { folder: home.folder })
    options.onLost?.(
      new GatewayError('store.failed', 'The managed PostgreSQL server ended by itself.', { detail: tail(logFile) }),
    )
  })
  return server
}

/** The eighth line of postmaster.pid tells the server's state (pg_ctl reads it too). */
async function untilReady(child: ChildProcess, home: Home): Promise<void> {
  const ready = await waitFor(() => {
    if (hasEnded(child)) return true
    const lines = pidFileLines(home)
    return Number(lines[0]) === child.pid && lines[7]?.trim() === 'ready'
  }, START_TIMEOUT_MS)
  if (hasEnded(child)) throw new Error(`it exited with status ${child.exitCode ?? child.signalCode}`)
  if (!ready) throw new Error(`it was not ready after ${START_TIMEOUT_MS} ms`)
}

async function makeDatabase(connection: ManagedConnection): Promise<void> {
  const client = new pg.Client({ ...connection, database: 'postgres' })
  await client.connect()
  try {
    const found = await client.query('select 1 from pg_database where datname = $1', [connection.database])
    if (found.rowCount === 0) await client.query(`create database ${client.escapeIdentifier(connection.database)}`)
  } finally {
    await client.end()
  }
}

function tail(file: string): string {
  try {
    return readFileSync(file, 'utf8').slice(-LOG_TAIL_BYTES)
  } catch {
    return ''
  }
}
