import { createHmac } from 'node:crypto'
import { GatewayError, type MaskKind } from '../kernel/index.ts'
import { Ff1 } from './ff1.ts'
import { generalise } from './generalise.ts'
import { formatPreserving } from './token.ts'

/** What stands where a value was withheld. */
export const REDACTED = '[redacted]'
/** Fewer letters and digits than this, and four of them would tell too much. */
const MIN_LAST4_CHARACTERS = 9
const MIN_KEY_BYTES = 16
const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567'
const HASH_CHARACTERS = 20
const TAG_CHARACTERS = 6
const NOT_LETTER_OR_DIGIT = /[^\p{L}\p{N}]+/gu
const EMAIL = /^([^@]{1,256})@([^@]{1,256})\.([A-Za-z]{2,24})$/
const ASCII_LETTER_OR_DIGIT = /^[A-Za-z0-9]/

/** From the gentlest to the strongest; where several rules meet on one value, the strongest wins. */
export const MASK_STRENGTH: Readonly<Record<MaskKind, number>> = {
  last4: 0,
  email: 1,
  generalise: 2,
  token: 3,
  hash: 4,
  redact: 5,
  null: 6,
}

/** The masks with their keys; all keys are derived from one tenant key. */
export class Masks {
  readonly #hashKey: Buffer
  readonly #tagKey: Buffer
  readonly #ff1: Ff1

  /** @throws GatewayError `config.invalid` - the key is too short to protect anything. */
  constructor(key: Buffer) {
    if (key.length < MIN_KEY_BYTES)
      throw new GatewayError('config.invalid', `The masking key needs at least ${MIN_KEY_BYTES} bytes.`)
    this.#hashKey = derive(key, 'hash')
    this.#tagKey = derive(key, 'tag')
    this.#ff1 = new Ff1(derive(key, 'token'))
  }

  /** @returns text without `, ( ) { } " ' \` and white space, or null for the `null` mask. */
  apply(mask: MaskKind, value: string, column: string): string | null {
    switch (mask) {
      case 'null':
        return null
      case 'redact':
        return REDACTED
      case 'last4':
        return last4(value)
      case 'email':
        return email(value)
      case 'hash':
        return this.hash(value)
      case 'token':
        return formatPreserving(this.#ff1, value) ?? this.hash(value)
      case 'generalise':
        return generalise(value, column) ?? REDACTED
    }
  }

  /** 100 bits of HMAC-SHA-256: equal values stay equal, and nobody without the key can try values. */
  hash(value: string): string {
    return `hash-${base32(createHmac('sha256', this.#hashKey).update(value).digest(), HASH_CHARACTERS)}`
  }

  /** Marks a token that still looks like a real value, so that a second scan leaves it alone and nobody can forge that. */
  tag(token: string): string {
    return `~${base32(createHmac('sha256', this.#tagKey).update(token).digest(), TAG_CHARACTERS)}`
  }
}

function derive(key: Buffer, purpose: string): Buffer {
  return createHmac('sha256', key).update(`sallyport masking ${purpose} v1`).digest()
}

function base32(bytes: Buffer, characters: number): string {
  let text = ''
  for (let i = 0; i < characters; i++) {
    const bit = i * 5
    const pair = (bytes[bit >> 3]! << 8) | (bytes[(bit >> 3) + 1] ?? 0)
    text += BASE32[(pair >> (11 - (bit & 7))) & 31]
  }
  return text
}

function last4(value: string): string {
  const plain = value.replace(NOT_LETTER_OR_DIGIT, '')
  if (plain.length < MIN_LAST4_CHARACTERS) return REDACTED
  return `${'*'.repeat(Math.min(12, plain.length - 4))}${plain.slice(-4)}`
}

function email(value: string): string {
  const match = EMAIL.exec(value.trim())
  if (match === null) return REDACTED
  return `${initial(match[1]!)}***@${initial(match[2]!)}***.${match[3]}`
}

/** Of one or two letters the first is half of all. */
function initial(text: string): string {
  return text.length > 2 && ASCII_LETTER_OR_DIGIT.test(text) ? text[0]! : ''
}
