import { spawn } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import pg from 'pg'
import type { Logger } from '../../src/kernel/index.ts'
import { ManagedPostgres } from '../../src/store/managed-postgres.ts'

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} }

/** Debian's server, for clients that cannot talk to a newer one; the package's own where that is not installed. */
export const DEBIAN_BINARIES = '/usr/lib/postgresql/15/bin'

export interface Target {
  readonly majorVersion: number
  readonly host: string
  readonly port: number
  /** A superuser: what stands between a client and the server is the gateway alone. */
  readonly user: string
  readonly password: string
  readonly database: string
  /** Asks the server itself, past the gateway. */
  sql<Row extends object = Record<string, unknown>>(text: string, values?: readonly unknown[]): Promise<Row[]>
  /** The first column of the first row. */
  value(text: string, values?: readonly unknown[]): Promise<unknown>
  stop(): Promise<void>
}

/** A temporary folder that servers running as another account may enter. */
export function temporaryFolder(purpose: string): string {
  const folder = mkdtempSync(path.join(tmpdir(), `sallyport-${purpose}-`))
  chmodSync(folder, 0o711)
  return folder
}

/** The server leads a process group of its own; somebody has to end it when a test run is killed. */
function endWithThisProcess(pid: number): () => void {
  const guard = spawn('sh', ['-c', `read -r _ || kill -INT ${pid}`], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  })
  guard.unref()
  return () => guard.stdin.end('done\n')
}

/**
 * A real PostgreSQL server on a free port, in a folder that goes away with it.
 *
 * @param which - `packaged`: the newest, from npm; `machine`: the older one of the machine, where there is one.
 */
export async function startTarget(
  which: 'packaged' | 'machine' = 'packaged',
  settings: Readonly<Record<string, string>> = {},
): Promise<Target> {
  const folder = temporaryFolder('target')
  const server = await ManagedPostgres.start({
    folder: path.join(folder, 'server'),
    listen: { host: '127.0.0.1', port: 0 },
    database: 'shop',
    binFolder: which === 'machine' && existsSync(DEBIAN_BINARIES) ? DEBIAN_BINARIES : undefined,
    settings: { synchronous_commit: 'off', ...settings },
    log: silent,
  })
  const release = endWithThisProcess(server.pid)
  const pool = new pg.Pool({ ...server.connection, max: 2, application_name: 'test' })
  pool.on('error', () => undefined)
  const sql = async <Row extends object>(text: string, values: readonly unknown[] = []) =>
    (await (values.length === 0 ? pool.query<Row>(text) : pool.query<Row>(text, [...values]))).rows
  return {
    majorVersion: server.majorVersion,
    ...server.connection,
    sql,
    value: async (text, values) => Object.values((await sql(text, values))[0] ?? {})[0],
    stop: async () => {
      await pool.end()
      await server.stop()
      release()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
