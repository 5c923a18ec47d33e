import type { FactsBuilder } from './builder.ts'
import { expressions } from './expression.ts'
import { quoteName } from './names.ts'
import type { Scope, Walk } from './scope.ts'
import { applySetting } from './settings.ts'
import { readOnlyOption } from './statements.ts'
import { constant, type Fields, flag, list, struct, tagged, text } from './tree.ts'

/** Settings whose value is a list of names, which the target quotes one by one. */
const NAME_LISTS = new Set([
  'search_path',
  'temp_tablespaces',
  'session_preload_libraries',
  'shared_preload_libraries',
  'local_preload_libraries',
])

/** SET and RESET in all their forms. */
export function setStatement(walk: Walk, scope: Scope, fields: Fields): void {
  const { facts } = walk
  facts.does('set')
  facts.literalSensitive = true
  const kind = text(fields, 'kind')
  // The grammar spells special forms in capitals; the target compares names without case.
  const name = text(fields, 'name') ?? ''
  const local = flag(fields, 'is_local')
  expressions(walk, scope, list(fields, 'args'), 'expression')
  if (kind === 'VAR_SET_MULTI') return setMany(facts, name, list(fields, 'args'))
  if (kind === 'VAR_RESET_ALL') return resetStatement(facts, undefined)
  if (kind === 'VAR_RESET' || kind === 'VAR_SET_DEFAULT') return resetStatement(facts, name.toLowerCase())
  const value = kind === 'VAR_SET_VALUE' ? settingValue(name.toLowerCase(), list(fields, 'args')) : undefined
  applySetting(facts, { name: name.toLowerCase(), value, local, via: 'set' })
}

export function resetStatement(facts: FactsBuilder, name: string | undefined): void {
  facts.setting(name ?? '*')
  facts.effects.push({ kind: 'reset', name })
}

/** SET TRANSACTION …, SET SESSION CHARACTERISTICS AS TRANSACTION …, SET TRANSACTION SNAPSHOT. */
function setMany(facts: FactsBuilder, name: string, options: readonly unknown[]): void {
  const session = name === 'SESSION CHARACTERISTICS'
  const readOnly = readOnlyOption(options)
  facts.setting(session ? 'session characteristics' : 'transaction')
  if (readOnly === false) facts.needs('write', 'it allows writing')
  if (session) {
    const value = readOnly === undefined ? undefined : readOnly ? 'on' : 'off'
    if (value !== undefined)
      applySetting(facts, { name: 'default_transaction_read_only', value, local: false, via: 'set' })
    return
  }
  facts.effects.push({ kind: 'transaction', what: 'set', ...(readOnly === undefined ? {} : { readOnly }) })
}

/** The value as one text, as the target would join it; undefined when a part is not a constant. */
function settingValue(name: string, args: readonly unknown[]): string | undefined {
  const values = args.map((argument) => {
    const node = tagged(argument)
    return node?.type === 'A_Const' ? constant(argument) : undefined
  })
  if (values.some((value) => typeof value !== 'string')) return undefined
  const words = values as string[]
  return NAME_LISTS.has(name) ? words.map(quoteName).join(', ') : words.join(', ')
}

export function alterSystem({ facts }: Walk, _scope: Scope, fields: Fields): void {
  facts.does('alter')
  facts.serverFiles = true
  facts.secretLiterals = true
  facts.needs('admin', 'it changes the configuration of the server')
  const inner = struct(fields, 'setstmt') ?? {}
  facts.setting(text(inner, 'name')?.toLowerCase() ?? '*')
}
