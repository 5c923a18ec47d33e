import { z } from 'zod'
import { DEFAULT_SESSION_LIMITS } from '../../engine/limits.ts'
import { ACCESS_LEVELS } from '../../kernel/index.ts'
import { DEFAULT_JOURNAL_LIMITS } from '../../recording/index.ts'
import { limitsSchema } from './limits.ts'
import { filePath, instant, labels, limit, name, port, secretReference } from './words.ts'

/** What a protocol contributes to the file: the shape of its targets' `connection`. */
export interface TargetShape {
  readonly type: string
  readonly connection: z.ZodType
}

const tlsFiles = z
  .strictObject({
    certFile: filePath.describe('PEM certificate chain, leaf first.'),
    keyFile: filePath.describe('PEM private key of the leaf.'),
  })
  .describe('Certificate and key of this listener; without them it takes plain connections only.')

const store = z
  .discriminatedUnion('kind', [
    z
      .strictObject({ kind: z.literal('embedded').describe('A PostgreSQL that Sallyport keeps in the data folder.') })
      .describe('A PostgreSQL that Sallyport keeps in the data folder.'),
    z
      .strictObject({
        kind: z.literal('postgres').describe('A PostgreSQL server of yours.'),
        url: secretReference.describe(
          'Reference to the URL of a PostgreSQL database that Sallyport may create tables in.',
        ),
      })
      .describe('A PostgreSQL server of yours.'),
  ])
  .prefault({ kind: 'embedded' })
  .describe('Where tokens, sessions and reviews are kept. Default: embedded.')

const listeners = z
  .strictObject({
    postgres: z
      .strictObject({
        host: z.string().min(1).default('127.0.0.1').describe('Address to listen on. Default: 127.0.0.1.'),
        port: port.default(15432).describe('Port to listen on; 0 takes a free one. Default: 15432.'),
        tls: tlsFiles.optional(),
        requireTls: z.boolean().default(false).describe('Refuse connections that do not ask for TLS. Default: false.'),
      })
      .prefault({})
      .describe('PostgreSQL clients connect here.'),
  })
  .prefault({})
  .describe('The doors: one listener for each protocol.')

const api = z
  .strictObject({
    host: z.string().min(1).default('127.0.0.1').describe('Address to listen on. Default: 127.0.0.1.'),
    port: port.default(15480).describe('Port to listen on; 0 takes a free one. Default: 15480.'),
    publicUrl: z
      .url({ protocol: /^https?$/ })
      .optional()
      .describe('How people reach the API, for links in notices. Default: made from host and port.'),
    tls: tlsFiles.optional(),
    maxBodyBytes: limit('bytes', 1_048_576, 'Longest request body.', { max: 64 * 1_048_576 }),
  })
  .prefault({})
  .describe('The REST API, which the command line uses too.')

const user = z.strictObject({
  subject: name.describe('The name that grants, policies and recordings use.'),
  email: z.email().describe('Address of the person.'),
  groups: z.array(name).default([]).describe('Groups of the person. Default: none.'),
})

const grant = z
  .strictObject({
    users: z.array(name).default([]).describe('Subjects that it is given to.'),
    groups: z.array(name).default([]).describe('Groups that it is given to.'),
    actors: z
      .array(z.union([z.enum(['human', 'agent', 'service']), name]))
      .optional()
      .describe(
        'Which software may use it: `human`, `agent`, `service`, or names such as `claude-code`. Default: any.',
      ),
    targets: z
      .union([z.array(name).min(1), z.strictObject({ labels })])
      .describe('Names of targets, or labels that a target must all have.'),
    level: z.enum(ACCESS_LEVELS).describe('`read`, `write` or `admin`.'),
    until: instant.optional().describe('When it ends. Default: never.'),
  })
  .refine(
    (given) => given.users.length + given.groups.length > 0,
    'names neither users nor groups, so it is given to nobody',
  )

