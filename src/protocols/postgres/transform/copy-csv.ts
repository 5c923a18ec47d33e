import type { CopyOptions } from '../../../sql/analysis.ts'
import type { ByteQueue } from '../../../wire/byte-queue.ts'
import { malformedCopy, type RowFormat, singleByte } from './copy-format.ts'
import type { ResultPlan } from './plan.ts'
import { changeCell } from './rows.ts'

const NEWLINE = 0x0a
const RETURN = 0x0d

interface Field {
  /** Undefined for NULL. */
  readonly value: Buffer | undefined
  readonly quoted: boolean
  readonly end: number
}

/** COPY's CSV format, as strict as the server writes it: a quote only around a whole field. */
export class CsvRows implements RowFormat {
  rows = 0
  readonly #plan: ResultPlan
  readonly #delimiter: number
  readonly #quote: number
  readonly #escape: number
  readonly #null: Buffer
  #header: boolean
  #scanned = 0
  #quoted = false
  #escaped = false

  constructor(plan: ResultPlan, options: Pick<CopyOptions, 'delimiter' | 'null' | 'quote' | 'escape' | 'header'>) {
    this.#plan = plan
    this.#delimiter = singleByte(options.delimiter, ',')
    this.#quote = singleByte(options.quote, '"')
    this.#escape = singleByte(options.escape, options.quote ?? '"')
    this.#null = Buffer.from(options.null ?? '')
    this.#header = options.header !== 'none'
  }

  next(queue: ByteQueue): number | undefined {
    for (; this.#scanned < queue.length; this.#scanned++) {
      const byte = queue.byteAt(this.#scanned)
      if (this.#escaped) this.#escaped = false
      else if (this.#quoted && byte === this.#escape && byte !== this.#quote) this.#escaped = true
      else if (byte === this.#quote) this.#quoted = !this.#quoted
      else if (byte === NEWLINE && !this.#quoted) {
        const size = this.#scanned + 1
        this.#scanned = 0
        return size
      }
    }
    return undefined
  }

  change(row: Buffer): Buffer | undefined {
    if (this.#header) {
      this.#header = false
      return undefined // names, which the client's statement has named already
    }
    this.rows++
    const { columns } = this.#plan
    const end = row.length - 1
    const pieces: Buffer[] = []
    let [kept, from, index] = [0, 0, 0]
    for (; from <= end && index < columns.length; index++) {
      const field = this.#field(row, from, end)
      const answer = this.#changeField(field, index)
      if (answer !== undefined) {
        pieces.push(row.subarray(kept, from), answer)
        kept = field.end
      }
      from = field.end + 1
    }
    const complete = columns.length === 0 ? end === 0 : index === columns.length && from === end + 1
    if (!complete) throw malformedCopy('has another number of columns than announced')
    return pieces.length === 0 ? undefined : Buffer.concat([...pieces, row.subarray(kept)])
  }

  finish(): void {
    if (this.#quoted) throw malformedCopy('ends within a value')
  }

  #field(row: Buffer, from: number, end: number): Field {
    if (from < end && row[from] === this.#quote) return this.#quotedField(row, from, end)
    let at = from
    for (; at < end && row[at] !== this.#delimiter; at++)
      if (row[at] === this.#quote) throw malformedCopy('has a quote within a value')
    const raw = row.subarray(from, at)
    return { value: raw.equals(this.#null) ? undefined : raw, quoted: false, end: at }
  }

  #quotedField(row: Buffer, from: number, end: number): Field {
    const bytes: number[] = []
    let at = from + 1
    for (; at < end; at++) {
      const [byte, following] = [row[at]!, at + 1 < end ? row[at + 1] : undefined]
      const escapes = byte === this.#escape && (following === this.#quote || following === this.#escape)
      if (escapes) bytes.push(row[++at]!)
      else if (byte === this.#quote) break
      else bytes.push(byte)
    }
    const closed = at < end && (at + 1 === end || row[at + 1] === this.#delimiter)
    if (!closed) throw malformedCopy('has a value that goes on after its quote')
    return { value: Buffer.from(bytes), quoted: true, end: at + 1 }
  }

  #changeField({ value, quoted }: Field, index: number): Buffer | undefined {
    const column = this.#plan.columns[index]!
    if (column.change === undefined || value === undefined) return undefined
    const answer = changeCell(column.change, value, column)
    if (answer === undefined) return undefined
    this.#plan.countReplaced(column)
    if (answer === null) return this.#null
    return quoted || this.#needsQuotes(answer) ? this.#enquote(answer) : answer
  }

  #needsQuotes(value: Buffer): boolean {
    if (value.equals(this.#null) || (this.#plan.columns.length === 1 && value.toString('latin1') === '\\.')) return true
    return value.some((byte) => byte === this.#delimiter || byte === this.#quote || byte === NEWLINE || byte === RETURN)
  }

  #enquote(value: Buffer): Buffer {
    const bytes = [this.#quote]
    for (const byte of value) {
      if (byte === this.#quote || byte === this.#escape) bytes.push(this.#escape)
      bytes.push(byte)
    }
    bytes.push(this.#quote)
    return Buffer.from(bytes)
  }
}
