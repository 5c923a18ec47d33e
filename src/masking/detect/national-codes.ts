import { isDay, weighted } from '../checksums.ts'
import { type DetectorInfo, type Finder, wordsBefore } from './detector.ts'
import { TRAIT } from './traits.ts'

interface NationalCode {
  readonly name: string
  readonly title: string
  readonly shape: RegExp
  readonly checksum: boolean
  /** Must be near when the code's own structure is weak. */
  readonly words?: RegExp
  /** Gets the letters and digits only, in capitals. */
  readonly valid: (code: string) => boolean
}

const DNI_LETTERS = 'TRWAGMYFPDXBNJZSQVHLCKE'
const ITALIAN_ODD = [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23]
const CURP_ALPHABET = '0123456789ABCDEFGHIJKLMN\u00d1OPQRSTUVWXYZ'
const FINNISH = '0123456789ABCDEFHJKLMNPRSTUVWXY'
const TAIWAN_ORDER = 'ABCDEFGHJKLMNPQRSTUVXYWZIO'

/** Numbers with letters in them. */
const CODES: readonly NationalCode[] = [
  {
    name: 'uk_nino',
    title: 'UK national insurance number',
    shape:
      /(?<![A-Za-z0-9])[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z][ -]?\d{2}[ -]?\d{2}[ -]?\d{2}[ -]?[A-D](?![A-Za-z0-9])/gi,
    checksum: false,
    valid: (code) => !/^(?:BG|GB|KN|NK|NT|TN|ZZ)/.test(code),
  },
  {
    name: 'es_dni',
    title: 'Spanish DNI and NIE',
    shape: /(?<![A-Za-z0-9])(?:\d{8}|\d{2}\.\d{3}\.\d{3}|[XYZ][ -]?\d{7})[ -]?[A-HJ-NP-TV-Z](?![A-Za-z0-9])/g,
    checksum: true,
    valid: (code) => {
      const digits = code.slice(0, -1).replace('X', '0').replace('Y', '1').replace('Z', '2')
      return DNI_LETTERS[Number(digits) % 23] === code.at(-1)
    },
  },
  {
    name: 'it_codice_fiscale',
    title: 'Italian codice fiscale',
    shape:
      /(?<![A-Za-z0-9])[A-Z]{3} ?[A-Z]{3} ?[0-9LMNP-V]{2}[ABCDEHLMPRST][0-9LMNP-V]{2} ?[A-Z][0-9LMNP-V]{3}[A-Z](?![A-Za-z0-9])/gi,
    checksum: true,
    valid: italian,
  },
  {
    name: 'mx_curp',
    title: 'Mexican CURP',
    shape: /(?<![A-Za-z0-9])[A-Z][AEIOUX][A-Z]{2}\d{6}[HMX][A-Z]{5}[A-Z0-9]\d(?![A-Za-z0-9])/gi,
    checksum: true,
    valid: (code) => {
      let sum = 0
      for (let i = 0; i < 17; i++) sum += CURP_ALPHABET.indexOf(code[i]!) * (18 - i)
      return (10 - (sum % 10)) % 10 === Number(code[17])
    },
  },
  {
    name: 'cn_resident_id',
    title: 'Chinese resident identity number',
    shape: /(?<![A-Za-z0-9.])[1-9]\d{5}(?:19|20)\d{2}[01]\d[0-3]\d{4}[0-9X](?![A-Za-z0-9])/gi,
    checksum: true,
    valid: (code) =>
      isDay(Number(code.slice(10, 12)), Number(code.slice(12, 14))) &&
      '10X98765432'[weighted(code, [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]) % 11] === code[17],
  },
  {
    name: 'sg_nric',
    title: 'Singapore NRIC and FIN',
    shape: /(?<![A-Za-z0-9])[STFGM]\d{7}[A-Z](?![A-Za-z0-9])/g,
    checksum: true,
    valid: (code) => {
      const kind = code[0]!
      const offset = kind === 'T' || kind === 'G' ? 4 : kind === 'M' ? 3 : 0
      const rest = (weighted(code.slice(1, 8), [2, 7, 6, 5, 4, 3, 2]) + offset) % 11
      const letters = kind === 'S' || kind === 'T' ? 'JZIHGFEDCBA' : kind === 'M' ? 'XWUTRQPNJLK' : 'XWUTRQPNMLK'
      return letters[rest] === code[8]
    },
  },
  {
    name: 'fi_hetu',
    title: 'Finnish personal identity code',
    shape: /(?<![A-Za-z0-9])\d{6}[-+A-FU-Y]\d{3}[0-9A-FHJ-NPR-Y](?![A-Za-z0-9])/g,
    checksum: true,
    valid: (code) => {
      const plain = code.length === 11 ? code.slice(0, 6) + code.slice(7) : code
      const day = isDay(Number(plain.slice(2, 4)), Number(plain.slice(0, 2)))
      return day && FINNISH[Number(plain.slice(0, 9)) % 31] === plain[9]
    },
  },
  {
    name: 'ie_pps',
    title: 'Irish PPS number',
    shape: /(?<![A-Za-z0-9])\d{7}[A-W][A-IW]?(?![A-Za-z0-9])/gi,
    checksum: true,
    words: /\bpps|personal public/i,
    valid: (code) => {
      const extra = code.length === 9 && code[8] !== 'W' ? (code.charCodeAt(8) - 64) * 9 : 0
      const rest = (weighted(code, [8, 7, 6, 5, 4, 3, 2]) + extra) % 23
      return 'WABCDEFGHIJKLMNOPQRSTUV'[rest] === code[7]
    },
  },
  {
    name: 'cl_rut',
    title: 'Chilean RUT',
    shape: /(?<![A-Za-z0-9.])\d{1,2}\.\d{3}\.\d{3}-[0-9K](?![A-Za-z0-9])/gi,
    checksum: true,
    valid: (code) => {
      const digits = code.slice(0, -1)
      let sum = 0
      for (let i = 0; i < digits.length; i++) sum += Number(digits[digits.length - 1 - i]) * ((i % 6) + 2)
      return '0123456789K0'[11 - (sum % 11)] === code.at(-1)
    },
  },
  {
    name: 'tw_id',
    title: 'Taiwanese identity number',
    shape: /(?<![A-Za-z0-9])[A-Z][1289]\d{8}(?![A-Za-z0-9])/g,
    checksum: true,
    valid: (code) => {
      const letter = TAIWAN_ORDER.indexOf(code[0]!) + 10
      return (
        (Math.floor(letter / 10) + (letter % 10) * 9 + weighted(code.slice(1), [8, 7, 6, 5, 4, 3, 2, 1, 1])) % 10 === 0
      )
    },
  },
]

