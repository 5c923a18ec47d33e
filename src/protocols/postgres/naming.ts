import { EMPTY_FACTS, type Facts, GatewayError } from '../../kernel/index.ts'
import type { SessionEffect, StatementAnalysis } from '../../sql/index.ts'
import type { Conversation, NameChange, Portal, Prepared } from './conversation.ts'
import { mergeFacts, type Resolved } from './judgement.ts'
import type { Lookup } from './names.ts'

/** The target keeps 63 bytes of a name (NAMEDATALEN - 1), so two longer ones could be one there and two here. */
const MAX_NAME_BYTES = 63

/** What the names of prepared statements, portals and cursors mean to a statement, and what it does to them. */
export class Naming {
  readonly #talk: Conversation
  readonly #maxNames: number

  constructor(talk: Conversation, maxNames: number) {
    this.#talk = talk
    this.#maxNames = maxNames
  }

  /** @throws GatewayError `sql.unknown_name`, `pg.unsupported` */
  statement(name: string): Prepared | 'wait' {
    return this.#found('prepared statement', name, this.#talk.statements.lookup(this.#talk.segment, checked(name)))
  }

  /** @throws GatewayError `sql.unknown_name`, `pg.unsupported` */
  portal(name: string): Portal | 'wait' {
    return this.#found('portal', name, this.#talk.portals.lookup(this.#talk.segment, checked(name)))
  }

  /** A name that is about to be given. @throws GatewayError `session.limit`, `pg.unsupported` */
  admit(name: string): string {
    const { statements, portals } = this.#talk
    if (statements.size + portals.size > this.#maxNames)
      throw new GatewayError('session.limit', `More than ${this.#maxNames} statements and portals are open.`, {
        hint: 'Close those that are not needed.',
      })
    return checked(name)
  }

  /** What EXECUTE and FETCH run. @throws GatewayError `sql.unknown_name` */
  resolve(analysis: StatementAnalysis | undefined): Resolved | 'wait' {
    if (analysis === undefined) return { facts: EMPTY_FACTS, dependsOn: [] }
    let facts: Facts = analysis.facts
    const dependsOn: (Prepared | Portal)[] = []
    for (const effect of analysis.effects) {
      if (effect.kind !== 'execute' && effect.kind !== 'fetch') continue
      const name = nameBytes(effect.name)
      const found = effect.kind === 'execute' ? this.statement(name) : this.portal(name)
      if (found === 'wait') return 'wait'
      const inner = this.resolve('sql' in found ? found.analysis : found.prepared.analysis)
      if (inner === 'wait') return 'wait'
      facts = mergeFacts(facts, inner.facts)
      dependsOn.push(found, ...inner.dependsOn)
    }
    return { facts, dependsOn }
  }

  /** The names inside an EXECUTE or FETCH mean what they meant when it was judged. */
  stillMeans(portal: Portal): boolean | 'wait' {
    if (portal.dependsOn.length === 0) return true
    const now = this.resolve(portal.prepared.analysis)
    if (now === 'wait') return 'wait'
    const same = now.dependsOn.every((one, index) => one === portal.dependsOn[index])
    return same && now.dependsOn.length === portal.dependsOn.length
  }

  /** What the statement itself does to names once it has run. */
  changes(analysis: StatementAnalysis): NameChange[] {
    const changes: NameChange[] = []
    for (const effect of analysis.effects) {
      if (effect.kind === 'prepare') changes.push(this.#statementChange(effect.name, preparedBySql(effect.statement)))
      else if (effect.kind === 'deallocate') changes.push(this.#statementChange(effect.name, undefined))
      else if (effect.kind === 'declare') changes.push(this.#portalChange(effect.name, this.#cursor(effect)))
      else if (effect.kind === 'close') changes.push(this.#portalChange(effect.name, undefined))
      else if (effect.kind === 'discard' && effect.what === 'all')
        changes.push(this.#statementChange(undefined, undefined), this.#portalChange(undefined, undefined))
    }
    return changes
  }

  #found<T>(what: string, name: string, lookup: Lookup<T>): T | 'wait' {
    if (lookup.kind === 'wait') return 'wait'
    if (lookup.kind === 'found') return lookup.value
    throw new GatewayError('sql.unknown_name', `The ${what} "${name}" is not known here.`, {
      hint: 'Prepare or declare it in this session, through this gateway.',
    })
  }

  #statementChange(name: string | undefined, value: Prepared | undefined): NameChange {
    const { statements, segment } = this.#talk
    return { table: 'statements', change: statements.change(segment, name && nameBytes(name), value) }
  }

  #portalChange(name: string | undefined, value: Portal | undefined): NameChange {
    const { portals, segment } = this.#talk
    return { table: 'portals', change: portals.change(segment, name && nameBytes(name), value) }
  }

  #cursor(effect: Extract<SessionEffect, { kind: 'declare' }>): Portal {
    const prepared = preparedBySql(effect.statement)
    const { segment, started } = this.#talk
    return {
      prepared,
      segment,
      startedBefore: started,
      fields: undefined,
      resultFormats: [],
      run: undefined,
      dependsOn: [],
    }
  }
}

/** Its meaning depends on names, so it is judged when it is bound, not when it is parsed. */
export function dependsOnNames(analysis: StatementAnalysis): boolean {
  return analysis.effects.some((effect) => effect.kind === 'execute' || effect.kind === 'fetch')
}

/** SQL names come as text, names in messages as bytes; both tables are keyed by bytes. */
function nameBytes(name: string): string {
  return Buffer.from(name, 'utf8').toString('latin1')
}

function checked(name: string): string {
  if (name.length > MAX_NAME_BYTES)
    throw new GatewayError(
      'pg.unsupported',
      `Names of statements and portals may have ${MAX_NAME_BYTES} bytes at most.`,
      {
        hint: 'Use shorter names; the target would cut them.',
      },
    )
  return name
}

function preparedBySql(statement: StatementAnalysis): Prepared {
  const sql = Buffer.from(statement.text)
  return { analysis: statement, sql, parameterTypes: [], fields: undefined, describedTypes: undefined }
}
