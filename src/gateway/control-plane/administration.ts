import {
  type Action,
  type AuthorisationContext,
  authorise,
  demand,
  isReviewId,
  isSessionId,
  isTokenId,
  mintToken,
  type Reach,
  type Resource,
} from '../../identity/index.ts'
import {
  ACCESS_LEVELS,
  type AccessLevel,
  type Actor,
  GatewayError,
  type Identity,
  type Principal,
  principalLabel,
} from '../../kernel/index.ts'
import type { AdministrativeEntry } from '../../recording/index.ts'
import { answer, type Review, type ReviewState } from '../../review/index.ts'
import { principalOf, type SessionRow, type TokenRow } from '../../store/index.ts'
import type { ControlPlaneOptions, CurrentSettings } from './settings.ts'

const MAX_PAGE = 500
const MAX_REASON_CHARACTERS = 2_000
const MAX_NAME_CHARACTERS = 200
const MAX_TOKEN_TARGETS = 1_000
const DEFAULT_TOKEN_LIFE_MS = 30 * 86_400_000
const MAX_TOKEN_LIFE_MS = 366 * 86_400_000

export interface TokenRequest {
  /** For people: what it is for. */
  readonly name: string
  readonly identity: Identity
  readonly actor: Actor
  /** Names of targets; left out: all that the grants allow. */
  readonly targets?: readonly string[] | undefined
  /** Never raises what grants give. Default: `admin`, which caps nothing. */
  readonly levelCap?: AccessLevel | undefined
  /** Default: 30 days. */
  readonly expiresInMs?: number | undefined
}

export interface SessionQuery {
  readonly open?: boolean | undefined
  readonly target?: string | undefined
  readonly cursor?: string | undefined
  readonly limit: number
}

/** What people do through the API, the command line and the console. Each call asks `authorise` first. */
export class Administration {
  readonly #on: ControlPlaneOptions
  readonly #settings: CurrentSettings

  constructor(options: ControlPlaneOptions, settings: CurrentSettings) {
    this.#on = options
    this.#settings = settings
  }

