import type { Facts, Principal, SessionTotals, TargetInfo } from '../kernel/index.ts'
import { type ExpressionContext, expressionContext, HUGE_ROWS, NEEDS_ESTIMATE } from './expressions.ts'
import { operationTest } from './operations.ts'
import { type Certainty, columnTest, globTest, relationTest } from './patterns.ts'
import { listOf, type MatchContent } from './schema.ts'
import { timesTest } from './times.ts'

/** A condition on who and where: the same for a whole session. */
export interface PlaceCondition {
  readonly word: string
  readonly wanted: string
  test(principal: Principal, target: TargetInfo): boolean
}

/** A condition on the operation or the moment. */
export interface OperationCondition {
  readonly word: string
  readonly wanted: string
  /** @throws NEEDS_ESTIMATE */
  test(moment: Moment): boolean
}

export interface CompiledMatch {
  readonly place: readonly PlaceCondition[]
  readonly operation: readonly OperationCondition[]
}

/** What one evaluation looks at. */
export class Moment {
  readonly principal: Principal
  readonly target: TargetInfo
  readonly facts: Facts
  readonly session: Readonly<SessionTotals>
  readonly now: number
  /** The estimate; undefined while nobody asked. */
  readonly rows: number | undefined
  #context: ExpressionContext | undefined
  #relations: readonly string[] | undefined

  constructor(
    input: {
      readonly principal: Principal
      readonly target: TargetInfo
      readonly facts: Facts
      readonly session: Readonly<SessionTotals>
      readonly now: number
    },
    rows: number | undefined,
  ) {
    this.principal = input.principal
    this.target = input.target
    this.facts = input.facts
    this.session = input.session
    this.now = input.now
    this.rows = rows
  }

  get context(): ExpressionContext {
    this.#context ??= expressionContext(this, this.rows)
    return this.#context
  }

  get relations(): readonly string[] {
    this.#relations ??= [...this.facts.reads, ...this.facts.writes]
    return this.#relations
  }
}

/** The estimate in the facts as a number that compares: what is no number of rows counts as huge. */
export function estimateOf(facts: Facts): number | undefined {
  const rows = facts.estimatedRows
  if (rows === undefined) return undefined
  return rows >= 0 && rows < HUGE_ROWS ? rows : HUGE_ROWS
}

/** @param scope - True for a mask rule: its columns and detectors say what to mask and are not conditions. */
export function compileMatch(content: MatchContent, certainty: Certainty, scope: boolean): CompiledMatch {
  return {
    place: placeConditions(content),
    operation: [
      ...simpleConditions(content),
      ...relationConditions(content, certainty),
      ...(scope ? [] : columnConditions(content, certainty)),
      ...lateConditions(content, certainty),
    ],
  }
}

function shown(value: string | readonly string[]): string {
  return listOf(value).join(', ')
}

function placeConditions(content: MatchContent): PlaceCondition[] {
  const conditions: PlaceCondition[] = [...targetConditions(content.targets)]
  const add = (word: string, value: string | readonly string[] | undefined, test: PlaceCondition['test']) => {
    if (value !== undefined) conditions.push({ word, wanted: shown(value), test })
  }
  const kinds = listOf<string>(content.actor ?? [])
  add('actor', content.actor, ({ actor }) => kinds.includes(actor.kind))
  const actorName = anyGlob(content.actorName ?? [])
  add('actorName', content.actorName, ({ actor }) => actorName(actor.name))
  const group = anyGlob(content.groups ?? [])
  add('groups', content.groups, ({ identity }) => identity.groups.some(group))
  const user = anyGlob(content.users ?? [])
  const email = anyGlob(listOf(content.users ?? []).map((pattern) => pattern.toLowerCase()))
  add('users', content.users, ({ identity }) => {
    return user(identity.subject) || (identity.email !== '' && email(identity.email.toLowerCase()))
  })
  const issuer = anyGlob(content.issuers ?? [])
  add('issuers', content.issuers, ({ identity }) => issuer(identity.issuer))
  return conditions
}

function targetConditions(targets: MatchContent['targets']): PlaceCondition[] {
  if (targets === undefined) return []
  if (typeof targets === 'string' || Array.isArray(targets)) return targetConditions({ names: targets })
  const conditions: PlaceCondition[] = []
  for (const [key, value] of Object.entries(targets)) {
    if (value === undefined) continue
    const accepted = listOf(value)
    const test = anyGlob(accepted)
    conditions.push({
      word: `targets.${key}`,
      wanted: shown(value),
      test(_, target) {
        if (key === 'names') return test(target.name)
        if (key === 'types') return accepted.includes(target.type)
        return Object.hasOwn(target.labels, key) && test(target.labels[key] ?? '')
      },
    })
  }
  return conditions
}

