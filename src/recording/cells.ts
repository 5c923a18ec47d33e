/** One row's cells; undefined is NULL. Views into the block. */
export type Row = readonly (Buffer | undefined)[]

/** Where the row that starts at `at` ends, or undefined when the block is cut off there. */
function rowEnd(cells: Buffer, start: number, rowHeaderBytes: number): number | undefined {
  let at = start + rowHeaderBytes
  if (at + 2 > cells.length) return undefined
  const count = cells.readInt16BE(at)
  at += 2
  for (let index = 0; index < count; index++) {
    if (at + 4 > cells.length) return undefined
    const length = cells.readInt32BE(at)
    if (length < -1) return undefined
    at += 4 + Math.max(length, 0)
  }
  return at > cells.length ? undefined : at
}

/** The rows of a block, in order; stops at damage. */
export function* rowsOf(cells: Buffer, rowHeaderBytes: number): Generator<Row, void, void> {
  let start = 0
  while (start < cells.length) {
    const end = rowEnd(cells, start, rowHeaderBytes)
    if (end === undefined) return
    let at = start + rowHeaderBytes
    const row: (Buffer | undefined)[] = []
    const count = cells.readInt16BE(at)
    at += 2
    for (let index = 0; index < count; index++) {
      const length = cells.readInt32BE(at)
      at += 4
      row.push(length < 0 ? undefined : cells.subarray(at, at + length))
      at += Math.max(length, 0)
    }
    yield row
    start = end
  }
}

/** How many whole rows fit into so many bytes and rows. */
export function fitRows(
  cells: Buffer,
  rowHeaderBytes: number,
  most: { readonly rows: number; readonly bytes: number },
): { readonly rows: number; readonly bytes: number } {
  let rows = 0
  let bytes = 0
  while (rows < most.rows && bytes < cells.length) {
    const end = rowEnd(cells, bytes, rowHeaderBytes)
    if (end === undefined || end > most.bytes) break
    rows++
    bytes = end
  }
  return { rows, bytes }
}