const credential = z
  .strictObject({
    user: z.string().min(1).max(63).describe('Role at the target.'),
    password: secretReference.optional().describe('Reference to its password; leave out when the target trusts us.'),
  })
  .describe("The gateway's own credential at the target; clients never see it.")

function target(shape: TargetShape) {
  return z.strictObject({
    name: name.describe('What clients ask for, as the database name.'),
    type: z.literal(shape.type).describe('The protocol.'),
    labels: labels.default({}),
    connection: shape.connection.describe('How the gateway reaches it.'),
    credential,
    recording: z
      .enum(['buffered', 'strict'])
      .default('buffered')
      .describe(
        '`buffered`: written before release, synced at an interval. `strict`: synced before release. Default: buffered.',
      ),
  })
}

const recording = z
  .strictObject({
    folder: filePath
      .default('recordings')
      .describe('Folder of the recordings, relative to the data folder. Default: recordings.'),
    syncIntervalMs: limit(
      'milliseconds',
      DEFAULT_JOURNAL_LIMITS.syncIntervalMs,
      'How often a `buffered` recording is synced to the disk.',
      {
        max: 60_000,
      },
    ),
    maxUnsyncedMs: limit(
      'milliseconds',
      DEFAULT_JOURNAL_LIMITS.maxLagMs,
      'Lag of a `buffered` recording after which its session ends.',
      { max: 600_000 },
    ),
    maxRecordedRows: limit(
      'rows',
      DEFAULT_SESSION_LIMITS.maxRecordedRows,
      'Masked rows kept of one operation; more are counted and hashed.',
      { min: 0 },
    ),
    maxRecordedBytes: limit(
      'bytes',
      DEFAULT_SESSION_LIMITS.maxRecordedBytes,
      'Bytes of masked rows kept of one operation.',
      {
        min: 0,
      },
    ),
  })
  .prefault({})
  .describe('What is kept of the sessions.')

const masking = z
  .strictObject({
    key: secretReference
      .optional()
      .describe('Reference to the key of the `hash` and `token` masks. Default: one is made in the data folder.'),
  })
  .prefault({})
  .describe('How sensitive values are replaced.')

const policySource = z.union([
  filePath.describe('A policy file.'),
  z.record(z.string(), z.unknown()).describe('A policy written in place; see policy.schema.json.'),
])

/** The whole file, for the protocols that are registered. */
export function configSchema(shapes: readonly TargetShape[]) {
  const [first, ...rest] = shapes.map(target)
  if (first === undefined) throw new Error('no protocol is registered')
  return z.strictObject({
    $schema: z.string().optional().describe('For editors; not read.'),
    name: name
      .default('sallyport')
      .describe('Name of this installation, signed into its checkpoints. Default: sallyport.'),
    dataFolder: filePath
      .default('.sallyport')
      .describe('Keys, embedded store and recordings. Default: .sallyport beside this file.'),
    logLevel: z.enum(['debug', 'info', 'warn', 'error']).default('info').describe("The operator's log. Default: info."),
    store,
    listeners,
    api,
    users: z.array(user).default([]).describe('People, until an identity provider is connected.'),
    adminGroups: z.array(name).default(['admins']).describe('Groups that administer Sallyport. Default: [admins].'),
    grants: z.array(grant).default([]).describe('Who may open which target. No grant: no access.'),
    targets: z
      .array(z.discriminatedUnion('type', [first, ...rest]))
      .default([])
      .describe('The systems behind the gateway.'),
    policies: z.array(policySource).default([]).describe('Policy files and policies written in place.'),
    masking,
    recording,
    limits: limitsSchema,
  })
}

/** The file as parsed, before paths are resolved. */
export type ConfigFile = z.output<ReturnType<typeof configSchema>>

/** JSON Schema (2020-12) of the file, for editors and for the documentation. */
export function configJsonSchema(shapes: readonly TargetShape[]): Record<string, unknown> {
  const schema = z.toJSONSchema(configSchema(shapes), { io: 'input', unrepresentable: 'any' }) as Record<
    string,
    unknown
  >
  return { ...schema, title: 'Sallyport configuration' }
}