  get context(): AuthorisationContext {
    const { adminGroups, grants } = this.#settings.now
    return { adminGroups, grants, now: this.#on.clock.now() }
  }

  /** @throws GatewayError with what to tell the principal. */
  demand(principal: Principal | undefined, action: Action, resource: Resource = { kind: 'any' }): Reach {
    return demand(principal, action, resource, this.context).reach
  }

  async listReviews(
    principal: Principal,
    query: { readonly states?: readonly ReviewState[] | undefined; readonly limit: number },
  ): Promise<readonly Review[]> {
    const reach = this.demand(principal, 'review.read')
    const found = await this.#on.store.reviews.list({
      viewer: reach === 'all' ? undefined : principal.identity,
      addressed: reach !== 'own',
      states: query.states,
      limit: pageSize(query.limit),
    })
    // The query is a wide net (names in lower case, all actors of a person); this is the decision.
    return found.filter((review) => authorise(principal, 'review.read', resourceOf(review), this.context).allowed)
  }

  /** @throws GatewayError `review.not_found` */
  async getReview(principal: Principal, id: string): Promise<Review> {
    const review = isReviewId(id) ? await this.#on.store.reviews.get(id) : undefined
    if (review === undefined) throw notFound('review.not_found', 'review')
    this.demand(principal, 'review.read', resourceOf(review))
    return review
  }

  /** @throws GatewayError `review.not_found`, `.self_approval`, `.not_reviewer`, `.not_pending`, `.expired`, `access.forbidden` */
  async answerReview(principal: Principal, id: string, verdict: 'approve' | 'deny', reason: string): Promise<Review> {
    const review = isReviewId(id) ? await this.#on.store.reviews.get(id) : undefined
    if (review === undefined) {
      this.demand(principal, 'review.answer')
      throw notFound('review.not_found', 'review')
    }
    this.demand(principal, 'review.answer', resourceOf(review))
    const given = { reviewer: principal, verdict, reason: cleanText(reason, MAX_REASON_CHARACTERS, 'reason') }
    const changed = await this.#on.store.reviews.change(
      id,
      (current) => answer(current, { ...given, now: this.#on.clock.now() }),
      async (next) => {
        const details = { review: id, session: next.sessionId, verdict, state: next.state }
        await this.#on.audit({ type: 'review_answered', by: principalLabel(principal), details })
      },
    )
    if (changed === undefined) throw notFound('review.not_found', 'review')
    return changed
  }

  /** Newest first; `next` is the cursor of the following page. */
  async listSessions(
    principal: Principal,
    query: SessionQuery,
  ): Promise<{ readonly items: readonly SessionRow[]; readonly next: string | undefined }> {
    const reach = this.demand(principal, 'session.read')
    if (query.cursor !== undefined && !isSessionId(query.cursor))
      throw new GatewayError('api.invalid', 'The cursor is not one of an earlier answer.')
    const limit = pageSize(query.limit)
    const own = reach !== 'all'
    const found = await this.#on.store.sessions.list({
      owner: own ? principal.identity : undefined,
      actor: own && principal.actor.kind !== 'human' ? principal.actor : undefined,
      open: query.open,
      target: query.target,
      cursor: query.cursor,
      limit: limit + 1,
    })
    const items = found
      .slice(0, limit)
      .filter((row) => authorise(principal, 'session.read', ownedBy(row), this.context).allowed)
    return { items, next: found.length > limit ? found[limit - 1]!.id : undefined }
  }

  /**
   * @param action - What is to be done with it: `session.read`, `session.replay` or `session.export`.
   * @throws GatewayError `recording.not_found`
   */
  async getSession(
    principal: Principal,
    id: string,
    action: 'session.read' | 'session.replay' | 'session.export' = 'session.read',
  ): Promise<SessionRow> {
    const row = isSessionId(id) ? await this.#on.store.sessions.get(id) : undefined
    if (row === undefined) throw notFound('recording.not_found', 'session')
    this.demand(principal, action, ownedBy(row))
    return row
  }

  /** Ends a session wherever it runs. @returns false when it had ended. @throws GatewayError `recording.not_found` */
  async endSession(principal: Principal, id: string, reason: string): Promise<boolean> {
    const row = isSessionId(id) ? await this.#on.store.sessions.get(id) : undefined
    if (row === undefined) throw notFound('recording.not_found', 'session')
    this.demand(principal, 'session.end', ownedBy(row))
    const by = principalLabel(principal)
    const killed = await this.#on.store.sessions.kill(id, by, cleanText(reason, MAX_REASON_CHARACTERS, 'reason'))
    if (killed) await this.#auditAfter({ type: 'session_revoked', by, details: { session: id } })
    return killed
  }

  /** @throws GatewayError `access.forbidden`, `api.invalid` */
  async createToken(principal: Principal, request: TokenRequest): Promise<{ token: TokenRow; secret: string }> {
    const owner = { identity: request.identity, actor: request.actor }
    const reach = this.demand(principal, 'token.create', { kind: 'owned', owner })
    // Whoever makes one for themselves gets no other groups or address than they were verified with.
    const identity = reach === 'all' ? request.identity : principal.identity
    return this.issueToken({ ...request, identity }, principalLabel(principal))
  }

  /**
   * Makes a token without asking who wants it: for the command line on the gateway's own machine, and the demo.
   *
   * @param by - For the audit log.
   */
  async issueToken(request: TokenRequest, by: string): Promise<{ token: TokenRow; secret: string }> {
    const now = this.#on.clock.now()
    const life = request.expiresInMs ?? DEFAULT_TOKEN_LIFE_MS
    if (!Number.isInteger(life) || life < 1 || life > MAX_TOKEN_LIFE_MS)
      throw new GatewayError('api.invalid', `A token lives for at least 1 and at most ${MAX_TOKEN_LIFE_MS} ms.`)
    const { id, secret, verifier } = mintToken(this.#on.random)
    const token: TokenRow = {
      id,
      name: cleanText(request.name, MAX_NAME_CHARACTERS, 'name'),
      identity: checkedIdentity(request.identity),
      actor: checkedActor(request.actor),
      targets: checkedTargets(request.targets),
      levelCap: checkedLevel(request.levelCap ?? 'admin'),
      verifier,
      createdAt: now,
      createdBy: by,
      expiresAt: now + life,
      revokedAt: undefined,
      revokedBy: undefined,
      lastUsedAt: undefined,
    }
    const details = { token: id, principal: principalLabel(token), level: token.levelCap, expiresAt: token.expiresAt }
    await this.#on.store.tokens.insert(token, async () => {
      await this.#on.audit({ type: 'token_created', by, details })
    })
    return { token, secret }
  }

  /** Everyone's for administrators, else one's own. */
  async listTokens(principal: Principal): Promise<readonly TokenRow[]> {
    const reach = this.demand(principal, 'token.read')
    const found = await this.#on.store.tokens.list(reach === 'all' ? undefined : principal.identity)
    return found.filter((token) => authorise(principal, 'token.read', ownerOf(token), this.context).allowed)
  }

  /** Ends all sessions that it opened, on every gateway. Idempotent. @throws GatewayError `api.not_found` */
  async revokeToken(principal: Principal, id: string): Promise<TokenRow> {
    const token = isTokenId(id) ? await this.#on.store.tokens.get(id) : undefined
    if (token === undefined) {
      this.demand(principal, 'token.revoke')
      throw notFound('api.not_found', 'token')
    }
    this.demand(principal, 'token.revoke', ownerOf(token))
    const by = principalLabel(principal)
    await this.#on.store.tokens.revoke(id, this.#on.clock.now(), by)
    if (token.revokedAt === undefined) await this.#auditAfter({ type: 'token_revoked', by, details: { token: id } })
    return (await this.#on.store.tokens.get(id)) ?? token
  }

  /** For what must work even when the audit log does not: taking power away. */
  async #auditAfter(entry: AdministrativeEntry): Promise<void> {
    try {
      await this.#on.audit(entry)
    } catch (error) {
      const reason = GatewayError.from(error).detail
      this.#on.log.error('an administrative event could not be logged', { type: entry.type, ...entry.details, reason })
    }
  }
}

