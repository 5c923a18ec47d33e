import type { FactsBuilder } from './builder.ts'
import { SCALAR_HELPERS, SUMMARIES } from './function-rules.ts'
import type { Walk } from './scope.ts'
import { asType, constant, type Fields, list, sameTree, strings, tagged, text } from './tree.ts'

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
  return where !== undefined && limits(facts, where, false)
}

function limits(facts: FactsBuilder, value: unknown, negated: boolean): boolean {
  const node = tagged(value)
  if (node === undefined) return false
  if (!variesByRow(value)) return surelyNot(facts, value, negated)
  const { type, fields } = node
  if (type === 'TypeCast') return limits(facts, fields['arg'], negated)
  if (type === 'BoolExpr') {
    const args = list(fields, 'args')
    const operator = text(fields, 'boolop')
    if (operator === 'NOT_EXPR') return limits(facts, args[0], !negated)
    const conjunction = (operator === 'AND_EXPR') !== negated
    const parts = args.map((item) => limits(facts, item, negated))
    return conjunction ? parts.some(Boolean) : parts.every(Boolean) && !complementary(args)
  }
  if (type === 'A_Expr') return comparisonLimits(facts, fields, negated)
  if (type === 'BooleanTest') {
    const test = text(fields, 'booltesttype')
    if (test === 'IS_TRUE' || test === 'IS_NOT_FALSE') return limits(facts, fields['arg'], negated)
    if (test === 'IS_FALSE' || test === 'IS_NOT_TRUE') return limits(facts, fields['arg'], !negated)
  }
  return true
}

/** A column, or anything that may stand for one. */
function variesByRow(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(variesByRow)
  if (typeof value !== 'object' || value === null) return false
  for (const [key, inner] of Object.entries(value)) {
    if (key === 'ColumnRef' || key === 'CurrentOfExpr') return true
    if (variesByRow(inner)) return true
  }
  return false
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

function comparisonLimits(facts: FactsBuilder, fields: Fields, negated: boolean): boolean {
  const kind = text(fields, 'kind')
  const operator = strings(list(fields, 'name')).at(-1) ?? ''
  const same = sameTree(fields['lexpr'], fields['rexpr'])
  if (kind === 'AEXPR_NOT_DISTINCT' && same) return negated
  if (kind === 'AEXPR_DISTINCT' && same) return !negated
  if (same && HOLDS_WITH_ITSELF.has(operator)) return negated
  if (same && FAILS_WITH_ITSELF.has(operator)) return !negated
  if (kind === 'AEXPR_IN' || kind === 'AEXPR_BETWEEN' || kind === 'AEXPR_BETWEEN_SYM') {
    const items = list(asType(fields['rexpr'], 'List') ?? {}, 'items')
    const holds = items.filter((item) => sameTree(fields['lexpr'], item)).length
    if (kind === 'AEXPR_IN' && holds > 0) return (operator === '=') === negated
    if (kind !== 'AEXPR_IN' && items.length === 2 && holds === 2) return negated
  }
  if (matchesEverything(facts, fields, kind, operator)) return operator.startsWith('!') !== negated
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

/** `x IS NULL OR x IS NOT NULL`, `a OR NOT a`, `x = 1 OR x <> 1`. */
function complementary(args: readonly unknown[]): boolean {
  return args.some((a, index) => args.slice(index + 1).some((b) => opposite(a, b) || opposite(b, a)))
}

const OPPOSITES: Readonly<Record<string, readonly string[]>> = {
  '=': ['<>', '!='],
  '<': ['>=', '>', '<='],
  '>': ['<=', '>=', '<'],
  '<=': ['>', '>='],
  '>=': ['<', '<='],
  '~~': ['!~~'],
  '~~*': ['!~~*'],
  '~': ['!~'],
}

function opposite(a: unknown, b: unknown): boolean {
  const left = tagged(a)
  const right = tagged(b)
  if (left === undefined || right === undefined) return false
  if (right.type === 'BoolExpr' && text(right.fields, 'boolop') === 'NOT_EXPR')
    return sameTree(a, list(right.fields, 'args')[0])
  if (left.type === 'NullTest' && right.type === 'NullTest')
    return (
      text(left.fields, 'nulltesttype') !== text(right.fields, 'nulltesttype') &&
      sameTree(left.fields['arg'], right.fields['arg'])
    )
  if (left.type !== 'A_Expr' || right.type !== 'A_Expr') return false
  if (!sameTree(left.fields['lexpr'], right.fields['lexpr'])) return false
  const operators = [left, right].map(({ fields }) => strings(list(fields, 'name')).at(-1) ?? '')
  const opposed = OPPOSITES[operators[0] ?? '']?.includes(operators[1] ?? '') === true
  // Ranges from both sides of two constants: whether they leave a gap depends on the values, so they count as everything.
  return opposed && (sameTree(left.fields['rexpr'], right.fields['rexpr']) || /^[<>]/.test(operators[0] ?? ''))
}
