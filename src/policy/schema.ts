import { z } from 'zod'
import { ACCESS_LEVELS, MASK_KINDS } from '../kernel/index.ts'
import { OPERATION_WORDS, type OperationWord } from './operations.ts'
import { DAYS, HOURS, isTimezone } from './times.ts'

export const MAX_RULES = 1000
export const MAX_LIST = 500
export const MAX_WHEN_CHARACTERS = 4000
export const MAX_MESSAGE_CHARACTERS = 500
export const MIN_EXPIRY_MS = 1000
export const MAX_EXPIRY_MS = 24 * 3_600_000
export const DEFAULT_EXPIRY = '15m'
const MAX_APPROVALS = 10

const UNIT_MS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** `15m` is 900000. Undefined for what is not a duration. */
export function durationMs(text: string): number | undefined {
  const match = /^(\d{1,6})(s|m|h|d)$/.exec(text)
  return match === null ? undefined : Number(match[1]) * (UNIT_MS[match[2] ?? ''] ?? Number.NaN)
}

function oneOrMany<Item extends z.ZodType>(item: Item) {
  return z.union([item, z.array(item).min(1, 'An empty list matches nothing; leave the word out.').max(MAX_LIST)])
}

// Control characters would travel into error frames and terminals.
const text = (max: number) =>
  z
    .string()
    .min(1)
    .max(max)
    .regex(/^[^\u0000-\u001f\u007f]*$/, 'Control characters and line breaks are not allowed.')

const word = text(200)
const pattern = text(200)
const RULE_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]*$/

const ruleName = z
  .string()
  .min(1)
  .max(63)
  .regex(RULE_NAME, 'A name starts with a letter or digit and holds letters, digits, dots, dashes and underscores.')
  .describe('Unique over all documents; appears in errors, recordings and reviews.')

const targets = z
  .union([
    oneOrMany(pattern),
    z
      .object({
        names: oneOrMany(pattern).optional().describe('Names of targets; * is a wildcard.'),
        types: oneOrMany(word).optional().describe('Protocols, such as postgres.'),
      })
      .catchall(oneOrMany(word)),
  ])
  .describe('Names of targets, or labels with their accepted values; all given words must hold.')

const times = z
  .strictObject({
    windows: z
      .array(
        z.strictObject({
          days: oneOrMany(z.enum(DAYS)).optional(),
          hours: z
            .string()
            .regex(HOURS, 'Write hours as "09:00-17:30"; "22:00-06:00" runs over midnight.')
            .refine((hours) => hours.slice(0, 5) !== hours.slice(6), 'Start and end are the same.')
            .optional(),
          timezone: z.string().refine(isTimezone, 'Not a known IANA time zone, such as Europe/Berlin.').optional(),
        }),
      )
      .min(1)
      .max(MAX_LIST)
      .optional()
      .describe('The rule applies inside any of these.'),
    after: z.iso.datetime({ offset: true, error: 'Write a moment as 2026-12-20T00:00:00Z.' }).optional(),
    before: z.iso.datetime({ offset: true, error: 'Write a moment as 2026-12-20T00:00:00Z.' }).optional(),
  })
  .refine((value) => Object.keys(value).length > 0, 'Give windows, after or before.')
  .refine(
    ({ after, before }) => after === undefined || before === undefined || Date.parse(after) < Date.parse(before),
    '"after" is not before "before", so this never applies.',
  )

const flag = (what: string) => z.boolean().optional().describe(what)

const matchShape = {
  targets: targets.optional(),
  actor: oneOrMany(z.enum(['human', 'agent', 'service']))
    .optional()
    .describe('Kind of software that acts.'),
  actorName: oneOrMany(pattern).optional().describe('Name of the software that acts, such as claude-code.'),
  groups: oneOrMany(pattern).optional().describe('The identity is in any of these groups; * is a wildcard.'),
  users: oneOrMany(pattern).optional().describe("The identity's subject or e-mail address; * is a wildcard."),
  issuers: oneOrMany(pattern).optional().describe('Who vouches for the identity.'),
  operation: oneOrMany(z.enum(OPERATION_WORDS as readonly [OperationWord, ...OperationWord[]]))
    .optional()
    .describe('What the statement does, nested effects included.'),
  level: oneOrMany(z.enum(ACCESS_LEVELS)).optional().describe('The access level that the operation needs.'),
  reads: oneOrMany(pattern).optional().describe('Tables read: customers, public.customers, archive.*'),
  writes: oneOrMany(pattern).optional().describe('Tables written.'),
  tables: oneOrMany(pattern).optional().describe('Tables read or written.'),
  columns: oneOrMany(pattern)
    .optional()
    .describe('Columns used: card_number, customers.email, public.*.pan. In a mask rule: the columns to mask.'),
  functions: oneOrMany(pattern).optional().describe('Functions called.'),
  settings: oneOrMany(pattern).optional().describe('Session settings changed.'),
  detect: oneOrMany(word).optional().describe('Mask rules only: content detectors, such as credit_card.'),
  estimatedRows: z
    .strictObject({ over: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER) })
    .optional()
    .describe("The planner's estimate is above this; an estimate that cannot be had counts as above."),
  times: times.optional(),
  unbounded: flag('Touches every row of a table.'),
  rowLocks: flag('Locks rows.'),
  changesPrivileges: flag('Changes privileges.'),
  serverFiles: flag("Reads or writes files on the target's host."),
  serverPrograms: flag("Runs programs on the target's host."),
  dynamicSql: flag('Runs text that is built at run time.'),
  opaque: flag('Its effects cannot be seen from outside. An allow rule with opaque: true lifts the opaque default.'),
} as const

