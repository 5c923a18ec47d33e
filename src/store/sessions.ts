import { and, desc, eq, isNotNull, isNull, lt, type SQL, sql } from 'drizzle-orm'
import {
  type Actor,
  GatewayError,
  type Identity,
  type SessionInfo,
  type SessionSummary,
  type SessionTotals,
} from '../kernel/index.ts'
import { type Database, notify } from './database.ts'
import { guarded } from './errors.ts'
import { instances, sessions } from './schema.ts'

export interface SessionRow extends SessionInfo {
  readonly protocol: string
  /** Who asked it to end, and why. */
  readonly killed: { readonly by: string; readonly reason: string } | undefined
  readonly ended: SessionSummary | undefined
  /** SHA-256 of the sealed recording. */
  readonly recordingDigest: Buffer | undefined
}

export interface SessionLimits {
  readonly maxSessionsPerPrincipal: number
  readonly maxSessions: number
}

export interface SessionFilter {
  /** undefined: everyone's. */
  readonly owner: Identity | undefined
  /** Only what this actor did for the owner. */
  readonly actor: Actor | undefined
  readonly open: boolean | undefined
  readonly target?: string | undefined
  /** The last id of the page before. */
  readonly cursor: string | undefined
  readonly limit: number
}

function fromRow(row: typeof sessions.$inferSelect): SessionRow {
  return {
    id: row.id,
    principal: { identity: row.identity, actor: row.actor },
    target: row.target,
    level: row.level,
    tokenId: row.tokenId,
    client: row.client,
    startedAt: row.startedAt.getTime(),
    protocol: row.protocol,
    killed: row.killedBy === null ? undefined : { by: row.killedBy, reason: row.killReason ?? '' },
    ended:
      row.endedAt === null
        ? undefined
        : {
            endedAt: row.endedAt.getTime(),
            reason: row.endReason ?? '',
            operations: row.operations,
            denied: row.denied,
            rowsReturned: row.rowsReturned,
            bytesReturned: row.bytesReturned,
          },
    recordingDigest: row.recordingDigest ?? undefined,
  }
}

/** Text columns take everything but NUL. */
export function storable(text: string): string {
  return text.replaceAll('\0', '\u2400')
}

/** A session whose gateway is gone. */
export interface LeftSession {
  readonly session: string
  /** What it had done, where its recording tells. */
  readonly totals?: Readonly<SessionTotals> | undefined
}

