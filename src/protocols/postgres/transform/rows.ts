import { GatewayError } from '../../../kernel/index.ts'
import type { CellChange } from './literals.ts'
import type { ColumnPlan, ResultPlan } from './plan.ts'

const DATA_ROW = 0x44
const HEADER_BYTES = 7 // tag, length, column count
const MAX_FRAME_BYTES = 0x3fff_ffff

function malformed(what: string): GatewayError {
  return new GatewayError('target.protocol', `The target sent a row that ${what}.`)
}

/**
 * Masks one DataRow.
 *
 * @param buffer - Holds the whole frame, header included, at [start, end); borrowed for this call.
 * @returns a new frame, or undefined when the row may leave as it is.
 * @throws GatewayError `target.protocol` - not the shape that the plan was made for; `mask.failed` - a value could not
 *   be masked. Neither row nor session can go on.
 */
export function transformRows(plan: ResultPlan, buffer: Buffer, start: number, end: number): Buffer | undefined {
  const { columns } = plan
  if (end - start < HEADER_BYTES || buffer[start] !== DATA_ROW || buffer.readInt32BE(start + 1) !== end - start - 1)
    throw malformed('is not one')
  if (buffer.readInt16BE(start + 5) !== columns.length) throw malformed('has another number of columns than announced')
  let at = start + HEADER_BYTES
  let rewrite: Rewrite | undefined
  for (let index = 0; index < columns.length; index++) {
    if (at + 4 > end) throw malformed('ends within a value')
    const length = (buffer[at]! << 24) | (buffer[at + 1]! << 16) | (buffer[at + 2]! << 8) | buffer[at + 3]!
    const from = at + 4
    at = length === -1 ? from : from + length
    if (length < -1 || at > end) throw malformed('ends within a value')
    const column = columns[index]!
    if (column.change === undefined || length === -1) continue
    const answer = changeCell(column.change, buffer.subarray(from, at), column)
    if (answer === undefined) continue
    plan.countReplaced(column)
    rewrite ??= new Rewrite(buffer, start)
    rewrite.replace(from - 4, at, answer)
  }
  if (at !== end) throw malformed('has bytes after its last value')
  return rewrite?.finish(end)
}

/** Runs one column's change; whatever goes wrong in it withholds the value. */
export function changeCell(change: CellChange, cell: Buffer, column: ColumnPlan): Buffer | null | undefined {
  try {
    return change(cell)
  } catch (error) {
    if (error instanceof GatewayError) throw error
    throw new GatewayError('mask.failed', `A value of column ${JSON.stringify(column.name)} could not be masked.`, {
      // The error's text may quote the value; its name and place do not.
      detail: error instanceof Error ? `${error.name} in a value of type ${column.type}` : 'not an error',
    })
  }
}

/** Collects replaced cells and builds the new frame once. */
class Rewrite {
  readonly #buffer: Buffer
  readonly #start: number
  readonly #places: { readonly from: number; readonly to: number; readonly cell: Buffer | null }[] = []
  #grown = 0

  constructor(buffer: Buffer, start: number) {
    this.#buffer = buffer
    this.#start = start
  }

  /** [from, to) is the old cell with its length. */
  replace(from: number, to: number, cell: Buffer | null): void {
    this.#places.push({ from, to, cell })
    this.#grown += 4 + (cell?.length ?? 0) - (to - from)
  }

  finish(end: number): Buffer {
    const size = end - this.#start + this.#grown
    if (size > MAX_FRAME_BYTES) throw new GatewayError('mask.failed', 'A masked row is too large for a message.')
    const frame = Buffer.allocUnsafe(size)
    let [written, kept] = [0, this.#start]
    for (const { from, to, cell } of this.#places) {
      written += this.#buffer.copy(frame, written, kept, from)
      written = frame.writeInt32BE(cell?.length ?? -1, written)
      if (cell !== null) written += cell.copy(frame, written)
      kept = to
    }
    this.#buffer.copy(frame, written, kept, end)
    frame.writeInt32BE(size - 1, 1)
    return frame
  }
}
