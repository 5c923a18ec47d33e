import type { StatementAnalysis } from '../../sql/index.ts'
import type { FieldDescription, TransactionStatus } from './messages.ts'
import { type Change, NameTable } from './names.ts'
import type { Run } from './run.ts'
import type { FrontendState } from './states.ts'

/** What a prepared statement, however it was prepared, will run. */
export interface Prepared {
  /** undefined for an empty statement. */
  readonly analysis: StatementAnalysis | undefined
  /** Exact bytes judged. */
  readonly sql: Buffer
  readonly parameterTypes: readonly number[]
  /** As the target described it: null when it returns no rows, undefined while nobody asked. */
  fields: readonly FieldDescription[] | null | undefined
  /** As the target inferred them, once it described the statement. */
  describedTypes: readonly number[] | undefined
}

/** A bound statement (or an SQL cursor, which shares the names of portals). */
export interface Portal {
  readonly prepared: Prepared
  readonly segment: number
  /** How many operations had been started when it was bound. */
  readonly startedBefore: number
  fields: readonly FieldDescription[] | null | undefined
  readonly resultFormats: readonly number[]
  /** undefined for SQL cursors: their rows come by FETCH, an operation of its own. */
  readonly run: Run | undefined
  /** What an EXECUTE or FETCH inside it meant when it was bound. */
  readonly dependsOn: readonly (Prepared | Portal)[]
}

export type NameChange =
  | { readonly table: 'statements'; readonly change: Change<Prepared> }
  | { readonly table: 'portals'; readonly change: Change<Portal> }

/** What the target owes us, in order. */
export type Expected =
  | { readonly kind: 'parse' | 'bind' | 'close'; readonly change: NameChange | undefined }
  | {
      readonly kind: 'describe'
      readonly prepared: Prepared
      readonly portal: Portal | undefined
      readonly own: boolean
    }
  | { readonly kind: 'execute'; readonly run: Run; readonly portal: Portal }
  | { readonly kind: 'query'; readonly runs: readonly Run[]; at: number; failed: boolean }
  /** A Sync sent while a COPY FROM STDIN may be open is swallowed by the target if the COPY did start. */
  | { readonly kind: 'sync'; readonly duringCopy: boolean }
  /** The gateway made the target fail here; its error is replaced by ours. */
  | { readonly kind: 'refusal'; readonly error: Buffer }
  /** The gateway's own question; nothing of the answer reaches the client. */
  | OwnQuestion

export interface OwnQuestion {
  readonly kind: 'own'
  /** It ends with ReadyForQuery; otherwise it is part of the client's segment and ends with CloseComplete. */
  readonly synced: boolean
  fields: readonly FieldDescription[]
  /** The target's ErrorResponse, whole frame. */
  error: Buffer | undefined
  readonly done: () => void
}

/** The state that both directions of one session share. */
export class Conversation {
  readonly statements = new NameTable<Prepared>()
  readonly portals = new NameTable<Portal>()
  readonly #pending: Expected[] = []
  #head = 0
  segment = 1
  /** Operations sent to the target so far. */
  started = 0
  /** Something of the open segment has been sent to the target. */
  segmentOpen = false
  state: FrontendState = 'ready'
  transaction: TransactionStatus = 'I'
  /** An operation whose effects cannot be seen may have changed how the target reads text; until the next ReadyForQuery. */
  readingUncertain = false
  clientEncoding = 'UTF8'
  /** The operation that CopyData of the client belongs to. */
  copyIn: Run | undefined
  #copiesToCome: Run[] = []
  /** The target waits for its data. */
  copyInStarted = false
  /** A statement of the open transaction touched protected data, which deferred constraints may still quote. */
  touchedProtected = false
  /** The client chose its encoding itself, so that a rollback may change it back. */
  encodingChosen = false
  /** Set while DDL of this session is under way: reloads the catalogue, to be called when its transaction is over. */
  catalogChange: (() => Promise<void>) | undefined
  catalogChanged: ((reloading: Promise<void>) => void) | undefined
  #waiters: (() => void)[] = []

  get head(): Expected | undefined {
    return this.#pending[this.#head]
  }

