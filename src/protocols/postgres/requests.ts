import { type Facts, GatewayError } from '../../kernel/index.ts'
import type { SessionEffect, SqlAnalyzer, StatementAnalysis } from '../../sql/index.ts'
import type { CatalogKeeper } from './catalog-keeper.ts'
import type { Conversation, NameChange, Portal, Prepared } from './conversation.ts'
import { AnsweredByTarget, type CopyOut, CopyPlanner } from './copy-out.ts'
import * as encode from './encode.ts'
import type { Case, Judge } from './judge.ts'
import {
  boundParameters,
  EMPTY_FACTS,
  type Judged,
  mergeFacts,
  portalDigest,
  queryDigest,
  type Resolved,
} from './judgement.ts'
import type { FieldDescription, FrontendMessage } from './messages.ts'
import type { Lookup } from './names.ts'
import { Run, type RunScene } from './run.ts'
import { isUtf8 } from './settings.ts'
import type { Step } from './states.ts'

type Message<K extends FrontendMessage['kind']> = Extract<FrontendMessage, { kind: K }>

/** A statement whose syntax error makes the target fail just there, so that it rolls back and skips as after any error. */
const REFUSAL = encode.parse('sallyport_refused', 'REFUSED BY SALLYPORT')
const BACKSLASH = 0x5c

/** What may change what the catalogue says. */
const CATALOG_KINDS = new Set(['create', 'alter', 'drop', 'do', 'call', 'revoke', 'grant', 'load'])

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The client's direction: every message is understood, judged and recorded before its exact bytes are queued for the target. */
export class Requests {
  readonly #talk: Conversation
  readonly #scene: RunScene
  readonly #judge: Judge
  readonly #catalog: CatalogKeeper
  readonly #analyzer: SqlAnalyzer
  readonly #ended: () => boolean
  readonly #copies: CopyPlanner

  constructor(options: {
    readonly talk: Conversation
    readonly scene: RunScene
    readonly judge: Judge
    readonly catalog: CatalogKeeper
    readonly analyzer: SqlAnalyzer
    readonly ended: () => boolean
  }) {
    this.#talk = options.talk
    this.#scene = options.scene
    this.#judge = options.judge
    this.#catalog = options.catalog
    this.#analyzer = options.analyzer
    this.#ended = options.ended
    this.#copies = new CopyPlanner({ talk: options.talk, scene: options.scene })
  }

