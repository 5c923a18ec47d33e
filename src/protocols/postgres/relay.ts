import { type EngineSession, Outbox } from '../../engine/index.ts'
import {
  type ByteStream,
  GatewayError,
  type Logger,
  type MaskInstruction,
  type PendingReview,
} from '../../kernel/index.ts'
import type { SqlAnalyzer } from '../../sql/index.ts'
import { Answers } from './answers.ts'
import type { Cancellable } from './cancel.ts'
import type { CatalogKeeper } from './catalog-keeper.ts'
import type { Companion } from './companion.ts'
import { Conversation } from './conversation.ts'
import { FrontendDecoder } from './decode.ts'
import * as encode from './encode.ts'
import { Judge } from './judge.ts'
import type { FrontendMessage } from './messages.ts'
import { Requests } from './requests.ts'
import type { RunScene } from './run.ts'
import { FRONTEND_STEPS } from './states.ts'
import type { TargetLink } from './target.ts'

export interface RelayOptions {
  readonly client: ByteStream
  /** Bytes that came with the end of the start-up. */
  readonly leftover: Buffer
  readonly link: TargetLink
  readonly session: EngineSession
  readonly analyzer: SqlAnalyzer
  readonly catalog: CatalogKeeper
  readonly companion: Companion
  readonly atRest: () => readonly MaskInstruction[]
  /** Asks the target to stop what it runs for this session. */
  readonly cancelTarget: () => Promise<void>
  /** The session is over; called once. */
  readonly ended: (reason: string) => void
}

/**
 * One open session: the client's messages go through `Requests` (judged, recorded, forwarded), the target's through
 * `Answers` (masked, recorded, forwarded). This class owns the order of things: one client message at a time, pauses
 * while somebody is asked, and the end.
 */
export class Relay implements Cancellable {
  readonly session: EngineSession
  readonly outbox: Outbox
  readonly #options: RelayOptions
  readonly #logger: Logger
  readonly #talk = new Conversation()
  readonly #decoder: FrontendDecoder
  readonly #requests: Requests
  readonly #answers: Answers
  #inbox: FrontendMessage[] = []
  #inboxBytes = 0
  #busy = false
  #ended = false
  #review: PendingReview | undefined
  #cancelling = false
  /** A cancel request came while a message was being judged, before there was a review to withdraw. */
  #cancelled = false
  #lastHeard: number
  #draining = false

  constructor(options: RelayOptions) {
    this.#options = options
    this.session = options.session
    const { services, journal } = options.session
    this.#logger = services.logger
    this.#lastHeard = services.clock.monotonic()
    this.#decoder = new FrontendDecoder(services.limits)
    const failed = (error: GatewayError) => this.end(error, 'the recording failed')
    const { client, link } = options
    this.outbox = new Outbox({
      journal,
      client,
      target: link.stream,
      maxQueuedBytes: services.limits.maxQueuedBytes,
      failed,
    })
    const talk = this.#talk
    const { masker } = services
    const catalog = options.catalog
    const scene: RunScene = {
      session: this.session,
      outbox: this.outbox,
      masker,
      catalog: () => catalog.snapshot,
      uncertain: () => catalog.uncertain,
      atRest: options.atRest,
      settle: (change) => talk.settle(change),
      drop: (change) => talk.drop(change),
    }
    const judge = new Judge({
      session: this.session,
      masker,
      catalog,
      companion: options.companion,
      atRest: options.atRest,
      searchPath: () => this.#answers.searchPath,
      waiting: (review) => this.#waiting(review),
    })
    const fatal = (error: GatewayError) => this.end(error, error.message)
    this.#answers = new Answers({ talk, scene, catalog, fatal, parameters: link.parameterStatus })
    this.#requests = new Requests({ talk, scene, judge, catalog, analyzer: options.analyzer, ended: () => this.#ended })
  }

