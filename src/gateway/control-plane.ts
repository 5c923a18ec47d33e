import {
  demand,
  evaluateGrants,
  FailureLimiter,
  isAdministrator,
  lowerLevel,
  newInstanceId,
  newSessionId,
} from '../identity/index.ts'
import {
  type ControlPlane,
  GatewayError,
  levelCovers,
  type OpenedSession,
  type OpenSessionRequest,
  type PendingReview,
  type Principal,
  principalLabel,
  type ReviewRequest,
  type ScramVerifier,
  type SessionInfo,
  type SessionSummary,
} from '../kernel/index.ts'
import type { Notice } from '../store/index.ts'
import { Administration } from './control-plane/administration.ts'
import { HeldReviews } from './control-plane/held-reviews.ts'
import { LiveSessions } from './control-plane/live-sessions.ts'
import {
  type ControlPlaneOptions,
  type ControlSettings,
  type ControlTarget,
  CurrentSettings,
  DEFAULT_TIMINGS,
  infoOf,
} from './control-plane/settings.ts'
import { TokenBook } from './control-plane/tokens.ts'
import { Upkeep } from './control-plane/upkeep.ts'

export type { Administration, SessionQuery, TokenRequest } from './control-plane/administration.ts'
export type { ControlPlaneOptions, ControlSettings, ControlTarget, ControlTimings } from './control-plane/settings.ts'

const MOCK_KEY_BYTES = 32
const MAX_CLIENT_CHARACTERS = 256

/** Who proved a token's secret. */
export interface Authenticated {
  readonly principal: Principal
  readonly tokenId: string
  readonly administrator: boolean
}

/** The kernel's port for the data plane, and what the API and the command line administer. */
export class GatewayControl implements ControlPlane {
  /** Names this run of this gateway. */
  readonly instance: string
  /** What people do; each call authorises its principal. */
  readonly administration: Administration
  /** Failed authentications of all listeners: `check` before, `failed` after. */
  readonly failures: FailureLimiter
  readonly #on: ControlPlaneOptions
  readonly #settings: CurrentSettings
  readonly #tokens: TokenBook
  readonly #live: LiveSessions
  readonly #reviews: HeldReviews
  readonly #upkeep: Upkeep
  #draining = false