  /** @param step - What the table of states says: judge it, pass it to an open COPY, or refuse it. */
  handle(message: FrontendMessage, step: Step): Promise<void> | undefined {
    try {
      const pending =
        step === 'pass' ? this.#copyIn(message) : step === 'refuse' ? this.#unsupported(message) : this.#judged(message)
      return pending?.catch((error: unknown) => this.#refuse(message, error))
    } catch (error) {
      this.#refuse(message, error)
      return undefined
    }
  }

  #judged(message: FrontendMessage): Promise<void> | undefined {
    if (this.#catalogPending !== undefined) return this.#awaitCatalog().then(() => this.#judged(message))
    switch (message.kind) {
      case 'query':
        return this.#query(message)
      case 'parse':
        return this.#parse(message)
      case 'bind':
        return this.#bind(message)
      case 'describe':
        return this.#describe(message)
      case 'execute':
        return this.#execute(message)
      case 'close':
        return this.#close(message)
      case 'sync':
        return this.#sync(message)
      case 'flush':
        this.#scene.outbox.target(message.raw)
        return undefined
      default:
        throw new GatewayError('pg.unexpected_message', `A message of the kind "${message.kind}" cannot come here.`)
    }
  }

  // ── Simple query ──────────────────────────────────────────────────────────────────────────────────────────────

  #query(message: Message<'query'>): Promise<void> | undefined {
    const readable = this.#readable(message.sql)
    if (readable instanceof Promise) return readable.then(() => this.#query(message))
    const analyses = this.#analyzer.analyze(this.#text(message.sql))
    return this.#queryFrom(message, analyses, 0, [], [])
  }

  /** Judges the statements in order; becomes a promise at the first one that has to wait. */
  #queryFrom(
    message: Message<'query'>,
    analyses: readonly StatementAnalysis[],
    from: number,
    judged: Judged[],
    changes: NameChange[][],
  ): Promise<void> | undefined {
    try {
      for (let index = from; index < analyses.length; index++) {
        const analysis = analyses[index] as StatementAnalysis
        const resolved = this.#resolve(analysis)
        if (resolved === 'wait')
          return this.#later(() => this.#queryFrom(message, analyses, index, judged, changes), changes)
        const result = this.#judge.judge({
          analysis,
          facts: resolved.facts,
          text: analysis.text,
          parameters: [],
          via: 'simple',
          digest: () => queryDigest(message.raw, index, resolved.dependsOn),
        })
        if (result instanceof Promise)
          return this.#undoing(changes, async () => {
            judged.push(await result)
            this.#alive()
            changes.push(this.#changes(analysis))
            await this.#queryFrom(message, analyses, index + 1, judged, changes)
          })
        judged.push(result)
        changes.push(this.#changes(analysis))
      }
    } catch (error) {
      this.#undo(changes)
      throw error
    }
    return this.#forwardQuery(message, judged, changes)
  }

  #forwardQuery(
    message: Message<'query'>,
    judged: readonly Judged[],
    changes: readonly NameChange[][],
  ): Promise<void> | undefined {
    const copies = judged.map((one) => this.#copies.plan(one))
    if (copies.some((copy) => copy instanceof Promise))
      return this.#undoing(changes, async () => {
        const planned = await Promise.all(copies)
        this.#alive()
        this.#sendQuery(message, judged, changes, planned)
      })
    this.#sendQuery(message, judged, changes, copies as Awaited<(typeof copies)[number]>[])
    return undefined
  }

  #sendQuery(
    message: Message<'query'>,
    judged: readonly Judged[],
    changes: readonly NameChange[][],
    copies: readonly (CopyOut | undefined)[],
  ): void {
    const talk = this.#talk
    const runs = judged.map((one, index) => new Run(one, this.#scene, copies[index]))
    talk.expect({ kind: 'query', runs, at: 0, failed: false })
    for (const [index, run] of runs.entries()) this.#start(run, changes[index] ?? [])
    talk.expectCopyIn(runs)
    this.#scene.outbox.target(message.raw)
    talk.endSegment()
  }

  // ── Extended query ────────────────────────────────────────────────────────────────────────────────────────────

  #parse(message: Message<'parse'>): Promise<void> | undefined {
    const readable = this.#readable(message.sql)
    if (readable instanceof Promise) return readable.then(() => this.#parse(message))
    this.#limitNames()
    const text = this.#text(message.sql)
    const analyses = this.#analyzer.analyze(text)
    if (analyses.length > 1)
      throw new GatewayError('sql.unparsable', 'A prepared statement holds one statement only.', {
        hint: 'Send the statements one by one.',
      })
    const analysis = analyses[0]
    const prepared: Prepared = {
      analysis,
      sql: message.sql,
      parameterTypes: message.parameterTypes,
      fields: undefined,
      describedTypes: undefined,
    }
    // What the names inside mean is asked when it is bound; here only what the text alone tells can be refused.
    if (analysis !== undefined && !dependsOnNames(analysis))
      this.#judge.preview({
        analysis,
        facts: analysis.facts,
        text: analysis.text,
        parameters: [],
        via: 'extended',
        digest: () => queryDigest(message.raw, 0, []),
      })
    const change = this.#talk.statements.change(this.#talk.segment, message.name, prepared)
    this.#forward(message, { kind: 'parse', change: { table: 'statements', change } })
    return undefined
  }

  #bind(message: Message<'bind'>): Promise<void> | undefined {
    const found = this.#talk.statements.lookup(this.#talk.segment, message.statement)
    if (found.kind === 'wait') return this.#later(() => this.#bind(message))
    if (found.kind === 'unknown') throw unknownName('prepared statement', message.statement)
    this.#limitNames()
    const prepared = found.value
    const resolved = this.#resolve(prepared.analysis)
    if (resolved === 'wait') return this.#later(() => this.#bind(message))
    const judged = this.#judge.judge(this.#portalCase(message, prepared, resolved))
    if (judged instanceof Promise)
      return judged.then((one) => {
        this.#alive()
        return this.#forwardBind(message, prepared, resolved, one)
      })
    return this.#forwardBind(message, prepared, resolved, judged)
  }

  #portalCase(message: Message<'bind'>, prepared: Prepared, resolved: Resolved): Case {
    const { analysis } = prepared
    return {
      analysis,
      facts: resolved.facts,
      text: analysis?.text ?? '',
      parameters: boundParameters(message, prepared),
      via: 'extended',
      digest: () => portalDigest(prepared, message, resolved.dependsOn),
    }
  }

  #forwardBind(
    message: Message<'bind'>,
    prepared: Prepared,
    resolved: Resolved,
    judged: Judged,
  ): Promise<void> | undefined {
    const copy = this.#copies.plan(judged)
    if (copy instanceof Promise)
      return copy.then((planned) => {
        this.#alive()
        this.#sendBind(message, prepared, resolved, judged, planned)
      })
    this.#sendBind(message, prepared, resolved, judged, copy)
    return undefined
  }

  #sendBind(
    message: Message<'bind'>,
    prepared: Prepared,
    resolved: Resolved,
    judged: Judged,
    copy: CopyOut | undefined,
  ): void {
    const portal: Portal = {
      prepared,
      segment: this.#talk.segment,
      fields: undefined,
      resultFormats: message.resultFormats,
      run: new Run(judged, this.#scene, copy),
      dependsOn: resolved.dependsOn,
    }
    const change = this.#talk.portals.change(this.#talk.segment, message.portal, portal)
    this.#forward(message, { kind: 'bind', change: { table: 'portals', change } })
  }

  #describe(message: Message<'describe'>): Promise<void> | undefined {
    const { segment, statements, portals } = this.#talk
    if (message.target === 'statement') {
      const found = statements.lookup(segment, message.name)
      if (found.kind === 'wait') return this.#later(() => this.#describe(message))
      if (found.kind === 'unknown') throw unknownName('prepared statement', message.name)
      this.#forward(message, { kind: 'describe', prepared: found.value, portal: undefined, own: false })
      return undefined
    }
    const found = portals.lookup(segment, message.name)
    if (found.kind === 'wait') return this.#later(() => this.#describe(message))
    if (found.kind === 'unknown') throw unknownName('portal', message.name)
    this.#forward(message, { kind: 'describe', prepared: found.value.prepared, portal: found.value, own: false })
    return undefined
  }

  #execute(message: Message<'execute'>): Promise<void> | undefined {
    const talk = this.#talk
    const found = talk.portals.lookup(talk.segment, message.portal)
    if (found.kind === 'wait') return this.#later(() => this.#execute(message))
    if (found.kind === 'unknown') throw unknownName('portal', message.portal)
    const portal = found.value
    const run = portal.run
    if (run === undefined)
      throw new GatewayError('pg.unsupported', 'An SQL cursor is read with FETCH, not with Execute.')
    const still = this.#stillMeans(portal)
    if (still === 'wait') return this.#later(() => this.#execute(message))
    if (!still)
      throw new GatewayError('sql.unknown_name', 'What this portal would run was redefined after it was bound.', {
        hint: 'Bind the statement again.',
      })
    if (portal.segment !== talk.segment) this.#judgeAgain(portal)
    // The plan of a result needs its shape. A client that described the statement earlier does not ask again, so the gateway does.
    const shaped = run.planned || portal.fields !== undefined || this.#describePending(portal)
    if (!shaped && portal.prepared.fields === undefined) {
      this.#scene.outbox.target(encode.describe('portal', message.portal))
      talk.expect({ kind: 'describe', prepared: portal.prepared, portal, own: true })
    }
    if (!run.started)
      this.#start(run, portal.prepared.analysis === undefined ? [] : this.#changes(portal.prepared.analysis))
    talk.expectCopyIn([run])
    this.#forward(message, { kind: 'execute', run, portal })
    return undefined
  }

  /** The names inside an EXECUTE or FETCH mean what they meant when it was judged. */
  #stillMeans(portal: Portal): boolean | 'wait' {
    if (portal.dependsOn.length === 0) return true
    const now = this.#resolve(portal.prepared.analysis)
    if (now === 'wait') return 'wait'
    return (
      now.dependsOn.length === portal.dependsOn.length &&
      now.dependsOn.every((one, index) => one === portal.dependsOn[index])
    )
  }

  /** The policy may have changed since the portal was bound in an earlier segment; an approval given then still counts. */
  #judgeAgain(portal: Portal): void {
    const run = portal.run
    if (run === undefined) return
    const decision = this.#scene.session.decide(run.judged.operation.facts)
    if (decision.kind === 'deny')
      throw new GatewayError(decision.code, decision.reason, {
        rule: decision.rule,
        hint: 'The policy changed after this statement was bound.',
      })
  }

  #describePending(portal: Portal): boolean {
    return this.#talk.awaits(
      (expected) =>
        expected.kind === 'describe' && (expected.portal === portal || expected.prepared === portal.prepared),
    )
  }

  #close(message: Message<'close'>): Promise<void> | undefined {
    const { statements, portals, segment } = this.#talk
    const change: NameChange =
      message.target === 'statement'
        ? { table: 'statements', change: statements.change(segment, message.name, undefined) }
        : { table: 'portals', change: portals.change(segment, message.name, undefined) }
    this.#forward(message, { kind: 'close', change })
    return undefined
  }

  #sync(message: Message<'sync'>): undefined {
    const talk = this.#talk
    const duringCopy = talk.state === 'copying'
    if (talk.state === 'skipping') talk.state = 'ready'
    talk.expect({ kind: 'sync', duringCopy })
    this.#scene.outbox.target(message.raw)
    if (!duringCopy) talk.endSegment()
    return undefined
  }

  #forward(message: FrontendMessage, expected: Parameters<Conversation['expect']>[0]): void {
    this.#talk.segmentOpen = true
    this.#talk.expect(expected)
    this.#scene.outbox.target(message.raw)
  }

  // ── COPY FROM STDIN ───────────────────────────────────────────────────────────────────────────────────────────

  #copyIn(message: FrontendMessage): undefined {
    if (message.kind === 'copyData') this.#talk.copyIn?.copyIn(message.data)
    else this.#talk.copyInSent()
    this.#scene.outbox.target(message.raw)
    return undefined
  }

  // ── Refusals ──────────────────────────────────────────────────────────────────────────────────────────────────

  #unsupported(message: FrontendMessage): undefined {
    this.#refuse(
      message,
      new GatewayError('pg.unsupported', 'Function calls by number (the fast path) cannot be judged.', {
        hint: 'Call the function with SELECT.',
      }),
    )
    return undefined
  }

  /**
   * Answers the client in its own tongue, as the target would have: the transaction fails, the rest of an extended
   * segment is skipped. Where that makes a difference at the target, it is made to fail there too.
   */
  #refuse(message: FrontendMessage, thrown: unknown): void {
    if (this.#ended()) return
    if (thrown instanceof AnsweredByTarget) {
      this.#passOn(message, thrown)
      return
    }
    const error = GatewayError.from(thrown)
    const { outbox, session } = this.#scene
    if (error.code === 'gateway.internal')
      session.services.logger.error('a message could not be judged', { session: session.info.id, error: error.detail })
    if (!RECORDED_AS_OPERATION.has(error.code)) session.refused(error)
    const frame = encode.errorResponse(error)
    const simple = message.kind === 'query' || message.kind === 'functionCall'
    const talk = this.#talk
    if (talk.quiet) {
      outbox.client(frame)
      if (simple) outbox.client(encode.readyForQuery('I'))
      else talk.state = 'skipping'
      return
    }
    talk.expect({ kind: 'refusal', error: frame })
    outbox.target(REFUSAL)
    talk.segmentOpen = true
    if (!simple) {
      talk.state = 'skipping'
      return
    }
    talk.expect({ kind: 'sync', duringCopy: false })
    outbox.target(encode.sync())
    talk.endSegment()
  }

  /** The target refused the gateway's own question about the statement, as it would have refused the statement. */
  #passOn(message: FrontendMessage, { frame }: AnsweredByTarget): void {
    if (frame === undefined) return
    this.#scene.outbox.client(frame)
    if (message.kind === 'query') this.#scene.outbox.client(encode.readyForQuery(this.#talk.transaction))
    else this.#talk.state = 'skipping'
  }

  // ── Reading ───────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * After an operation whose effects cannot be seen, the target might read backslashes or bytes above 0x7f in another
   * way until it reports its settings. Such text waits for the report, or is refused where no report can come.
   */
  #readable(sql: Buffer): Promise<void> | undefined {
    const talk = this.#talk
    if (!talk.readingUncertain || !(sql.includes(BACKSLASH) || sql.some((byte) => byte > 0x7f))) return undefined
    if (talk.idle) {
      talk.readingUncertain = false
      return undefined
    }
    if (talk.segmentOpen)
      throw new GatewayError('sql.setting', 'How the target reads this text cannot be known before its last answer.', {
        hint: 'Send it after the answer to the previous statement has arrived.',
      })
    return talk.answered().then(() => this.#alive())
  }

  #text(sql: Buffer): string {
    if (isUtf8(this.#talk.clientEncoding)) {
      try {
        return utf8.decode(sql)
      } catch {
        throw new GatewayError('sql.encoding', 'The statement is not valid UTF-8.')
      }
    }
    if (sql.some((byte) => byte > 0x7f))
      throw new GatewayError(
        'sql.encoding',
        `With the client encoding "${this.#talk.clientEncoding}" only ASCII statements can be judged.`,
        {
          hint: "SET client_encoding TO 'UTF8' first.",
        },
      )
    return sql.toString('latin1')
  }

  // ── Names ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** What EXECUTE and FETCH run. @throws GatewayError `sql.unknown_name` */
  #resolve(analysis: StatementAnalysis | undefined): Resolved | 'wait' {
    if (analysis === undefined) return { facts: EMPTY_FACTS, dependsOn: [] }
    let facts: Facts = analysis.facts
    const dependsOn: (Prepared | Portal)[] = []
    for (const effect of analysis.effects) {
      if (effect.kind !== 'execute' && effect.kind !== 'fetch') continue
      const found: Lookup<Prepared> | Lookup<Portal> =
        effect.kind === 'execute'
          ? this.#talk.statements.lookup(this.#talk.segment, nameBytes(effect.name))
          : this.#talk.portals.lookup(this.#talk.segment, nameBytes(effect.name))
      if (found.kind === 'wait') return 'wait'
      if (found.kind === 'unknown')
        throw unknownName(effect.kind === 'execute' ? 'prepared statement' : 'cursor', effect.name)
      dependsOn.push(found.value)
      const prepared = 'sql' in found.value ? found.value : found.value.prepared
      const inner = this.#resolve(prepared.analysis)
      if (inner === 'wait') return 'wait'
      facts = mergeFacts(facts, inner.facts)
      dependsOn.push(...inner.dependsOn)
    }
    return { facts, dependsOn }
  }

  /** What the statement itself does to names once it has run. */
  #changes(analysis: StatementAnalysis): NameChange[] {
    const { statements, portals, segment } = this.#talk
    const changes: NameChange[] = []
    const statement = (name: string | undefined, value: Prepared | undefined) =>
      changes.push({
        table: 'statements',
        change: statements.change(segment, name === undefined ? undefined : nameBytes(name), value),
      })
    const portal = (name: string | undefined, value: Portal | undefined) =>
      changes.push({
        table: 'portals',
        change: portals.change(segment, name === undefined ? undefined : nameBytes(name), value),
      })
    for (const effect of analysis.effects) {
      if (effect.kind === 'prepare') statement(effect.name, prepared(effect.statement))
      else if (effect.kind === 'deallocate') statement(effect.name, undefined)
      else if (effect.kind === 'declare') portal(effect.name, cursor(effect, segment))
      else if (effect.kind === 'close') portal(effect.name, undefined)
      else if (effect.kind === 'discard' && effect.what === 'all') {
        statement(undefined, undefined)
        portal(undefined, undefined)
      }
    }
    return changes
  }

  #limitNames(): void {
    const { maxNames } = this.#scene.session.services.limits
    const { statements, portals } = this.#talk
    if (statements.size + portals.size > maxNames)
      throw new GatewayError('session.limit', `More than ${maxNames} statements and portals are open.`, {
        hint: 'Close those that are not needed.',
      })
  }

  // ── Waiting ───────────────────────────────────────────────────────────────────────────────────────────────────

  #later(again: () => Promise<void> | undefined, changes: readonly NameChange[][] = []): Promise<void> {
    return this.#undoing(changes, async () => {
      await this.#talk.answered()
      this.#alive()
      await again()
    })
  }

  async #undoing(changes: readonly NameChange[][], work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      this.#undo(changes)
      throw error
    }
  }

  #undo(changes: readonly NameChange[][]): void {
    for (const change of changes.flat()) this.#talk.drop(change)
  }

  #alive(): void {
    if (this.#ended()) throw new GatewayError('target.lost', 'The session is over.')
  }

  // ── The catalogue ─────────────────────────────────────────────────────────────────────────────────────────────

  #catalogPending: Promise<void> | undefined

  async #awaitCatalog(): Promise<void> {
    await this.#catalogPending
    this.#alive()
  }

  #start(run: Run, changes: readonly NameChange[]): void {
    run.start(changes)
    const { facts } = run.judged.operation
    const hidden = facts.opaque.length > 0 || facts.dynamicSql
    if (hidden) this.#talk.readingUncertain = true
    if (!hidden && !facts.kinds.some((kind) => CATALOG_KINDS.has(kind))) return
    this.#talk.catalogChange ??= this.#catalog.changing()
    this.#talk.catalogChanged = (reloading) => {
      const pending = reloading.finally(() => {
        if (this.#catalogPending === pending) this.#catalogPending = undefined
      })
      this.#catalogPending = pending
    }
  }
}

