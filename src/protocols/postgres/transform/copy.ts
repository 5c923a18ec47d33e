import { GatewayError } from '../../../kernel/index.ts'
import type { CopyOptions } from '../../../sql/analysis.ts'
import { ByteQueue } from '../../../wire/byte-queue.ts'
import type { CopyResponse, Format } from '../messages.ts'
import { BinaryRows } from './copy-binary.ts'
import { CsvRows } from './copy-csv.ts'
import type { RowFormat } from './copy-format.ts'
import { TextRows } from './copy-text.ts'
import type { ResultPlan } from './plan.ts'

export interface CopyOutOptions {
  /** As `CopyFacts` has them. */
  readonly format: 'text' | 'csv' | 'binary' | 'other'
  readonly options: Pick<CopyOptions, 'delimiter' | 'null' | 'quote' | 'escape' | 'header' | 'encoding' | 'unknown'>
  /** A row is held back until it is whole; a longer one cannot be masked. */
  readonly maxRowBytes?: number
}

const MAX_ROW_BYTES = 256 * 1024 * 1024

/** Encodings in which a byte below 0x80 is always that ASCII character. */
const ASCII_ENCODINGS = /^(?:UTF8?|UNICODE|SQLASCII|LATIN\d+|ISO8859\d+|WIN\d+|ABC|TCVN\d*|VSCII|ALT|KOI8[RU]?|EUC\w+)$/

/** Masks what COPY … TO STDOUT sends. Its messages need not align with rows, so rows are put together first. */
export class CopyOutTransformer {
  readonly plan: ResultPlan
  readonly #format: RowFormat
  readonly #binary: boolean
  readonly #maxRowBytes: number
  readonly #queue = new ByteQueue()

  /**
   * @param plan - Of the copied columns in their order, with their format: binary (1) for the binary format, else text.
   * @throws GatewayError `pg.unsupported`, `sql.encoding` - an option that the gateway cannot follow.
   */
  constructor(plan: ResultPlan, options: CopyOutOptions) {
    this.plan = plan
    this.#format = rowFormat(plan, options)
    this.#binary = options.format === 'binary'
    this.#maxRowBytes = options.maxRowBytes ?? MAX_ROW_BYTES
  }

  /** Rows of data released so far. */
  get rows(): number {
    return this.#format.rows
  }

  /** Checks the target's announcement. @throws GatewayError `target.protocol` - another shape than was planned. */
  start(response: CopyResponse): void {
    const format: Format = this.#binary ? 1 : 0
    const formats = response.columnFormats
    const fits =
      response.format === format &&
      formats.length === this.plan.columns.length &&
      this.plan.columns.every((column, index) => column.format === format && formats[index] === format)
    if (!fits) throw new GatewayError('target.protocol', 'The target copies other columns than were planned.')
  }

  /**
   * Takes the body of one CopyData message, borrowed.
   * @returns what may leave now, as the body of one message; undefined when nothing is ready yet.
   * @throws GatewayError `target.protocol`, `mask.failed`
   */
  push(data: Buffer): Buffer | undefined {
    this.#queue.append(data)
    const pieces: Buffer[] = []
    for (let size = this.#format.next(this.#queue); size !== undefined; size = this.#format.next(this.#queue)) {
      const row = this.#queue.peek(size)!
      pieces.push(this.#format.change(row) ?? Buffer.from(row))
      this.#queue.skip(size)
    }
    if (this.#queue.length > this.#maxRowBytes)
      throw new GatewayError(
        'mask.failed',
        `A row of the COPY is over ${this.#maxRowBytes} bytes, the gateway's limit.`,
      )
    return pieces.length < 2 ? pieces[0] : Buffer.concat(pieces)
  }

  /**
   * The target has sent all.
   * @returns undefined: whole rows have left already.
   * @throws GatewayError `target.protocol` - part of a row is left; it is withheld.
   */
  finish(): undefined {
    if (this.#queue.length > 0) throw new GatewayError('target.protocol', 'The COPY ended within a row.')
    this.#format.finish()
    return undefined
  }
}

function rowFormat(plan: ResultPlan, { format, options }: CopyOutOptions): RowFormat {
  if (options.unknown.length > 0 || format === 'other')
    throw new GatewayError('pg.unsupported', 'This COPY uses an option that the gateway does not know.')
  if (format === 'binary') return new BinaryRows(plan)
  const encoding = options.encoding?.toUpperCase().replace(/[^A-Z0-9]/g, '') ?? 'UTF8'
  if (!ASCII_ENCODINGS.test(encoding))
    throw new GatewayError('sql.encoding', 'The gateway cannot read COPY in this encoding. Use UTF8.')
  return format === 'csv' ? new CsvRows(plan, options) : new TextRows(plan, options)
}