  get idle(): boolean {
    return this.#head === this.#pending.length
  }

  /** Nothing is under way and an error would undo nothing: a refusal needs no help from the target. */
  get quiet(): boolean {
    return this.idle && !this.segmentOpen && this.transaction === 'I'
  }

  expect(expected: Expected): void {
    this.#pending.push(expected)
  }

  shift(): void {
    this.#head += 1
    if (this.#head > 64 && this.#head * 2 > this.#pending.length) {
      this.#pending.splice(0, this.#head)
      this.#head = 0
    }
  }

  /** Forgets Syncs that the target swallowed because a COPY FROM STDIN started before them. */
  forgetSwallowedSyncs(): void {
    for (let at = this.#pending.length - 1; at >= this.#head; at--) {
      const expected = this.#pending[at]
      if (expected?.kind === 'sync' && expected.duringCopy) this.#pending.splice(at, 1)
    }
  }

  /** An error in a segment: the target skips to the next Sync. @returns whether that Sync was already sent. */
  skipToSync(): boolean {
    for (let head = this.head; head !== undefined; head = this.head) {
      if (head.kind === 'sync' || (head.kind === 'own' && head.synced)) return true
      this.abandon(head, 'skipped')
      this.shift()
    }
    return false
  }

  /** The target will never answer this one. */
  abandon(expected: Expected, reason: 'skipped' | 'lost'): void {
    switch (expected.kind) {
      case 'parse':
      case 'bind':
      case 'close':
        if (expected.change !== undefined) this.drop(expected.change)
        return
      case 'execute':
        expected.run.abandon(reason)
        return
      case 'query':
        for (const run of expected.runs.slice(expected.at)) run.abandon(reason)
        return
      case 'own':
        expected.done()
        return
    }
  }

  awaits(test: (expected: Expected) => boolean): boolean {
    for (let at = this.#head; at < this.#pending.length; at++) if (test(this.#pending[at] as Expected)) return true
    return false
  }

  /** The client may send the data of these as soon as their statement is sent. */
  expectCopyIn(runs: readonly Run[]): void {
    const copies = runs.filter((run) => run.judged.operation.facts.kind === 'copy_in')
    if (copies.length === 0) return
    this.#copiesToCome = copies
    this.copyIn = copies[0]
    this.copyInStarted = false
    this.state = 'copying'
  }

  /** The client finished or gave up the data of one COPY. */
  copyInSent(): void {
    this.#copiesToCome.shift()
    this.copyInStarted = false
    this.copyIn = this.#copiesToCome[0]
    if (this.copyIn === undefined) this.state = 'ready'
  }

  /** The target failed: no COPY reads data any more. */
  copyInFailed(extended: boolean): void {
    this.#copiesToCome = []
    this.copyIn = undefined
    this.copyInStarted = false
    if (this.state === 'copying') this.state = extended ? 'skipping' : 'ready'
  }

  /** DDL's transaction is over: the catalogue is read again. */
  reloadCatalog(): void {
    const change = this.catalogChange
    if (change === undefined) return
    this.catalogChange = undefined
    const reloading = change()
    this.catalogChanged?.(reloading)
  }

  abandonAll(): void {
    this.reloadCatalog()
    for (let head = this.head; head !== undefined; head = this.head) {
      this.abandon(head, 'lost')
      this.shift()
    }
  }

  settle(change: NameChange): void {
    if (change.table === 'statements') this.statements.settle(change.change)
    else this.portals.settle(change.change)
  }

  drop(change: NameChange): void {
    if (change.table === 'statements') this.statements.drop(change.change)
    else this.portals.drop(change.change)
  }

  /** A simple query or Sync ends the segment: what follows may not rely on it before it is answered. */
  endSegment(): void {
    this.segment += 1
    this.segmentOpen = false
  }

  /** Resolves at the target's next answer, or when the session ends. */
  async answered(): Promise<void> {
    await new Promise<void>((resolve) => this.#waiters.push(resolve))
  }

  /** Wakes those who wait for an answer. */
  wake(): void {
    if (this.#waiters.length === 0) return
    const waiters = this.#waiters
    this.#waiters = []
    for (const waiter of waiters) waiter()
  }
}