/** Refusals that the judge has recorded as operations, with their decision. */
const RECORDED_AS_OPERATION = new Set([
  'policy.denied',
  'access.level',
  'policy.opaque',
  'policy.failed',
  'mask.unprovable',
  'review.denied',
  'review.expired',
  'review.withdrawn',
])

function dependsOnNames(analysis: StatementAnalysis): boolean {
  return analysis.effects.some((effect) => effect.kind === 'execute' || effect.kind === 'fetch')
}

/** SQL names come as text, names in messages as bytes; both tables are keyed by bytes. */
function nameBytes(name: string): string {
  return Buffer.from(name, 'utf8').toString('latin1')
}

function prepared(statement: StatementAnalysis): Prepared {
  return {
    analysis: statement,
    sql: Buffer.from(statement.text),
    parameterTypes: [],
    fields: undefined,
    describedTypes: undefined,
  }
}

function cursor(effect: Extract<SessionEffect, { kind: 'declare' }>, segment: number): Portal {
  const fields: readonly FieldDescription[] | undefined = undefined
  return { prepared: prepared(effect.statement), segment, fields, resultFormats: [], run: undefined, dependsOn: [] }
}

function unknownName(what: string, name: string): GatewayError {
  return new GatewayError('sql.unknown_name', `The ${what} "${name.slice(0, 63)}" is not known here.`, {
    hint: `Prepare or declare it in this session, through this gateway.`,
  })
}
