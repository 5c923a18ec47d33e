import { sql } from 'drizzle-orm'
import { bigint, customType, index, integer, json, jsonb, pgSchema, text, timestamp } from 'drizzle-orm/pg-core'
import type { AccessLevel, Actor, Identity, TargetInfo } from '../kernel/index.ts'
import type { Review, ReviewAnswer, ReviewState } from '../review/index.ts'

/*
 * The tables, the same for the embedded store and for a server of yours. After a change here:
 *   npx drizzle-kit generate --dialect postgresql --schema src/store/schema.ts --out src/store/migrations --name <what>
 *
 * What a client or a target can choose freely is kept as `json`, never `jsonb`: only json takes \u0000 and lone
 * surrogates. `changed_at` is the database's clock, for replicas that look for what they missed; all other times come
 * from the gateway's clock.
 */

const bytea = customType<{ data: Buffer; driverData: Buffer }>({ dataType: () => 'bytea' })
/** Sorts by bytes whatever the database's locale, since ids sort by time. */
const key = customType<{ data: string; driverData: string }>({ dataType: () => 'text COLLATE "C"' })
const moment = (name: string) => timestamp(name, { withTimezone: true, precision: 3, mode: 'date' })
const changedAt = () => moment('changed_at').notNull().default(sql`now()`)

export const sallyport = pgSchema('sallyport')

/** Gateways that run, or did: sessions of one that is gone are closed by the others. */
export const instances = sallyport.table('instances', {
  id: key('id').primaryKey(),
  startedAt: moment('started_at').notNull().default(sql`now()`),
  seenAt: moment('seen_at').notNull().default(sql`now()`),
})

export const settings = sallyport.table('settings', {
  name: text('name').primaryKey(),
  value: bytea('value').notNull(),
})

export const tokens = sallyport.table(
  'tokens',
  {
    id: key('id').primaryKey(),
    name: text('name').notNull(),
    identity: jsonb('identity').$type<Identity>().notNull(),
    actor: jsonb('actor').$type<Actor>().notNull(),
    /** Names of targets; null is all that the grants allow. */
    targets: text('targets').array(),
    levelCap: text('level_cap').$type<AccessLevel>().notNull(),
    salt: bytea('salt').notNull(),
    iterations: integer('iterations').notNull(),
    storedKey: bytea('stored_key').notNull(),
    serverKey: bytea('server_key').notNull(),
    createdAt: moment('created_at').notNull(),
    createdBy: text('created_by').notNull(),
    expiresAt: moment('expires_at').notNull(),
    revokedAt: moment('revoked_at'),
    revokedBy: text('revoked_by'),
    lastUsedAt: moment('last_used_at'),
    changedAt: changedAt(),
  },
  (table) => [
    index('tokens_changed').on(table.changedAt),
    index('tokens_owner').on(sql`(${table.identity}->>'issuer')`, sql`(${table.identity}->>'subject')`),
  ],
)

export const sessions = sallyport.table(
  'sessions',
  {
    id: key('id').primaryKey(),
    instance: key('instance').notNull(),
    issuer: text('issuer').notNull(),
    subject: text('subject').notNull(),
    identity: jsonb('identity').$type<Identity>().notNull(),
    actor: jsonb('actor').$type<Actor>().notNull(),
    /** As it was when the session opened. */
    target: jsonb('target').$type<TargetInfo>().notNull(),
    targetName: text('target_name').notNull(),
    level: text('level').$type<AccessLevel>().notNull(),
    tokenId: text('token_id').notNull(),
    protocol: text('protocol').notNull(),
    client: json('client').$type<{ address: string; application: string }>().notNull(),
    startedAt: moment('started_at').notNull(),
    /** Somebody asked it to end; its gateway sets `ended_at`. */
    killedBy: text('killed_by'),
    killReason: text('kill_reason'),
    endedAt: moment('ended_at'),
    endReason: text('end_reason'),
    operations: bigint('operations', { mode: 'number' }).notNull().default(0),
    denied: bigint('denied', { mode: 'number' }).notNull().default(0),
    rowsReturned: bigint('rows_returned', { mode: 'number' }).notNull().default(0),
    bytesReturned: bigint('bytes_returned', { mode: 'number' }).notNull().default(0),
    recordingDigest: bytea('recording_digest'),
    changedAt: changedAt(),
  },
  (table) => [
    index('sessions_open').on(table.issuer, table.subject).where(sql`${table.endedAt} is null`),
    index('sessions_instance').on(table.instance).where(sql`${table.endedAt} is null`),
    index('sessions_owner').on(table.issuer, table.subject, table.id),
    index('sessions_changed').on(table.changedAt),
  ],
)

export const reviews = sallyport.table(
  'reviews',
  {
    id: key('id').primaryKey(),
    /** Counts changes; a change is written only over the version that it was computed from. */
    version: integer('version').notNull(),
    state: text('state').$type<ReviewState>().notNull(),
    sessionId: text('session_id').notNull(),
    issuer: text('issuer').notNull(),
    subject: text('subject').notNull(),
    /** `user:…` and `group:…` of all who may answer, in lower case, to find them by. */
    addressees: text('addressees').array().notNull(),
    digest: text('digest').notNull(),
    createdAt: moment('created_at').notNull(),
    expiresAt: moment('expires_at').notNull(),
    /** When it came to its present state. */
    steppedAt: moment('stepped_at').notNull(),
    endReason: json('end_reason').$type<string>().notNull(),
    answers: json('answers').$type<readonly ReviewAnswer[]>().notNull(),
    /** What never changes of it, masked as the recording is. */
    body: json('body').$type<ReviewBody>().notNull(),
    changedAt: changedAt(),
  },
  (table) => [
    index('reviews_pending').on(table.issuer, table.subject).where(sql`${table.state} = 'pending'`),
    index('reviews_open').on(table.expiresAt).where(sql`${table.state} in ('pending', 'approved')`),
    index('reviews_created').on(table.createdAt, table.id),
    index('reviews_changed').on(table.changedAt),
  ],
)

/** The part of a review that is fixed when it opens. */
export type ReviewBody = Pick<
  Review,
  'requester' | 'target' | 'rule' | 'reason' | 'quorums' | 'text' | 'parameters' | 'facts' | 'evidence'
>
