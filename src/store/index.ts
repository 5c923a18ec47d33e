import path from 'node:path'
import { sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/node-postgres'
import type { Clock, Logger } from '../kernel/index.ts'
import { applyMigrations, type ConnectionTo, closePool, type Database, openPool } from './database.ts'
import { guarded, storeFailure } from './errors.ts'
import { StoreEvents } from './events.ts'
import { ManagedPostgres } from './managed-postgres.ts'
import { ReviewTable } from './reviews.ts'
import { SessionTable } from './sessions.ts'
import { SettingsTable } from './settings.ts'
import { TokenTable } from './tokens.ts'

export type { Notice, StoreEvents } from './events.ts'
export { ManagedPostgres, type ManagedPostgresOptions } from './managed-postgres.ts'
export type { ReviewFilter, ReviewTable } from './reviews.ts'
export type { LeftSession, SessionFilter, SessionLimits, SessionRow, SessionTable } from './sessions.ts'
export type { SettingsTable } from './settings.ts'
export { principalOf, type TokenRow, type TokenTable } from './tokens.ts'

export type StoreOptions =
  | {
      /** A PostgreSQL server of the gateway's own, in this folder. */
      readonly kind: 'embedded'
      readonly folder: string
      readonly binFolder?: string | undefined
    }
  /** A PostgreSQL server of yours. The URL holds the password: never printed. */
  | { readonly kind: 'postgres'; readonly url: string }

export interface StoreSurroundings {
  readonly clock: Clock
  readonly log: Logger
  /** The embedded server ended by itself. */
  readonly onLost?: (error: Error) => void
}

/** Ids of what others changed, for gateways that look for what they missed. */
export interface Changes {
  /** The database's clock, for the next look. */
  readonly at: Date
  readonly reviews: readonly string[]
  /** Revoked. */
  readonly tokens: readonly string[]
  /** Killed, or closed for a gateway that was gone. */
  readonly sessions: readonly string[]
}

/** What the gateway keeps apart from recordings; the same tables on both kinds. */
export interface Store {
  readonly kind: StoreOptions['kind']
  readonly tokens: TokenTable
  readonly sessions: SessionTable
  readonly reviews: ReviewTable
  readonly settings: SettingsTable
  readonly events: StoreEvents
  /** Everything that others changed since then, with a margin for what committed late. */
  changesSince(at: Date | undefined): Promise<Changes>
  /** Rejects with GatewayError `store.failed` when the store does not answer. */
  health(): Promise<void>
  close(): Promise<void>
}

/** A change is stamped when its transaction starts and seen when it commits. */
const LATE_COMMIT_MARGIN_MS = 20_000

/**
 * Opens the store, makes or upgrades its tables, and starts to listen for other gateways.
 *
 * @throws GatewayError `store.failed`
 */
export async function openStore(options: StoreOptions, surroundings: StoreSurroundings): Promise<Store> {
  if (options.kind === 'postgres')
    return connect('postgres', { connectionString: options.url }, surroundings, async () => undefined)
  const server = await ManagedPostgres.start({
    folder: path.resolve(options.folder),
    listen: { socket: true },
    binFolder: options.binFolder,
    log: surroundings.log,
    ...(surroundings.onLost === undefined ? {} : { onLost: surroundings.onLost }),
  })
  try {
    return await connect('embedded', server.connection, surroundings, () => server.stop())
  } catch (error) {
    await server.stop()
    throw error
  }
}

async function connect(
  kind: Store['kind'],
  to: ConnectionTo,
  { clock, log }: StoreSurroundings,
  afterClose: () => Promise<void>,
): Promise<Store> {
  const events = new StoreEvents(to, clock, log)
  const pool = openPool(to, log)
  try {
    await applyMigrations(to)
    await events.open()
  } catch (error) {
    await Promise.allSettled([events.close(), closePool(pool)])
    throw storeFailure(error)
  }
  const database = drizzle(pool)
  return {
    kind,
    tokens: new TokenTable(database),
    sessions: new SessionTable(database),
    reviews: new ReviewTable(database),
    settings: new SettingsTable(database),
    events,
    changesSince: (at) => changesSince(database, at),
    health: () => guarded(async () => void (await database.execute(sql`select 1`))),
    close: async () => {
      await events.close()
      await closePool(pool)
      await afterClose()
    },
  }
}

async function changesSince(database: Database, at: Date | undefined): Promise<Changes> {
  const margin = sql`make_interval(secs => ${LATE_COMMIT_MARGIN_MS / 1000})`
  const since = at === undefined ? sql`now() - ${margin}` : sql`${at}::timestamptz - ${margin}`
  const result = await guarded(() =>
    database.execute<{ at: string; kind: string; id: string | null }>(sql`
      select now() as at, 'now' as kind, null as id
      union all select now(), 'review', id from sallyport.reviews where changed_at >= ${since}
      union all select now(), 'token', id from sallyport.tokens where changed_at >= ${since} and revoked_at is not null
      union all select now(), 'session', id from sallyport.sessions
        where changed_at >= ${since} and (killed_by is not null or end_reason = 'interrupted')`),
  )
  const ids = (kind: string) => result.rows.filter((row) => row.kind === kind).map((row) => row.id ?? '')
  return {
    at: new Date(result.rows[0]!.at),
    reviews: ids('review'),
    tokens: ids('token'),
    sessions: ids('session'),
  }
}