/** The check letter: odd places by table, even places by value; January to December are letters already. */
function italian(code: string): boolean {
  let sum = 0
  for (let i = 0; i < 15; i++) {
    const byte = code.charCodeAt(i)
    const value = byte >= 65 ? byte - 65 : byte - 48
    sum += i % 2 === 0 ? ITALIAN_ODD[value]! : value
  }
  return String.fromCharCode(65 + (sum % 26)) === code[15]
}

export const nationalCodeDetectors: readonly DetectorInfo[] = CODES.map(({ name, title, checksum, words }) => ({
  name,
  title,
  description: `By its structure${checksum ? ' and check character' : ''}${words === undefined ? '' : ', after a telling word'}.`,
  checksum,
  secret: false,
}))

const BOUNDARY = '(?<![A-Za-z0-9])'
/** One look for all shapes, which for most texts is the only one. */
const ANY_SHAPE = new RegExp(
  `${BOUNDARY}(?:${CODES.map(({ shape }) => shape.source.replace(/^\(\?<![^)]*\)/, '')).join('|')})`,
  'i',
)
const SEPARATORS = /[ .+-]/g

export const nationalCodeFinder: Finder = {
  detectors: nationalCodeDetectors,
  // A Chinese number may have no letter.
  possible: (traits) => (traits & (TRAIT.mixed | TRAIT.number)) !== 0,
  find(view, wanted, report) {
    if (!ANY_SHAPE.test(view.text)) return
    for (const { name, shape, words, valid } of CODES) {
      if (!wanted.has(name)) continue
      for (const match of view.text.matchAll(shape)) {
        if (!valid(match[0].replace(SEPARATORS, '').toUpperCase())) continue
        if (words !== undefined && !words.test(wordsBefore(view, match.index))) continue
        report(name, match.index, match.index + match[0].length)
      }
    }
  },
}
