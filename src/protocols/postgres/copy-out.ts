import { GatewayError } from '../../kernel/index.ts'
import type { Journal } from '../../recording/index.ts'
import type { CopyFacts } from '../../sql/index.ts'
import { withSureOrigins } from './catalog-keeper.ts'
import type { Conversation, OwnQuestion } from './conversation.ts'
import * as encode from './encode.ts'
import type { Judged } from './judgement.ts'
import { masksLeft } from './masks-left.ts'
import type { CopyResponse, FieldDescription, Format } from './messages.ts'
import { AnsweredByTarget } from './refusals.ts'
import type { RunScene } from './run.ts'
import { CopyOutTransformer, planResult } from './transform/index.ts'

/** Masks one COPY … TO STDOUT for the client, and again for the recording, which may hold less. */
export class CopyOut {
  readonly #client: CopyOutTransformer
  readonly #rest: CopyOutTransformer
  readonly #maxRecordedBytes: number
  #recordedBytes = 0

  constructor(client: CopyOutTransformer, rest: CopyOutTransformer, maxRecordedBytes: number) {
    this.#client = client
    this.#rest = rest
    this.#maxRecordedBytes = maxRecordedBytes
  }

  start(response: CopyResponse): void {
    this.#client.start(response)
    this.#rest.start(response)
  }

  push(data: Buffer): Buffer | undefined {
    return this.#client.push(data)
  }

  finish(): void {
    this.#client.finish()
  }

  maskedValues(): Record<string, number> {
    return this.#client.plan.maskedValues()
  }

  /** @param data - As released. */
  record(data: Buffer, journal: Journal, operation: number): void {
    if (this.#recordedBytes >= this.#maxRecordedBytes) {
      journal.omitCopyData(operation, 'out', data, 'cap')
      return
    }
    this.#recordedBytes += data.length
    const kept = this.#rest.push(data)
    if (kept !== undefined) journal.appendCopyData(operation, 'out', kept)
  }
}

const STATEMENT = 'sallyport_copy'

/** Finds out which columns a COPY will send, by asking the target to describe them, before the COPY itself is sent. */
export class CopyPlanner {
  readonly #talk: Conversation
  readonly #scene: RunScene

  constructor(options: { readonly talk: Conversation; readonly scene: RunScene }) {
    this.#talk = options.talk
    this.#scene = options.scene
  }

  /** @returns undefined at once when the operation is no COPY to the client. Rejects with AnsweredByTarget or a GatewayError. */
  plan(judged: Judged): undefined | Promise<CopyOut> {
    const copy = judged.analysis?.copy
    if (copy === undefined || copy.direction !== 'out' || copy.source !== 'stdio') return undefined
    return this.#plan(judged, copy)
  }

  async #plan(judged: Judged, copy: CopyFacts): Promise<CopyOut> {
    const format: Format = copy.format === 'binary' ? 1 : 0
    const described = await this.#describe(copy.query?.text ?? selectOf(copy))
    const uncertain = this.#scene.uncertain()
    const copied = this.#fields(copy, described, format)
    const fields = uncertain ? withSureOrigins(copied, this.#scene.catalog()) : copied
    const { masker, session } = this.#scene
    const catalog = this.#scene.catalog()
    const { decision, protection } = judged
    const client = planResult(fields, {
      masks: decision.masks,
      masker,
      catalog,
      computedIsProtected: protection.computed || uncertain,
    })
    const rest = planResult(fields, {
      masks: masksLeft(this.#scene.atRest(), decision.masks),
      masker,
      catalog,
      computedIsProtected: protection.computedAtRest || uncertain,
    })
    const options = { ...copy.options, encoding: copy.options.encoding ?? this.#talk.clientEncoding }
    const transformer = (plan: typeof client) => new CopyOutTransformer(plan, { format: copy.format, options })
    const columns = client.describe()
    session.journal.append({
      type: 'columns',
      at: session.now(),
      operation: judged.operation.sequence,
      result: 0,
      columns,
    })
    return new CopyOut(transformer(client), transformer(rest), session.services.limits.maxRecordedBytes)
  }

  /** COPY of a whole table leaves generated columns out; `SELECT *` does not. */
  #fields(copy: CopyFacts, described: readonly FieldDescription[], format: Format): readonly FieldDescription[] {
    const relation = this.#scene.catalog().relationByOid(described[0]?.tableOid ?? 0)
    const generated = new Set(relation?.columns.filter((column) => column.generated).map((column) => column.attribute))
    const wholeTable = copy.relation !== undefined && copy.columns.length === 0
    const copied = wholeTable ? described.filter((field) => !generated.has(field.attribute)) : described
    return copied.map((field) => ({ ...field, format }))
  }

  async #describe(sql: string): Promise<readonly FieldDescription[]> {
    const talk = this.#talk
    const { outbox } = this.#scene
    const synced = !talk.segmentOpen
    let question: OwnQuestion | undefined
    const answered = new Promise<void>((resolve) => {
      question = { kind: 'own', synced, fields: [], error: undefined, done: resolve }
      talk.expect(question)
    })
    outbox.target(
      Buffer.concat([
        encode.parse(STATEMENT, sql),
        encode.describe('statement', STATEMENT),
        encode.close('statement', STATEMENT),
        synced ? encode.sync() : encode.flush(),
      ]),
    )
    outbox.flush()
    await answered
    if (question?.error !== undefined) throw new AnsweredByTarget(synced ? question.error : undefined)
    if (question === undefined || question.fields.length === 0)
      throw new GatewayError('mask.unprovable', 'The columns of this COPY cannot be told before it runs.')
    return question.fields
  }
}

function selectOf({ relation, columns }: CopyFacts): string {
  const quoted = (name: string) => `"${name.replaceAll('"', '""')}"`
  const table = (relation ?? '').split('.').map(quoted).join('.')
  return `select ${columns.length === 0 ? '*' : columns.map(quoted).join(', ')} from ${table}`
}
