import { and, desc, eq, isNull, type SQL, sql } from 'drizzle-orm'
import type { AccessLevel, Actor, Identity, Principal, ScramVerifier } from '../kernel/index.ts'
import { type Database, notify } from './database.ts'
import { guarded } from './errors.ts'
import { tokens } from './schema.ts'

const MAX_LISTED = 1_000

/** A token without its secret: only what verifies the secret is kept. */
export interface TokenRow {
  readonly id: string
  readonly name: string
  readonly identity: Identity
  readonly actor: Actor
  /** Names of targets it may open; undefined: all that the grants allow. */
  readonly targets: readonly string[] | undefined
  readonly levelCap: AccessLevel
  readonly verifier: ScramVerifier
  readonly createdAt: number
  readonly createdBy: string
  readonly expiresAt: number
  readonly revokedAt: number | undefined
  readonly revokedBy: string | undefined
  readonly lastUsedAt: number | undefined
}

export function principalOf(token: Pick<TokenRow, 'identity' | 'actor'>): Principal {
  return { identity: token.identity, actor: token.actor }
}

function fromRow(row: typeof tokens.$inferSelect): TokenRow {
  const { salt, iterations, storedKey, serverKey } = row
  return {
    id: row.id,
    name: row.name,
    identity: row.identity,
    actor: row.actor,
    targets: row.targets ?? undefined,
    levelCap: row.levelCap,
    verifier: { salt, iterations, storedKey, serverKey },
    createdAt: row.createdAt.getTime(),
    createdBy: row.createdBy,
    expiresAt: row.expiresAt.getTime(),
    revokedAt: row.revokedAt?.getTime(),
    revokedBy: row.revokedBy ?? undefined,
    lastUsedAt: row.lastUsedAt?.getTime(),
  }
}

export class TokenTable {
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
  }

  /** @param beforeCommit - Nothing is kept when it fails. */
  insert(token: TokenRow, beforeCommit: () => Promise<void>): Promise<void> {
    return guarded(() =>
      this.#database.transaction(async (transaction) => {
        await transaction.insert(tokens).values({
          id: token.id,
          name: token.name,
          identity: token.identity,
          actor: token.actor,
          targets: token.targets === undefined ? null : [...token.targets],
          levelCap: token.levelCap,
          salt: token.verifier.salt,
          iterations: token.verifier.iterations,
          storedKey: token.verifier.storedKey,
          serverKey: token.verifier.serverKey,
          createdAt: new Date(token.createdAt),
          createdBy: token.createdBy,
          expiresAt: new Date(token.expiresAt),
        })
        await beforeCommit()
      }),
    )
  }

  get(id: string): Promise<TokenRow | undefined> {
    return guarded(async () => {
      const rows = await this.#database.select().from(tokens).where(eq(tokens.id, id))
      return rows[0] === undefined ? undefined : fromRow(rows[0])
    })
  }

  /** Newest first; of everyone, or of one identity. */
  list(owner: Identity | undefined): Promise<readonly TokenRow[]> {
    return guarded(async () => {
      const rows = await this.#database
        .select()
        .from(tokens)
        .where(owner === undefined ? undefined : ownedBy(owner))
        .orderBy(desc(tokens.createdAt), desc(tokens.id))
        .limit(MAX_LISTED)
      return rows.map(fromRow)
    })
  }

  /** Idempotent: the first revocation stays. Wakes all gateways. */
  revoke(id: string, at: number, by: string): Promise<void> {
    return guarded(() =>
      this.#database.transaction(async (transaction) => {
        await transaction
          .update(tokens)
          .set({ revokedAt: new Date(at), revokedBy: by, changedAt: sql`now()` })
          .where(and(eq(tokens.id, id), isNull(tokens.revokedAt)))
        await notify(transaction, 'token', id)
      }),
    )
  }

  /** Written now and then, not for every connection. */
  markUsed(uses: ReadonlyMap<string, number>): Promise<void> {
    return guarded(async () => {
      const ids = [...uses.keys()]
      const times = [...uses.values()].map((at) => new Date(at))
      await this.#database.execute(sql`
        update ${tokens} set last_used_at = greatest(last_used_at, used.at)
        from unnest(${sql.param(ids)}::text[], ${sql.param(times)}::timestamptz[]) as used (id, at)
        where ${tokens.id} = used.id`)
    })
  }
}

function ownedBy(owner: Identity): SQL | undefined {
  return and(
    sql`${tokens.identity}->>'issuer' = ${owner.issuer}`,
    sql`${tokens.identity}->>'subject' = ${owner.subject}`,
  )
}
