import { type DestinationStream, pino } from 'pino'
import type { Logger } from '../kernel/index.ts'

/** Names under which a secret could slip into a log line; what stands there is never written. */
const SECRET_FIELDS = ['password', 'secret', 'token', 'authorization', 'key', 'credential', 'url', 'verifier']

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent'

/** The operator's log: a JSON line for each event, on standard error unless told otherwise. */
export function createLogger(level: LogLevel, destination?: DestinationStream): Logger {
  const log = pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: SECRET_FIELDS.flatMap((field) => [field, `*.${field}`]), censor: '[removed]' },
    },
    destination ?? pino.destination({ dest: 2, sync: true }),
  )
  const line =
    (write: 'debug' | 'info' | 'warn' | 'error') => (message: string, fields?: Readonly<Record<string, unknown>>) =>
      log[write](fields === undefined ? {} : { ...fields }, message)
  return { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') }
}
