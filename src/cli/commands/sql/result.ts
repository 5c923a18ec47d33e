import { displayWidth, printable } from '../../output.ts'

export interface ShownResult {
  readonly columns: readonly { readonly name: string; readonly typeOid: number }[]
  readonly rows: readonly (readonly (string | null)[])[]
  readonly tag: string
}

/** int8, int2, int4, oid, float4, float8, money, numeric: shown to the right. */
const NUMERIC = new Set([20, 21, 23, 26, 700, 701, 790, 1700])
const NULL = ''

/** A result as psql shows it: an aligned table and the number of rows, or the tag alone. */
export function resultLines(result: ShownResult): string[] {
  if (result.columns.length === 0) return [result.tag]
  const cells = result.rows.map((row) =>
    row.map((value) => (value === null ? NULL : printable(value).replaceAll('\n', '↵'))),
  )
  const widths = result.columns.map((column, index) =>
    Math.max(displayWidth(column.name), ...cells.map((row) => displayWidth(row[index] ?? ''))),
  )
  const header = result.columns.map((column, index) => centre(printable(column.name), widths[index] ?? 0)).join(' | ')
  const rule = widths.map((width) => '-'.repeat(width)).join('-+-')
  const body = cells.map((row) =>
    row
      .map((cell, index) => {
        const gap = ' '.repeat(Math.max(0, (widths[index] ?? 0) - displayWidth(cell)))
        return NUMERIC.has(result.columns[index]?.typeOid ?? 0) ? gap + cell : cell + gap
      })
      .join(' | '),
  )
  const count = result.rows.length === 1 ? '(1 row)' : `(${result.rows.length} rows)`
  return [` ${header}`.trimEnd(), `-${rule}-`, ...body.map((line) => ` ${line}`.trimEnd()), count]
}

function centre(text: string, width: number): string {
  const gap = width - displayWidth(text)
  const left = Math.floor(gap / 2)
  return ' '.repeat(Math.max(0, left)) + text + ' '.repeat(Math.max(0, gap - left))
}

/** The fields of a diagnostic that people need, in psql's words. */
export function diagnosticLines(fields: {
  readonly severity?: string | undefined
  readonly message?: string | undefined
  readonly detail?: string | undefined
  readonly hint?: string | undefined
}): string[] {
  const lines = [`${fields.severity ?? 'ERROR'}:  ${fields.message ?? ''}`]
  if (fields.detail !== undefined) lines.push(`DETAIL:  ${fields.detail}`)
  if (fields.hint !== undefined) lines.push(`HINT:  ${fields.hint}`)
  return lines.map(printable)
}
