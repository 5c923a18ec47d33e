import { GatewayError } from '../../kernel/index.ts'
import type { Conversation } from './conversation.ts'
import { isUtf8 } from './settings.ts'

const BACKSLASH = 0x5c
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** @throws GatewayError `sql.encoding` - the gateway and the target might read these bytes as different text. */
export function decodeSql(sql: Buffer, clientEncoding: string): string {
  if (isUtf8(clientEncoding)) {
    try {
      return utf8.decode(sql)
    } catch {
      throw new GatewayError('sql.encoding', 'The statement is not valid UTF-8.')
    }
  }
  if (sql.some(isNotAscii))
    throw new GatewayError('sql.encoding', `With the client encoding "${clientEncoding}" only ASCII can be judged.`, {
      hint: "SET client_encoding TO 'UTF8' first.",
    })
  return sql.toString('latin1')
}

/**
 * After an operation whose effects cannot be seen, the target might read backslashes or bytes above 0x7f in another way
 * until it reports its settings, which it does before ReadyForQuery. Such text waits for that, or is refused where it
 * cannot come.
 *
 * @returns undefined when the text can be read now; else a promise after which to ask again.
 */
export function awaitReadable(sql: Buffer, talk: Conversation): Promise<void> | undefined {
  if (!talk.readingUncertain || !(sql.includes(BACKSLASH) || sql.some(isNotAscii))) return undefined
  if (talk.idle) {
    talk.readingUncertain = false
    return undefined
  }
  if (talk.segmentOpen)
    throw new GatewayError('sql.setting', 'How the target reads this text cannot be known before its last answer.', {
      hint: 'Send it after the answer to the previous statement has arrived.',
    })
  return talk.answered()
}

function isNotAscii(byte: number): boolean {
  return byte > 0x7f
}
