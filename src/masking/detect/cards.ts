import validator from 'validator'
import { luhn } from '../checksums.ts'
import type { DetectorInfo, Report } from './detector.ts'
import type { DigitRun } from './digit-runs.ts'

export const cardDetector: DetectorInfo = {
  name: 'credit_card',
  title: 'Payment card number',
  description: "13 to 19 digits in a card network's number range that pass Luhn, grouped or not.",
  checksum: true,
  secret: false,
}

const MIN_DIGITS = 13
const MAX_DIGITS = 19
/** No issuer's numbers begin so. */
const NO_ISSUER = new Set(['0', '1', '7'])
const TIGHT_DECIMAL = '.'

/** Issuer ranges as [first, last, allowed lengths]; the ends are compared by as many digits as they have. */
const RANGES: readonly (readonly [string, string, readonly number[]])[] = [
  ['4', '4', [13, 16, 19]],
  ['51', '55', [16]],
  ['2221', '2720', [16]],
  ['34', '34', [15]],
  ['37', '37', [15]],
  ['300', '305', [14, 16, 19]],
  ['3095', '3095', [14, 16, 19]],
  ['36', '36', [14, 16, 19]],
  ['38', '39', [14, 16, 19]],
  ['6011', '6011', [16, 19]],
  ['644', '649', [16, 19]],
  ['65', '65', [16, 19]],
  ['3528', '3589', [16, 19]],
  ['62', '62', [16, 17, 18, 19]],
  ['81', '82', [16]],
  ['60', '60', [16]],
  ['508', '508', [16]],
  ['5018', '5018', [13, 16, 19]],
  ['5020', '5020', [13, 16, 19]],
  ['5038', '5038', [13, 16, 19]],
  ['5893', '5893', [13, 16, 19]],
  ['6304', '6304', [16, 18, 19]],
  ['6759', '6763', [16, 18, 19]],
  ['2200', '2204', [16, 17, 18, 19]],
  ['9792', '9792', [16]],
]

function isCard(digits: string): boolean {
  if (!luhn(digits) || (digits.length === 13 && validator.isEAN(digits))) return false
  return RANGES.some(([first, last, lengths]) => {
    const prefix = digits.slice(0, first.length)
    return prefix >= first && prefix <= last && lengths.includes(digits.length)
  })
}

export function findCards(run: DigitRun, report: Report): void {
  for (let first = 0; first < run.groups; first++) {
    const last = cardEnd(run, first)
    if (last < 0) continue
    report(cardDetector.name, run.starts[first]!, run.ends[last]!)
    first = last
  }
}

/** The last group of the longest card that starts at `first`, or -1. */
function cardEnd(run: DigitRun, first: number): number {
  if (NO_ISSUER.has(run.text[run.starts[first]!]!)) return -1
  let total = 0
  let found = -1
  for (let last = first; last < run.groups; last++) {
    total += run.size(last)
    if (total > MAX_DIGITS || !continuesGrouping(run, first, last)) break
    if (total < MIN_DIGITS || !isGrouping(run, first, last)) continue
    if (isCard(run.digits(first, last)) && run.standsAlone(first, last)) found = last
  }
  return found
}

/** Whether the groups so far can be the beginning of a printed card: even groups, or 4 6 5 and 4 6 4. */
function continuesGrouping(run: DigitRun, first: number, last: number): boolean {
  const size = run.size(first)
  if (size === 4 && run.size(first + 1) === 6) return last <= first + 2
  if (last > first + 1 && run.size(last - 1) !== size) return false // only the last one may be shorter
  if (last > first && run.size(last) > size) return false
  return size === 4 || last <= first + 1 || run.separator(last - 1) === run.separator(first)
}

function isGrouping(run: DigitRun, first: number, last: number): boolean {
  if (first === last) return !isDecimal(run, first)
  if (run.size(first) !== 4 || run.size(first + 1) !== 6) return true
  return last === first + 2 && (run.size(last) === 5 || run.size(last) === 4)
}

/** The fraction of a decimal number, or its whole part. */
function isDecimal(run: DigitRun, group: number): boolean {
  const before = group > 0 && run.separator(group - 1) === TIGHT_DECIMAL
  return before || (group + 1 < run.groups && run.separator(group) === TIGHT_DECIMAL)
}
