import { GatewayError } from '../../kernel/index.ts'
import type { Conversation } from './conversation.ts'
import * as encode from './encode.ts'
import type { FrontendMessage } from './messages.ts'
import type { RunScene } from './run.ts'

/** A statement whose syntax error makes the target fail just there, so that it rolls back and skips as after any error. */
const REFUSAL = encode.parse('sallyport_refused', 'REFUSED BY SALLYPORT')

/** Refusals that the judge has recorded as operations, with their decision. */
const RECORDED_AS_OPERATION: ReadonlySet<string> = new Set([
  'policy.denied',
  'access.level',
  'policy.opaque',
  'policy.failed',
  'mask.unprovable',
  'review.denied',
  'review.expired',
  'review.withdrawn',
])

/** The target has already said what is wrong; `frame` is its answer where the client has not got it yet. */
export class AnsweredByTarget extends Error {
  readonly frame: Buffer | undefined

  constructor(frame: Buffer | undefined) {
    super('the target refused the statement when it was described')
    this.frame = frame
  }
}

/**
 * Answers the client in its own tongue, as the target would have: the transaction fails, the rest of an extended
 * segment is skipped. Where that makes a difference at the target, it is made to fail there too.
 */
export function refuse(message: FrontendMessage, thrown: unknown, talk: Conversation, scene: RunScene): void {
  const { outbox, session } = scene
  if (thrown instanceof AnsweredByTarget) {
    passOn(message, thrown, talk, scene)
    return
  }
  const error = GatewayError.from(thrown)
  if (error.code === 'gateway.internal')
    session.services.logger.error('a message could not be judged', { session: session.info.id, error: error.detail })
  if (!RECORDED_AS_OPERATION.has(error.code)) session.refused(error)
  const frame = encode.errorResponse(error)
  const simple = message.kind === 'query' || message.kind === 'functionCall'
  if (talk.quiet) {
    outbox.client(frame)
    if (simple) outbox.client(encode.readyForQuery('I'))
    else talk.state = 'skipping'
    return
  }
  talk.expect({ kind: 'refusal', error: frame })
  outbox.target(REFUSAL)
  talk.segmentOpen = true
  if (!simple) {
    talk.state = 'skipping'
    return
  }
  talk.expect({ kind: 'sync', duringCopy: false })
  outbox.target(encode.sync())
  talk.endSegment()
}

/** The target refused the gateway's own question about the statement, as it would have refused the statement. */
function passOn(message: FrontendMessage, { frame }: AnsweredByTarget, talk: Conversation, scene: RunScene): void {
  if (frame === undefined) return
  scene.outbox.client(frame)
  if (message.kind === 'query') scene.outbox.client(encode.readyForQuery(talk.transaction))
  else talk.state = 'skipping'
}
