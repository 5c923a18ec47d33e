import { z } from 'zod'
import { DEFAULT_SESSION_LIMITS } from '../../engine/limits.ts'
import { limit } from './words.ts'

const MAX_TIMER_MS = 2_147_483_647
const session = DEFAULT_SESSION_LIMITS

/** Every bound on what a peer can grow. The words are those of the engine's session limits. */
export const limitsSchema = z
  .strictObject({
    maxConnections: limit('connections', 10_000, 'Client connections of one listener, authenticated or not.'),
    maxUnauthenticatedConnections: limit('connections', 256, 'Connections that have not authenticated yet.'),
    authenticationTimeoutMs: limit(
      'milliseconds',
      session.authenticationTimeoutMs,
      'From accepting a connection to the end of authentication, TLS handshake included.',
      { min: 100, max: MAX_TIMER_MS },
    ),
    maxSessionsPerPrincipal: limit('sessions', 100, 'Open sessions of one identity and actor.'),
    maxSessions: limit('sessions', 5_000, 'Open sessions of the whole gateway.'),
    maxMessageBytes: limit('bytes', session.maxMessageBytes, 'One protocol message in either direction.', {
      min: 65_536,
      max: 1_073_741_823,
    }),
    maxStatementMessageBytes: limit(
      'bytes',
      session.maxStatementMessageBytes,
      'One message that holds a statement; statements over 4 MiB are refused, larger messages end the session.',
      { min: 65_536, max: 1_073_741_823 },
    ),
    maxInboxBytes: limit('bytes', session.maxInboxBytes, 'Messages that wait behind a held operation.', {
      min: 65_536,
    }),
    maxQueuedBytes: limit(
      'bytes',
      session.maxQueuedBytes,
      'Unsent bytes towards a slow side before the other side is paused.',
      {
        min: 65_536,
      },
    ),
    maxNames: limit('names', session.maxNames, 'Prepared statements, portals and cursors that a client keeps open.'),
    connectTimeoutMs: limit('milliseconds', session.connectTimeoutMs, 'Opening a target.', { max: MAX_TIMER_MS }),
    evidenceTimeoutMs: limit(
      'milliseconds',
      session.evidenceTimeoutMs,
      "Waiting for the planner's estimate and the reviewer's row count.",
      { max: 60_000 },
    ),
    idleTimeoutMs: limit(
      'milliseconds',
      session.idleTimeoutMs,
      'A session without a message from its client ends after this; 0 means never.',
      { min: 0, max: MAX_TIMER_MS },
    ),
    maxSessionMs: limit(
      'milliseconds',
      session.maxSessionMs,
      'A session ends after this whatever it does; 0 means never.',
      {
        min: 0,
        max: MAX_TIMER_MS,
      },
    ),
    catalogPollMs: limit('milliseconds', session.catalogPollMs, "Between two looks at a target's catalogue.", {
      min: 100,
      max: 3_600_000,
    }),
    drainTimeoutMs: limit('milliseconds', 10_000, 'Time that running operations get when the gateway stops.', {
      min: 0,
      max: 600_000,
    }),
  })
  .prefault({})
  .describe('Bounds on what a peer can grow.')

export type Limits = z.output<typeof limitsSchema>
