import type { ByteQueue } from '../../../wire/byte-queue.ts'
import { malformedCopy, type RowFormat } from './copy-format.ts'
import type { ResultPlan } from './plan.ts'
import { changeCell } from './rows.ts'

const SIGNATURE = Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1')
const HEADER_BYTES = SIGNATURE.length + 8 // flags and the extension's length
/** Bits 16 to 31 of the flags must be understood; bit 16 announced row OIDs before PostgreSQL 12. */
const CRITICAL_FLAGS = 0xffff_0000
const MAX_EXTENSION_BYTES = 65_536
const TRAILER = -1

/** COPY's binary format: a signed header, length-prefixed values, and a trailer. */
export class BinaryRows implements RowFormat {
  rows = 0
  readonly #plan: ResultPlan
  #state: 'header' | 'rows' | 'ended' = 'header'
  /** Up to where the row at the queue's front was walked, and how many of its values. */
  #walked = 0
  #values = 0

  constructor(plan: ResultPlan) {
    this.#plan = plan
  }

  next(queue: ByteQueue): number | undefined {
    if (queue.length === 0) return undefined
    if (this.#state === 'ended') throw malformedCopy('goes on after its end')
    return this.#state === 'header' ? headerSize(queue) : this.#rowSize(queue)
  }

  change(row: Buffer): Buffer | undefined {
    if (this.#state === 'header') {
      this.#state = 'rows'
      return undefined
    }
    if (row.length === 2 && row.readInt16BE(0) === TRAILER) {
      this.#state = 'ended'
      return undefined
    }
    this.rows++
    const pieces: Buffer[] = []
    let [kept, at] = [0, 2]
    for (const column of this.#plan.columns) {
      const length = row.readInt32BE(at)
      const end = at + 4 + Math.max(length, 0)
      if (length !== -1 && column.change !== undefined) {
        const answer = changeCell(column.change, row.subarray(at + 4, end), column)
        if (answer !== undefined) {
          this.#plan.countReplaced(column)
          pieces.push(row.subarray(kept, at), lengthOf(answer), answer ?? Buffer.alloc(0))
          kept = end
        }
      }
      at = end
    }
    return pieces.length === 0 ? undefined : Buffer.concat([...pieces, row.subarray(kept)])
  }

  finish(): void {
    if (this.#state !== 'ended') throw malformedCopy('ends without its trailer')
  }

  #rowSize(queue: ByteQueue): number | undefined {
    if (this.#walked === 0) {
      if (queue.length < 2) return undefined
      const count = ((queue.byteAt(0) << 24) >> 16) | queue.byteAt(1)
      if (count === TRAILER) return 2
      if (count !== this.#plan.columns.length) throw malformedCopy('has another number of columns than announced')
      this.#walked = 2
    }
    for (; this.#values < this.#plan.columns.length; this.#values++) {
      if (queue.length < this.#walked + 4) return undefined
      const length = int32At(queue, this.#walked)
      if (length < -1) throw malformedCopy('has a negative length')
      const end = this.#walked + 4 + Math.max(length, 0)
      if (queue.length < end) return undefined
      this.#walked = end
    }
    const size = this.#walked
    this.#walked = 0
    this.#values = 0
    return size
  }
}

function headerSize(queue: ByteQueue): number | undefined {
  const known = Math.min(queue.length, SIGNATURE.length)
  if (!queue.peek(known)?.equals(SIGNATURE.subarray(0, known))) throw malformedCopy('is not in the binary format')
  if (queue.length < HEADER_BYTES) return undefined
  const extension = int32At(queue, SIGNATURE.length + 4)
  if ((int32At(queue, SIGNATURE.length) & CRITICAL_FLAGS) !== 0 || extension < 0 || extension > MAX_EXTENSION_BYTES)
    throw malformedCopy('has header flags that the gateway does not know')
  return queue.length < HEADER_BYTES + extension ? undefined : HEADER_BYTES + extension
}

function int32At(queue: ByteQueue, at: number): number {
  return (queue.byteAt(at) << 24) | (queue.byteAt(at + 1) << 16) | (queue.byteAt(at + 2) << 8) | queue.byteAt(at + 3)
}

function lengthOf(value: Buffer | null): Buffer {
  const prefix = Buffer.alloc(4)
  prefix.writeInt32BE(value === null ? -1 : value.length)
  return prefix
}