  /** Takes over both streams. */
  start(): void {
    const { client, link, leftover } = this.#options
    link.stream.read({ data: (chunk) => this.#fromTarget(chunk), closed: () => this.#targetClosed() })
    client.read({ data: (chunk) => this.#fromClient(chunk), closed: () => this.#clientClosed() })
    if (link.leftover.length > 0) this.#fromTarget(link.leftover)
    if (leftover.length > 0) this.#fromClient(leftover)
    link.stream.resume()
    client.resume()
  }

  /** Milliseconds since the client said something, while nothing runs for it. */
  idleMs(now: number): number {
    return this.#talk.idle && !this.#busy ? now - this.#lastHeard : 0
  }

  /** No new operations; ends at once when nothing runs. */
  drain(): void {
    this.#draining = true
    this.#review?.withdraw('the gateway is shutting down')
    if (this.#talk.idle && !this.#busy) this.#endDrained()
  }

  /** CancelRequest with this session's key. */
  cancel(): void {
    // Only what stops something is recorded: a flood of requests must not grow the recording of an idle session.
    const record = () => this.session.journal.append({ type: 'cancel', at: this.session.now(), by: 'client' })
    if (this.#review !== undefined) {
      if (!this.#cancelled) record()
      this.#cancelled = true
      this.#review.withdraw('the client cancelled')
      return
    }
    if (this.#busy && !this.#cancelled) {
      record()
      this.#cancelled = true
    }
    if (this.#cancelling || this.#talk.idle) return
    if (!this.#busy) record()
    this.#cancelling = true // a flood of requests makes one connection to the target at a time
    this.#options
      .cancelTarget()
      .catch((error: unknown) =>
        this.#logger.warn('a cancel request did not reach the target', { error: String(error) }),
      )
      .finally(() => {
        this.#cancelling = false
      })
  }

  /** Tells the client why, records it, closes both sides. Idempotent. */
  end(error: GatewayError | undefined, reason: string): void {
    if (this.#ended) return
    this.#ended = true
    if (error !== undefined && this.session.journal.failed === undefined) this.session.refused(error)
    this.#review?.withdraw(reason)
    this.#talk.abandonAll()
    void this.#close(error, reason)
  }

  async #close(error: GatewayError | undefined, reason: string): Promise<void> {
    const { client, link } = this.#options
    if (error !== undefined) this.outbox.client(encode.errorResponse(error, 'FATAL'))
    await this.outbox.settled().catch(() => undefined)
    this.outbox.close()
    // The failure of the recording itself cannot be recorded; the client is told all the same, with no data in it.
    if (error !== undefined && this.session.journal.failed !== undefined)
      client.write([encode.errorResponse(error, 'FATAL')])
    client.end()
    link.stream.write([encode.terminate()])
    link.stream.end()
    this.#options.companion.close()
    this.#talk.wake()
    await this.session.end(reason)
    this.#options.ended(reason)
  }

  #waiting(review: PendingReview | undefined): void {
    this.#review = review
    if (review === undefined) return
    if (this.#ended || this.#cancelled) {
      review.withdraw(this.#ended ? 'the session ended' : 'the client cancelled')
      return
    }
    this.outbox.client(
      encode.notice({
        message: `held for review ${review.id}: another person has to approve this statement`,
        detail: `It waits, and runs only if approved. Ctrl-C withdraws it.`,
        hint: `Approve with: sallyport reviews approve ${review.id}   or at ${review.link}`,
      }),
    )
    this.outbox.flush()
  }

  #fromClient(chunk: Buffer): void {
    if (this.#ended) return
    this.#lastHeard = this.session.services.clock.monotonic()
    try {
      this.#decoder.push(chunk)
      for (const message of this.#decoder.messages()) {
        this.#inbox.push(message)
        this.#inboxBytes += message.raw.length
      }
    } catch (error) {
      this.#inbox = []
      this.end(GatewayError.from(error), 'the client sent something that is not understood')
      return
    }
    if (this.#inboxBytes > this.session.services.limits.maxInboxBytes) this.outbox.clientReads.stop('inbox-full')
    if (!this.#busy) void this.#work()
  }

  /** One message after the other; awaits only when somebody has to be asked. */
  async #work(): Promise<void> {
    this.#busy = true
    try {
      for (let at = 0; !this.#ended; ) {
        const message = this.#inbox[at]
        if (message === undefined) {
          this.#inbox = []
          break
        }
        at += 1
        this.#inboxBytes -= message.raw.length
        const pending = this.#handle(message)
        if (pending !== undefined) {
          this.outbox.flush()
          this.#inbox.splice(0, at)
          at = 0
          await pending
        }
      }
    } catch (error) {
      if (this.#ended) return // whoever waited was woken because the session is over
      this.#logger.error('a session failed', {
        session: this.session.info.id,
        error: error instanceof Error ? error.stack : String(error),
      })
      this.end(GatewayError.from(error), 'the gateway failed')
    } finally {
      this.#busy = false
    }
    if (this.#ended) return
    this.outbox.clientReads.lift('inbox-full')
    this.outbox.flush()
    if (this.#draining && this.#talk.idle) this.#endDrained()
  }

  #handle(message: FrontendMessage): Promise<void> | undefined {
    this.#cancelled = false
    const step = FRONTEND_STEPS[message.kind][this.#talk.state]
    switch (step) {
      case 'drop':
        return undefined
      case 'end':
        this.end(undefined, 'the client said good-bye')
        return undefined
      case 'fatal':
        this.end(
          new GatewayError(
            message.kind === 'opaque' ? 'pg.unknown_message' : 'pg.unexpected_message',
            `A message of the type "${message.kind === 'opaque' ? String.fromCharCode(message.tag) : message.kind}" cannot be followed here.`,
          ),
          'the client sent a message out of order',
        )
        return undefined
      default:
        return this.#requests.handle(message, step)
    }
  }

  #fromTarget(chunk: Buffer): void {
    if (this.#ended) return
    try {
      this.#answers.push(chunk)
    } catch (error) {
      const failure = GatewayError.from(error, 'target.protocol')
      this.#logger.error('an answer of the target was withheld', {
        session: this.session.info.id,
        code: failure.code,
        error: failure.detail ?? failure.message,
      })
      this.#options.cancelTarget().catch(() => undefined)
      this.end(failure, 'an answer of the target could not be released')
      return
    }
    this.#talk.wake()
    this.outbox.flush()
    if (this.#draining && this.#talk.idle && !this.#busy) this.#endDrained()
  }

  #endDrained(): void {
    this.end(new GatewayError('gateway.draining', 'The gateway is shutting down.'), 'the gateway drained')
  }

  #targetClosed(): void {
    if (this.#answers.saidGoodbye) this.end(undefined, 'the target ended the session')
    else
      this.end(new GatewayError('target.lost', 'The target closed the connection.'), 'the target closed the connection')
  }

  #clientClosed(): void {
    this.end(undefined, 'the client left')
  }
}
