import type { FactsBuilder } from './builder.ts'
import { SCALAR_HELPERS, SUMMARIES } from './function-rules.ts'
import type { Walk } from './scope.ts'
import { asType, constant, type Fields, list, strings, tagged, text } from './tree.ts'

/**
 * A statement is unbounded when nothing in its text limits it to some of a table's rows:
 *
 * - SELECT reads a table (or an unbounded sub-select or common table) and has neither a WHERE that restricts rows, nor a
 *   LIMIT of a constant up to `MAX_BOUNDED_LIMIT`, nor a target list of plain summaries (count, sum, …) without GROUP BY;
 * - UPDATE and DELETE have no WHERE that restricts rows.
 *
 * A WHERE restricts rows when it can differ from row to row: a condition that names no column, compares a column with
 * itself, matches every string, or is the OR of a condition and its opposite does not. LIMIT ALL, LIMIT NULL, LIMIT of a
 * parameter or an expression, and larger limits do not bound.
 */
export const MAX_BOUNDED_LIMIT = 10_000

export function boundedLimit(facts: FactsBuilder, fields: Fields): boolean {
  if (fields['limitCount'] === undefined) return false
  facts.literalSensitive = true
  const value = constant(fields['limitCount'])
  if (value === undefined || value === null || text(fields, 'limitOption') === 'LIMIT_OPTION_WITH_TIES') return false
  const count = Number(value)
  return Number.isFinite(count) && count <= MAX_BOUNDED_LIMIT
}

/** A target list of summaries only, without GROUP BY: one row that hands out no table. */
export function singleRow(walk: Walk, fields: Fields): boolean {
  if (list(fields, 'groupClause').length > 0) return false
  const targets = list(fields, 'targetList').map((item) => asType(item, 'ResTarget')?.['val'])
  const kinds = targets.map((target) => summary(walk, target))
  return kinds.length > 0 && kinds.every((kind) => kind !== 'rows') && kinds.includes('summary')
}

function summary(walk: Walk, value: unknown): 'summary' | 'constant' | 'rows' {
  if (value === undefined || constant(value) !== undefined) return 'constant'
  const node = tagged(value)
  switch (node?.type) {
    case 'ParamRef':
      return 'constant'
    case 'TypeCast':
      return summary(walk, node.fields['arg'])
    case 'A_Expr':
      return join([summary(walk, node.fields['lexpr']), summary(walk, node.fields['rexpr'])])
    case 'CoalesceExpr':
      return join(list(node.fields, 'args').map((item) => summary(walk, item)))
    case 'FuncCall': {
      if (node.fields['over'] !== undefined) return 'rows'
      const parts = strings(list(node.fields, 'funcname'))
      const name = parts.at(-1) ?? ''
      const system = parts.length === 1 || parts.at(-2) === 'pg_catalog'
      if (!system || walk.functions?.(name) !== undefined) return 'rows'
      if (SUMMARIES.has(name)) return 'summary'
      return SCALAR_HELPERS.has(name) ? join(list(node.fields, 'args').map((item) => summary(walk, item))) : 'rows'
    }
    default:
      return 'rows'
  }
}

function join(kinds: readonly ('summary' | 'constant' | 'rows')[]): 'summary' | 'constant' | 'rows' {
  if (kinds.includes('rows')) return 'rows'
  return kinds.includes('summary') ? 'summary' : 'constant'
}

/** Whether a WHERE limits the rows. Looking at a literal's value makes the facts depend on it. */
export function restricts(facts: FactsBuilder, where: unknown): boolean {
  return where !== undefined && limits(new Condition(facts), where, false)
}

/** Whole numbers and fractions are one kind: texts that differ in them share a blind key. */
function constantKind(value: unknown): string {
  return Object.keys(value ?? {})
    .filter((key) => key !== 'location')
    .join()
    .replace('fval', 'ival')
}

/**
 * One condition under test. Trees are compared without the values of their constants, so that the answer holds for all
 * texts of the same shape, and each node is numbered once, so that it is found in linear time.
 */
class Condition {
  readonly facts: FactsBuilder
  readonly #numbers = new WeakMap<object, number>()
  readonly #known = new Map<string, number>()
  readonly #varies = new WeakMap<object, boolean>()

  constructor(facts: FactsBuilder) {
    this.facts = facts
  }