function resourceOf(review: Review): Resource {
  const reviewers = review.quorums.flatMap((quorum) => quorum.reviewers)
  return { kind: 'review', requester: review.requester, reviewers }
}

function ownedBy(row: SessionRow): Resource {
  return { kind: 'owned', owner: row.principal }
}

function ownerOf(token: TokenRow): Resource {
  return { kind: 'owned', owner: principalOf(token) }
}

function notFound(code: 'review.not_found' | 'recording.not_found' | 'api.not_found', what: string): GatewayError {
  return new GatewayError(code, `There is no such ${what}, or you may not see it.`)
}

function pageSize(limit: number): number {
  return Math.min(Math.max(1, Math.floor(limit) || 1), MAX_PAGE)
}

function cleanText(text: string, maxCharacters: number, what: string): string {
  if (text.length > maxCharacters)
    throw new GatewayError('api.invalid', `The ${what} is over ${maxCharacters} characters.`)
  // Control characters would let a name or a reason rewrite somebody's terminal or a line of a log.
  return text.replace(/[\u0000-\u001f\u007f-\u009f\p{Surrogate}]/gu, ' ').trim()
}

function word(text: string, what: string): string {
  const clean = cleanText(text, MAX_NAME_CHARACTERS, what)
  if (clean === '' || clean !== text)
    throw new GatewayError('api.invalid', `The ${what} is empty or holds control characters.`)
  return clean
}

function checkedIdentity(identity: Identity): Identity {
  return {
    issuer: word(identity.issuer, 'issuer'),
    subject: word(identity.subject, 'subject'),
    email: cleanText(identity.email, MAX_NAME_CHARACTERS, 'email'),
    groups: identity.groups.map((group) => word(group, 'group')),
  }
}

function checkedActor(actor: Actor): Actor {
  if (!['human', 'agent', 'service'].includes(actor.kind))
    throw new GatewayError('api.invalid', 'An actor is human, agent or service.')
  return { kind: actor.kind, name: word(actor.name, 'actor') }
}

function checkedTargets(targets: readonly string[] | undefined): readonly string[] | undefined {
  if (targets === undefined) return undefined
  if (targets.length > MAX_TOKEN_TARGETS) throw new GatewayError('api.invalid', 'The token names too many targets.')
  return targets.map((target) => word(target, 'target'))
}

function checkedLevel(level: AccessLevel): AccessLevel {
  if (!ACCESS_LEVELS.includes(level)) throw new GatewayError('api.invalid', 'An access level is read, write or admin.')
  return level
}
