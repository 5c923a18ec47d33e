import { OID } from '../types.ts'

const INTEGERS: Readonly<Record<number, { readonly bytes: 2 | 4 | 8; readonly limit: bigint }>> = {
  [OID.int2]: { bytes: 2, limit: 2n ** 15n },
  [OID.int4]: { bytes: 4, limit: 2n ** 31n },
  [OID.int8]: { bytes: 8, limit: 2n ** 63n },
}

const SHAPES: Readonly<Record<number, RegExp>> = {
  [OID.numeric]: /^-?\d{1,1000}(?:\.\d{1,1000})?$/,
  [OID.float4]: /^-?\d{1,6}(?:\.\d{1,6})?$/,
  [OID.float8]: /^-?\d{1,15}(?:\.\d{1,15})?$/,
  [OID.date]: /^\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])$/,
  [OID.timestamp]: /^\d{4}-(?:0[1-9]|1[0-2])-01 00:00:00$/,
  [OID.timestamptz]: /^\d{4}-(?:0[1-9]|1[0-2])-01 00:00:00\+00$/,
}

/** `generalise` answers a month or a range: the month's first day and the range's lower end are values again. */
const MONTH = /^\d{4}-\d{2}$/
const RANGE = /^(-?\d{1,8})\.\.-?\d{1,8}$/
const FIRST_OF_MONTH: Readonly<Record<number, string>> = {
  [OID.date]: '-01',
  [OID.timestamp]: '-01 00:00:00',
  [OID.timestamptz]: '-01 00:00:00+00',
}

/** The text of a binary number or date, if its form is simple enough to be read here. */
export function numberText(typeOid: number, format: 0 | 1, cell: Buffer): string | undefined {
  if (format === 0) return cell.toString('latin1')
  const integer = INTEGERS[typeOid]
  if (integer === undefined || cell.length !== integer.bytes) return undefined
  return readInteger(cell, integer.bytes).toString()
}

/** A masked number or date as a value of its type again, or null where it is not one. */
export function numberCell(typeOid: number, format: 0 | 1, masked: string): Buffer | null {
  const text = MONTH.test(masked) ? masked + (FIRST_OF_MONTH[typeOid] ?? '') : (RANGE.exec(masked)?.[1] ?? masked)
  const integer = INTEGERS[typeOid]
  if (integer === undefined) return format === 0 && SHAPES[typeOid]?.test(text) === true ? Buffer.from(text) : null
  if (!/^-?\d{1,19}$/.test(text)) return null
  const value = BigInt(text)
  if (value >= integer.limit || value < -integer.limit) return null
  return format === 0 ? Buffer.from(value.toString()) : writeInteger(value, integer.bytes)
}

function readInteger(cell: Buffer, bytes: 2 | 4 | 8): bigint {
  if (bytes === 8) return cell.readBigInt64BE(0)
  return BigInt(cell.readIntBE(0, bytes))
}

function writeInteger(value: bigint, bytes: 2 | 4 | 8): Buffer {
  const cell = Buffer.alloc(bytes)
  if (bytes === 8) cell.writeBigInt64BE(value)
  else cell.writeIntBE(Number(value), 0, bytes)
  return cell
}
