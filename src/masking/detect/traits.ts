/** What a byte-class pass over a text can tell, without making a string of it. */
export const TRAIT = {
  at: 1 << 0,
  colon: 1 << 1,
  equals: 1 << 2,
  underscore: 1 << 3,
  dash: 1 << 4,
  dot: 1 << 5,
  slash: 1 << 6,
  letter: 1 << 7,
  digit: 1 << 8,
  /** A byte that may begin a look-alike of an ASCII character, or one that shows nothing. */
  foreign: 1 << 9,
  /** Nine digits or more with nothing but separators between them. */
  number: 1 << 10,
  /** Six digits or more in all, and letters. */
  mixed: 1 << 11,
  backslash: 1 << 12,
  /** Twenty letters, digits and marks of keys or more, with nothing between them. */
  long: 1 << 13,
  /** `://` stands somewhere. */
  scheme: 1 << 14,
  /** `-----BEGIN` stands somewhere. */
  block: 1 << 15,
} as const

const LONG_CHARACTERS = 20
const MIN_NUMBER_DIGITS = 9
const MIN_MIXED_DIGITS = 6

const TRAITS_OF_BYTE = new Uint16Array(256)
/** 0 ends a number, 1 may stand between its digits, 2 is a digit. */
const NUMBER_ROLE = new Uint8Array(256)
const DIGIT_COUNT = new Uint8Array(256)
/** 1 where a key or token can go on. */
const KEY_CHARACTER = new Uint8Array(256)
const SCHEME = Buffer.from('://')
const BLOCK = Buffer.from('-----BEGIN')

function setUp(): void {
  const named: [string, number][] = [
    ['@', TRAIT.at],
    [':', TRAIT.colon],
    ['=', TRAIT.equals],
    ['_', TRAIT.underscore],
    ['-', TRAIT.dash],
    ['.', TRAIT.dot],
    ['/', TRAIT.slash],
    ['\\', TRAIT.backslash],
  ]
  for (const [character, trait] of named) TRAITS_OF_BYTE[character.charCodeAt(0)] = trait
  for (let i = 0; i < 26; i++) {
    TRAITS_OF_BYTE[65 + i] = TRAIT.letter
    TRAITS_OF_BYTE[97 + i] = TRAIT.letter
    KEY_CHARACTER[65 + i] = 1
    KEY_CHARACTER[97 + i] = 1
  }
  for (let i = 48; i < 58; i++) {
    TRAITS_OF_BYTE[i] = TRAIT.digit
    NUMBER_ROLE[i] = 2
    DIGIT_COUNT[i] = 1
    KEY_CHARACTER[i] = 1
  }
  for (const character of '_-./+=%~:') KEY_CHARACTER[character.charCodeAt(0)] = 1
  for (const character of ' \t\n\r-./_()') NUMBER_ROLE[character.charCodeAt(0)] = 1
  // First bytes in UTF-8 of what fold.ts folds, and the LATIN1 bytes of the same (no-break space, soft hyphen, middle dot).
  for (const lead of [0xc2, 0xcd, 0xd8, 0xd9, 0xdb, 0xe0, 0xe1, 0xe2, 0xe3, 0xef, 0xf0, 0xf3, 0xa0, 0xad, 0xb7])
    TRAITS_OF_BYTE[lead] = TRAIT.foreign
}
setUp()

export function traitsOf(bytes: Buffer): number {
  let traits = 0
  let digits = 0
  let run = 0
  let longest = 0
  const length = bytes.length
  for (let i = 0; i < length; i++) {
    const byte = bytes[i]!
    traits |= TRAITS_OF_BYTE[byte]!
    digits += DIGIT_COUNT[byte]!
    run = (run + 1) * KEY_CHARACTER[byte]!
    if (run > longest) longest = run
  }
  if (longest >= LONG_CHARACTERS) traits |= TRAIT.long
  if ((traits & (TRAIT.colon | TRAIT.slash)) === (TRAIT.colon | TRAIT.slash) && bytes.includes(SCHEME))
    traits |= TRAIT.scheme
  if ((traits & TRAIT.dash) !== 0 && length > BLOCK.length && bytes.includes(BLOCK)) traits |= TRAIT.block
  if (digits >= MIN_MIXED_DIGITS && (traits & TRAIT.letter) !== 0) traits |= TRAIT.mixed
  if (digits >= MIN_NUMBER_DIGITS && hasNumber(bytes)) traits |= TRAIT.number
  return traits
}

function hasNumber(bytes: Buffer): boolean {
  let digits = 0
  for (let i = 0; i < bytes.length; i++) {
    const role = NUMBER_ROLE[bytes[i]!]!
    if (role === 2) {
      digits++
      if (digits >= MIN_NUMBER_DIGITS && !isClock(bytes, i)) return true
    } else if (role === 0) digits = 0
  }
  return false
}

/** `2024-05-06 07:` and its neighbours are the commonest digits of all; the colon tells. */
function isClock(bytes: Buffer, at: number): boolean {
  const dash = 45
  for (const first of [at - 11, at - 12]) {
    if (first < 0 || bytes[first + 4] !== dash || bytes[first + 7] !== dash) continue
    if (bytes[first + 13] === 58 && NUMBER_ROLE[bytes[first + 10]!] === 1) return true
  }
  return false
}