const match = z.strictObject(matchShape)
const exception = match.refine(
  (value) => Object.keys(value).length > 0,
  'An empty "unless" excepts everything, so the rule never applies.',
)

const reviewers = z
  .array(text(200).regex(/^(group|user):\S+$/, 'Write a reviewer as group:dba or user:bob.'))
  .min(1, 'Without reviewers nobody could approve.')
  .max(50)

const holdTerms = z
  .strictObject({
    reviewers: reviewers.describe('group:<name> or user:<subject or e-mail>; any of them may answer.'),
    approvals: z.number().int().min(1).max(MAX_APPROVALS).default(1).describe('How many distinct humans must approve.'),
    expires: z
      .string()
      .refine((value) => {
        const ms = durationMs(value)
        return ms !== undefined && ms >= MIN_EXPIRY_MS && ms <= MAX_EXPIRY_MS
      }, 'Write a duration from 1s to 24h, such as 15m.')
      .default(DEFAULT_EXPIRY)
      .describe('How long the operation waits for its answer.'),
  })
  .refine(
    ({ reviewers, approvals }) =>
      reviewers.length === 0 ||
      reviewers.some((reviewer) => reviewer.startsWith('group:')) ||
      new Set(reviewers).size >= approvals,
    'More approvals than reviewers: it could never be approved.',
  )

// `mask: null` is how YAML spells the value null, and what people mean by it is the mask of that name.
const maskKind = z.union([z.enum(MASK_KINDS), z.null().transform(() => 'null' as const)])

const then = z
  .union([z.enum(['allow', 'deny']), z.strictObject({ mask: maskKind }), z.strictObject({ hold: holdTerms })])
  .describe('deny > hold > mask > allow; masks add up. allow never lifts the grant of access.')

const rule = z.strictObject({
  name: ruleName,
  description: z.string().max(MAX_MESSAGE_CHARACTERS).optional(),
  match: match.optional().describe('All given words must hold. Left out: every operation.'),
  when: z
    .string()
    .min(1)
    .max(MAX_WHEN_CHARACTERS)
    .optional()
    .describe('A CEL condition over facts, session, identity, actor, target and now.'),
  unless: z
    .union([exception, z.array(exception).min(1).max(50)])
    .optional()
    .describe('The rule does not apply where this (or any of these) certainly matches.'),
  then,
  message: text(MAX_MESSAGE_CHARACTERS).optional().describe('Told to whoever is refused or held: what to do instead.'),
  mode: z.enum(['enforce', 'observe']).default('enforce').describe('observe: record what it would have done.'),
})

export const policySchema = z.strictObject({
  version: z.literal(1).optional(),
  description: z.string().max(MAX_MESSAGE_CHARACTERS).optional(),
  defaults: z
    .strictObject({
      opaque: z
        .union([z.enum(['allow', 'deny']), z.strictObject({ hold: holdTerms })])
        .optional()
        .describe(
          'For operations whose effects cannot be seen from outside. Left out: denied when it runs text built at run time or ' +
            'any mask rule covers the principal at the target, else decided by the access level. allow: always by the level.',
        ),
    })
    .optional(),
  rules: z.array(rule).max(MAX_RULES),
})

export type PolicyContent = z.output<typeof policySchema>
export type RuleContent = z.output<typeof rule>
export type MatchContent = z.output<typeof match>
export type HoldContent = z.output<typeof holdTerms>
export type ThenContent = z.output<typeof then>

/** JSON Schema (2020-12) of a policy document, for editors. */
export function policyJsonSchema(): Record<string, unknown> {
  const schema = z.toJSONSchema(policySchema, { io: 'input', unrepresentable: 'any' }) as Record<string, unknown>
  return { ...schema, title: 'Sallyport policy' }
}

/** The one value or the list, as a list. */
export function listOf<Item>(value: Item | readonly Item[]): readonly Item[] {
  return Array.isArray(value) ? (value as readonly Item[]) : [value as Item]
}
