import type { HoldTerms } from '../kernel/index.ts'
import { policyDigest } from './digest.ts'
import { compileExpression, type Expression } from './expressions.ts'
import { flattenIssues } from './issues.ts'
import { compileMatch } from './match.ts'
import { nameParts } from './patterns.ts'
import { type Path, type PolicyDocument, type Problem, problemAt } from './problems.ts'
import type { CompiledRule, Effect } from './rules.ts'
import {
  DEFAULT_EXPIRY,
  durationMs,
  type HoldContent,
  listOf,
  MAX_RULES,
  MAX_WHEN_CHARACTERS,
  type PolicyContent,
  policySchema,
  type RuleContent,
} from './schema.ts'
import { policyKeys, ruleProblems, ruleWarnings } from './sense.ts'
import { type OpaqueDefault, PolicySnapshot } from './snapshot.ts'

export interface CompileOptions {
  /** Names of the content detectors there are, so that a typo in `detect` fails. Left out: any name passes. */
  readonly detectors?: readonly string[]
}

export type Compiled =
  | { readonly snapshot: PolicySnapshot; readonly warnings: readonly Problem[] }
  | { readonly problems: readonly Problem[] }

/**
 * Compiles all documents into one snapshot, or answers every problem of every document. Never throws, whatever it is given.
 *
 * @returns `warnings` are about rules that are valid and probably not meant; show them, and use the snapshot.
 */
export function compilePolicies(documents: readonly PolicyDocument[], options: CompileOptions = {}): Compiled {
  const problems: Problem[] = []
  const warnings: Problem[] = []
  const parsed: { readonly document: PolicyDocument; readonly content: PolicyContent }[] = []
  for (const document of documents) {
    const content = readDocument(document, problems)
    if (content !== undefined) parsed.push({ document, content })
    else problems.push(...conditionProblems(document))
  }
  const rules: CompiledRule[] = []
  const names = new Map<string, string>()
  for (const { document, content } of parsed) {
    content.rules.forEach((rule, index) => {
      const at = (path: Path, message: string) => problemAt(document, ['rules', index, ...path], message)
      const before = names.get(rule.name)
      if (before === undefined) names.set(rule.name, `${document.source} rules[${index}]`)
      else
        problems.push(at(['name'], `The name ${rule.name} is taken by ${before}. Names are unique over all documents.`))
      for (const [path, message] of ruleProblems(rule, options.detectors)) problems.push(at(path, message))
      for (const [path, message] of ruleWarnings(rule)) warnings.push(at(path, message))
      const when = rule.when === undefined ? undefined : compileExpression(rule.when)
      if (when !== undefined && 'problem' in when) problems.push(at(['when'], when.problem))
      else rules.push(compileRule(rule, document.source, when))
    })
  }
  if (problems.length > 0) return { problems }
  const opaque = opaqueDefault(parsed.map(({ content }) => content))
  const digest = policyDigest(digestContent(parsed.map(({ content }) => content)))
  return { snapshot: new PolicySnapshot(rules, opaque, digest), warnings }
}

function readDocument(document: PolicyDocument, problems: Problem[]): PolicyContent | undefined {
  try {
    if (document.content === null || document.content === undefined) {
      // An emptied or half-written file must not pass for "no rules".
      problems.push(problemAt(document, [], 'The document is empty. Write "rules: []" if no rules are meant.'))
      return undefined
    }
    const result = policySchema.safeParse(document.content, { reportInput: true })
    if (result.success) return result.data
    for (const { path, message } of flattenIssues(result.error.issues, policyKeys)) {
      problems.push(problemAt(document, path, message))
    }
  } catch (error) {
    const reason = error instanceof Error ? error.message : 'something that is no error was thrown'
    problems.push({ source: document.source, path: '', message: `The document cannot be read: ${reason}` })
  }
  return undefined
}

/** The conditions of a document whose shape is wrong: told as well, so that one round of mending is enough. */
function conditionProblems(document: PolicyDocument): Problem[] {
  try {
    const rules: unknown = (document.content as { readonly rules?: unknown } | null | undefined)?.rules
    if (!Array.isArray(rules)) return []
    return rules.slice(0, MAX_RULES).flatMap((rule: unknown, index) => {
      const when: unknown = (rule as { readonly when?: unknown } | null | undefined)?.when
      if (typeof when !== 'string' || when === '' || when.length > MAX_WHEN_CHARACTERS) return []
      const compiled = compileExpression(when)
      return 'problem' in compiled ? [problemAt(document, ['rules', index, 'when'], compiled.problem)] : []
    })
  } catch {
    return [] // an object that throws when it is read; its own problem is told already
  }
}

function compileRule(rule: RuleContent, source: string, when: Expression | undefined): CompiledRule {
  const effect = compileEffect(rule)
  const loosens = effect.kind === 'allow'
  const match = rule.match ?? {}
  return {
    name: rule.name,
    source,
    description: rule.description,
    message: rule.message,
    mode: rule.mode,
    effect,
    match: compileMatch(match, loosens ? 'certain' : 'possible', effect.kind === 'mask'),
    unless: listOf(rule.unless ?? []).map((exception) =>
      compileMatch(exception, loosens ? 'possible' : 'certain', false),
    ),
    when,
    observed: { rule: rule.name, wouldHave: effect.kind },
  }
}

function compileEffect(rule: RuleContent): Effect {
  const { then, match } = rule
  if (then === 'deny') return { kind: 'deny' }
  if (then === 'allow') return { kind: 'allow', liftsOpaque: match?.opaque === true }
  if ('hold' in then) return { kind: 'hold', hold: compileHold(then.hold) }
  // `card_number` is short for `*.card_number`: of any table.
  const columns = listOf(match?.columns ?? []).map((pattern) =>
    nameParts(pattern)?.length === 1 ? `*.${pattern}` : pattern,
  )
  const instruction = { rule: rule.name, mask: then.mask, columns, detect: [...listOf(match?.detect ?? [])] }
  return { kind: 'mask', instruction: Object.freeze(instruction) }
}

function compileHold({ reviewers, approvals, expires }: HoldContent): HoldTerms {
  const expiresInMs = durationMs(expires) ?? durationMs(DEFAULT_EXPIRY) ?? 0
  return { reviewers: [...new Set(reviewers)].sort(), approvals, expiresInMs }
}

/** Of several documents' defaults the strictest holds, so their order does not matter. */
function opaqueDefault(contents: readonly PolicyContent[]): OpaqueDefault {
  const given = contents.map((content) => content.defaults?.opaque).filter((value) => value !== undefined)
  if (given.includes('deny')) return { kind: 'deny' }
  const holds = given.filter((value) => typeof value === 'object').map((value) => compileHold(value.hold))
  if (holds.length > 0) return { kind: 'hold', holds }
  return { kind: given.includes('allow') ? 'allow' : 'unset' }
}

/** What the digest covers: the rules by name and the defaults; not files, order or descriptions of documents. */
function digestContent(contents: readonly PolicyContent[]): unknown {
  const rules = contents.flatMap((content) => content.rules)
  rules.sort((a, b) => (a.name < b.name ? -1 : 1))
  return { rules, opaque: opaqueDefault(contents) }
}
