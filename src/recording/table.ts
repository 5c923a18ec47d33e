import type { Row } from './cells.ts'
import type { RecordedColumn } from './events.ts'
import { cut, safeText } from './text.ts'

const MAX_CELL_CHARACTERS = 60
const MAX_CELL_BYTES = 256
const MAX_COLUMNS = 64

/** Binary cells as `\x…`, NULL as `NULL`, text escaped and cut. */
export function cellText(cell: Buffer | undefined, format: 'text' | 'binary'): string {
  if (cell === undefined) return 'NULL'
  // A masked binary column is released as text by its plan, and says so in its format.
  const text =
    format === 'binary' ? `\\x${cell.toString('hex', 0, MAX_CELL_BYTES)}` : cell.toString('utf8', 0, MAX_CELL_BYTES)
  return cut(safeText(text), MAX_CELL_CHARACTERS)
}

function line(cells: readonly string[], widths: readonly number[]): string {
  const padded = cells.map((cell, index) => cell + ' '.repeat(Math.max(0, widths[index]! - [...cell].length)))
  return ` ${padded.join(' | ')}`.trimEnd()
}

/** An aligned table; a masked column says so under its name. */
export function tableLines(columns: readonly RecordedColumn[], rows: readonly Row[]): string[] {
  const count = Math.min(MAX_COLUMNS, Math.max(columns.length, ...rows.map((row) => row.length)))
  const indexes = Array.from({ length: count }, (_, index) => index)
  const names = indexes.map((index) =>
    cut(safeText(columns[index]?.name ?? `column ${index + 1}`), MAX_CELL_CHARACTERS),
  )
  const marks = indexes.map((index) => treatmentMark(columns[index]))
  const body = rows.map((row) => indexes.map((index) => cellText(row[index], columns[index]?.format ?? 'text')))
  const all = [names, marks, ...body]
  const widths = indexes.map((index) => Math.max(...all.map((cells) => [...cells[index]!].length)))
  const lines = [line(names, widths)]
  if (marks.some((mark) => mark !== '')) lines.push(line(marks, widths))
  lines.push(`-${widths.map((width) => '-'.repeat(width)).join('-+-')}-`)
  for (const cells of body) lines.push(line(cells, widths))
  if (columns.length > MAX_COLUMNS) lines.push(` … and ${columns.length - MAX_COLUMNS} more columns`)
  return lines
}

function treatmentMark(column: RecordedColumn | undefined): string {
  if (column === undefined || column.treatment === 'pass' || column.treatment === 'scan') return ''
  const verb = column.treatment === 'mask' ? 'masked' : 'redacted'
  return cut(column.rule === undefined ? `(${verb})` : `(${verb} by ${safeText(column.rule)})`, MAX_CELL_CHARACTERS)
}
