import { randomBytes } from 'node:crypto'
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import pg from 'pg'
import { type Clock, GatewayError, type Logger } from '../../kernel/index.ts'
import { ManagedPostgres } from '../../store/managed-postgres.ts'
import { shopRows } from './shop-rows.ts'
import { SHOP_SCHEMA, SHOP_TABLES } from './shop-schema.ts'

const SEED = 20_261_123
const ROLE = 'shop_app'
export const SHOP_DATABASE = 'shop'
export const SHOP_ROLE = ROLE

export interface ShopOptions {
  /** The server's own folder. */
  readonly folder: string
  /** Where the role's password is kept, mode 0600. */
  readonly passwordFile: string
  /** 0 picks a free one. */
  readonly port: number
  readonly clock: Clock
  readonly logger: Logger
  readonly onLost: (error: GatewayError) => void
}

export interface Shop {
  readonly port: number
  /** Where the server keeps its data; another than the one asked for when its account cannot enter that. */
  readonly folder: string
  /** True the first time. */
  readonly filled: boolean
  stop(): Promise<void>
}

/** Starts the demo's target: a real PostgreSQL server of its own, filled the first time. */
export async function startShop(options: ShopOptions): Promise<Shop> {
  const server = await ManagedPostgres.start({
    folder: options.folder,
    listen: { host: '127.0.0.1', port: options.port },
    settings: { max_connections: '100' },
    log: options.logger,
    onLost: options.onLost,
  })
  try {
    const password = await passwordIn(options.passwordFile)
    await prepare(server, password)
    const filled = await fill(server, password, options.clock.now())
    return { port: server.connection.port, folder: server.folder, filled, stop: () => server.stop() }
  } catch (error) {
    await server.stop()
    throw GatewayError.from(error, 'store.failed')
  }
}

async function passwordIn(file: string): Promise<string> {
  const kept = await readFile(file, 'utf8').catch(() => '')
  if (kept.trim() !== '') return kept.trim()
  const password = randomBytes(24).toString('base64url')
  await mkdir(path.dirname(file), { recursive: true, mode: 0o700 })
  await writeFile(file, `${password}\n`, { mode: 0o600 })
  await chmod(file, 0o600)
  return password
}

/** The role owns the shop and nothing else; the server's own administrator is not used after this. */
async function prepare(server: ManagedPostgres, password: string): Promise<void> {
  await withClient({ ...server.connection, database: 'postgres' }, async (client) => {
    const role = await client.query('select from pg_roles where rolname = $1', [ROLE])
    const verb = role.rowCount === 0 ? 'create' : 'alter'
    await client.query(
      `${verb} role ${ROLE} login nosuperuser nocreatedb nocreaterole password ${client.escapeLiteral(password)}`,
    )
    const database = await client.query('select from pg_database where datname = $1', [SHOP_DATABASE])
    if (database.rowCount === 0)
      await client.query(`create database ${SHOP_DATABASE} owner ${ROLE} encoding 'UTF8' template template0`)
  })
}

/** All of it or nothing, so that a start that was interrupted is made up for by the next. */
async function fill(server: ManagedPostgres, password: string, now: number): Promise<boolean> {
  const connection = { ...server.connection, user: ROLE, password, database: SHOP_DATABASE }
  return withClient(connection, async (client) => {
    const there = await client.query<{ there: boolean }>(`select to_regclass('public.customers') is not null as there`)
    if (there.rows[0]?.there === true) return false
    const rows = shopRows(SEED, now)
    await client.query('begin')
    await client.query('create schema if not exists public')
    await client.query(SHOP_SCHEMA)
    for (const table of SHOP_TABLES) {
      const records = JSON.stringify(rows[table])
      await client.query(`insert into ${table} select * from json_populate_recordset(null::${table}, $1)`, [records])
      if (table !== 'order_items')
        await client.query(`select setval(pg_get_serial_sequence('${table}', 'id'), max(id)) from ${table}`)
    }
    await client.query('commit')
    await client.query('analyze')
    return true
  })
}

async function withClient<T>(connection: pg.ClientConfig, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ ...connection, application_name: 'sallyport demo' })
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}
