import { z } from 'zod'
import { ACCESS_LEVELS } from '../kernel/index.ts'

/** What the API shows, as schemas: they make the OpenAPI document, check what leaves, and type the command line. */

export const id = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, 'is not an id')
const time = z.string().describe('RFC 3339.')
const actorKind = z.enum(['human', 'agent', 'service'])

export const principalView = z
  .object({
    label: z.string().describe('`alice` or `alice via claude-code`.'),
    subject: z.string(),
    email: z.string(),
    groups: z.array(z.string()),
    actor: z.object({ kind: actorKind, name: z.string() }),
  })
  .meta({ id: 'Principal' })

export const whoamiView = z
  .object({ principal: principalView, tokenId: z.string(), administrator: z.boolean() })
  .meta({ id: 'Whoami' })

export const healthView = z
  .object({
    status: z.enum(['ok', 'degraded', 'draining']),
    version: z.string(),
    reasons: z.array(z.string()).describe('Why it is not `ok`, in words.'),
  })
  .meta({ id: 'Health' })

export const reviewView = z
  .object({
    id: z.string(),
    state: z.string().describe('`pending`, `approved`, `denied`, `expired`, `withdrawn` or `spent`.'),
    requester: z.string().describe('`alice via claude-code`.'),
    target: z.string(),
    session: z.string(),
    rule: z.string(),
    reason: z.string(),
    reviewers: z.array(z.string()),
    approvals: z.object({ needed: z.int(), given: z.array(z.string()) }),
    createdAt: time,
    expiresAt: time,
    text: z.string().describe('The exact statement.'),
    parameters: z.array(z.string().nullable()).describe('Masked where the recording masks them; `null` is SQL NULL.'),
    facts: z.record(z.string(), z.unknown()).describe('What inspection learned of the statement.'),
    evidence: z.object({
      estimatedRows: z.number().optional(),
      affectedRows: z.number().optional(),
      note: z.string().optional(),
    }),
    answers: z.array(z.object({ by: z.string(), verdict: z.string(), reason: z.string(), at: time })),
  })
  .meta({ id: 'Review' })

export const sessionView = z
  .object({
    id: z.string(),
    principal: z.string(),
    target: z.string(),
    level: z.enum(ACCESS_LEVELS),
    tokenId: z.string(),
    client: z.object({ address: z.string(), application: z.string() }),
    startedAt: time,
    endedAt: time.nullable(),
    endReason: z.string().nullable(),
    operations: z.int(),
    denied: z.int(),
    rowsReturned: z.int(),
  })
  .meta({ id: 'Session' })

export const tokenView = z
  .object({
    id: z.string(),
    name: z.string().describe('For people: what it is for.'),
    principal: z.string(),
    subject: z.string(),
    actor: z.object({ kind: actorKind, name: z.string() }),
    targets: z.array(z.string()).nullable().describe('Targets that it may open; null: all that the grants allow.'),
    level: z.enum(ACCESS_LEVELS).describe('Caps what the grants give.'),
    createdAt: time,
    createdBy: z.string(),
    expiresAt: time,
    revokedAt: time.nullable(),
    lastUsedAt: time.nullable(),
  })
  .meta({ id: 'Token' })

export const tokenRequest = z
  .strictObject({
    user: z.string().min(1).max(200).describe('Subject that it is for.'),
    name: z.string().max(200).default('').describe('For people: what it is for.'),
    actor: z
      .strictObject({ kind: actorKind, name: z.string().min(1).max(100) })
      .optional()
      .describe('The software that will use it. Default: the person.'),
    targets: z.array(z.string().min(1).max(63)).max(1_000).optional().describe('Default: all that the grants allow.'),
    level: z.enum(ACCESS_LEVELS).optional().describe('Caps what the grants give. Default: no cap.'),
    expiresInMs: z
      .int()
      .min(1_000)
      .max(366 * 86_400_000)
      .optional()
      .describe('Unit: milliseconds. Default: 30 days.'),
  })
  .meta({ id: 'TokenRequest' })

