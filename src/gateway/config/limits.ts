import { z } from 'zod'
import { limit, optionalLimit } from './words.ts'

/** Every bound on what a peer can grow. */
export const limitsSchema = z
  .strictObject({
    maxConnections: limit('connections', 10_000, 'Client connections of one listener, authenticated or not.'),
    maxUnauthenticatedConnections: limit('connections', 256, 'Connections that have not authenticated yet.'),
    maxUnauthenticatedPerAddress: limit('connections', 64, 'The same, from one address.'),
    maxUnauthenticatedBytes: limit('bytes', 65_536, 'Bytes that a client may send before it is authenticated.', {
      min: 1_024,
    }),
    authenticationTimeoutMs: limit('milliseconds', 10_000, 'Time to authenticate in, TLS handshake included.', {
      min: 100,
    }),
    maxSessionsPerPrincipal: limit('sessions', 100, 'Open sessions of one identity and actor.'),
    maxMessageBytes: limit('bytes', 67_108_864, 'Longest single message of either side.', {
      min: 65_536,
      max: 1_073_741_823,
    }),
    maxStatementBytes: limit('bytes', 1_048_576, 'Longest statement text that is judged.', {
      min: 1_024,
      max: 67_108_864,
    }),
    maxStatementsPerQuery: limit('statements', 1_000, 'Statements in one query text.'),
    maxStatementDepth: limit('levels', 200, 'Nesting of one statement.'),
    maxPreparedStatements: limit('statements', 1_000, 'Prepared statements and portals kept for one session.'),
    maxQueuedBytes: limit('bytes', 4_194_304, 'Bytes queued towards a slow peer before the other side is paused.', {
      min: 65_536,
    }),
    idleTimeoutMs: limit('milliseconds', 3_600_000, 'Time without a message after which a session ends.', {
      min: 1_000,
      max: 2_147_483_647,
    }),
    sessionTimeoutMs: limit('milliseconds', 43_200_000, 'Time after which a session ends in any case.', {
      min: 1_000,
      max: 2_147_483_647,
    }),
    statementCacheEntries: limit('statements', 2_000, 'Judged statements kept for all sessions.'),
    maxReviewsPerPrincipal: limit('reviews', 20, 'Pending reviews of one identity and actor.'),
    drainTimeoutMs: limit('milliseconds', 10_000, 'Time that running statements get when the gateway stops.', {
      max: 600_000,
    }),
    maxResultRows: optionalLimit('rows', 'Rows that one operation may return; at the cap the operation is refused.'),
    maxResultBytes: optionalLimit('bytes', 'Bytes that one operation may return; at the cap the operation is refused.'),
  })
  .prefault({})
  .describe('Bounds on what a peer can grow.')

export type Limits = z.output<typeof limitsSchema>
