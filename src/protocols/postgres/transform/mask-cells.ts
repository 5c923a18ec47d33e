import { isUtf8 } from 'node:buffer'
import type { MaskKind } from '../../../kernel/index.ts'
import { type TypeInfo, typeInfo, type UserTypes } from '../types.ts'
import { changeBinaryArray } from './containers.ts'
import { type CellChange, changeArrayLiteral } from './literals.ts'
import { numberCell, numberText } from './numbers.ts'
import { changeJsonb } from './scan-cells.ts'

/** Masks one whole value; null stands for NULL. */
export type ApplyMask = (value: string) => string | null

/** Masks whose answer may be a number or a date again. Others could only be one by chance. */
const KEEPS_NUMBERS: ReadonlySet<MaskKind> = new Set(['token', 'generalise'])

const toNull: CellChange = () => null

/**
 * What a mask makes of a column's values: text where the type takes text, another valid value of the type where there
 * is one, NULL everywhere else.
 *
 * @param whole - The value is computed from protected ones: even the shape of a container tells something.
 */
export function maskChange(
  typeOid: number,
  format: 0 | 1,
  types: UserTypes,
  mask: { readonly kind: MaskKind; readonly apply: ApplyMask; readonly whole: boolean },
): CellChange {
  const type = typeInfo(typeOid, types)
  if (mask.kind === 'null') return toNull
  const scalar = scalarChange(type, format, mask)
  if (scalar !== undefined) return scalar
  if (type.category !== 'array' || mask.whole) return toNull
  const element = typeInfo(type.element ?? 0, types)
  const change = scalarChange(element, format, mask) ?? toNull
  if (format === 0) return (cell) => changeArrayLiteral(cell, change)
  // An element that is not of the column's own element type is not understood.
  return (cell) => changeBinaryArray(cell, () => change)
}

function scalarChange(
  type: TypeInfo,
  format: 0 | 1,
  mask: { readonly kind: MaskKind; readonly apply: ApplyMask },
): CellChange | undefined {
  switch (type.category) {
    case 'text':
      return (cell) => maskText(cell, mask.apply)
    case 'json':
      return (cell) => maskJson(cell, mask.apply)
    case 'jsonb':
      return format === 0
        ? (cell) => maskJson(cell, mask.apply)
        : (cell) => changeJsonb(cell, (body) => maskJson(body, mask.apply))
    case 'number':
    case 'datetime':
      return KEEPS_NUMBERS.has(mask.kind) ? (cell) => maskNumber(type.oid, format, cell, mask.apply) : undefined
    default:
      return undefined
  }
}

function maskText(cell: Buffer, apply: ApplyMask): Buffer | null {
  const encoding = isUtf8(cell) ? 'utf8' : 'latin1'
  const masked = apply(cell.toString(encoding))
  return masked === null ? null : Buffer.from(masked, encoding)
}

/** A JSON string is masked as the text it stands for, so that it gets the same token as a text column's. */
function maskJson(cell: Buffer, apply: ApplyMask): Buffer | null {
  const text = cell.toString('utf8')
  const masked = apply(jsonString(text) ?? text)
  return masked === null ? null : Buffer.from(JSON.stringify(masked))
}

function jsonString(text: string): string | undefined {
  if (!text.trimStart().startsWith('"')) return undefined
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'string' ? value : undefined
  } catch {
    return undefined
  }
}

function maskNumber(typeOid: number, format: 0 | 1, cell: Buffer, apply: ApplyMask): Buffer | null {
  const text = numberText(typeOid, format, cell)
  const masked = text === undefined ? null : apply(text)
  return masked === null ? null : numberCell(typeOid, format, masked)
}
