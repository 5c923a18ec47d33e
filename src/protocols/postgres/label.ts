import type { StatementAnalysis } from '../../sql/index.ts'
import * as encode from './encode.ts'
import type { FrontendMessage } from './messages.ts'

type Labelling = Extract<FrontendMessage, { kind: 'query' | 'parse' }>

/** Sets what is set already: the label that the session was opened with. */
const KEEP_LABEL = 'SET application_name TO DEFAULT'

/**
 * The application name at the target is the gateway's label: who, through which agent, in which session. Drivers set
 * their own as soon as they are connected, and some do not go on when that fails. So where that is all a message asks,
 * the gateway sends a statement of its own instead, which is judged and recorded like any other and changes nothing.
 *
 * @returns the message to judge and send instead; undefined when this one is something else.
 */
export function keepLabel<Message extends Labelling>(
  message: Message,
  analyses: readonly StatementAnalysis[],
): Message | undefined {
  const [effect, ...others] = analyses.length === 1 ? (analyses[0]?.effects ?? []) : []
  if (effect?.kind !== 'set' || effect.via !== 'set' || effect.name !== 'application_name' || others.length > 0)
    return undefined
  const raw =
    message.kind === 'query' ? encode.query(KEEP_LABEL) : encode.parse(message.name, KEEP_LABEL, message.parameterTypes)
  return { ...message, raw, sql: Buffer.from(KEEP_LABEL) }
}
