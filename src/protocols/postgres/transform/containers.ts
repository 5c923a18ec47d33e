import { GatewayError } from '../../../kernel/index.ts'
import type { CellChange } from './literals.ts'

/** Arrays and composites in binary form: `array_send` and `record_send`. */

/** PostgreSQL's MAXDIM. */
const MAX_DIMENSIONS = 6
const ARRAY_HEADER_BYTES = 12
const DIMENSION_BYTES = 8

function malformed(what: string): GatewayError {
  return new GatewayError('target.protocol', `The target sent ${what} that does not have its type's binary form.`)
}

/** Gives the changes for a type by its OID; undefined passes its values. */
export type ChangeOf = (typeOid: number) => CellChange | undefined

/**
 * Changes the elements of a binary array.
 * @throws GatewayError `target.protocol` - the header and the bytes do not fit together.
 */
export function changeBinaryArray(cell: Buffer, changeOf: ChangeOf): Buffer | undefined {
  if (cell.length < ARRAY_HEADER_BYTES) throw malformed('an array')
  const dimensions = cell.readInt32BE(0)
  const change = changeOf(cell.readUInt32BE(8))
  const start = ARRAY_HEADER_BYTES + DIMENSION_BYTES * dimensions
  if (dimensions < 0 || dimensions > MAX_DIMENSIONS || start > cell.length) throw malformed('an array')
  let count = dimensions === 0 ? 0 : 1
  for (let i = 0; i < dimensions; i++) count *= cell.readUInt32BE(ARRAY_HEADER_BYTES + DIMENSION_BYTES * i)
  const rewrite = new Rewrite(cell, start)
  // Each element has at least its length, so a false count ends at the cell's end and not after it.
  for (let i = 0; i < count; i++) rewrite.value(change, 'an array')
  const changed = rewrite.finish('an array')
  if (changed !== undefined && rewrite.madeNull) changed.writeInt32BE(1, 4)
  return changed
}

/** Changes the fields of a binary composite, each by the type that it says it has. */
export function changeBinaryComposite(cell: Buffer, changeOf: ChangeOf): Buffer | undefined {
  if (cell.length < 4) throw malformed('a composite')
  const count = cell.readInt32BE(0)
  const rewrite = new Rewrite(cell, 4)
  for (let i = 0; i < count; i++) rewrite.value(changeOf(rewrite.typeOid()), 'a composite')
  return rewrite.finish('a composite')
}

/** Walks length-prefixed values and puts the changed ones in place. */
class Rewrite {
  madeNull = false
  readonly #cell: Buffer
  readonly #pieces: Buffer[] = []
  #at: number
  #kept = 0

  constructor(cell: Buffer, start: number) {
    this.#cell = cell
    this.#at = start
  }

  typeOid(): number {
    if (this.#at + 4 > this.#cell.length) throw malformed('a composite')
    this.#at += 4
    return this.#cell.readUInt32BE(this.#at - 4)
  }

  value(change: CellChange | undefined, what: string): void {
    const start = this.#at
    if (start + 4 > this.#cell.length) throw malformed(what)
    const length = this.#cell.readInt32BE(start)
    const end = start + 4 + Math.max(length, 0)
    if (length < -1 || end > this.#cell.length) throw malformed(what)
    this.#at = end
    if (length === -1 || change === undefined) return
    const answer = change(this.#cell.subarray(start + 4, end))
    if (answer === undefined) return
    this.madeNull ||= answer === null
    this.#pieces.push(this.#cell.subarray(this.#kept, start), lengthOf(answer))
    if (answer !== null) this.#pieces.push(answer)
    this.#kept = end
  }

  finish(what: string): Buffer | undefined {
    if (this.#at !== this.#cell.length) throw malformed(what)
    if (this.#pieces.length === 0) return undefined
    return Buffer.concat([...this.#pieces, this.#cell.subarray(this.#kept)])
  }
}

function lengthOf(value: Buffer | null): Buffer {
  const prefix = Buffer.alloc(4)
  prefix.writeInt32BE(value === null ? -1 : value.length)
  return prefix
}
