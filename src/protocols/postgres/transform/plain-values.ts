import { OID } from '../types.ts'

/**
 * Types that hold no text but values that one detector knows: which detector, and how a binary value is spelt for it.
 * Other detectors would take ordinary numbers and dates for something else.
 */
export interface PlainType {
  readonly detector: string
  /** Shorter spellings are never one; most values are ordinary small numbers. */
  readonly minBytes: number
  /** Undefined where the value cannot be one that the detector means. */
  readonly spell: (cell: Buffer) => string | undefined
}

const spellInteger = (cell: Buffer) => (cell.length === 8 ? cell.readBigInt64BE(0).toString() : undefined)

export const PLAIN_TYPES: Readonly<Record<number, PlainType>> = {
  [OID.int8]: { detector: 'credit_card', minBytes: 12, spell: spellInteger },
  [OID.numeric]: { detector: 'credit_card', minBytes: 12, spell: spellNumeric },
  [OID.inet]: { detector: 'ip_address', minBytes: 3, spell: spellAddress },
  [OID.cidr]: { detector: 'ip_address', minBytes: 3, spell: spellAddress },
  [OID.macaddr]: {
    detector: 'mac_address',
    minBytes: 12,
    spell: (cell) => cell.toString('hex').match(/../g)?.join(':'),
  },
  [OID.date]: { detector: 'date_of_birth', minBytes: 6, spell: spellDate },
}

/** A card has at most 19 digits. */
const MAX_WEIGHT = 4

/** `numeric_send`: count, weight, sign, scale, then digits to the base of 10000. Fractions are no cards. */
function spellNumeric(cell: Buffer): string | undefined {
  if (cell.length < 8) return undefined
  const [count, weight, sign] = [cell.readUInt16BE(0), cell.readInt16BE(2), cell.readUInt16BE(4)]
  if (sign !== 0 || weight < 0 || weight > MAX_WEIGHT || count > weight + 1 || cell.length !== 8 + 2 * count)
    return undefined
  let text = ''
  for (let i = 0; i <= weight; i++) text += String(i < count ? cell.readUInt16BE(8 + 2 * i) : 0).padStart(4, '0')
  return text.replace(/^0+/, '')
}

/** `network_send`: family, prefix length, whether it is a network, address length, address. */
function spellAddress(cell: Buffer): string | undefined {
  const address = cell.subarray(4)
  if (address.length === 4) return address.join('.')
  return address.length === 16 ? address.toString('hex').match(/.{4}/g)?.join(':') : undefined
}

const DAY_MS = 86_400_000
/** Dates count from here. */
const EPOCH_MS = Date.UTC(2000, 0, 1)

function spellDate(cell: Buffer): string | undefined {
  if (cell.length !== 4) return undefined
  const date = new Date(EPOCH_MS + cell.readInt32BE(0) * DAY_MS)
  return Number.isNaN(date.getTime()) ? undefined : date.toISOString().slice(0, 10)
}
