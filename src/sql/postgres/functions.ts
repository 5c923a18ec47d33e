import type { ColumnUse, Volatility } from '../../kernel/index.ts'
import { builtinVolatility, takesRow } from './builtins.ts'
import { expression, expressions } from './expression.ts'
import { FUNCTION_RULES, type FunctionRule, HARMLESS_VOLATILE } from './function-rules.ts'
import { foldName } from './names.ts'
import type { Scope, Walk } from './scope.ts'
import { applySetting } from './settings.ts'
import { asType, constant, type Fields, flag, list, qualified, strings } from './tree.ts'

/** A call: what the function is, then what its arguments read. */
export function functionCall(walk: Walk, scope: Scope, fields: Fields, use: ColumnUse, exact = false): void {
  const parts = strings(list(fields, 'funcname'))
  const args = list(fields, 'args')
  noteFunction(walk, parts, args, exact)
  const argumentUse = keepsArguments(walk, parts) ? 'write' : use
  expressions(walk, scope, args, argumentUse)
  // WITHIN GROUP (ORDER BY x) aggregates x; ORDER BY inside an ordinary aggregate only sorts.
  expressions(walk, scope, list(fields, 'agg_order'), flag(fields, 'agg_within_group') ? use : 'predicate')
  expression(walk, scope, fields['agg_filter'], 'predicate')
  if (fields['over'] !== undefined) expression(walk, scope, { WindowDef: fields['over'] }, 'predicate')
}

export function isConfigCall(fields: Fields): boolean {
  return isBuiltin(strings(list(fields, 'funcname')), 'set_config')
}

function isBuiltin(parts: readonly string[], name: string): boolean {
  return parts.at(-1) === name && (parts.length === 1 || parts.at(-2) === 'pg_catalog')
}

/** Whether a function of this name can be given a whole row, so that `t.name` may mean `name(t)`. */
export function takesRows(walk: Walk, name: string): boolean {
  return takesRow(name) || walk.functions?.(name) !== undefined
}

/** @param exact - The call surely runs, once: a set_config then sets what it says. */
export function noteFunction(walk: Walk, parts: readonly string[], args: readonly unknown[], exact: boolean): void {
  const { facts } = walk
  const name = qualified(parts)
  const bare = parts.at(-1) ?? ''
  const schema = parts.at(-2)
  const system = schema === undefined || schema === 'pg_catalog' || schema === 'information_schema'
  const builtin = system ? builtinVolatility(bare) : undefined
  const user = schema === 'pg_catalog' ? undefined : walk.functions?.(name)
  const volatility = worst(builtin, user)
  facts.calls({ name, volatility })
  const rule = FUNCTION_RULES.get(bare) ?? FUNCTION_RULES.get(name)
  if (rule !== undefined) applyRule(walk, name, rule, args)
  if (isBuiltin(parts, 'ts_rewrite') && args.length === 2) dynamic(walk)
  if (isBuiltin(parts, 'set_config')) return setConfig(walk, args, exact)
  if (user !== undefined || builtin === undefined) return userFunction(walk, name, volatility)
  if (volatility === 'volatile' && rule === undefined && !HARMLESS_VOLATILE.has(bare))
    facts.needs('write', `function ${name} may change something`)
}

/**
 * What a function with effects is given may come back by another way: a setting that SHOW prints, a sequence, a large
 * object, a notification, the numbers of a lock. So its arguments count as written.
 */
function keepsArguments(walk: Walk, parts: readonly string[]): boolean {
  const bare = parts.at(-1) ?? ''
  if (isBuiltin(parts, 'set_config')) return true
  const rule = FUNCTION_RULES.get(bare) ?? FUNCTION_RULES.get(qualified(parts))
  if (rule !== undefined && rule.level !== 'read') return true
  const volatility = walk.facts.volatilityOf(qualified(parts))
  return volatility === 'volatile' && !HARMLESS_VOLATILE.has(bare)
}

function worst(builtin: Volatility | undefined, user: Volatility | undefined): Volatility {
  const order: readonly Volatility[] = ['immutable', 'stable', 'volatile', 'unknown']
  if (builtin === undefined && user === undefined) return 'unknown'
  return order[
    Math.max(builtin === undefined ? 0 : order.indexOf(builtin), user === undefined ? 0 : order.indexOf(user))
  ]!
}

function userFunction(walk: Walk, name: string, volatility: Volatility): void {
  walk.facts.hides(`the body of function ${name} is not inspected`)
  if (volatility === 'immutable' || volatility === 'stable') return
  walk.facts.needs('write', `function ${name} is ${volatility === 'volatile' ? 'volatile' : 'not known'}`)
}

function applyRule(walk: Walk, name: string, rule: FunctionRule, args: readonly unknown[]): void {
  const { facts } = walk
  facts.needs(rule.level, `${rule.reason} (function ${name})`)
  if (rule.serverFiles === true) facts.serverFiles = true
  if (rule.serverPrograms === true) facts.serverPrograms = true
  if (rule.dynamicSql === true) facts.dynamicSql = true
  if (rule.secretLiterals === true) facts.secretLiterals = true
  if (rule.opaque !== undefined) facts.hides(`${rule.opaque} (function ${name})`)
  if (rule.sequence !== true) return
  const sequence = literal(args[0])
  facts.literalSensitive = true
  if (sequence !== undefined) facts.write(foldName(sequence))
}

function dynamic(walk: Walk): void {
  walk.facts.dynamicSql = true
  walk.facts.hides('SQL is built at run time (function ts_rewrite)')
  walk.facts.needs('admin', 'it runs SQL that is built at run time (function ts_rewrite)')
}

/** A constant, also through a cast such as `'x'::regclass`. */
function literal(value: unknown): string | undefined {
  let node = value
  for (let depth = 0; depth < 4; depth++) {
    const direct = constant(node)
    if (direct !== undefined) return direct ?? undefined
    const cast = (node as { TypeCast?: { arg?: unknown } } | undefined)?.TypeCast
    if (cast === undefined) return undefined
    node = cast.arg
  }
  return undefined
}

function setConfig(walk: Walk, args: readonly unknown[], exact: boolean): void {
  const [given, value, local] = args.map(literal)
  const reference = strings(list(asType(args[0], 'ColumnRef') ?? {}, 'fields'))
  const name = given ?? (reference.join() === 'name' ? walk.settingName : undefined)
  walk.facts.literalSensitive = true
  if (name === undefined) walk.facts.hides('the name of a setting is computed')
  applySetting(walk.facts, {
    name: name === undefined ? '*' : name.toLowerCase(),
    value: exact && name !== undefined ? value : undefined,
    local: exact && (local === 'true' || local === 't' || local === 'on' || local === '1'),
    via: 'set_config',
  })
}
