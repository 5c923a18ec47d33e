import { type Clock, GatewayError } from '../../kernel/index.ts'
import {
  BackendFramer,
  type CodecLimits,
  parseCommandComplete,
  parseDataRow,
  parseDiagnostic,
  parseRowDescription,
} from './decode.ts'
import { bind, copyFail, describe, execute, parse, query, sync } from './encode.ts'
import { BACKEND, type FieldDescription } from './messages.ts'
import { closeTarget, type TargetLink } from './target.ts'

export interface QueryResult {
  readonly fields: readonly FieldDescription[]
  /** Values in text format; null is NULL. */
  readonly rows: readonly (string | null)[][]
  /** Such as `SELECT 5`; of the last statement if there were several. */
  readonly tag: string
}

export interface QueryClientLimits extends CodecLimits {
  /** Of all rows of one answer together. */
  readonly maxResultBytes: number
}

const DEFAULT_LIMITS: QueryClientLimits = { maxMessageBytes: 16 * 1024 * 1024, maxResultBytes: 64 * 1024 * 1024 }

interface Question {
  readonly resolve: (result: QueryResult) => void
  readonly reject: (error: GatewayError) => void
  readonly rows: (string | null)[][]
  fields: FieldDescription[]
  tag: string
  bytes: number
  failure: GatewayError | undefined
}

/**
 * Asks a target the gateway's own questions: the catalogue, the planner's estimates, counts. One at a time, in the
 * order asked. Results are small and collected whole; client traffic never passes here.
 */
export class QueryClient {
  readonly #link: TargetLink
  readonly #limits: QueryClientLimits
  readonly #framer: BackendFramer
  readonly #deadline: { readonly clock: Clock; readonly timeoutMs: number } | undefined
  #last: Promise<unknown> = Promise.resolve()
  #open: Question | undefined
  #lost: GatewayError | undefined

  /** @param deadline - For each question; when it passes the connection is closed. */
  constructor(
    link: TargetLink,
    limits: Partial<QueryClientLimits> = {},
    deadline?: { readonly clock: Clock; readonly timeoutMs: number },
  ) {
    this.#link = link
    this.#limits = { ...DEFAULT_LIMITS, ...limits }
    this.#framer = new BackendFramer(this.#limits)
    this.#deadline = deadline
    link.stream.read({
      data: (chunk) => this.#received(chunk),
      closed: (error) => this.#lose('The target closed the connection.', error?.message),
    })
    if (link.leftover.length > 0) this.#received(link.leftover)
  }

  /**
   * Runs a statement (several, when there are no parameters) and answers the rows.
   *
   * @param parameters - In text format, their types inferred by the target.
   * @throws GatewayError `target.protocol` when the target answers with an error: the SQLSTATE is in the message, the
   *   target's own words are in the detail, and the client stays usable. `target.lost` when the connection has gone.
   */
  query(sql: string, parameters?: readonly (string | null)[]): Promise<QueryResult> {
    if (parameters === undefined) return this.#ask([query(sql)])
    return this.#ask([parse('', sql), bind('', '', parameters), describe('portal', ''), execute(''), sync()])
  }

  /** The columns that a statement would return, without running it; none for one that returns no rows. */
  async describe(sql: string): Promise<readonly FieldDescription[]> {
    const { fields } = await this.#ask([parse('', sql), describe('statement', ''), sync()])
    return fields
  }

  close(): void {
    closeTarget(this.#link.stream)
    this.#lose('The connection was closed.')
  }

  #ask(messages: readonly Buffer[]): Promise<QueryResult> {
    const answer = this.#last.then(() => this.#send(messages))
    this.#last = answer.catch(() => undefined)
    return answer
  }

  #send(messages: readonly Buffer[]): Promise<QueryResult> {
    return new Promise((resolve, reject) => {
      if (this.#lost !== undefined) {
        reject(this.#lost)
        return
      }
      const stop = this.#deadline?.clock.after(this.#deadline.timeoutMs, () => {
        this.#link.stream.destroy()
        this.#lose('The target did not answer in time.')
      })
      this.#open = {
        resolve: (result) => {
          stop?.()
          resolve(result)
        },
        reject: (error) => {
          stop?.()
          reject(error)
        },
        rows: [],
        fields: [],
        tag: '',
        bytes: 0,
        failure: undefined,
      }
      this.#link.stream.write(messages)
    })
  }

  #received(chunk: Buffer): void {
    try {
      this.#framer.push(chunk, (tag, buffer, start, end) => this.#frame(tag, buffer, start, end))
    } catch (error) {
      const { message, detail } = GatewayError.from(error, 'target.protocol')
      this.#link.stream.destroy()
      this.#lose(message, detail)
    }
  }

  #frame(tag: number, buffer: Buffer, start: number, end: number): void {
    const question = this.#open
    if (question === undefined) return
    switch (tag) {
      case BACKEND.rowDescription:
        question.fields = parseRowDescription(buffer, start, end)
        question.rows.length = 0
        break
      case BACKEND.dataRow:
        this.#row(question, buffer, start, end)
        break
      case BACKEND.commandComplete:
        question.tag = parseCommandComplete(buffer, start, end)
        break
      case BACKEND.errorResponse:
        question.failure ??= refused(parseDiagnostic(buffer, start, end))
        break
      case BACKEND.copyInResponse:
      case BACKEND.copyBothResponse:
        this.#link.stream.write([copyFail('not expected')])
        break
      case BACKEND.readyForQuery:
        this.#open = undefined
        settle(question)
        break
    }
  }

  #row(question: Question, buffer: Buffer, start: number, end: number): void {
    question.bytes += end - start
    if (question.bytes > this.#limits.maxResultBytes) {
      throw new GatewayError('target.protocol', `The answer is over ${this.#limits.maxResultBytes} bytes.`)
    }
    question.rows.push(parseDataRow(buffer, start, end).map((cell) => cell?.toString('utf8') ?? null))
  }

  #lose(message: string, detail?: string): void {
    this.#lost ??= new GatewayError('target.lost', message, detail === undefined ? {} : { detail })
    const question = this.#open
    this.#open = undefined
    question?.reject(question.failure ?? this.#lost)
  }
}

function settle({ failure, resolve, reject, fields, rows, tag }: Question): void {
  if (failure === undefined) resolve({ fields, rows, tag })
  else reject(failure)
}

function refused(fields: ReadonlyMap<string, string>): GatewayError {
  const given = fields.get('C') ?? ''
  const sqlstate = /^[0-9A-Z]{5}$/.test(given) ? given : 'unknown'
  return new GatewayError('target.protocol', `The target refused a question of the gateway (SQLSTATE ${sqlstate}).`, {
    detail: fields.get('M') ?? '',
  })
}
