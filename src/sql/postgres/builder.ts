import {
  ACCESS_LEVELS,
  type AccessLevel,
  type ColumnRead,
  type ColumnUse,
  type Facts,
  type FunctionUse,
  type OperationKind,
  type Volatility,
} from '../../kernel/index.ts'
import type { CopyFacts, SessionEffect } from '../analysis.ts'

/** Collects what a walk over one statement finds. */
export class FactsBuilder {
  kind: OperationKind = 'other'
  unbounded = false
  rowLocks = false
  changesPrivileges = false
  serverFiles = false
  serverPrograms = false
  dynamicSql = false
  secretLiterals = false
  /** A literal's value decided something, so the facts hold for this text only. */
  literalSensitive = false
  parameterCount = 0
  copy: CopyFacts | undefined
  readonly effects: SessionEffect[] = []
  readonly #kinds = new Set<OperationKind>()
  readonly #reads = new Set<string>()
  readonly #writes = new Set<string>()
  readonly #columns = new Map<string, ColumnRead>()
  readonly #functions = new Map<string, FunctionUse>()
  readonly #settings = new Set<string>()
  readonly #opaque = new Set<string>()
  #level: AccessLevel = 'read'
  #levelReason = ''

  /** Adds an effect; the first one is the statement's own kind. */
  does(kind: OperationKind): void {
    if (this.#kinds.size === 0) this.kind = kind
    this.#kinds.add(kind)
  }

  read(relation: string): void {
    this.#reads.add(relation)
  }

  write(relation: string): void {
    this.#writes.add(relation)
  }

  column(table: string | undefined, column: string, use: ColumnUse): void {
    const key = `${table ?? ''}\0${column}\0${use}\0${table === undefined}`
    if (!this.#columns.has(key)) this.#columns.set(key, { table, column, use })
  }

  calls(use: FunctionUse): void {
    this.#functions.set(use.name, use)
  }

  /** Of a function that was noted before. */
  volatilityOf(name: string): Volatility {
    return this.#functions.get(name)?.volatility ?? 'unknown'
  }

  /** The statement needs at least this level. The reason given first for the highest level is kept. */
  needs(level: AccessLevel, reason: string): void {
    if (ACCESS_LEVELS.indexOf(level) <= ACCESS_LEVELS.indexOf(this.#level)) return
    this.#level = level
    this.#levelReason = reason
  }

  setting(name: string): void {
    this.#settings.add(name)
  }

  hides(reason: string): void {
    this.#opaque.add(reason)
  }

  /** Takes over what an inner statement (of PREPARE, DECLARE, …) does. */
  absorb(inner: FactsBuilder): void {
    const facts = inner.build()
    for (const kind of facts.kinds) this.does(kind)
    for (const name of facts.reads) this.read(name)
    for (const name of facts.writes) this.write(name)
    for (const { table, column, use } of facts.columns) this.column(table, column, use)
    for (const use of facts.functions) this.calls(use)
    for (const name of facts.changesSession) this.setting(name)
    for (const reason of facts.opaque) this.hides(reason)
    this.needs(facts.level, facts.levelReason)
    this.unbounded ||= facts.unbounded
    this.rowLocks ||= facts.rowLocks
    this.changesPrivileges ||= facts.changesPrivileges
    this.serverFiles ||= facts.serverFiles
    this.serverPrograms ||= facts.serverPrograms
    this.dynamicSql ||= facts.dynamicSql
    this.secretLiterals ||= inner.secretLiterals
    this.literalSensitive ||= inner.literalSensitive
    this.parameterCount = Math.max(this.parameterCount, inner.parameterCount)
  }

  /** Takes over what a statement that is only planned tells: what it reads, and what level it would need. */
  plans(inner: FactsBuilder): void {
    const facts = inner.build()
    for (const name of [...facts.reads, ...facts.writes]) this.read(name)
    for (const { table, column } of facts.columns) this.column(table, column, 'predicate')
    for (const use of facts.functions) this.calls(use)
    for (const reason of facts.opaque) this.hides(reason)
    this.needs(facts.level, facts.levelReason)
    this.secretLiterals ||= inner.secretLiterals
    this.parameterCount = Math.max(this.parameterCount, inner.parameterCount)
    for (const effect of inner.effects) if (effect.kind === 'execute') this.effects.push(effect)
  }

  build(): Facts {
    return {
      kind: this.kind,
      kinds: [...this.#kinds],
      reads: [...this.#reads],
      writes: [...this.#writes],
      columns: [...this.#columns.values()],
      functions: [...this.#functions.values()],
      unbounded: this.unbounded,
      level: this.#level,
      levelReason: this.#levelReason,
      rowLocks: this.rowLocks,
      changesSession: [...this.#settings],
      changesPrivileges: this.changesPrivileges,
      serverFiles: this.serverFiles,
      serverPrograms: this.serverPrograms,
      dynamicSql: this.dynamicSql,
      opaque: [...this.#opaque],
    }
  }
}
