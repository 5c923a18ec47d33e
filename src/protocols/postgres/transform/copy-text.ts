import type { CopyOptions } from '../../../sql/analysis.ts'
import type { ByteQueue } from '../../../wire/byte-queue.ts'
import { malformedCopy, type RowFormat, singleByte } from './copy-format.ts'
import type { ResultPlan } from './plan.ts'
import { changeCell } from './rows.ts'

const NEWLINE = 0x0a
const BACKSLASH = 0x5c
const DEFAULT_NULL = '\\N'
const END_MARKER = '\\.\n'

/** What stands behind a backslash for which byte. */
const LETTERS: Readonly<Record<string, number>> = { b: 8, f: 12, n: 10, r: 13, t: 9, v: 11 }
const LETTER_OF = new Map(Object.entries(LETTERS).map(([letter, byte]) => [byte, letter.charCodeAt(0)]))

/** COPY's text format: a line per row, fields between delimiters, backslash escapes. */
export class TextRows implements RowFormat {
  rows = 0
  readonly #plan: ResultPlan
  readonly #delimiter: number
  readonly #null: Buffer
  /** Only the default cannot be spelt by a value; any other NULL might be a value that looks like it. */
  readonly #nullIsCertain: boolean
  #header: boolean
  #ended = false
  #scanned = 0
  #escaped = false

  constructor(plan: ResultPlan, options: Pick<CopyOptions, 'delimiter' | 'null' | 'header'>) {
    this.#plan = plan
    this.#delimiter = singleByte(options.delimiter, '\t')
    this.#null = Buffer.from(options.null ?? DEFAULT_NULL)
    this.#nullIsCertain = this.#null.equals(Buffer.from(DEFAULT_NULL))
    this.#header = options.header !== 'none'
  }

  next(queue: ByteQueue): number | undefined {
    for (; this.#scanned < queue.length; this.#scanned++) {
      const byte = queue.byteAt(this.#scanned)
      if (this.#escaped) this.#escaped = false
      else if (byte === BACKSLASH) this.#escaped = true
      else if (byte === NEWLINE) {
        const size = this.#scanned + 1
        this.#scanned = 0
        return size
      }
    }
    return undefined
  }

  change(row: Buffer): Buffer | undefined {
    if (this.#ended) throw malformedCopy('goes on after its end marker')
    if (row.length === END_MARKER.length && row.toString('latin1') === END_MARKER) {
      this.#ended = true
      return undefined
    }
    if (this.#header) {
      this.#header = false
      return undefined // names, which the client's statement has named already
    }
    this.rows++
    return this.#changeFields(row, row.length - 1)
  }

  finish(): void {
    if (this.#escaped) throw malformedCopy('ends within a value')
  }

  #changeFields(row: Buffer, end: number): Buffer | undefined {
    const { columns } = this.#plan
    const pieces: Buffer[] = []
    let [kept, from, index] = [0, 0, 0]
    while (from <= end && columns.length > 0) {
      const to = this.#fieldEnd(row, from, end)
      const answer = index < columns.length ? this.#changeField(row.subarray(from, to), index) : undefined
      if (answer !== undefined) {
        pieces.push(row.subarray(kept, from), answer)
        kept = to
      }
      from = to + 1
      index++
    }
    if (index !== columns.length || (columns.length === 0 && end > 0))
      throw malformedCopy('has another number of columns than announced')
    return pieces.length === 0 ? undefined : Buffer.concat([...pieces, row.subarray(kept)])
  }

  #fieldEnd(row: Buffer, from: number, end: number): number {
    let at = from
    for (; at < end; at++) {
      if (row[at] === BACKSLASH) at++
      else if (row[at] === this.#delimiter) break
    }
    return Math.min(at, end)
  }

  #changeField(raw: Buffer, index: number): Buffer | undefined {
    const column = this.#plan.columns[index]!
    if (column.change === undefined || (this.#nullIsCertain && raw.equals(this.#null))) return undefined
    const answer = changeCell(column.change, readEscapes(raw), column)
    if (answer === undefined) return undefined
    this.#plan.countReplaced(column)
    return answer === null ? this.#null : writeEscapes(answer, this.#delimiter)
  }
}

/** Reads everything that COPY FROM reads: letters, octal, hexadecimal, and any other character for itself. */
export function readEscapes(raw: Buffer): Buffer {
  if (!raw.includes(BACKSLASH)) return raw
  const bytes: number[] = []
  const text = raw.toString('latin1')
  const escapes = /\\(?:([0-7]{1,3})|x([0-9a-fA-F]{1,2})|([\s\S]))|[^\\]|\\$/g
  for (const [all, octal, hexadecimal, other] of text.matchAll(escapes)) {
    if (octal !== undefined) bytes.push(Number.parseInt(octal, 8) & 0xff)
    else if (hexadecimal !== undefined) bytes.push(Number.parseInt(hexadecimal, 16))
    else if (other !== undefined) bytes.push(LETTERS[other] ?? other.charCodeAt(0))
    else bytes.push(all.charCodeAt(0))
  }
  return Buffer.from(bytes)
}

/** Writes what COPY TO writes. */
export function writeEscapes(value: Buffer, delimiter: number): Buffer {
  const bytes: number[] = []
  for (const byte of value) {
    const letter = LETTER_OF.get(byte)
    if (letter !== undefined) bytes.push(BACKSLASH, letter)
    else if (byte === BACKSLASH || byte === delimiter) bytes.push(BACKSLASH, byte)
    else bytes.push(byte)
  }
  return Buffer.from(bytes)
}
