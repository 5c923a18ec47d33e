import type { EngineSession } from '../../engine/index.ts'
import { denialError } from '../../engine/index.ts'
import {
  type ColumnRead,
  type Decision,
  type Facts,
  GatewayError,
  type MaskInstruction,
  type Parameter,
  type PendingReview,
  type Settled,
} from '../../kernel/index.ts'
import type { Masker } from '../../masking/index.ts'
import { recordDecision } from '../../recording/index.ts'
import { operationDigest } from '../../review/index.ts'
import type { StatementAnalysis } from '../../sql/index.ts'
import { AtRest } from './at-rest.ts'
import type { CatalogSnapshot } from './catalog.ts'
import type { CatalogKeeper } from './catalog-keeper.ts'
import type { Companion } from './companion.ts'
import type { Judged, Protection } from './judgement.ts'
import { refuseSetting } from './settings.ts'
import { touchesProtected } from './transform/touches.ts'

/** One statement that is about to run, with what the names in it mean. */
export interface Case {
  readonly analysis: StatementAnalysis | undefined
  readonly facts: Facts
  readonly text: string
  readonly parameters: readonly Parameter[]
  readonly via: 'simple' | 'extended'
  readonly digest: () => Buffer
}

interface JudgeScene {
  readonly session: EngineSession
  readonly masker: Masker
  readonly catalog: CatalogKeeper
  readonly companion: Companion
  readonly atRest: () => readonly MaskInstruction[]
  readonly searchPath: () => string | undefined
  /** Told at once when an operation waits for humans, and again when it does not any more. */
  readonly waiting: (review: PendingReview | undefined) => void
}

/** What a statement's facts meant last, and for which masks and catalogue; facts are cached with their statement. */
const protections = new WeakMap<
  Facts,
  {
    readonly masks: readonly MaskInstruction[]
    readonly atRest: readonly MaskInstruction[]
    readonly catalog: CatalogSnapshot
    readonly hidden: boolean
    readonly protection: Protection
  }
>()

/** Decides on statements and records what was decided, before anything of them travels. */
export class Judge {
  readonly #scene: JudgeScene
  readonly #atRest: AtRest

  constructor(scene: JudgeScene) {
    this.#scene = scene
    const { masker, atRest, catalog } = scene
    this.#atRest = new AtRest({ masker, masks: atRest, catalog: () => catalog.snapshot })
  }

  /**
   * Decides without recording an operation: for Parse, whose statement does not run yet. Holds pass; the portal waits.
   * @throws GatewayError when the statement would be refused whatever its parameters.
   */
  preview(of: Case): void {
    refuseEffects(of.analysis)
    const decision = this.#scene.session.decide(of.facts)
    if (decision.kind === 'deny') this.#deny(this.#scene.session.nextSequence(), of, decision)
  }

  /**
   * @returns at once for the common case; a promise when the planner or another human has to be asked.
   * @throws GatewayError the refusal, recorded.
   */
  judge(of: Case): Judged | Promise<Judged> {
    refuseEffects(of.analysis)
    const sequence = this.#scene.session.nextSequence()
    const decision = this.#scene.session.decide(of.facts)
    if (decision.kind === 'needs') return this.#estimateThenJudge(sequence, of)
    return this.#act(sequence, of, decision)
  }

