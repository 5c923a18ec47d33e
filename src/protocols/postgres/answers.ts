import { GatewayError } from '../../kernel/index.ts'
import type { ContentScanner } from '../../masking/index.ts'
import { type CatalogKeeper, withSureOrigins } from './catalog-keeper.ts'
import type { Conversation, Expected, Portal, Prepared } from './conversation.ts'
import {
  BackendFramer,
  parseCommandComplete,
  parseCopyResponse,
  parseDiagnostic,
  parseNotificationResponse,
  parseParameterDescription,
  parseParameterStatus,
  parseReadyForQuery,
  parseRowDescription,
} from './decode.ts'
import * as encode from './encode.ts'
import { BACKEND, type FieldDescription, type Format, HEADER_BYTES } from './messages.ts'
import { fieldsOf } from './result-plans.ts'
import type { Run, RunScene } from './run.ts'
import { isUtf8, refuseSetting } from './settings.ts'
import { hasUnknownOrigin, transformDiagnostic } from './transform/index.ts'

/** The target's direction: every frame is matched to what was asked, masked, recorded and queued for the client. */
export class Answers {
  readonly #talk: Conversation
  readonly #scene: RunScene
  readonly #catalog: CatalogKeeper
  readonly #fatal: (error: GatewayError) => void
  readonly #framer: BackendFramer
  readonly #parameters: Map<string, string>
  #chunk: Buffer | undefined
  /** The run whose rows may still be borrowed from the current chunk. */
  #flowing: Run | undefined
  /** The target said why it closes the connection. */
  saidGoodbye = false

  constructor(options: {
    readonly talk: Conversation
    readonly scene: RunScene
    readonly catalog: CatalogKeeper
    /** The session cannot go on. */
    readonly fatal: (error: GatewayError) => void
    /** As reported when the session opened. */
    readonly parameters: ReadonlyMap<string, string>
  }) {
    this.#talk = options.talk
    this.#scene = options.scene
    this.#catalog = options.catalog
    this.#fatal = options.fatal
    this.#framer = new BackendFramer(options.scene.session.services.limits)
    this.#parameters = new Map(options.parameters)
    this.#talk.clientEncoding = this.#parameters.get('client_encoding') ?? 'UTF8'
  }

  /** As far as the target reports it (from PostgreSQL 18 on). */
  get searchPath(): string | undefined {
    return this.#parameters.get('search_path')
  }

  /** One borrowed chunk. @throws GatewayError when an answer cannot be released: the session must end. */
  push(chunk: Buffer): void {
    this.#chunk = chunk
    this.#framer.push(chunk, this.#onFrame)
    this.#endChunk()
    this.#chunk = undefined // an idle session must not hold on to it
  }

