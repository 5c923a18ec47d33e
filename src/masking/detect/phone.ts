import { type CountryCode, parsePhoneNumberFromString } from 'libphonenumber-js'
import { type DetectorInfo, isDigit, isLetterOrDigit, type Report, type View } from './detector.ts'
import type { DigitRun } from './digit-runs.ts'

export const phoneDetector: DetectorInfo = {
  name: 'phone',
  title: 'Telephone number',
  description:
    'International numbers with + or 00, the usual national spellings, and others right after a word such as "phone".',
  checksum: false,
  secret: false,
}

const MAX_DIGITS = 15
const MAX_NATIONAL_DIGITS = 12
const MAX_GROUPS = 8
const MIN_DIGITS_AFTER_WORD = 8
const PLUS = 43
const OPEN = 40
/** What may stand between the telling word and the number. */
const JOINING = new Set([...' :.#=(+\'"\\'].map((character) => character.charCodeAt(0)))
const MAX_JOINING_CHARACTERS = 6
const MAX_WORD_CHARACTERS = 12
const TELLING = new Set(
  'tel telephone phone phones mobile cell cellphone fax call whatsapp sms telefon telefono handy mobil portable gsm msisdn'.split(
    ' ',
  ),
)
/** "phone number is", "Tel. Nr." */
const FILLERS = new Set('no nr num number nummer is at on'.split(' '))
const MAX_FILLERS = 2
const NORTH_AMERICAN = /^1?[2-9]\d{2}[2-9]\d{6}$/
const NORTH_AMERICAN_SHAPES = new Set([
  '3-3-4',
  '3.3.4',
  '1-3-3-4',
  '1.3.3.4',
  '3) 3-4',
  '3)3-4',
  '3) 3 4',
  '3)-3-4',
  '3) 3.4',
])
const TEN_BY_TWO = new Set(['2 2 2 2 2', '2.2.2.2.2', '2-2-2-2-2'])
const ZERO_SHAPES = /^(?:[345]\)? [678]|[345]\/[678]|5\)? 3 3|4\)? 3 [34]|3\)? 4 4|4\)? [678]|3\)? 3 [45])$/
const ZERO_REGIONS: readonly CountryCode[] = ['GB', 'DE', 'FR', 'NL', 'BE', 'CH', 'AT', 'AU']

export function findPhones(view: View, run: DigitRun, report: Report): void {
  for (let first = 0; first < run.groups; first++) {
    const last = phoneEnd(view, run, first)
    if (last < 0) continue
    report(phoneDetector.name, phoneStart(run, first), run.ends[last]!)
    first = last
  }
}

function phoneStart(run: DigitRun, first: number): number {
  const start = run.starts[first]!
  const before = run.charBefore(first)
  if (before === PLUS) return start - 1
  if (before === OPEN && run.text.charCodeAt(start - 2) === PLUS) return start - 2
  return before === OPEN && run.text[run.ends[first]!] === ')' ? start - 1 : start
}

function phoneEnd(view: View, run: DigitRun, first: number): number {
  const start = phoneStart(run, first)
  const before = start === 0 ? 0 : run.text.charCodeAt(start - 1)
  if (isLetterOrDigit(before) || before === 47) return -1
  const international = run.text.charCodeAt(start) === PLUS
  const zeros =
    !international && run.text.startsWith('00', run.starts[first]) && !run.text.startsWith('000', run.starts[first])
  const announced = isAnnounced(view, start)
  for (let last = lastGroup(run, first); last >= first; last--) {
    if (isLetterOrDigit(run.charAfter(last))) continue
    const digits = run.digits(first, last)
    if (digits.length < MIN_DIGITS_AFTER_WORD) return -1
    const fits =
      (international && isInternational(digits)) ||
      (zeros && isZeroGrouping(run, first, last, digits) && isInternational(digits.slice(2))) ||
      (isNational(run, first, last, digits) && !isTightlyChained(run, first, last)) ||
      (announced && !isTightlyChained(run, first, last) && isLikely(digits))
    if (fits) return last
  }
  return -1
}

/** The furthest group that a number beginning at `first` could take in. */
function lastGroup(run: DigitRun, first: number): number {
  let total = 0
  let last = first
  while (last < run.groups && last < first + MAX_GROUPS && total + run.size(last) <= MAX_DIGITS + 2) {
    total += run.size(last)
    last++
  }
  return last - 1
}

function isInternational(digits: string): boolean {
  return digits.length <= MAX_DIGITS && parsePhoneNumberFromString(`+${digits}`)?.isPossible() === true
}

/** `0049 30 1234567`, and not any list of numbers that begins with zeros. */
function isZeroGrouping(run: DigitRun, first: number, last: number, digits: string): boolean {
  if (first === last || digits[2] === '0' || run.size(first) > 5 || (first > 0 && run.separator(first - 1) === ' '))
    return false
  for (let group = first; group <= last; group++) if (run.size(group) < 2) return false
  return true
}

function isNational(run: DigitRun, first: number, last: number, digits: string): boolean {
  if (first === last || digits.length > MAX_NATIONAL_DIGITS) return false
  const shape = run.shape(first, last)
  if (NORTH_AMERICAN_SHAPES.has(shape)) {
    const opened = !shape.includes(')') || run.charBefore(first) === OPEN
    return opened && NORTH_AMERICAN.test(digits)
  }
  if (!digits.startsWith('0') || digits.startsWith('00')) return false
  if (TEN_BY_TWO.has(shape)) return isPossibleIn(['FR'], digits)
  return ZERO_SHAPES.test(shape) && isPossibleIn(ZERO_REGIONS, digits)
}

function isPossibleIn(regions: readonly CountryCode[], digits: string): boolean {
  return regions.some((region) => parsePhoneNumberFromString(digits, region)?.isPossible() === true)
}

/** A word for telephones stands right before, or the value's own name ends with one. */
function isAnnounced(view: View, start: number): boolean {
  return (
    endsWithTellingWord(view.text, start) ||
    (start <= MAX_JOINING_CHARACTERS && endsWithTellingWord(view.hint.words, view.hint.words.length))
  )
}

function endsWithTellingWord(text: string, from: number): boolean {
  let at = from
  for (let fillers = 0; fillers <= MAX_FILLERS; fillers++) {
    const joint = at
    while (at > 0 && joint - at < MAX_JOINING_CHARACTERS && JOINING.has(text.charCodeAt(at - 1))) at--
    const end = at
    while (at > 0 && end - at < MAX_WORD_CHARACTERS && isLetter(text.charCodeAt(at - 1))) at--
    const word = text.slice(at, end).toLowerCase()
    if (TELLING.has(word)) return true
    if (!FILLERS.has(word)) return false
  }
  return false
}

function isLetter(code: number): boolean {
  return isLetterOrDigit(code) && !isDigit(code)
}

/** After such a word, any number of a length that telephones have. */
function isLikely(digits: string): boolean {
  return digits.length <= MAX_DIGITS && !/^(\d)\1+$/.test(digits)
}

/** A part of `2024-123-456-7890` is no number of its own. */
function isTightlyChained(run: DigitRun, first: number, last: number): boolean {
  const tight = (separator: string) => separator.length === 1 && '-./_'.includes(separator)
  if (first > 0 && tight(run.separator(first - 1))) return true
  if (last + 1 < run.groups && tight(run.separator(last))) return true
  const after = run.ends[last]!
  return (
    tight(run.text[after] ?? '') &&
    (isDigit(run.text.charCodeAt(after + 1)) || /[A-Za-z]/.test(run.text[after + 1] ?? ''))
  )
}