  /** Equal for trees that differ in places and constants alone. */
  number(value: unknown): number {
    if (typeof value !== 'object' || value === null) return this.#intern(JSON.stringify(value) ?? '')
    const seen = this.#numbers.get(value)
    if (seen !== undefined) return seen
    const parts = Object.entries(value).flatMap(([key, inner]) => {
      if (key === 'location') return []
      return [`${key}:${key === 'A_Const' ? constantKind(inner) : this.number(inner)}`]
    })
    const found = this.#intern(parts.join('|'))
    this.#numbers.set(value, found)
    return found
  }

  same(a: unknown, b: unknown): boolean {
    return this.number(a) === this.number(b)
  }

  /** Names a column, or anything that may stand for one. */
  varies(value: unknown): boolean {
    if (typeof value !== 'object' || value === null) return false
    const seen = this.#varies.get(value)
    if (seen !== undefined) return seen
    const found = Object.entries(value).some(([key, inner]) => {
      return key === 'ColumnRef' || key === 'CurrentOfExpr' || this.varies(inner)
    })
    this.#varies.set(value, found)
    return found
  }

  #intern(text: string): number {
    const known = this.#known.get(text)
    if (known !== undefined) return known
    this.#known.set(text, this.#known.size)
    return this.#known.size - 1
  }
}

function limits(on: Condition, value: unknown, negated: boolean): boolean {
  const node = tagged(value)
  if (node === undefined) return false
  if (!on.varies(value)) return surelyNot(on.facts, value, negated)
  const { type, fields } = node
  if (type === 'TypeCast') return limits(on, fields['arg'], negated)
  if (type === 'BoolExpr') {
    const args = list(fields, 'args')
    const operator = text(fields, 'boolop')
    if (operator === 'NOT_EXPR') return limits(on, args[0], !negated)
    const conjunction = (operator === 'AND_EXPR') !== negated
    const parts = args.map((item) => limits(on, item, negated))
    return conjunction ? parts.some(Boolean) : parts.every(Boolean) && !complementary(on, args)
  }
  if (type === 'A_Expr') return comparisonLimits(on, fields, negated)
  if (type === 'BooleanTest') {
    const test = text(fields, 'booltesttype')
    if (test === 'IS_TRUE' || test === 'IS_NOT_FALSE') return limits(on, fields['arg'], negated)
    if (test === 'IS_FALSE' || test === 'IS_NOT_TRUE') return limits(on, fields['arg'], !negated)
  }
  return true
}

/** `false`, `1 = 0` and the like: restricts to no rows at all. */
function surelyNot(facts: FactsBuilder, value: unknown, negated: boolean): boolean {
  const known = fold(facts, value)
  return known !== undefined && known === negated
}

/** The truth of a condition on constants; undefined when it is not plain to see. */
function fold(facts: FactsBuilder, value: unknown): boolean | undefined {
  const node = tagged(value)
  if (node === undefined) return undefined
  const direct = constant(value)
  if (direct !== undefined) {
    facts.literalSensitive = true
    if (direct === null) return undefined
    if (/^\s*(f|fa|fal|fals|false|n|no|off|0)\s*$/i.test(direct)) return false
    return /^\s*(t|tr|tru|true|y|ye|yes|on|1)\s*$/i.test(direct) ? true : undefined
  }
  if (node.type === 'TypeCast') return fold(facts, node.fields['arg'])
  if (node.type === 'BoolExpr') {
    const parts = list(node.fields, 'args').map((item) => fold(facts, item))
    const operator = text(node.fields, 'boolop')
    if (operator === 'NOT_EXPR') return parts[0] === undefined ? undefined : !parts[0]
    const decides = operator === 'OR_EXPR'
    if (parts.includes(decides)) return decides
    return parts.includes(undefined) ? undefined : !decides
  }
  if (node.type !== 'A_Expr' || text(node.fields, 'kind') !== 'AEXPR_OP') return undefined
  const left = constant(node.fields['lexpr'])
  const right = constant(node.fields['rexpr'])
  if (typeof left !== 'string' || typeof right !== 'string') return undefined
  facts.literalSensitive = true
  const numbers = isNumber(node.fields['lexpr']) && isNumber(node.fields['rexpr'])
  const equal = numbers ? Number(left) === Number(right) : left === right
  const operator = strings(list(node.fields, 'name')).at(-1)
  if (operator === '=') return equal
  return operator === '<>' ? !equal : undefined
}

function isNumber(value: unknown): boolean {
  const fields = asType(value, 'A_Const')
  return fields !== undefined && (fields['ival'] !== undefined || fields['fval'] !== undefined)
}

