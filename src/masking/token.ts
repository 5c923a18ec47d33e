import { luhn, luhnDigit } from './checksums.ts'
import type { Ff1 } from './ff1.ts'

/** Longer values are hashed: the cost of FF1 grows with the square of the length. */
export const MAX_TOKEN_CHARACTERS = 256
/** SP 800-38G revision 1: a smaller domain can be searched through. */
const MIN_DOMAIN = 1_000_000n
const DIGIT = /^\p{N}$/u
const UPPER = /^\p{Lu}$/u
const LETTER = /^[\p{L}\p{M}]$/u
const UNSAFE = /^[,(){}"'\\\s]$/u

interface Shape {
  /** The value's characters; those to encrypt are empty. */
  readonly frame: readonly string[]
  readonly classes: string
  readonly value: bigint
  readonly domain: bigint
  /** Characters outside ASCII that became an ASCII class; they go into the tweak, so that `Muller` and `Müller` differ. */
  readonly foreign: string
}

function readShape(text: string): Shape {
  const frame: string[] = []
  let classes = ''
  let foreign = ''
  let value = 0n
  let domain = 1n
  for (const character of text) {
    const kind = classOf(character)
    if (kind === undefined) {
      frame.push(UNSAFE.test(character) ? '_' : character)
      continue
    }
    frame.push('')
    classes += kind
    const radix = kind === 'd' ? 10n : 26n
    const code = character.charCodeAt(0)
    const ascii = code < 128
    if (!ascii) foreign += character
    value = value * radix + (ascii ? BigInt(code - (kind === 'd' ? 48 : kind === 'u' ? 65 : 97)) : 0n)
    domain *= radix
  }
  return { frame, classes, value, domain, foreign }
}

function classOf(character: string): 'd' | 'u' | 'l' | undefined {
  const code = character.charCodeAt(0)
  if (code < 128) {
    if (code >= 48 && code <= 57) return 'd'
    if (code >= 65 && code <= 90) return 'u'
    return code >= 97 && code <= 122 ? 'l' : undefined
  }
  if (DIGIT.test(character)) return 'd'
  if (UPPER.test(character)) return 'u'
  return LETTER.test(character) ? 'l' : undefined
}

function fill(shape: Shape, value: bigint): string {
  const symbols: string[] = []
  let rest = value
  for (let i = shape.classes.length - 1; i >= 0; i--) {
    const kind = shape.classes[i]
    const radix = kind === 'd' ? 10n : 26n
    symbols.push(String.fromCharCode(Number(rest % radix) + (kind === 'd' ? 48 : kind === 'u' ? 65 : 97)))
    rest /= radix
  }
  return shape.frame.map((character) => (character === '' ? symbols.pop()! : character)).join('')
}

/** A number that could be a payment card must never come out as one that passes for a real card. */
function encryptDigits(ff1: Ff1, digits: string, tweak: string): string {
  const couldBeCard = digits.length >= 13 && digits.length <= 19
  if (!couldBeCard) return ff1.encrypt(digits, 10, Buffer.from(`digits ${tweak}`))
  if (luhn(digits)) {
    // Valid cards: the payload is encrypted, and the check digit is always off by five. One to one, and never valid.
    const payload = ff1.encrypt(digits.slice(0, -1), 10, Buffer.from(`card ${tweak}`))
    return `${payload}${(luhnDigit(payload) + 5) % 10}`
  }
  // Others: walk the cycle until the result fails Luhn too. One to one within the numbers that fail.
  let result = digits
  do result = ff1.encrypt(result, 10, Buffer.from(`digits ${tweak}`))
  while (luhn(result))
  return result
}

/**
 * Format-preserving, deterministic: digits stay digits, letters stay letters of their case, all else keeps its place
 * (characters that would need quoting become `_`). The separators do not count: `4111-1111…` and `41111111…` get the
 * same digits.
 *
 * @returns undefined when the value has too few digits and letters to hide in, or is too long.
 */
export function formatPreserving(ff1: Ff1, text: string): string | undefined {
  if (text.length > MAX_TOKEN_CHARACTERS) return undefined
  const shape = readShape(text)
  if (shape.domain < MIN_DOMAIN) return undefined
  if (!/[ul]/.test(shape.classes)) {
    const digits = shape.value.toString().padStart(shape.classes.length, '0')
    return fill(shape, BigInt(encryptDigits(ff1, digits, shape.foreign)))
  }
  // Mixed classes: the value is a number below `domain`; FF1 over its bits, walked until it is below `domain` again.
  const bits = (shape.domain - 1n).toString(2).length
  const tweak = Buffer.from(`${shape.classes} ${shape.foreign}`)
  let value = shape.value
  do value = ff1.encryptNumber(value, 2, bits, tweak)
  while (value >= shape.domain)
  return fill(shape, value)
}
