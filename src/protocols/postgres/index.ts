import type { EngineServices, Protocol, ProtocolFactory } from '../../engine/index.ts'
import { type ByteStream, GatewayError, type MaskInstruction, type OpenedSession } from '../../kernel/index.ts'
import type { PolicySnapshot } from '../../policy/index.ts'
import { CancelKeys } from './cancel.ts'
import { type ConnectionContext, openConnection, openGatewaySession } from './connection.ts'
import { errorResponse } from './encode.ts'
import type { Relay } from './relay.ts'
import { DEFAULT_HANDSHAKE_LIMITS } from './startup.ts'
import { TargetKnowledge } from './target-knowledge.ts'

export { type PostgresConnection, postgresConnection } from './config.ts'

/** Between two looks for sessions that are idle or open for too long, ms. One timer serves them all. */
const SWEEP_MS = 5_000

/** Kinds of values that are in no recording, whoever may see them. */
const AT_REST_DETECTORS = ['personal', 'secret']

/** PostgreSQL, protocol 3.0 and 3.2. */
export const postgresProtocol: ProtocolFactory = (services) => new PostgresProtocol(services)

class PostgresProtocol implements Protocol {
  readonly name = 'postgres'
  readonly #services: EngineServices
  readonly #relays = new Set<Relay>()
  readonly #knowledge = new Map<string, TargetKnowledge>()
  readonly #context: ConnectionContext
  #draining = false
  #drained: (() => void) | undefined
  #sweeping = false
  readonly #startedAt = new WeakMap<Relay, number>()
  readonly #atRest = new WeakMap<PolicySnapshot, readonly MaskInstruction[]>()

  constructor(services: EngineServices) {
    this.#services = services
    this.#context = {
      services,
      keys: new CancelKeys(services.random),
      handshake: { ...DEFAULT_HANDSHAKE_LIMITS, handshakeTimeoutMs: services.limits.authenticationTimeoutMs },
      draining: () => this.#draining,
      knowledge: (opened) => this.#knowledgeOf(opened),
      atRest: () => this.#masksAtRest(),
      opened: (relay) => this.#opened(relay),
      closed: (relay) => this.#closed(relay),
    }
  }

  get sessionCount(): number {
    return this.#relays.size
  }

  serve(stream: ByteStream): void {
    const { logger } = this.#services
    openConnection(stream, this.#context).catch((error: unknown) => {
      const failure = GatewayError.from(error)
      const level = failure.row.blame === 'gateway' ? 'error' : 'info'
      logger[level]('a connection was refused', {
        code: failure.code,
        address: stream.remoteAddress,
        detail: failure.detail ?? failure.message,
      })
    })
  }

  refuse(stream: ByteStream): void {
    // Not answered: whatever it would ask first. Clients read an ErrorResponse in the place of any answer.
    stream.write([
      errorResponse(new GatewayError('gateway.busy', 'Too many connections wait to authenticate.'), 'FATAL'),
    ])
    stream.end()
  }

  async drain(deadlineMs: number): Promise<void> {
    this.#draining = true
    if (this.#relays.size === 0) return
    const drained = new Promise<void>((resolve) => {
      this.#drained = resolve
    })
    for (const relay of [...this.#relays]) relay.drain()
    const cancel = this.#services.clock.after(deadlineMs, () => {
      const error = new GatewayError(
        'gateway.draining',
        'The gateway is shutting down, and the statement did not finish in time.',
      )
      for (const relay of [...this.#relays]) relay.end(error, 'the gateway drained')
    })
    await drained
    cancel()
  }

  #opened(relay: Relay): void {
    this.#relays.add(relay)
    this.#startedAt.set(relay, this.#services.clock.monotonic())
    if (this.#draining) relay.drain()
    this.#sweepLater()
  }

  #closed(relay: Relay): void {
    this.#relays.delete(relay)
    if (this.#relays.size === 0) this.#drained?.()
  }

  #knowledgeOf(opened: OpenedSession): TargetKnowledge {
    // Another address, database or account is another catalogue, whatever the target's name.
    const { info, connection, credential } = opened.target
    const key = JSON.stringify([info.name, connection, credential.user])
    let known = this.#knowledge.get(key)
    if (known === undefined) {
      known = new TargetKnowledge(opened, this.#services, (session) =>
        openGatewaySession(session, 'catalog', this.#services),
      )
      this.#knowledge.set(key, known)
    }
    known.update(opened)
    return known
  }

  /** What must not be at rest, whoever may see it: every mask rule, and every kind of value that a detector knows. */
  #masksAtRest(): readonly MaskInstruction[] {
    const snapshot = this.#services.policy()
    let masks = this.#atRest.get(snapshot)
    if (masks === undefined) {
      masks = [...snapshot.maskRules, { rule: 'recording', mask: 'redact', columns: [], detect: AT_REST_DETECTORS }]
      this.#atRest.set(snapshot, masks)
    }
    return masks
  }

  #sweepLater(): void {
    const { clock, limits } = this.#services
    if (this.#sweeping || this.#relays.size === 0 || (limits.idleTimeoutMs === 0 && limits.maxSessionMs === 0)) return
    this.#sweeping = true
    clock.after(SWEEP_MS, () => {
      this.#sweeping = false
      this.#sweep(clock.monotonic())
      this.#sweepLater()
    })
  }

  #sweep(now: number): void {
    const { idleTimeoutMs, maxSessionMs } = this.#services.limits
    for (const relay of [...this.#relays]) {
      const age = now - (this.#startedAt.get(relay) ?? now)
      if (maxSessionMs > 0 && age > maxSessionMs)
        relay.end(
          new GatewayError('session.expired', 'The session was open for the longest time allowed.'),
          'the session was open for too long',
        )
      else if (idleTimeoutMs > 0 && relay.idleMs(now) > idleTimeoutMs)
        relay.end(
          new GatewayError('session.expired', 'The session was idle for too long.'),
          'the session was idle for too long',
        )
    }
  }
}