export class SessionTable {
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
  }

  /**
   * Registers a session if the limits allow one more. Openings of one identity wait for each other, so the limit per
   * principal is exact; the limit of all together may be passed by as many as open in the same moment.
   *
   * @throws GatewayError `session.limit`
   */
  open(session: SessionInfo, protocol: string, instance: string, limits: SessionLimits): Promise<void> {
    const { issuer, subject } = session.principal.identity
    const { kind, name } = session.principal.actor
    return guarded(() =>
      this.#database.transaction(async (transaction) => {
        await transaction.execute(sql`select pg_advisory_xact_lock(hashtextextended(${`${issuer}\n${subject}`}, 1))`)
        const counted = await transaction.execute<{ own: number; all: number }>(sql`
          select (select count(*)::int from ${sessions} where ended_at is null
                   and issuer = ${issuer} and subject = ${subject}
                   and actor->>'kind' = ${kind} and actor->>'name' = ${name}) as own,
                 (select count(*)::int from ${sessions} where ended_at is null) as all`)
        const { own, all } = counted.rows[0]!
        if (own >= limits.maxSessionsPerPrincipal) throw tooMany('You have', limits.maxSessionsPerPrincipal)
        if (all >= limits.maxSessions) throw tooMany('The gateway has', limits.maxSessions)
        await transaction.insert(sessions).values({
          id: session.id,
          instance,
          issuer,
          subject,
          identity: session.principal.identity,
          actor: session.principal.actor,
          target: session.target,
          targetName: session.target.name,
          level: session.level,
          tokenId: session.tokenId,
          protocol,
          client: session.client,
          startedAt: new Date(session.startedAt),
        })
      }),
    )
  }

  close(id: string, summary: SessionSummary): Promise<void> {
    return guarded(async () => {
      await this.#database
        .update(sessions)
        .set({
          endedAt: new Date(summary.endedAt),
          endReason: storable(summary.reason),
          operations: summary.operations,
          denied: summary.denied,
          rowsReturned: summary.rowsReturned,
          bytesReturned: summary.bytesReturned,
        })
        .where(eq(sessions.id, id))
    })
  }

  setRecordingDigest(id: string, digest: Buffer): Promise<void> {
    return guarded(async () => {
      await this.#database.update(sessions).set({ recordingDigest: digest }).where(eq(sessions.id, id))
    })
  }

  get(id: string): Promise<SessionRow | undefined> {
    return guarded(async () => {
      const rows = await this.#database.select().from(sessions).where(eq(sessions.id, id))
      return rows[0] === undefined ? undefined : fromRow(rows[0])
    })
  }

  /** Newest first. */
  list(filter: SessionFilter): Promise<readonly SessionRow[]> {
    const conditions: (SQL | undefined)[] = [
      filter.owner && and(eq(sessions.issuer, filter.owner.issuer), eq(sessions.subject, filter.owner.subject)),
      filter.actor && byActor(filter.actor),
      filter.open === undefined ? undefined : filter.open ? isNull(sessions.endedAt) : isNotNull(sessions.endedAt),
      filter.target === undefined ? undefined : eq(sessions.targetName, filter.target),
      filter.cursor === undefined ? undefined : lt(sessions.id, filter.cursor),
    ]
    return guarded(async () => {
      const rows = await this.#database
        .select()
        .from(sessions)
        .where(and(...conditions))
        .orderBy(desc(sessions.id))
        .limit(filter.limit)
      return rows.map(fromRow)
    })
  }

  /** Asks the session's gateway to end it. @returns false when it had ended. */
  kill(id: string, by: string, reason: string): Promise<boolean> {
    return guarded(() =>
      this.#database.transaction(async (transaction) => {
        const changed = await transaction
          .update(sessions)
          .set({ killedBy: by, killReason: storable(reason), changedAt: sql`now()` })
          .where(and(eq(sessions.id, id), isNull(sessions.endedAt)))
          .returning({ id: sessions.id })
        if (changed.length > 0) await notify(transaction, 'session', id)
        return changed.length > 0
      }),
    )
  }

  /** Says that this gateway lives. */
  beat(instance: string): Promise<void> {
    return guarded(async () => {
      await this.#database
        .insert(instances)
        .values({ id: instance })
        .onConflictDoUpdate({ target: instances.id, set: { seenAt: sql`now()` } })
    })
  }

  /**
   * Closes the sessions of gateways that were not seen for so long, as `interrupted`.
   *
   * @param known - Sessions that are known to be over, whenever their gateway was seen; each once.
   * @returns the ids of those that were open.
   */
  closeAbandoned(staleAfterMs: number, known: readonly LeftSession[] = []): Promise<readonly string[]> {
    const left = JSON.stringify(known.map(({ session, totals }) => ({ session, totals })))
    return guarded(async () => {
      const closed = await this.#database.execute<{ id: string }>(sql`
        with known as (
          select * from json_to_recordset(${left}::json) as k (session text, totals json))
        update ${sessions} as s
        set ended_at = now(), end_reason = 'interrupted', changed_at = now(),
          operations = coalesce((select (totals->>'operations')::bigint from known where session = s.id), s.operations),
          denied = coalesce((select (totals->>'denied')::bigint from known where session = s.id), s.denied),
          rows_returned = coalesce(
            (select (totals->>'rowsReturned')::bigint from known where session = s.id), s.rows_returned),
          bytes_returned = coalesce(
            (select (totals->>'bytesReturned')::bigint from known where session = s.id), s.bytes_returned)
        where s.ended_at is null and (
          s.id in (select session from known)
          or not exists (
            select from ${instances} as i
            where i.id = s.instance and i.seen_at > now() - make_interval(secs => ${staleAfterMs / 1000})))
        returning s.id`)
      return closed.rows.map((row) => row.id)
    })
  }

  /** This gateway stops in order: what it still has open is closed as `reason`. */
  leave(instance: string, reason: string): Promise<void> {
    return guarded(async () => {
      await this.#database
        .update(sessions)
        .set({ endedAt: sql`now()`, endReason: reason, changedAt: sql`now()` })
        .where(and(eq(sessions.instance, instance), isNull(sessions.endedAt)))
      await this.#database.delete(instances).where(eq(instances.id, instance))
    })
  }
}

function byActor(actor: Actor): SQL {
  return sql`${sessions.actor}->>'kind' = ${actor.kind} and ${sessions.actor}->>'name' = ${actor.name}`
}

function tooMany(who: string, limit: number): GatewayError {
  return new GatewayError('session.limit', `${who} ${limit} open sessions, which is the limit.`)
}