  readonly #onFrame = (tag: number, buffer: Buffer, start: number, end: number): void => {
    if (tag === BACKEND.dataRow || tag === BACKEND.copyData) {
      this.#flow(tag, buffer, start, end)
      return
    }
    this.#endChunk()
    switch (tag) {
      case BACKEND.noticeResponse:
        return this.#notice(buffer, start, end)
      case BACKEND.notificationResponse:
        return this.#notification(buffer, start, end)
      case BACKEND.parameterStatus:
        return this.#parameterStatus(buffer, start, end)
      case BACKEND.errorResponse:
        return this.#error(buffer, start, end)
      case BACKEND.readyForQuery:
        return this.#ready(buffer, start, end)
      default:
        return this.#expected(tag, buffer, start, end)
    }
  }

  #pass(buffer: Buffer, start: number, end: number): void {
    this.#scene.outbox.client(Buffer.from(buffer.subarray(start, end)))
  }

  /** Frames that answer the head of the queue. */
  #expected(tag: number, buffer: Buffer, start: number, end: number): void {
    const head = this.#talk.head
    if (head === undefined) throw unexpected(tag)
    switch (head.kind) {
      case 'own':
        return this.#ownAnswer(head, tag, buffer, start, end)
      case 'parse':
      case 'bind':
      case 'close':
        return this.#completed(head, tag, buffer, start, end)
      case 'describe':
        return this.#described(head, tag, buffer, start, end)
      case 'execute':
        return this.#running(head.run, head, tag, buffer, start, end)
      case 'query':
        return this.#running(head.runs[head.at], head, tag, buffer, start, end)
      default:
        throw unexpected(tag)
    }
  }

  #completed(
    head: Extract<Expected, { kind: 'parse' | 'bind' | 'close' }>,
    tag: number,
    buffer: Buffer,
    start: number,
    end: number,
  ): void {
    if (tag !== COMPLETION[head.kind]) throw unexpected(tag)
    if (head.change !== undefined) this.#talk.settle(head.change)
    this.#talk.shift()
    this.#pass(buffer, start, end)
  }

  #described(
    head: Extract<Expected, { kind: 'describe' }>,
    tag: number,
    buffer: Buffer,
    start: number,
    end: number,
  ): void {
    const { prepared, portal, own } = head
    if (tag === BACKEND.parameterDescription && portal === undefined) {
      prepared.describedTypes = parseParameterDescription(buffer, start, end)
    } else if (tag === BACKEND.rowDescription || tag === BACKEND.noData) {
      const fields = tag === BACKEND.noData ? null : fieldsOf(buffer, start, end)
      if (portal === undefined) prepared.fields = fields
      else portal.fields = fields
      this.#talk.shift()
    } else throw unexpected(tag)
    if (!own) this.#pass(buffer, start, end)
  }

  /** The result of one statement. */
  #running(
    run: Run | undefined,
    head: Extract<Expected, { kind: 'execute' | 'query' }>,
    tag: number,
    buffer: Buffer,
    start: number,
    end: number,
  ): void {
    switch (tag) {
      case BACKEND.rowDescription:
        if (head.kind !== 'query' || run === undefined) throw unexpected(tag)
        this.#plan(run, fieldsOf(buffer, start, end))
        break
      case BACKEND.commandComplete:
        if (run === undefined) throw unexpected(tag)
        run.complete(parseCommandComplete(buffer, start, end))
        this.#next(head)
        break
      case BACKEND.emptyQueryResponse:
        run?.complete('')
        this.#next(head)
        break
      case BACKEND.portalSuspended:
        if (head.kind !== 'execute') throw unexpected(tag)
        head.run.suspend()
        this.#talk.shift()
        break
      case BACKEND.copyInResponse:
        if (run === undefined || run.judged.operation.facts.kind !== 'copy_in') throw unexpected(tag)
        this.#talk.forgetSwallowedSyncs()
        this.#talk.copyInStarted = true
        break
      case BACKEND.copyOutResponse:
        if (run === undefined) throw unexpected(tag)
        run.copyOutStarted(parseCopyResponse(buffer, start, end))
        break
      case BACKEND.copyDone:
        run?.copyDone()
        break
      default:
        throw unexpected(tag)
    }
    this.#pass(buffer, start, end)
  }

  #next(head: Extract<Expected, { kind: 'execute' | 'query' }>): void {
    if (head.kind === 'execute') this.#talk.shift()
    else head.at += 1
  }

  /** Rows and COPY data, which leave together at the end of the chunk. */
  #flow(tag: number, buffer: Buffer, start: number, end: number): void {
    const head = this.#talk.head
    const run = this.#current(head)
    if (run === undefined) throw unexpected(tag)
    if (this.#flowing !== run) this.#endChunk()
    if (tag === BACKEND.copyData) run.copyData(buffer.subarray(start + HEADER_BYTES, end))
    else {
      if (!run.planned) {
        if (head?.kind !== 'execute') throw unexpected(tag)
        this.#plan(run, portalFields(head.portal))
      }
      run.row(buffer, start, end)
    }
    this.#flowing = run
    if (buffer !== this.#chunk) this.#endChunk() // a frame that straddled chunks is borrowed for this call only
  }

  #endChunk(): void {
    this.#flowing?.endChunk()
    this.#flowing = undefined
  }

  #plan(run: Run, fields: readonly FieldDescription[]): void {
    const masks = run.judged.decision.masks.some((mask) => mask.columns.length > 0)
    if (masks && hasUnknownOrigin(fields, this.#catalog.snapshot))
      this.#catalog
        .refresh()
        .catch((error: unknown) =>
          this.#scene.session.services.logger.warn('the catalogue could not be reloaded', { error: String(error) }),
        )
    const uncertain = masks && this.#catalog.uncertain
    run.fields(uncertain ? withSureOrigins(fields, this.#catalog.snapshot) : fields, uncertain)
  }

  #ownAnswer(head: Extract<Expected, { kind: 'own' }>, tag: number, buffer: Buffer, start: number, end: number): void {
    if (tag === BACKEND.rowDescription) head.fields = parseRowDescription(buffer, start, end)
    else if (tag === BACKEND.closeComplete && !head.synced) {
      this.#talk.shift()
      head.done()
    } else if (!OWN_TAGS.has(tag)) throw unexpected(tag)
  }

  // ── Diagnostics ───────────────────────────────────────────────────────────────────────────────────────────────

  #notice(buffer: Buffer, start: number, end: number): void {
    const head = this.#talk.head
    if (head?.kind === 'own' || head?.kind === 'refusal') return
    const fields = this.#maskedDiagnostic(buffer, start, end, this.#current(head), this.#clientScanner(head))
    const { session, outbox } = this.#scene
    const operation = this.#current(head)?.sequence
    session.journal.append({
      type: 'notice',
      at: session.now(),
      ...(operation === undefined ? {} : { operation }),
      severity: fields.get('V') ?? fields.get('S') ?? '',
      code: fields.get('C') ?? '',
      message: this.#atRest(fields.get('M') ?? ''),
    })
    outbox.client(encode.notice(fields))
  }

  #error(buffer: Buffer, start: number, end: number): void {
    const talk = this.#talk
    const head = talk.head
    const raw = parseDiagnostic(buffer, start, end)
    const severity = raw.get('V') ?? raw.get('S')
    if (severity === 'FATAL' || severity === 'PANIC') this.saidGoodbye = true
    else if (head === undefined) throw unexpected(BACKEND.errorResponse)
    if (head?.kind === 'own') return this.#ownError(head, buffer, start, end)
    if (head?.kind === 'refusal') {
      this.#scene.outbox.client(head.error)
      talk.shift()
      this.#skip()
      return
    }
    const run = this.#current(head)
    const fields = this.#maskedDiagnostic(buffer, start, end, run, this.#clientScanner(head))
    run?.fail(fields.get('C') ?? '', this.#atRest(fields.get('M') ?? ''))
    this.#scene.outbox.client(encode.errorResponse(fields))
    if (head?.kind === 'query') {
      for (const later of head.runs.slice(head.at + 1)) later.abandon('skipped')
      head.failed = true
      talk.copyInFailed(false)
    } else if (head !== undefined && head.kind !== 'sync') {
      if (head.kind !== 'execute') talk.abandon(head, 'skipped')
      talk.shift()
      this.#skip()
    }
  }

  /** An error in an extended segment: the target ignores everything up to the next Sync. */
  #skip(): void {
    const talk = this.#talk
    const synced = talk.skipToSync()
    talk.copyInFailed(!synced)
    if (!synced) talk.state = 'skipping'
  }

  #ownError(head: Extract<Expected, { kind: 'own' }>, buffer: Buffer, start: number, end: number): void {
    const fields = this.#maskedDiagnostic(buffer, start, end, undefined, this.#restScanner())
    head.error = encode.errorResponse(fields)
    if (head.synced) return
    // It was asked inside the client's segment, so the client's segment has failed.
    this.#scene.outbox.client(head.error)
    this.#talk.shift()
    head.done()
    this.#skip()
  }

  #current(head: Expected | undefined): Run | undefined {
    if (head?.kind === 'query') return head.runs[head.at]
    return head?.kind === 'execute' ? head.run : undefined
  }

  #clientScanner(head: Expected | undefined): ContentScanner | undefined {
    const run = this.#current(head)
    return run === undefined ? this.#restScanner() : this.#scene.masker.scanner(run.judged.decision.masks)
  }

  /** Without an operation to tell (Parse, Bind, asynchronous messages) the strictest reading holds. */
  #maskedDiagnostic(
    buffer: Buffer,
    start: number,
    end: number,
    run: Run | undefined,
    scanner: ContentScanner | undefined,
  ): Map<string, string> {
    if (!isUtf8(this.#talk.clientEncoding)) scanner = scanner ?? this.#restScanner()
    return transformDiagnostic(parseDiagnostic(buffer, start, end), {
      scanner,
      strict: this.#isStrict(run ?? boundRun(this.#talk.head)),
    })
  }

  /** What ends a transaction, or makes constraints immediate, checks what earlier statements left to be checked. */
  #isStrict(run: Run | undefined): boolean {
    if (run?.judged.protection.strict === true) return true
    const checksLater = run === undefined || CHECKS_LATER.has(run.judged.operation.facts.kind)
    return checksLater && this.#talk.touchedProtected
  }

  #restScanner(): ContentScanner | undefined {
    return this.#scene.masker.scanner(this.#scene.atRest())
  }

  #atRest(text: string): string {
    return this.#restScanner()?.scanText(text) ?? text
  }

  // ── Asynchronous messages ─────────────────────────────────────────────────────────────────────────────────────

  #notification(buffer: Buffer, start: number, end: number): void {
    const { pid, channel, payload } = parseNotificationResponse(buffer, start, end)
    const masked = this.#restScanner()?.scanText(payload) ?? payload
    if (masked === payload) this.#pass(buffer, start, end)
    else this.#scene.outbox.client(encode.notificationResponse(pid, channel, masked))
  }

  #parameterStatus(buffer: Buffer, start: number, end: number): void {
    const { name, value } = parseParameterStatus(buffer, start, end)
    const { session } = this.#scene
    this.#parameters.set(name, value)
    session.journal.append({ type: 'setting_changed', at: session.now(), name, value: this.#atRest(value) })
    if (name === 'client_encoding') this.#talk.clientEncoding = value
    const refusal = name === 'application_name' ? undefined : refuseSetting(name, value)
    const widened = name === 'default_transaction_read_only' && value === 'off' && session.info.level === 'read'
    if (refusal !== undefined || widened) {
      this.#fatal(
        refusal ??
          new GatewayError('access.level', 'The session was made writable by a way that policy does not allow.'),
      )
      return
    }
    this.#pass(buffer, start, end)
  }

  #ready(buffer: Buffer, start: number, end: number): void {
    const talk = this.#talk
    const status = parseReadyForQuery(buffer, start, end)
    const head = talk.head
    talk.transaction = status
    if (head?.kind === 'own' && head.synced) {
      talk.shift()
      head.done()
      return
    }
    const complete = head?.kind === 'sync' || (head?.kind === 'query' && (head.failed || head.at >= head.runs.length))
    if (!complete) throw unexpected(BACKEND.readyForQuery)
    talk.shift()
    if (talk.idle) talk.readingUncertain = false
    if (status === 'I' && talk.idle && !talk.segmentOpen) talk.touchedProtected = false
    if (status === 'I' && talk.idle && !talk.segmentOpen) talk.reloadCatalog()
    this.#pass(buffer, start, end)
  }
}