function anyGlob(patterns: string | readonly string[]): (value: string) => boolean {
  const tests = listOf(patterns).map(globTest)
  return (value) => tests.some((test) => test(value))
}

const FLAGS = [
  'unbounded',
  'rowLocks',
  'changesPrivileges',
  'serverFiles',
  'serverPrograms',
  'dynamicSql',
] as const satisfies readonly (keyof MatchContent & keyof Facts)[]

/** Its effects cannot be seen from outside. */
export function isOpaque(facts: Facts): boolean {
  return facts.dynamicSql || facts.opaque.length > 0
}

function simpleConditions(content: MatchContent): OperationCondition[] {
  const conditions: OperationCondition[] = []
  for (const word of FLAGS) {
    const wanted = content[word]
    if (wanted !== undefined)
      conditions.push({ word, wanted: String(wanted), test: ({ facts }) => facts[word] === wanted })
  }
  const { opaque, level } = content
  if (opaque !== undefined) {
    conditions.push({ word: 'opaque', wanted: String(opaque), test: ({ facts }) => isOpaque(facts) === opaque })
  }
  if (level !== undefined) {
    const levels = listOf(level)
    conditions.push({ word: 'level', wanted: shown(level), test: ({ facts }) => levels.includes(facts.level) })
  }
  return conditions
}

/** Possible: one name fits. Certain: there are names and all fit. */
function fits(names: readonly string[], test: (name: string) => boolean, certainty: Certainty): boolean {
  return certainty === 'possible' ? names.some(test) : names.length > 0 && names.every(test)
}

function relationConditions(content: MatchContent, certainty: Certainty): OperationCondition[] {
  const conditions: OperationCondition[] = []
  if (content.operation !== undefined) {
    const test = operationTest(listOf(content.operation), certainty)
    conditions.push({ word: 'operation', wanted: shown(content.operation), test: ({ facts }) => test(facts) })
  }
  const add = (word: 'reads' | 'writes' | 'tables' | 'functions', names: (moment: Moment) => readonly string[]) => {
    const patterns = content[word]
    if (patterns === undefined) return
    const tests = listOf(patterns).map((pattern) => relationTest(pattern, certainty))
    const any = (name: string) => tests.some((test) => test(name))
    conditions.push({ word, wanted: shown(patterns), test: (moment) => fits(names(moment), any, certainty) })
  }
  add('reads', ({ facts }) => facts.reads)
  add('writes', ({ facts }) => facts.writes)
  add('tables', ({ relations }) => relations)
  add('functions', ({ facts }) => facts.functions.map((use) => use.name))
  if (content.settings !== undefined) {
    // Settings are no relations: their names fold wholly, and a dot is just a part of the name.
    const any = anyGlob(listOf(content.settings).map((pattern) => pattern.toLowerCase()))
    const test = ({ facts }: Moment) => fits(facts.changesSession, (name) => any(name.toLowerCase()), certainty)
    conditions.push({ word: 'settings', wanted: shown(content.settings), test })
  }
  return conditions
}

function columnConditions(content: MatchContent, certainty: Certainty): OperationCondition[] {
  if (content.columns === undefined) return []
  const tests = listOf(content.columns).map((pattern) => columnTest(pattern, certainty))
  const test = ({ facts, relations }: Moment) => {
    const one = (column: Facts['columns'][number]) => tests.some((matches) => matches(column, relations))
    return certainty === 'possible' ? facts.columns.some(one) : facts.columns.length > 0 && facts.columns.every(one)
  }
  return [{ word: 'columns', wanted: shown(content.columns), test }]
}

/** The dearer ones, and the estimate last: it is only asked for where all else applies. */
function lateConditions(content: MatchContent, certainty: Certainty): OperationCondition[] {
  const conditions: OperationCondition[] = []
  if (content.times !== undefined) {
    const test = timesTest(content.times)
    conditions.push({ word: 'times', wanted: JSON.stringify(content.times), test: ({ now }) => test(now) })
  }
  if (content.estimatedRows !== undefined) {
    const { over } = content.estimatedRows
    conditions.push({
      word: 'estimatedRows',
      wanted: `over ${over}`,
      test({ rows }) {
        if (rows === undefined) throw NEEDS_ESTIMATE
        // An estimate that could not be had restricts; it must not loosen.
        return rows > over && (certainty === 'possible' || rows < HUGE_ROWS)
      },
    })
  }
  return conditions
}
