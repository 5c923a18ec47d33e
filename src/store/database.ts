import { fileURLToPath } from 'node:url'
import { sql } from 'drizzle-orm'
import { readMigrationFiles } from 'drizzle-orm/migrator'
import { drizzle, type NodePgDatabase } from 'drizzle-orm/node-postgres'
import { migrate } from 'drizzle-orm/node-postgres/migrator'
import pg from 'pg'
import { GatewayError, type Logger } from '../kernel/index.ts'

/** Any number will do, as long as every gateway uses the same. */
const MIGRATION_LOCK = 7_255_591_102
const MIGRATIONS_FOLDER = fileURLToPath(new URL('./migrations', import.meta.url))
const POOL_CONNECTIONS = 10
const CONNECT_TIMEOUT_MS = 5_000
const STATEMENT_TIMEOUT_MS = 15_000
/** A server that does not answer is not waited for. */
const CLOSE_TIMEOUT_MS = 2_000

export type Database = NodePgDatabase
/** The database, or a transaction in it. */
export type Executor = Pick<Database, 'select' | 'insert' | 'update' | 'delete' | 'execute'>

/** A connection URL, or what `pg` takes in its place. Holds the password: never printed. */
export type ConnectionTo = { readonly connectionString: string } | pg.ClientConfig

export function openPool(to: ConnectionTo, log: Logger): pg.Pool {
  const pool = new pg.Pool({
    ...to,
    max: POOL_CONNECTIONS,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    query_timeout: STATEMENT_TIMEOUT_MS + 1_000,
    idle_in_transaction_session_timeout: STATEMENT_TIMEOUT_MS,
    application_name: 'sallyport',
    keepAlive: true,
  })
  pool.on('error', (error) => log.warn('an idle connection to the store was lost', { reason: error.message }))
  return pool
}

/**
 * Resolves when the last connection is closed. The pool's own `end` resolves when they were asked to close, and a
 * server that stops in between would look like a loss.
 */
export async function closePool(pool: pg.Pool): Promise<void> {
  let open = pool.totalCount
  let timer: NodeJS.Timeout | undefined
  const closed = new Promise<void>((resolve) => {
    if (open === 0) return resolve()
    timer = setTimeout(resolve, CLOSE_TIMEOUT_MS)
    pool.on('remove', () => {
      open--
      if (open === 0) resolve()
    })
  })
  await pool.end()
  await closed
  clearTimeout(timer)
}

/** Brings the tables to this version. Gateways that start together wait for each other. */
export async function applyMigrations(to: ConnectionTo): Promise<void> {
  const client = new pg.Client({
    ...to,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    application_name: 'sallyport migrate',
  })
  await client.connect()
  try {
    await client.query('select pg_advisory_lock($1)', [MIGRATION_LOCK])
    await refuseNewer(client)
    await migrate(drizzle(client), {
      migrationsFolder: MIGRATIONS_FOLDER,
      migrationsSchema: 'sallyport',
      migrationsTable: 'migrations',
    })
  } finally {
    await client.end() // the lock ends with the connection
  }
}

/** An older gateway on newer tables would write what the newer ones do not expect. */
async function refuseNewer(client: pg.Client): Promise<void> {
  const table = await client.query(`select to_regclass('sallyport.migrations') as name`)
  if (table.rows[0]?.name === null) return
  const last = await client.query('select max(created_at) as at from sallyport.migrations')
  const newest = Math.max(...readMigrationFiles({ migrationsFolder: MIGRATIONS_FOLDER }).map((one) => one.folderMillis))
  if (Number(last.rows[0]?.at ?? 0) <= newest) return
  throw new GatewayError('store.failed', 'The store was made by a newer version of Sallyport.', {
    hint: 'Start that version, or restore the store from a backup made before the upgrade.',
  })
}

export const CHANNEL = 'sallyport'
export type NoticeKind = 'review' | 'token' | 'session'

/** Wakes every gateway when the transaction commits. */
export async function notify(on: Executor, kind: NoticeKind, id: string): Promise<void> {
  await on.execute(sql`select pg_notify(${CHANNEL}, ${`${kind} ${id}`})`)
}