  async #estimateThenJudge(sequence: number, of: Case): Promise<Judged> {
    const { session, companion, searchPath } = this.#scene
    session.journal.append({
      type: 'inquiry',
      at: session.now(),
      operation: sequence,
      purpose: 'estimate',
      text: 'EXPLAIN of the statement',
    })
    await session.journal.commit()
    const estimate = await companion.estimate(of, searchPath())
    const facts = { ...of.facts, estimatedRows: estimate ?? Number.POSITIVE_INFINITY }
    const decision = session.decide(facts)
    if (decision.kind === 'needs') throw new GatewayError('policy.failed', 'The policy asked for the estimate twice.')
    return this.#act(sequence, { ...of, facts }, decision)
  }

  #act(sequence: number, of: Case, decision: Decision): Judged | Promise<Judged> {
    if (decision.kind === 'deny') this.#deny(sequence, of, decision)
    const protection = this.#protect(sequence, of, decision)
    this.#record(sequence, of, decision)
    if (decision.kind === 'hold') return this.#hold(sequence, of, decision, protection)
    return this.#judged(sequence, of, decision, protection)
  }

  #judged(sequence: number, of: Case, decision: Settled, protection: Protection): Judged {
    const { text, parameters, facts } = of
    return { operation: { sequence, text, parameters, facts }, analysis: of.analysis, decision, protection }
  }

  async #hold(
    sequence: number,
    of: Case,
    decision: Extract<Decision, { kind: 'hold' }>,
    protection: Protection,
  ): Promise<Judged> {
    const { session, companion, searchPath, waiting } = this.#scene
    session.journal.append({
      type: 'inquiry',
      at: session.now(),
      operation: sequence,
      purpose: 'review',
      text: 'EXPLAIN and a count for the reviewer',
    })
    await session.journal.commit()
    const evidence = await companion.evidence(of, searchPath())
    const held = {
      sequence,
      facts: evidence.estimatedRows === undefined ? of.facts : { ...of.facts, estimatedRows: evidence.estimatedRows },
      text: this.#atRest.text(of),
      parameters: this.#atRest.parameters(of).map((parameter) => parameter.value),
      digest: this.#bound(of),
    }
    try {
      const { settled, error } = await session.settle(held, decision, evidence, waiting)
      if (error !== undefined || settled.kind === 'deny') {
        session.totals.denied += 1
        throw error ?? new GatewayError('review.denied', 'The operation was not approved.')
      }
      return this.#judged(sequence, of, settled, protection)
    } finally {
      waiting(undefined)
    }
  }

  /** What an approval binds: this session, person, actor and target beside the exact bytes and parameters. */
  #bound(of: Case): Buffer {
    const { id, principal, target } = this.#scene.session.info
    return operationDigest({ sessionId: id, principal, target, text: of.digest(), parameters: of.parameters })
  }

  #deny(sequence: number, of: Case, decision: Extract<Decision, { kind: 'deny' }>): never {
    const { session } = this.#scene
    session.totals.denied += 1
    this.#record(sequence, of, decision)
    throw denialError(decision, session.info.level)
  }

  /** How protected data is used; a use that cannot be masked is refused. */
  #protect(sequence: number, of: Case, decision: Decision): Protection {
    const { masks } = decision // passed on as it is: what is known of a list of masks is cached by its identity
    const { facts } = of
    const catalog = this.#scene.catalog.snapshot
    // What runs inside a function or a text built at run time is not seen here, so anything may be in its result.
    const hidden = facts.opaque.length > 0 || facts.dynamicSql || this.#scene.catalog.uncertain
    const atRest = this.#scene.atRest()
    const known = protections.get(facts)
    if (known?.masks === masks && known.atRest === atRest && known.catalog === catalog && known.hidden === hidden)
      return known.protection
    const protection = this.#protectionOf(sequence, of, decision, hidden)
    protections.set(facts, { masks, atRest, catalog, hidden, protection })
    return protection
  }

  #protectionOf(sequence: number, of: Case, decision: Decision, hidden: boolean): Protection {
    const { masks } = decision
    const { facts } = of
    const catalog = this.#scene.catalog.snapshot
    const computedAtRest =
      hidden || touchesProtected(facts.columns, facts.reads, this.#scene.atRest(), catalog).computed
    if (!masks.some((mask) => mask.columns.length > 0)) return { computed: false, computedAtRest, strict: false }
    const touched = touchesProtected(facts.columns, facts.reads, masks, catalog)
    if (touched.writes) {
      const rule = masks[0]?.rule ?? decision.rule
      const reason = 'Protected columns would flow into a table or view, where they could be read unmasked.'
      this.#scene.session.totals.denied += 1
      this.#record(sequence, of, {
        kind: 'deny',
        rule,
        reason,
        masks,
        observed: decision.observed,
        code: 'policy.denied',
      })
      throw new GatewayError('mask.unprovable', reason, {
        rule,
        hint: 'Leave the protected columns out, or ask for an exemption from the mask rule.',
      })
    }
    const relations: ColumnRead[] = [...facts.reads, ...facts.writes].map((table) => ({
      table,
      column: '*',
      use: 'expression',
    }))
    const near = touchesProtected(relations, [...facts.reads, ...facts.writes], masks, catalog)
    return { computed: touched.computed || hidden, computedAtRest, strict: near.computed || hidden }
  }

  #record(sequence: number, of: Case, decision: Decision): void {
    const { session } = this.#scene
    session.journal.append({
      type: 'operation',
      at: session.now(),
      operation: sequence,
      via: of.via,
      text: this.#atRest.text(of),
      textDigest: of.digest().toString('hex'),
      parameters: this.#atRest.parameters(of),
      facts: of.facts,
      decision: recordDecision(decision),
    })
  }
}

/** Changes of settings that cannot be followed. @throws GatewayError `sql.setting`, `sql.encoding` */
function refuseEffects(analysis: StatementAnalysis | undefined): void {
  for (const effect of analysis?.effects ?? []) {
    if (effect.kind !== 'set') continue
    const refusal = refuseSetting(effect.name, effect.value)
    if (refusal !== undefined) throw refusal
  }
}
