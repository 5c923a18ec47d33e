import { z } from 'zod'

export const TLS_MODES = ['disable', 'prefer', 'require', 'verify-ca', 'verify-full'] as const
export type TlsMode = (typeof TLS_MODES)[number]

const address = z.union([
  z.strictObject({
    host: z.string().min(1).max(255).describe('Name or address of the server.'),
    port: z.int().min(1).max(65535).default(5432),
  }),
  z.strictObject({
    path: z.string().min(1).max(107).describe("The server's unix socket, e.g. /run/postgresql/.s.PGSQL.5432."),
  }),
])

const tls = z.strictObject({
  mode: z
    .enum(TLS_MODES)
    .default('verify-full')
    .describe('As sslmode of libpq. `require` with a `ca` verifies the chain, too. Not used on unix sockets.'),
  ca: z
    .string()
    .includes('-----BEGIN CERTIFICATE-----', {
      error: 'must hold a PEM certificate; `!file path` puts the text of a file in place',
    })
    .optional()
    .describe(
      "PEM certificates to trust instead of the system's roots; `!file path` puts the text of a file in place.",
    ),
})

/** The part of a target's configuration that only this protocol understands. Complete after parsing. */
export const postgresConnection = z.strictObject({
  address,
  database: z.string().min(1).max(63),
  tls: tls.default({ mode: 'verify-full' }),
  connectTimeoutMs: z.int().min(100).max(600_000).default(10_000).describe('From dialling to the first ReadyForQuery.'),
})

export type PostgresConnection = z.output<typeof postgresConnection>
