import { isDay, luhn, mod11and10, remainder, verhoeff, weighted } from '../checksums.ts'
import { type DetectorInfo, isLetterOrDigit, type Report, type View, wordsBefore } from './detector.ts'
import type { DigitRun } from './digit-runs.ts'

interface NationalNumber {
  readonly name: string
  readonly title: string
  /** Group sizes and separators as printed. A leading `?` wants a telling word before the number. */
  readonly shapes: readonly string[]
  readonly words: RegExp
  readonly checksum: boolean
  readonly valid: (digits: string) => boolean
}

const at = (digits: string, from: number, to: number) => Number(digits.slice(from, to))
const digit = (digits: string, index: number) => digits.charCodeAt(index) - 48
const same = (digits: string) => /^(\d)\1+$/.test(digits)

/** Numbers made of digits alone. Sources: each country's published rule, as collected by python-stdnum. */
const NUMBERS: readonly NationalNumber[] = [
  {
    name: 'us_ssn',
    title: 'US social security number',
    shapes: ['3-2-4', '?9', '?3 2 4', '?3.2.4'],
    words: /\bssn|social sec|\bsocial\b/i,
    checksum: false,
    valid: (d) => !/^(?:000|666|9|\d{3}00|\d{5}0000)/.test(d),
  },
  {
    name: 'us_itin',
    title: 'US individual taxpayer identification number',
    shapes: ['3-2-4', '?9'],
    words: /\bitin|taxpayer/i,
    checksum: false,
    valid: (d) => /^9\d{2}(?:5\d|6[0-5]|7\d|8[0-8]|9[0-24-9])/.test(d),
  },
  {
    name: 'ca_sin',
    title: 'Canadian social insurance number',
    shapes: ['3-3-3', '?3 3 3', '?9'],
    words: /\bsin\b|social ins|assurance sociale|\bnas\b/i,
    checksum: true,
    valid: (d) => luhn(d) && !same(d),
  },
  {
    name: 'uk_nhs',
    title: 'UK NHS number',
    shapes: ['?3 3 4', '?3-3-4', '?10'],
    words: /\bnhs\b/i,
    checksum: true,
    valid: (d) => (11 - (weighted(d, [10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11)) % 11 === digit(d, 9) && !same(d),
  },
  {
    name: 'fr_nir',
    title: 'French social security number (NIR)',
    shapes: ['15', '13 2', '1 2 2 2 3 3 2', '1-2-2-2-3-3-2'],
    words: /\bnir\b|s[eé]curit[eé] sociale|insee/i,
    checksum: true,
    valid: (d) => /^[12]\d\d(?:0[1-9]|1[0-2]|2\d|30)/.test(d) && 97 - remainder(d.slice(0, 13), 97) === at(d, 13, 15),
  },
  {
    name: 'de_steuer_id',
    title: 'German tax identification number',
    shapes: ['2 3 3 3', '?11'],
    words: /steuer|\bidnr|tax id|\btin\b/i,
    checksum: true,
    valid: (d) => !d.startsWith('0') && repeatsLikeSteuerId(d.slice(0, 10)) && mod11and10(d),
  },
  {
    name: 'nl_bsn',
    title: 'Dutch citizen service number (BSN)',
    shapes: ['?9', '?4.2.3', '?3.3.3', '?3 3 3'],
    words: /\bbsn\b|burgerservice|sofi/i,
    checksum: true,
    valid: (d) => weighted(d.padStart(9, '0'), [9, 8, 7, 6, 5, 4, 3, 2, -1]) % 11 === 0 && !same(d),
  },
  {
    name: 'be_nrn',
    title: 'Belgian national register number',
    shapes: ['2.2.2-3.2', '?11', '?6-3.2', '?6 3 2'],
    words: /rijksregister|registre national|\bnrn\b|\binsz\b|\bniss\b|national (?:id|register|number)/i,
    checksum: true,
    valid: (d) => [d.slice(0, 9), `2${d.slice(0, 9)}`].some((part) => 97 - remainder(part, 97) === at(d, 9, 11)),
  },
  {
    name: 'pl_pesel',
    title: 'Polish PESEL',
    shapes: ['?11'],
    words: /pesel/i,
    checksum: true,
    valid: (d) => isDay(at(d, 2, 4) % 20, at(d, 4, 6)) && weighted(d, [1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1]) % 10 === 0,
  },
  {
    name: 'br_cpf',
    title: 'Brazilian CPF',
    shapes: ['3.3.3-2', '?11', '?9-2'],
    words: /\bcpf\b/i,
    checksum: true,
    valid: (d) => !same(d) && cpfDigit(d, 9) === digit(d, 9) && cpfDigit(d, 10) === digit(d, 10),
  },
  {
    name: 'in_aadhaar',
    title: 'Indian Aadhaar number',
    shapes: ['4 4 4', '4-4-4', '?12'],
    words: /aadha?ar|\buidai?\b/i,
    checksum: true,
    valid: (d) => d >= '2' && verhoeff(d),
  },
  {
    name: 'au_tfn',
    title: 'Australian tax file number',
    shapes: ['?3 3 3', '?9', '?3-3-3'],
    words: /\btfn\b|tax file/i,
    checksum: true,
    valid: (d) => weighted(d, [1, 4, 3, 7, 5, 8, 6, 9, 10]) % 11 === 0 && !same(d),
  },
  {
    name: 'au_medicare',
    title: 'Australian Medicare number',
    shapes: ['?4 5 1', '?4-5-1', '?10'],
    words: /medicare/i,
    checksum: true,
    valid: (d) => /^[2-6]/.test(d) && weighted(d, [1, 3, 7, 9, 1, 3, 7, 9]) % 10 === digit(d, 8),
  },
  {
    name: 'se_personnummer',
    title: 'Swedish personal identity number',
    shapes: ['8-4', '?6-4', '?10', '?12'],
    words: /person(?:al )?(?:id |identity )?(?:nummer|number|nr)|\bpnr\b/i,
    checksum: true,
    valid: (d) => swedish(d),
  },
  {
    name: 'no_fodselsnummer',
    title: 'Norwegian birth number',
    shapes: ['?6 5', '?11'],
    words: /f[oø]\S{0,2}dsels|\bfnr\b|personnummer|national id/i,
    checksum: true,
    valid: (d) =>
      isDay(at(d, 2, 4) % 40, at(d, 0, 2) % 40) &&
      weighted(d, [3, 7, 6, 1, 8, 9, 4, 5, 2, 1]) % 11 === 0 &&
      weighted(d, [5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1]) % 11 === 0,
  },
  {
    name: 'dk_cpr',
    title: 'Danish CPR number',
    shapes: ['?6-4', '?10', '?6 4'],
    words: /\bcpr\b|personnummer/i,
    checksum: false,
    valid: (d) => isDay(at(d, 2, 4), at(d, 0, 2)),
  },
  {
    name: 'ch_ahv',
    title: 'Swiss AHV/AVS number',
    shapes: ['3.4.4.2', '13', '3 4 4 2'],
    words: /\bahv\b|\bavs\b/i,
    checksum: true,
    valid: (d) => d.startsWith('756') && weighted(d, [1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1]) % 10 === 0,
  },
  {
    name: 'at_svnr',
    title: 'Austrian social insurance number',
    shapes: ['?4 6', '?10'],
    words: /\bsvnr|sozialversicherung|\bsv.?n/i,
    checksum: true,
    valid: (d) => weighted(d, [3, 7, 9, 0, 5, 8, 4, 2, 1, 6]) % 11 === digit(d, 3),
  },
  {
    name: 'ro_cnp',
    title: 'Romanian CNP',
    shapes: ['?13'],
    words: /\bcnp\b|cod numeric/i,
    checksum: true,
    valid: (d) =>
      isDay(at(d, 3, 5), at(d, 5, 7)) && (weighted(d, [2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9]) % 11) % 10 === digit(d, 12),
  },
  {
    name: 'bg_egn',
    title: 'Bulgarian EGN',
    shapes: ['?10'],
    words: /\begn\b/i,
    checksum: true,
    valid: (d) =>
      isDay(at(d, 2, 4) % 20, at(d, 4, 6)) && (weighted(d, [2, 4, 8, 5, 10, 9, 7, 3, 6]) % 11) % 10 === digit(d, 9),
  },
  {
    name: 'cz_rodne_cislo',
    title: 'Czech and Slovak birth number',
    shapes: ['6/4', '?10'],
    words: /rodn/i,
    checksum: true,
    valid: (d) => isDay((at(d, 2, 4) % 50) % 20, at(d, 4, 6)) && remainder(d, 11) === 0,
  },
  {
    name: 'za_id',
    title: 'South African identity number',
    shapes: ['?13', '?6 4 3', '?6 4 2 1'],
    words: /south africa|\bsa id|\bid (?:no|number)|identity|national id/i,
    checksum: true,
    valid: (d) => isDay(at(d, 2, 4), at(d, 4, 6)) && digit(d, 10) <= 2 && luhn(d),
  },
  {
    name: 'tr_kimlik',
    title: 'Turkish identification number',
    shapes: ['?11'],
    words: /kimlik|\btckn|\bt\.?c\.? (?:no|kim)|national id/i,
    checksum: true,
    valid: (d) => {
      const odd = weighted(d, [1, 0, 1, 0, 1, 0, 1, 0, 1])
      const even = weighted(d, [0, 1, 0, 1, 0, 1, 0, 1])
      const sum = weighted(d, [1, 1, 1, 1, 1, 1, 1, 1, 1, 1])
      return !d.startsWith('0') && (odd * 7 - even + 100) % 10 === digit(d, 9) && sum % 10 === digit(d, 10)
    },
  },
  {
    name: 'kr_rrn',
    title: 'Korean resident registration number',
    shapes: ['6-7', '?13'],
    words: /\brrn\b|resident reg/i,
    checksum: true,
    valid: (d) =>
      isDay(at(d, 2, 4), at(d, 4, 6)) &&
      (11 - (weighted(d, [2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5]) % 11)) % 10 === digit(d, 12),
  },
  {
    name: 'jp_my_number',
    title: 'Japanese My Number',
    shapes: ['?12', '?4 4 4', '?4-4-4'],
    words: /my ?number|mynumber|individual number|kojin/i,
    checksum: true,
    valid: (d) => {
      const rest = weighted(d, [6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) % 11
      return (rest <= 1 ? 0 : 11 - rest) === digit(d, 11)
    },
  },
  {
    name: 'hr_oib',
    title: 'Croatian OIB',
    shapes: ['?11'],
    words: /\boib\b/i,
    checksum: true,
    valid: mod11and10,
  },
  {
    name: 'pt_nif',
    title: 'Portuguese NIF',
    shapes: ['?9', '?3 3 3'],
    words: /\bnif\b|contribuinte/i,
    checksum: true,
    valid: (d) => ((11 - (weighted(d, [9, 8, 7, 6, 5, 4, 3, 2]) % 11)) % 11) % 10 === digit(d, 8),
  },
  {
    name: 'il_id',
    title: 'Israeli identity number',
    shapes: ['?9'],
    words: /teudat|israel|national id/i,
    checksum: true,
    valid: luhn,
  },
  {
    name: 'th_id',
    title: 'Thai identification number',
    shapes: ['1-4-5-2-1', '?13'],
    words: /thai|national id/i,
    checksum: true,
    valid: (d) => (11 - (weighted(d, [13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11)) % 10 === digit(d, 12),
  },
  {
    name: 'ae_emirates_id',
    title: 'Emirates ID',
    shapes: ['3-4-7-1', '15'],
    words: /emirates/i,
    checksum: true,
    valid: (d) => d.startsWith('784') && luhn(d),
  },
]

/** One digit of the first ten comes twice or three times, and not all ten digits are there. */
function repeatsLikeSteuerId(ten: string): boolean {
  const counts = [...new Set(ten)].map((each) => ten.split(each).length - 1)
  const repeated = counts.filter((count) => count > 1)
  return repeated.length === 1 && repeated[0]! <= 3
}

function cpfDigit(digits: string, length: number): number {
  let sum = 0
  for (let i = 0; i < length; i++) sum += digit(digits, i) * (length + 1 - i)
  return ((sum * 10) % 11) % 10
}

/** With its century it must be a living person's, or `20240501-1234` of an order would do. */
function swedish(digits: string): boolean {
  if (digits.length === 12 && !/^(?:19|200)/.test(digits)) return false
  const short = digits.slice(-10)
  return isDay(at(short, 2, 4), at(short, 4, 6) % 60) && luhn(short)
}

/** For tests: the number's own rule. */
export function isNationalNumber(name: string, digits: string): boolean {
  return NUMBERS.some((number) => number.name === name && number.valid(digits))
}

export const nationalNumberDetectors: readonly DetectorInfo[] = NUMBERS.map(({ name, title, shapes, checksum }) => ({
  name,
  title,
  description: `Written as ${shapes.map((shape) => (shape.startsWith('?') ? `${shape.slice(1)} after a telling word` : shape)).join(', ')}.`,
  checksum,
  secret: false,
}))

interface Candidate {
  readonly number: NationalNumber
  readonly needsWord: boolean
}

const MAX_GROUPS = 7
const MIN_DIGITS = 9
const MAX_DIGITS = 15
const GENERIC_WORDS =
  /national[ _-]?(?:id|number)|\bid[ _-]?number|personal[ _-]?(?:id|number)|identity[ _-]?(?:no|number|card)/i
const byShape = new Map<string, Candidate[]>()
for (const number of NUMBERS) {
  for (const shape of number.shapes) {
    const needsWord = shape.startsWith('?')
    const key = needsWord ? shape.slice(1) : shape
    byShape.set(key, [...(byShape.get(key) ?? []), { number, needsWord }])
  }
}

export function findNationalNumbers(view: View, run: DigitRun, wanted: ReadonlySet<string>, report: Report): void {
  for (let first = 0; first < run.groups; first++) {
    if (isLetterOrDigit(run.charBefore(first)) || run.charBefore(first) === 43) continue
    if (first > 0 && isTight(run.separator(first - 1))) continue
    let total = 0
    for (let last = first; last < run.groups && last < first + MAX_GROUPS; last++) {
      total += run.size(last)
      if (total > MAX_DIGITS) break
      if (total < MIN_DIGITS) continue
      const candidates = byShape.get(run.shape(first, last))
      if (candidates === undefined || continues(run, first, last)) continue
      const digits = run.digits(first, last)
      for (const { number, needsWord } of candidates) {
        if (!wanted.has(number.name) || !number.valid(digits)) continue
        if (needsWord && !isAnnounced(view, run.starts[first]!, number)) continue
        report(number.name, run.starts[first]!, run.ends[last]!)
      }
    }
  }
}

function isAnnounced(view: View, start: number, number: NationalNumber): boolean {
  const words = wordsBefore(view, start)
  return number.words.test(words) || GENERIC_WORDS.test(words)
}

function isTight(separator: string): boolean {
  return separator.length === 1 && '-./_'.includes(separator)
}

/** The groups are a part of something longer: more of the same follows or went before. */
function continues(run: DigitRun, first: number, last: number): boolean {
  if (isLetterOrDigit(run.charAfter(last))) return true
  const after = run.text[run.ends[last]!] ?? ''
  if (isTight(after) && isLetterOrDigit(run.text.charCodeAt(run.ends[last]! + 1))) return true
  if (first === last) return false
  const own = run.separator(first)
  const next = last + 1 < run.groups ? run.separator(last) : ''
  return own === next || (first > 0 && run.separator(first - 1) === own)
}
