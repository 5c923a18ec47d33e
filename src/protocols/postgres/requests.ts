import { GatewayError } from '../../kernel/index.ts'
import type { SqlAnalyzer, StatementAnalysis } from '../../sql/index.ts'
import type { CatalogKeeper } from './catalog-keeper.ts'
import type { Conversation, NameChange, Portal, Prepared } from './conversation.ts'
import { type CopyOut, CopyPlanner } from './copy-out.ts'
import * as encode from './encode.ts'
import type { Case, Judge } from './judge.ts'
import { boundParameters, type Judged, portalDigest, queryDigest, type Resolved } from './judgement.ts'
import { keepLabel } from './label.ts'
import type { FrontendMessage } from './messages.ts'
import { dependsOnNames, Naming } from './naming.ts'
import { awaitReadable, decodeSql } from './reading.ts'
import { refuse } from './refusals.ts'
import { Run, type RunScene } from './run.ts'
import type { Step } from './states.ts'

type Message<K extends FrontendMessage['kind']> = Extract<FrontendMessage, { kind: K }>

/** What may change what the catalogue says. */
const CATALOG_KINDS = new Set(['create', 'alter', 'drop', 'do', 'call', 'revoke', 'grant', 'load'])

/** The client's direction: every message is understood, judged and recorded before its exact bytes are queued for the target. */
export class Requests {
  readonly #talk: Conversation
  readonly #scene: RunScene
  readonly #judge: Judge
  readonly #catalog: CatalogKeeper
  readonly #analyzer: SqlAnalyzer
  readonly #ended: () => boolean
  readonly #copies: CopyPlanner
  readonly #naming: Naming

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
    this.#naming = new Naming(options.talk, options.scene.session.services.limits.maxNames)
    this.#copies = new CopyPlanner({ talk: options.talk, scene: options.scene })
  }

  /** @param step - What the table of states says: judge it, pass it to an open COPY, or refuse it. */
  handle(message: FrontendMessage, step: Step): Promise<void> | undefined {
    try {
      const pending =
        step === 'pass' ? this.#copyIn(message) : step === 'refuse' ? this.#unsupported() : this.#judged(message)
      return pending?.catch((error: unknown) => this.#refused(message, error))
    } catch (error) {
      this.#refused(message, error)
      return undefined
    }
  }

  #refused(message: FrontendMessage, error: unknown): void {
    if (!this.#ended()) refuse(message, error, this.#talk, this.#scene)
  }

  #judged(message: FrontendMessage): Promise<void> | undefined {
    if (this.#catalogPending !== undefined) return this.#after(this.#catalogPending, () => this.#judged(message))
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
    const unreadable = awaitReadable(message.sql, this.#talk)
    if (unreadable !== undefined) return this.#after(unreadable, () => this.#query(message))
    const analyses = this.#analyzer.analyze(decodeSql(message.sql, this.#talk.clientEncoding))
    const own = keepLabel(message, analyses)
    return own === undefined ? this.#queryFrom(message, analyses, 0, [], []) : this.#query(own)
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
        const resolved = this.#naming.resolve(analysis)
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
            changes.push(this.#naming.changes(analysis))
            await this.#queryFrom(message, analyses, index + 1, judged, changes)
          })
        judged.push(result)
        changes.push(this.#naming.changes(analysis))
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
    const unreadable = awaitReadable(message.sql, this.#talk)
    if (unreadable !== undefined) return this.#after(unreadable, () => this.#parse(message))
    const name = this.#naming.admit(message.name)
    const analyses = this.#analyzer.analyze(decodeSql(message.sql, this.#talk.clientEncoding))
    const own = keepLabel(message, analyses)
    if (own !== undefined) return this.#parse(own)
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
    const change = this.#talk.statements.change(this.#talk.segment, name, prepared)
    this.#forward(message, { kind: 'parse', change: { table: 'statements', change } })
    return undefined
  }

  #bind(message: Message<'bind'>): Promise<void> | undefined {
    this.#naming.admit(message.portal)
    const prepared = this.#naming.statement(message.statement)
    if (prepared === 'wait') return this.#later(() => this.#bind(message))
    const resolved = this.#naming.resolve(prepared.analysis)
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
      startedBefore: this.#talk.started,
      fields: undefined,
      resultFormats: message.resultFormats,
      run: new Run(judged, this.#scene, copy),
      dependsOn: resolved.dependsOn,
    }
    const change = this.#talk.portals.change(this.#talk.segment, message.portal, portal)
    this.#forward(message, { kind: 'bind', change: { table: 'portals', change } })
  }

  #describe(message: Message<'describe'>): Promise<void> | undefined {
    if (message.target === 'statement') {
      const prepared = this.#naming.statement(message.name)
      if (prepared === 'wait') return this.#later(() => this.#describe(message))
      this.#forward(message, { kind: 'describe', prepared, portal: undefined, own: false })
      return undefined
    }
    const portal = this.#naming.portal(message.name)
    if (portal === 'wait') return this.#later(() => this.#describe(message))
    this.#forward(message, { kind: 'describe', prepared: portal.prepared, portal, own: false })
    return undefined
  }

  #execute(message: Message<'execute'>): Promise<void> | undefined {
    const talk = this.#talk
    const portal = this.#naming.portal(message.portal)
    if (portal === 'wait') return this.#later(() => this.#execute(message))
    const run = portal.run
    if (run === undefined)
      throw new GatewayError('pg.unsupported', 'An SQL cursor is read with FETCH, not with Execute.')
    const still = this.#naming.stillMeans(portal)
    if (still === 'wait') return this.#later(() => this.#execute(message))
    if (!still)
      throw new GatewayError('sql.unknown_name', 'What this portal would run was redefined after it was bound.', {
        hint: 'Bind the statement again.',
      })
    // EXECUTE and FETCH are looked up only when they run: what ran since could have changed what is behind the name.
    if (portal.dependsOn.length > 0 && portal.startedBefore !== talk.started && !run.started)
      throw new GatewayError('sql.unknown_name', 'Something else ran after this EXECUTE or FETCH was bound.', {
        hint: 'Bind it again, right before executing it.',
      })
    if (portal.segment !== talk.segment) this.#judgeAgain(portal)
    if (!this.#shapeKnown(portal)) {
      this.#scene.outbox.target(encode.describe('portal', message.portal))
      talk.expect({ kind: 'describe', prepared: portal.prepared, portal, own: true })
    }
    if (!run.started)
      this.#start(run, portal.prepared.analysis === undefined ? [] : this.#naming.changes(portal.prepared.analysis))
    talk.expectCopyIn([run])
    this.#forward(message, { kind: 'execute', run, portal })
    return undefined
  }

  /** The policy may have changed since the portal was bound in an earlier segment; an approval given then still counts. */
  #judgeAgain(portal: Portal): void {
    const run = portal.run
    if (run === undefined) return
    const decision = this.#scene.session.decide(run.judged.operation.facts)
    const hint = 'The policy changed after this statement was bound. Bind it again.'
    if (decision.kind === 'deny') throw new GatewayError(decision.code, decision.reason, { rule: decision.rule, hint })
    if (decision.kind === 'hold' && decision.rule !== run.judged.decision.rule)
      throw new GatewayError('policy.denied', decision.reason, { rule: decision.rule, hint })
  }

  /**
   * The plan of a result needs its shape, and a client that described the statement earlier does not ask again. The
   * statement's description tells types and formats for good, but not where the columns come from: the target analyses
   * a statement anew when the search path or its tables changed. So where columns are masked, the portal is described.
   */
  #shapeKnown(portal: Portal): boolean {
    if (portal.run?.planned === true || portal.fields !== undefined) return true
    const byOrigin = this.#scene.atRest().some((mask) => mask.columns.length > 0)
    if (!byOrigin && portal.prepared.fields !== undefined) return true
    return this.#talk.awaits(
      (expected) =>
        expected.kind === 'describe' &&
        (expected.portal === portal || (!byOrigin && expected.prepared === portal.prepared)),
    )
  }

  #close(message: Message<'close'>): Promise<void> | undefined {
    const { statements, portals, segment } = this.#talk
    const name = this.#naming.admit(message.name)
    const change: NameChange =
      message.target === 'statement'
        ? { table: 'statements', change: statements.change(segment, name, undefined) }
        : { table: 'portals', change: portals.change(segment, name, undefined) }
    this.#forward(message, { kind: 'close', change })
    return undefined
  }

  #sync(message: Message<'sync'>): undefined {
    const talk = this.#talk
    const duringCopy = talk.state === 'copying'
    if (talk.state === 'skipping') talk.state = 'ready'
    talk.expect({ kind: 'sync', duringCopy })
    this.#scene.outbox.target(message.raw)
    // Where no COPY started the target answers this Sync, and names changed before it may not be relied on after it.
    if (duringCopy) talk.segment += 1
    else talk.endSegment()
    return undefined
  }

  #forward(message: FrontendMessage, expected: Parameters<Conversation['expect']>[0]): void {
    this.#talk.segmentOpen = true
    this.#talk.expect(expected)
    this.#scene.outbox.target(message.raw)
  }

  // ── COPY FROM STDIN ───────────────────────────────────────────────────────────────────────────────────────────

  #copyIn(message: FrontendMessage): undefined {
    if (this.#talk.copyInStarted) this.#talk.forgetSwallowedSyncs()
    if (message.kind === 'copyData') this.#talk.copyIn?.copyIn(message.data)
    else this.#talk.copyInSent()
    this.#scene.outbox.target(message.raw)
    return undefined
  }

  // ── Refusals ──────────────────────────────────────────────────────────────────────────────────────────────────

  #unsupported(): never {
    throw new GatewayError('pg.unsupported', 'Function calls by number (the fast path) cannot be judged.', {
      hint: 'Call the function with SELECT.',
    })
  }

  // ── Waiting ───────────────────────────────────────────────────────────────────────────────────────────────────

  /** Tries again once the target has answered something. */
  #later(again: () => Promise<void> | undefined, changes: readonly NameChange[][] = []): Promise<void> {
    return this.#undoing(changes, () => this.#after(this.#talk.answered(), again))
  }

  async #after(event: Promise<void>, again: () => Promise<void> | undefined): Promise<void> {
    await event
    this.#alive()
    await again()
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

  /** From then on, and before the target says so, it reads bytes beyond ASCII as other characters. */
  #mayChangeEncoding(run: Run): boolean {
    const effects = run.judged.analysis?.effects ?? []
    const sets = effects.some(
      (effect) => effect.kind === 'set' && (effect.name === 'client_encoding' || effect.name === 'names'),
    )
    if (sets) this.#talk.encodingChosen = true
    if (!this.#talk.encodingChosen) return false
    return sets || effects.some(({ kind }) => kind === 'transaction' || kind === 'reset' || kind === 'discard')
  }

  // ── The catalogue ─────────────────────────────────────────────────────────────────────────────────────────────

  #catalogPending: Promise<void> | undefined

  #start(run: Run, changes: readonly NameChange[]): void {
    run.start(changes)
    this.#talk.started += 1
    const { facts } = run.judged.operation
    const anySetting =
      run.judged.analysis?.effects.some((effect) => effect.kind === 'set' && effect.name === '*') === true
    const hidden = facts.opaque.length > 0 || facts.dynamicSql
    if (run.judged.protection.strict) this.#talk.touchedProtected = true
    if (hidden || anySetting || this.#mayChangeEncoding(run)) this.#talk.readingUncertain = true
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
