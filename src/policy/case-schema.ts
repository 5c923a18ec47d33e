import { z } from 'zod'
import { ACCESS_LEVELS, OPERATION_KINDS } from '../kernel/index.ts'
import { flattenIssues } from './issues.ts'
import { type PolicyDocument, type Problem, problemAt } from './problems.ts'

const MAX_CASES = 5000

const actorKind = z.enum(['human', 'agent', 'service'])

const as = z.strictObject({
  user: z.string().min(1),
  email: z.string().default(''),
  issuer: z.string().default('test'),
  groups: z.array(z.string()).default([]),
  actor: z.union([actorKind, z.strictObject({ kind: actorKind, name: z.string().min(1) })]).default('human'),
})

const target = z.strictObject({
  name: z.string().min(1),
  type: z.string().default('postgres'),
  labels: z.record(z.string(), z.string()).default({}),
})

const names = z.array(z.string())
const facts = z.strictObject({
  kind: z.enum(OPERATION_KINDS).optional(),
  kinds: z.array(z.enum(OPERATION_KINDS)).optional(),
  reads: names.optional(),
  writes: names.optional(),
  columns: z
    .array(
      z.strictObject({
        table: z.string().optional(),
        column: z.string(),
        use: z.enum(['output', 'expression', 'predicate', 'write']).default('output'),
      }),
    )
    .optional(),
  functions: z
    .array(
      z.strictObject({
        name: z.string(),
        volatility: z.enum(['immutable', 'stable', 'volatile', 'unknown']).default('unknown'),
      }),
    )
    .optional(),
  unbounded: z.boolean().optional(),
  level: z.enum(ACCESS_LEVELS).optional(),
  levelReason: z.string().optional(),
  rowLocks: z.boolean().optional(),
  changesSession: names.optional(),
  changesPrivileges: z.boolean().optional(),
  serverFiles: z.boolean().optional(),
  serverPrograms: z.boolean().optional(),
  dynamicSql: z.boolean().optional(),
  opaque: names.optional(),
})

const total = z.number().int().min(0).default(0)

const policyCase = z
  .strictObject({
    name: z.string().min(1),
    sql: z.string().min(1).optional().describe('Turned into facts by the dialect of the target.'),
    facts: facts.optional().describe('Instead of sql, or on top of what sql gives.'),
    as: as.optional(),
    target: target.optional(),
    level: z.enum(ACCESS_LEVELS).optional().describe('What the grant gives.'),
    estimatedRows: z.number().min(0).optional().describe('Left out: the estimate counts as unavailable.'),
    session: z.strictObject({ operations: total, rowsReturned: total, bytesReturned: total, denied: total }).optional(),
    now: z.iso.datetime({ offset: true, error: 'Write a moment as 2026-12-20T00:00:00Z.' }).optional(),
    expect: z.strictObject({
      decision: z.enum(['allow', 'mask', 'hold', 'deny']),
      rule: z.string().optional(),
      code: z.string().optional().describe('The stable code of a denial.'),
      masks: names.optional().describe('The rules whose masks are in force, all of them.'),
      observed: names.optional().describe('The rules in observe mode that matched, all of them.'),
      reviewers: names.optional().describe('Whom a hold asks, all rules together.'),
    }),
  })
  .refine((value) => value.sql !== undefined || value.facts?.level !== undefined, {
    path: ['facts'],
    message: 'Give sql, or facts with at least a level.',
  })

const casesSchema = z.strictObject({
  defaults: z
    .strictObject({ as: as.optional(), target: target.optional(), level: z.enum(ACCESS_LEVELS).optional() })
    .optional()
    .describe('For cases that leave these out.'),
  cases: z.array(policyCase).min(1).max(MAX_CASES),
})

type CaseContent = z.output<typeof policyCase>

/** One case with its defaults filled in. */
export interface PolicyCase extends Omit<CaseContent, 'as' | 'target' | 'level'> {
  readonly source: string
  readonly as: z.output<typeof as>
  readonly target: z.output<typeof target>
  readonly level: (typeof ACCESS_LEVELS)[number]
}

/** Checks a document of cases, or answers all its problems with their paths. */
export function readPolicyCases(
  document: PolicyDocument,
): { readonly cases: readonly PolicyCase[] } | { readonly problems: readonly Problem[] } {
  const result = casesSchema.safeParse(document.content, { reportInput: true })
  if (!result.success) {
    const keys = ['cases', 'defaults', ...Object.keys(policyCase.shape), ...Object.keys(facts.shape)]
    const issues = flattenIssues(result.error.issues, keys)
    return { problems: issues.map(({ path, message }) => problemAt(document, path, message)) }
  }
  const { defaults, cases } = result.data
  const problems: Problem[] = []
  const complete = cases.map((given, index): PolicyCase => {
    const by = given.as ?? defaults?.as
    const at = given.target ?? defaults?.target
    const level = given.level ?? defaults?.level
    for (const [word, value] of Object.entries({ as: by, target: at, level })) {
      if (value === undefined)
        problems.push(problemAt(document, ['cases', index, word], 'Missing here and in defaults.'))
    }
    const nobody = { user: '', email: '', issuer: '', groups: [], actor: 'human' as const }
    const nowhere = { name: '', type: '', labels: {} }
    return { ...given, source: document.source, as: by ?? nobody, target: at ?? nowhere, level: level ?? 'read' }
  })
  return problems.length > 0 ? { problems } : { cases: complete }
}

/** JSON Schema (2020-12) of a document of cases, for editors. */
export function policyCasesJsonSchema(): Record<string, unknown> {
  const schema = z.toJSONSchema(casesSchema, { io: 'input', unrepresentable: 'any' }) as Record<string, unknown>
  return { ...schema, title: 'Sallyport policy cases' }
}
