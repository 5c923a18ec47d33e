import { Environment } from '@marcbachmann/cel-js'
import type { ColumnUse, Facts, Principal, SessionTotals, TargetInfo, Volatility } from '../kernel/index.ts'
import { expressionProblem } from './expression-rules.ts'

/** What an unavailable estimate counts as: above every limit, yet a number that `int()` accepts. */
export const HUGE_ROWS = 9e18

const LIMITS = { maxAstNodes: 2000, maxDepth: 40, maxListElements: 1000, maxMapEntries: 100, maxCallArguments: 16 }

/** Thrown through an evaluation that came to need the planner's estimate before anybody asked for it. */
export const NEEDS_ESTIMATE = new Error('estimatedRows is not known yet')

class ColumnView {
  readonly table: string
  readonly column: string
  readonly use: ColumnUse
  constructor(table: string, column: string, use: ColumnUse) {
    this.table = table
    this.column = column
    this.use = use
  }
}

class FunctionView {
  readonly name: string
  readonly volatility: Volatility
  constructor(name: string, volatility: Volatility) {
    this.name = name
    this.volatility = volatility
  }
}

class FactsView {
  readonly #facts: Facts
  readonly #rows: number | undefined
  #columns: readonly ColumnView[] | undefined
  #functions: readonly FunctionView[] | undefined
  constructor(facts: Facts, rows: number | undefined) {
    this.#facts = facts
    this.#rows = rows
  }
  get kind() {
    return this.#facts.kind
  }
  get kinds() {
    return this.#facts.kinds
  }
  get reads() {
    return this.#facts.reads
  }
  get writes() {
    return this.#facts.writes
  }
  get columns() {
    this.#columns ??= this.#facts.columns.map(({ table, column, use }) => new ColumnView(table ?? '', column, use))
    return this.#columns
  }
  get functions() {
    this.#functions ??= this.#facts.functions.map(({ name, volatility }) => new FunctionView(name, volatility))
    return this.#functions
  }
  get unbounded() {
    return this.#facts.unbounded
  }
  get level() {
    return this.#facts.level
  }
  get levelReason() {
    return this.#facts.levelReason
  }
  get rowLocks() {
    return this.#facts.rowLocks
  }
  get changesSession() {
    return this.#facts.changesSession
  }
  get changesPrivileges() {
    return this.#facts.changesPrivileges
  }
  get serverFiles() {
    return this.#facts.serverFiles
  }
  get serverPrograms() {
    return this.#facts.serverPrograms
  }
  get dynamicSql() {
    return this.#facts.dynamicSql
  }
  get opaque() {
    return this.#facts.opaque
  }
  get estimatedRows() {
    if (this.#rows === undefined) throw NEEDS_ESTIMATE
    return this.#rows
  }
}

class SessionView {
  readonly #totals: Readonly<SessionTotals>
  constructor(totals: Readonly<SessionTotals>) {
    this.#totals = totals
  }
  get operations() {
    return BigInt(this.#totals.operations)
  }
  get rowsReturned() {
    return BigInt(this.#totals.rowsReturned)
  }
  get bytesReturned() {
    return BigInt(this.#totals.bytesReturned)
  }
  get denied() {
    return BigInt(this.#totals.denied)
  }
}

class IdentityView {
  readonly issuer: string
  readonly subject: string
  readonly email: string
  readonly groups: readonly string[]
  constructor({ issuer, subject, email, groups }: Principal['identity']) {
    this.issuer = issuer
    this.subject = subject
    this.email = email
    this.groups = groups
  }
}

class ActorView {
  readonly kind: string
  readonly name: string
  constructor({ kind, name }: Principal['actor']) {
    this.kind = kind
    this.name = name
  }
}

class TargetView {
  readonly name: string
  readonly type: string
  /** A Map, so that a label called `constructor` is a label. */
  readonly labels: ReadonlyMap<string, string>
  constructor({ name, type, labels }: TargetInfo) {
    this.name = name
    this.type = type
    this.labels = new Map(Object.entries(labels))
  }
}

const FACT_FIELDS = {
  kind: 'string',
  kinds: 'list<string>',
  reads: 'list<string>',
  writes: 'list<string>',
  columns: 'list<Column>',
  functions: 'list<Function>',
  unbounded: 'bool',
  level: 'string',
  levelReason: 'string',
  rowLocks: 'bool',
  changesSession: 'list<string>',
  changesPrivileges: 'bool',
  serverFiles: 'bool',
  serverPrograms: 'bool',
  dynamicSql: 'bool',
  opaque: 'list<string>',
  estimatedRows: 'double',
} satisfies Record<keyof Facts, string>

const SESSION_FIELDS = {
  operations: 'int',
  rowsReturned: 'int',
  bytesReturned: 'int',
  denied: 'int',
} satisfies Record<keyof SessionTotals, string>

const IDENTITY_FIELDS = { issuer: 'string', subject: 'string', email: 'string', groups: 'list<string>' }
const ACTOR_FIELDS = { kind: 'string', name: 'string' }
const TARGET_FIELDS = { name: 'string', type: 'string', labels: 'map<string, string>' }

/** The names that an expression may use, with their fields; `now` has none. */
export const VARIABLES: Readonly<Record<string, readonly string[]>> = {
  facts: Object.keys(FACT_FIELDS),
  session: Object.keys(SESSION_FIELDS),
  identity: Object.keys(IDENTITY_FIELDS),
  actor: Object.keys(ACTOR_FIELDS),
  target: Object.keys(TARGET_FIELDS),
  now: [],
}

const environment = makeEnvironment()

function makeEnvironment(): Environment {
  const made = new Environment({ limits: LIMITS })
    .registerType('Column', { ctor: ColumnView, fields: { table: 'string', column: 'string', use: 'string' } })
    .registerType('Function', { ctor: FunctionView, fields: { name: 'string', volatility: 'string' } })
    .registerType('Facts', { ctor: FactsView, fields: FACT_FIELDS })
    .registerType('Session', { ctor: SessionView, fields: SESSION_FIELDS })
    .registerType('Identity', { ctor: IdentityView, fields: IDENTITY_FIELDS })
    .registerType('Actor', { ctor: ActorView, fields: ACTOR_FIELDS })
    .registerType('Target', { ctor: TargetView, fields: TARGET_FIELDS })
    .registerVariable('facts', 'Facts')
    .registerVariable('session', 'Session')
    .registerVariable('identity', 'Identity')
    .registerVariable('actor', 'Actor')
    .registerVariable('target', 'Target')
    .registerVariable('now', 'google.protobuf.Timestamp')
    // The estimate is a double; people write whole numbers. `!=` and the mirrored form follow from `==`.
    .registerOperator('double == int', (a: number, b: bigint) => a === Number(b))
  const arithmetic: Readonly<Record<string, (a: number, b: number) => number>> = {
    '+': (a, b) => a + b,
    '-': (a, b) => a - b,
    '*': (a, b) => a * b,
    '/': (a, b) => a / b,
  }
  for (const [operator, apply] of Object.entries(arithmetic)) {
    made.registerOperator(`double ${operator} int: double`, (a: number, b: bigint) => apply(a, Number(b)))
    made.registerOperator(`int ${operator} double: double`, (a: bigint, b: number) => apply(Number(a), b))
  }
  return made
}

/** What expressions are evaluated over; made at most once per decision, and only when an expression is reached. */
export interface ExpressionContext {
  readonly facts: object
  readonly session: object
  readonly identity: object
  readonly actor: object
  readonly target: object
  readonly now: Date
}

export interface ExpressionInput {
  readonly principal: Principal
  readonly target: TargetInfo
  readonly facts: Facts
  readonly session: Readonly<SessionTotals>
  readonly now: number
}

/** @param rows - The estimate to show; undefined makes an expression that comes to need it throw `NEEDS_ESTIMATE`. */
export function expressionContext(input: ExpressionInput, rows: number | undefined): ExpressionContext {
  return {
    facts: new FactsView(input.facts, rows),
    session: new SessionView(input.session),
    identity: new IdentityView(input.principal.identity),
    actor: new ActorView(input.principal.actor),
    target: new TargetView(input.target),
    now: new Date(input.now),
  }
}

export interface Expression {
  readonly source: string
  /** @throws whatever goes wrong at run time, or `NEEDS_ESTIMATE` */
  evaluate(context: ExpressionContext): boolean
}

/** Parses and type-checks once. The problem's text has the place marked with a caret. */
export function compileExpression(source: string): Expression | { readonly problem: string } {
  try {
    const checked = environment.check(source)
    if (!checked.valid) return { problem: checked.error?.message ?? 'The expression is not valid.' }
    if (checked.type !== 'bool')
      return { problem: `The condition must be true or false, but it gives ${checked.type}.` }
    const parsed = environment.parse(source)
    const problem = expressionProblem(parsed.ast, VARIABLES)
    if (problem !== undefined) return { problem }
    return {
      source,
      evaluate(context) {
        const value: unknown = parsed({ ...context })
        if (typeof value !== 'boolean') throw new Error('The condition gave neither true nor false.')
        return value
      },
    }
  } catch (error) {
    return { problem: error instanceof Error ? error.message : String(error) }
  }
}