  /** Use {@link createControlPlane}. */
  constructor(options: ControlPlaneOptions, mockKey: Buffer) {
    const { store, clock, random, log, audit, leftBehind = [] } = options
    const timings = { ...DEFAULT_TIMINGS, ...options.timings }
    this.#on = options
    this.instance = newInstanceId(random)
    this.#settings = new CurrentSettings(options.settings)
    this.administration = new Administration(options, this.#settings)
    this.failures = new FailureLimiter(clock)
    this.#tokens = new TokenBook(store, clock, this.#settings, mockKey, timings.tokenCacheMs)
    this.#live = new LiveSessions(clock)
    const publicUrl = () => this.#settings.now.publicUrl
    this.#reviews = new HeldReviews({ store, clock, random, log, audit, publicUrl })
    const parts = { live: this.#live, reviews: this.#reviews, tokens: this.#tokens }
    this.#upkeep = new Upkeep({ store, clock, log, timings, instance: this.instance, leftBehind, ...parts })
  }

  /** @internal */
  async start(): Promise<void> {
    await this.#upkeep.start()
  }

  verifierFor(tokenId: string): Promise<{ readonly verifier: ScramVerifier; readonly known: boolean }> {
    return this.#tokens.verifierFor(tokenId)
  }

  /**
   * Checks a token that came whole, as an HTTP bearer does.
   *
   * @throws GatewayError `auth.failed`, `auth.throttled`
   */
  async authenticate(tokenId: string, secret: string, address: string): Promise<Authenticated> {
    try {
      const { principal } = await this.#tokens.authenticate(tokenId, secret, address, this.failures)
      return { principal, tokenId, administrator: isAdministrator(principal, this.#settings.now.adminGroups) }
    } catch (error) {
      if (error instanceof GatewayError && error.code === 'auth.failed')
        await this.authenticationFailed(address, tokenId)
      throw error
    }
  }

  /** A listener saw a wrong secret or an unknown id. Logged once per address and window, so a flood does not fill the log. */
  async authenticationFailed(address: string, tokenId: string): Promise<void> {
    if (!this.failures.failed(address, tokenId)) return
    const details = { address, token: tokenId.slice(0, MAX_CLIENT_CHARACTERS) }
    await this.#on
      .audit({ type: 'login_failed', by: 'gateway', details })
      .catch(() => this.#on.log.error('failed authentications could not be logged', { address }))
  }

  admitLogin(address: string, tokenId: string): void {
    this.failures.check(address, tokenId)
  }

  loginFailed(address: string, tokenId: string): void {
    void this.authenticationFailed(address, tokenId)
  }

  async openSession(request: OpenSessionRequest): Promise<OpenedSession> {
    this.#refuseWhenDraining()
    const { clock, random } = this.#on
    const { token, principal } = await this.#tokens.proven(request.tokenId)
    const target = this.#allowedTarget(request, token.targets)
    const context = this.administration.context
    const { access } = demand(principal, 'session.open', { kind: 'target', target: infoOf(target) }, context)
    if (access === undefined) throw noGrant()
    const credential = await this.#credentialOf(target)
    const session: SessionInfo = {
      id: newSessionId(clock.now(), random),
      principal,
      target: infoOf(target),
      level: lowerLevel(access.level, token.levelCap),
      tokenId: token.id,
      client: {
        address: request.client.address.slice(0, MAX_CLIENT_CHARACTERS),
        application: request.client.application.slice(0, MAX_CLIENT_CHARACTERS),
      },
      startedAt: clock.now(),
    }
    await this.#register(session, request.protocol, token.expiresAt)
    this.#live.limitTo(session.id, access.until)
    const { connection, recording } = target
    return { info: session, target: { info: session.target, connection, credential, recording } }
  }

  async closeSession(id: string, summary: SessionSummary): Promise<void> {
    this.#live.remove(id)
    await this.#upkeep.close(id, summary)
    if (summary.recordingDigest !== undefined)
      await this.#on.store.sessions.setRecordingDigest(id, summary.recordingDigest)
    for (const review of await this.#on.store.reviews.openOf([id]).catch(() => []))
      await this.#reviews.abandon(review, 'The session has ended.').catch(() => undefined)
  }

  requestReview(request: ReviewRequest): Promise<PendingReview> {
    return this.#reviews.request(request)
  }

  async spendApproval(reviewId: string, digest: Buffer): Promise<boolean> {
    if (!(await this.#on.store.reviews.spend(reviewId, digest, this.#on.clock.now()))) return false
    // An approval that cannot be logged as used is used up all the same, and nothing runs.
    await this.#on.audit({ type: 'review_spent', by: 'gateway', details: { review: reviewId } })
    return true
  }

  onRevoked(sessionId: string, call: (reason: GatewayError) => void): () => void {
    return this.#live.onEnd(sessionId, call)
  }

  /** Sessions of this gateway, now. */
  get liveSessions(): readonly SessionInfo[] {
    return this.#live.all
  }

  /** Calls for everything that changes on any gateway, for live views. The answer stops it. */
  onChange(call: (notice: Notice) => void): () => void {
    return this.#on.store.events.subscribe(call)
  }

  /** Puts new settings in force and ends the sessions that they do not allow any more. */
  reconfigure(settings: ControlSettings): void {
    this.#settings.replace(settings)
    for (const session of this.#live.all) this.#reconsider(session)
  }

  /** What is not well, in words; empty when all is. */
  async health(): Promise<readonly string[]> {
    const store = await this.#on.store.health().then(
      () => [],
      (error: unknown) => [GatewayError.from(error, 'store.failed').message],
    )
    const events = this.#on.store.events.connected ? [] : ['Reviews and revocations of other gateways arrive late.']
    return [...store, ...events]
  }

  /** Refuses new sessions from now on. */
  drain(): void {
    this.#draining = true
  }

  /** Withdraws what waits, closes what is open, and takes leave of the other gateways. The store stays open. */
  async close(): Promise<void> {
    this.drain()
    await this.#reviews.close()
    await this.#upkeep.stop()
    await this.#on.store.sessions.leave(this.instance, 'the gateway stopped')
  }

  #refuseWhenDraining(): void {
    if (this.#draining)
      throw new GatewayError('gateway.draining', 'The gateway is shutting down. Connect again shortly.')
  }

  #allowedTarget(request: OpenSessionRequest, tokenTargets: readonly string[] | undefined): ControlTarget {
    const target = this.#settings.target(request.targetName)
    const inScope = tokenTargets === undefined || tokenTargets.includes(request.targetName)
    if (target === undefined || target.type !== request.protocol || !inScope) throw noGrant()
    return target
  }

  async #credentialOf(target: ControlTarget): Promise<OpenedSession['target']['credential']> {
    const { user, password } = target.credential
    try {
      return { user, password: password === undefined ? undefined : (await this.#on.secrets(password)).reveal() }
    } catch (error) {
      const failure = GatewayError.from(error, 'secret.unresolved')
      this.#on.log.error('the credential of a target could not be resolved', {
        target: target.name,
        reason: failure.detail,
      })
      throw failure
    }
  }

  async #register(session: SessionInfo, protocol: string, tokenEnd: number): Promise<void> {
    this.#live.add(session, tokenEnd)
    try {
      await this.#on.store.sessions.open(session, protocol, this.instance, this.#settings.now.limits)
    } catch (error) {
      this.#live.remove(session.id)
      throw error
    }
    const refusal = this.#live.reasonToEnd(session.id)
    if (refusal === undefined && !this.#draining) return
    const summary = { operations: 0, denied: 0, rowsReturned: 0, bytesReturned: 0 }
    await this.closeSession(session.id, { ...summary, endedAt: this.#on.clock.now(), reason: 'revoked' })
    throw refusal ?? new GatewayError('gateway.draining', 'The gateway is shutting down. Connect again shortly.')
  }

  #reconsider(session: SessionInfo): void {
    const target = this.#settings.target(session.target.name)
    const identity = this.#settings.identity(session.principal.identity)
    const principal = identity === undefined ? undefined : { ...session.principal, identity }
    const access =
      target === undefined || principal === undefined
        ? undefined
        : evaluateGrants(this.#settings.now.grants, principal, infoOf(target), this.#on.clock.now())
    if (access !== undefined && levelCovers(access.level, session.level))
      return this.#live.limitTo(session.id, access.until)
    this.#on.log.info('a session ends, since no grant allows it any more', {
      session: session.id,
      principal: principalLabel(session.principal),
    })
    this.#live.end(
      session.id,
      new GatewayError('session.revoked', 'The grant that allowed this session was withdrawn.'),
    )
  }
}

function noGrant(): GatewayError {
  return new GatewayError('access.no_grant', 'No grant lets you open this target, or there is no such target.')
}

/**
 * Starts the control plane: closes what earlier gateways left open, and listens for what others do.
 *
 * @throws GatewayError `store.failed`
 */
export async function createControlPlane(options: ControlPlaneOptions): Promise<GatewayControl> {
  const mockKey = await options.store.settings.getOrMake('mock-verifier-key', () =>
    options.random.bytes(MOCK_KEY_BYTES),
  )
  const control = new GatewayControl(options, mockKey)
  await control.start()
  return control
}