const CHECKS_LATER: ReadonlySet<string> = new Set(['transaction', 'set', 'call'])

/** Planning, which may evaluate functions, happens at Bind. */
function boundRun(head: Expected | undefined): Run | undefined {
  return head?.kind === 'bind' && head.change?.table === 'portals' ? head.change.change.value?.run : undefined
}

const COMPLETION = { parse: BACKEND.parseComplete, bind: BACKEND.bindComplete, close: BACKEND.closeComplete } as const

/** What answers Parse, Describe and Close of the gateway's own question. */
const OWN_TAGS: ReadonlySet<number> = new Set([
  BACKEND.parseComplete,
  BACKEND.parameterDescription,
  BACKEND.noData,
  BACKEND.closeComplete,
])

function unexpected(tag: number): GatewayError {
  return new GatewayError(
    'target.protocol',
    `The target sent a message of the type "${String.fromCharCode(tag)}" that nobody asked for.`,
  )
}

/** A portal's shape, or its statement's with the formats that Bind asked for. */
function portalFields({ fields, prepared, resultFormats }: Portal): readonly FieldDescription[] {
  const known = fields ?? describedBy(prepared)
  if (fields != null) return known
  return known.map((field, index) => {
    const format = (resultFormats[resultFormats.length === 1 ? 0 : index] ?? 0) as Format
    return field.format === format ? field : { ...field, format }
  })
}

function describedBy({ fields }: Prepared): readonly FieldDescription[] {
  if (fields == null)
    throw new GatewayError('target.protocol', 'The target sent rows of a shape that it never described.')
  return fields
}
