import { remainder } from '../checksums.ts'
import { type Finder, isLetterOrDigit } from './detector.ts'
import { TRAIT } from './traits.ts'

const NAME = 'iban'
const START = /(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?=[ -]?[A-Z0-9])/gi
const NEVER_CHECK_DIGITS = new Set(['00', '01', '99'])
const LETTER = /[A-Z]/g
const MAX_SEPARATORS = 12

/** Characters of an account number in each country of the IBAN registry. */
const LENGTHS: ReadonlyMap<string, number> = new Map(
  (
    'AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 ' +
    'ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IR26 IS26 IT27 JO30 KW30 KZ20 ' +
    'LB28 LC32 LI21 LT20 LU20 LV21 LY25 MA28 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 MZ25 NI28 NL18 NO15 OM23 PK24 ' +
    'PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 ' +
    'VG24 XK20 YE30'
  )
    .split(' ')
    .map((entry) => [entry.slice(0, 2), Number(entry.slice(2))]),
)

export const ibanFinder: Finder = {
  detectors: [
    {
      name: NAME,
      title: 'International bank account number',
      description: "The country's length and the check digits (ISO 13616, modulo 97), spaced or not.",
      checksum: true,
      secret: false,
    },
  ],
  possible: (traits) => (traits & TRAIT.mixed) !== 0,
  find({ text }, _wanted, report) {
    for (const match of text.matchAll(START)) {
      const length = LENGTHS.get(match[0].slice(0, 2).toUpperCase())
      if (length === undefined) continue
      const end = takeAccount(text, match.index, length)
      if (end >= 0) report(NAME, match.index, end)
    }
  },
}

/** The end of the valid IBAN at `start`, or -1. */
function takeAccount(text: string, start: number, length: number): number {
  let account = ''
  let at = start
  for (; account.length < length && at - start < length + MAX_SEPARATORS; at++) {
    const code = text.charCodeAt(at)
    if (isLetterOrDigit(code)) account += text[at]!
    else if (code !== 32 && code !== 45) return -1
  }
  if (account.length < length || isLetterOrDigit(text.charCodeAt(at))) return -1
  return isValid(account.toUpperCase()) ? at : -1
}

/** ISO 7064 MOD 97-10. The validator package's own country patterns lag behind the registry, so only the sum counts. */
function isValid(account: string): boolean {
  if (NEVER_CHECK_DIGITS.has(account.slice(2, 4))) return false
  const moved = account.slice(4) + account.slice(0, 4)
  return (
    remainder(
      moved.replace(LETTER, (letter) => `${letter.charCodeAt(0) - 55}`),
      97,
    ) === 1
  )
}
