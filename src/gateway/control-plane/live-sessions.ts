import { type Clock, GatewayError, type SessionInfo } from '../../kernel/index.ts'
import { callAt } from './timer.ts'

interface Live {
  readonly session: SessionInfo
  /** When its token expires. */
  readonly tokenEnd: number
  readonly listeners: Set<(reason: GatewayError) => void>
  cancelDeadline: () => void
  ended: GatewayError | undefined
}

/** The sessions that this gateway serves now, and how to end them. */
export class LiveSessions {
  readonly #clock: Clock
  readonly #live = new Map<string, Live>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get size(): number {
    return this.#live.size
  }

  get all(): readonly SessionInfo[] {
    return [...this.#live.values()].map((live) => live.session)
  }

  has(id: string): boolean {
    return this.#live.has(id)
  }

  /** Before the session is in the store, so that a revocation in that very moment finds it. */
  add(session: SessionInfo, tokenEnd: number): void {
    this.#live.set(session.id, {
      session,
      tokenEnd,
      listeners: new Set(),
      cancelDeadline: () => undefined,
      ended: undefined,
    })
  }

  remove(id: string): void {
    this.#live.get(id)?.cancelDeadline()
    this.#live.delete(id)
  }

  /** Ends the session with its token or its grant, whichever ends first; undefined: the grant has no end. */
  limitTo(id: string, grantEnd: number | undefined): void {
    const live = this.#live.get(id)
    if (live === undefined || live.ended !== undefined) return
    live.cancelDeadline()
    const byGrant = grantEnd !== undefined && grantEnd < live.tokenEnd
    const why = byGrant
      ? 'The grant that allowed this session has ended.'
      : 'The token that opened this session has expired.'
    live.cancelDeadline = callAt(this.#clock, byGrant ? grantEnd : live.tokenEnd, () =>
      this.end(id, new GatewayError('session.expired', why)),
    )
  }

  /** Why the session must end, if it must. */
  reasonToEnd(id: string): GatewayError | undefined {
    return this.#live.get(id)?.ended
  }

  /** Calls once when the session must end, also when it had to already. The answer stops it. */
  onEnd(id: string, call: (reason: GatewayError) => void): () => void {
    const live = this.#live.get(id)
    const ended =
      live === undefined ? new GatewayError('session.revoked', 'The session is not open any more.') : live.ended
    if (live === undefined || ended !== undefined) {
      let listening = true
      queueMicrotask(() => listening && call(ended!))
      return () => {
        listening = false
      }
    }
    live.listeners.add(call)
    return () => live.listeners.delete(call)
  }

  end(id: string, reason: GatewayError): void {
    const live = this.#live.get(id)
    if (live === undefined || live.ended !== undefined) return
    live.ended = reason
    live.cancelDeadline()
    const listeners = [...live.listeners]
    live.listeners.clear()
    for (const call of listeners) call(reason)
  }

  endWhere(test: (session: SessionInfo) => boolean, reason: GatewayError): void {
    for (const { session } of [...this.#live.values()]) if (test(session)) this.end(session.id, reason)
  }
}