export const newTokenView = z
  .object({ token: tokenView, secret: z.string().describe('Shown this once; only its verifier is kept.') })
  .meta({ id: 'NewToken' })

const policyProblem = z.object({
  source: z.string(),
  path: z.string(),
  message: z.string(),
  line: z.int().optional(),
  column: z.int().optional(),
})

export const policyStatusView = z
  .object({
    digest: z.string().describe('SHA-256 of the rules in force, hex.'),
    rules: z.array(
      z.object({
        name: z.string(),
        source: z.string(),
        effect: z.string(),
        mode: z.string(),
        description: z.string().optional(),
      }),
    ),
    loadedAt: time,
    sources: z.array(z.string()),
    problems: z
      .array(policyProblem)
      .describe('What is wrong with the newest files; while there is any, the rules in force are older ones.'),
    warnings: z.array(policyProblem).describe('Rules that are valid and probably not meant.'),
  })
  .meta({ id: 'PolicyStatus' })

export const explainRequest = z
  .strictObject({
    sql: z.string().min(1).max(1_048_576),
    target: z.string().min(1).max(63),
    user: z.string().min(1).max(200).optional().describe('Subject to explain it for. Default: you.'),
    actor: z.strictObject({ kind: actorKind, name: z.string().min(1).max(100) }).optional(),
  })
  .meta({ id: 'ExplainRequest' })

export const explanationView = z
  .object({
    principal: z.string(),
    target: z.string(),
    level: z.enum(ACCESS_LEVELS).nullable().describe('What the grants give; null when there is none.'),
    statements: z.array(
      z.object({
        text: z.string(),
        facts: z.record(z.string(), z.unknown()),
        level: z.object({ needed: z.string(), covers: z.boolean(), reason: z.string() }),
        rules: z.array(
          z.object({
            rule: z.string(),
            source: z.string(),
            effect: z.string(),
            mode: z.string(),
            outcome: z.string(),
            part: z.string().optional().describe('The part of the rule that decided against it.'),
            words: z.string(),
          }),
        ),
        decision: z.object({ kind: z.string() }).loose(),
        words: z.string().describe('All of it, for people.'),
      }),
    ),
  })
  .meta({ id: 'Explanation' })

export const checkpointView = z
  .object({
    checkpoint: z.string().describe('A signed C2SP checkpoint; keep it, and verify later against it.'),
    publicKey: z.string().describe('The verifier key, `name+hash+key`.'),
  })
  .meta({ id: 'Checkpoint' })

export const auditReportView = z
  .object({
    ok: z.boolean(),
    checkpoint: z.object({ origin: z.string(), size: z.int(), root: z.string() }).nullable(),
    sessions: z.object({ sealed: z.int(), interrupted: z.int(), open: z.int() }),
    problems: z.array(
      z.object({
        session: z.string().optional(),
        path: z.string().optional(),
        offset: z.int().optional(),
        message: z.string(),
      }),
    ),
    notes: z.array(z.string()).describe('Not wrong, but worth knowing.'),
  })
  .meta({ id: 'AuditReport' })

export const EXPORT_FORMATS = ['recording', 'jsonl', 'ocsf'] as const

export const pageQuery = z.strictObject({
  cursor: z.string().max(200).optional().describe('From the answer before.'),
  limit: z.coerce.number().int().min(1).max(500).default(50),
})

export type PrincipalView = z.output<typeof principalView>
export type Whoami = z.output<typeof whoamiView>
export type Health = z.output<typeof healthView>
export type ReviewView = z.output<typeof reviewView>
export type SessionView = z.output<typeof sessionView>
export type TokenView = z.output<typeof tokenView>
export type TokenRequest = z.input<typeof tokenRequest>
export type NewToken = z.output<typeof newTokenView>
export type PolicyStatus = z.output<typeof policyStatusView>
export type ExplainRequest = z.output<typeof explainRequest>
export type ExplanationView = z.output<typeof explanationView>
export type CheckpointView = z.output<typeof checkpointView>
export type AuditReportView = z.output<typeof auditReportView>
export type ExportFormat = (typeof EXPORT_FORMATS)[number]