const HOLDS_WITH_ITSELF = new Set(['=', '<=', '>=', '~~', '~~*', '@>', '<@', '&&', '~=', '%'])
const FAILS_WITH_ITSELF = new Set(['<>', '!=', '<', '>', '!~~', '!~~*'])

function comparisonLimits(on: Condition, fields: Fields, negated: boolean): boolean {
  const kind = text(fields, 'kind')
  const operator = strings(list(fields, 'name')).at(-1) ?? ''
  const same = on.same(fields['lexpr'], fields['rexpr'])
  if (kind === 'AEXPR_NOT_DISTINCT' && same) return negated
  if (kind === 'AEXPR_DISTINCT' && same) return !negated
  if (same && HOLDS_WITH_ITSELF.has(operator)) return negated
  if (same && FAILS_WITH_ITSELF.has(operator)) return !negated
  if (kind === 'AEXPR_IN' || kind === 'AEXPR_BETWEEN' || kind === 'AEXPR_BETWEEN_SYM') {
    const items = list(asType(fields['rexpr'], 'List') ?? {}, 'items')
    const holds = items.filter((item) => on.same(fields['lexpr'], item)).length
    if (kind === 'AEXPR_IN' && holds > 0) return (operator === '=') === negated
    if (kind !== 'AEXPR_IN' && items.length === 2 && holds === 2) return negated
  }
  if (matchesEverything(on.facts, fields, kind, operator)) return operator.startsWith('!') !== negated
  return true
}

/** LIKE '%' and its kind. */
function matchesEverything(facts: FactsBuilder, fields: Fields, kind: string | undefined, operator: string): boolean {
  const like = kind === 'AEXPR_LIKE' || kind === 'AEXPR_ILIKE' || /^!?~~\*?$/.test(operator)
  const regular = kind === 'AEXPR_OP' && /^!?~\*?$/.test(operator)
  const similar = kind === 'AEXPR_SIMILAR'
  if (!like && !regular && !similar) return false
  facts.literalSensitive = true
  const pattern = constant(fields['rexpr']) ?? similarPattern(fields['rexpr'])
  if (typeof pattern !== 'string') return false
  return regular ? /^\^?(\.\*\??)?\$?$/.test(pattern) : /^%+$/.test(pattern)
}

/** SIMILAR TO 'x' reaches the tree as a call on the pattern. */
function similarPattern(value: unknown): string | undefined {
  const [pattern] = list(asType(value, 'FuncCall') ?? {}, 'args')
  return constant(pattern) ?? undefined
}

/** `x IS NULL OR x IS NOT NULL`, `a OR NOT a`, `x = 1 OR x <> 1`, `x < 1 OR x >= 1`. */
function complementary(on: Condition, args: readonly unknown[]): boolean {
  const present = new Set(args.flatMap((item) => identities(on, item)))
  return args.some((item) => opposites(on, item).some((key) => present.has(key)))
}

const OPPOSITES: Readonly<Record<string, readonly string[]>> = {
  '=': ['<>', '!='],
  '<': ['>=', '>'],
  '>': ['<=', '<'],
  '<=': ['>', '>='],
  '>=': ['<', '<='],
  '~~': ['!~~'],
  '~~*': ['!~~*'],
  '~': ['!~'],
}

function identities(on: Condition, value: unknown): string[] {
  const keys = [`is ${on.number(value)}`]
  const node = tagged(value)
  if (node?.type === 'NullTest') keys.push(`${text(node.fields, 'nulltesttype')} ${on.number(node.fields['arg'])}`)
  if (node?.type === 'A_Expr') keys.push(compared(on, node.fields, operatorOf(node.fields)))
  return keys
}

function opposites(on: Condition, value: unknown): string[] {
  const node = tagged(value)
  if (node?.type === 'BoolExpr' && text(node.fields, 'boolop') === 'NOT_EXPR')
    return [`is ${on.number(list(node.fields, 'args')[0])}`]
  if (node?.type === 'NullTest') {
    const other = text(node.fields, 'nulltesttype') === 'IS_NULL' ? 'IS_NOT_NULL' : 'IS_NULL'
    return [`${other} ${on.number(node.fields['arg'])}`]
  }
  if (node?.type !== 'A_Expr') return []
  return (OPPOSITES[operatorOf(node.fields)] ?? []).map((operator) => compared(on, node.fields, operator))
}

function operatorOf(fields: Fields): string {
  return strings(list(fields, 'name')).at(-1) ?? ''
}

function compared(on: Condition, fields: Fields, operator: string): string {
  return `${on.number(fields['lexpr'])} ${operator} ${on.number(fields['rexpr'])}`
}
