import { type Cipher, createCipheriv } from 'node:crypto'

const ROUNDS = 10
const BLOCK = 16

function bigFromBytes(bytes: Buffer): bigint {
  return bytes.length === 0 ? 0n : BigInt(`0x${bytes.toString('hex')}`)
}

function bytesFromBig(value: bigint, length: number): Buffer {
  return Buffer.from(value.toString(16).padStart(length * 2, '0'), 'hex')
}

interface Split {
  readonly left: number
  readonly leftModulus: bigint
  readonly rightModulus: bigint
  /** `b` of the standard: bytes that hold the right half. */
  readonly halfBytes: number
}

/**
 * FF1 format-preserving encryption over AES.
 *
 * @see NIST SP 800-38G, algorithm 7 (FF1.Encrypt)
 */
export class Ff1 {
  /** ECB keeps no state between blocks, so one cipher object serves for ever. */
  readonly #cipher: Cipher
  readonly #splits = new Map<string, Split>()

  /** @param key - 16, 24 or 32 bytes. */
  constructor(key: Buffer) {
    this.#cipher = createCipheriv(`aes-${key.length * 8}-ecb`, key, null)
    this.#cipher.setAutoPadding(false)
  }

  /** Encrypts a string of numerals of radix 2 to 36; letters are lower case. */
  encrypt(numerals: string, radix: number, tweak: Buffer): string {
    let value = 0n
    for (const numeral of numerals) value = value * BigInt(radix) + BigInt(Number.parseInt(numeral, radix))
    return this.encryptNumber(value, radix, numerals.length, tweak).toString(radix).padStart(numerals.length, '0')
  }

  /**
   * Encrypts the number that `length` numerals of `radix` stand for.
   *
   * @param length - At least 2; `radix ** length` should be 1,000,000 or more (SP 800-38G revision 1).
   */
  encryptNumber(value: bigint, radix: number, length: number, tweak: Buffer): bigint {
    const { left, leftModulus, rightModulus, halfBytes } = this.#split(radix, length)
    const wordBytes = 4 * Math.ceil(halfBytes / 4) + 4
    const header = this.#block(ff1Header(radix, left, length, tweak.length))
    const padding = (((-tweak.length - halfBytes - 1) % BLOCK) + BLOCK) % BLOCK
    const prefix = Buffer.concat([tweak, Buffer.alloc(padding)])
    let a = value / rightModulus
    let b = value % rightModulus
    for (let round = 0; round < ROUNDS; round++) {
      const message = Buffer.concat([prefix, Buffer.of(round), bytesFromBig(b, halfBytes)])
      const word = bigFromBytes(this.#expand(this.#chain(header, message), wordBytes))
      const sum = (a + word) % (round % 2 === 0 ? leftModulus : rightModulus)
      a = b
      b = sum
    }
    return a * rightModulus + b // after an even number of rounds, `a` is the left half again
  }

  #split(radix: number, length: number): Split {
    const key = `${radix}/${length}`
    const known = this.#splits.get(key)
    if (known !== undefined) return known
    const left = Math.floor(length / 2)
    const right = length - left
    const rightModulus = BigInt(radix) ** BigInt(right)
    const bits = (rightModulus - 1n).toString(2).length
    const split = {
      left,
      leftModulus: BigInt(radix) ** BigInt(left),
      rightModulus,
      halfBytes: Math.ceil(bits / 8),
    }
    this.#splits.set(key, split)
    return split
  }

  #block(block: Buffer): Buffer {
    return this.#cipher.update(block)
  }

  /** CBC-MAC continued from an already encrypted first block. */
  #chain(first: Buffer, message: Buffer): Buffer {
    let state = first
    for (let at = 0; at < message.length; at += BLOCK) {
      const mixed = Buffer.allocUnsafe(BLOCK)
      for (let i = 0; i < BLOCK; i++) mixed[i] = state[i]! ^ message[at + i]!
      state = this.#block(mixed)
    }
    return state
  }

  #expand(first: Buffer, length: number): Buffer {
    const blocks = [first]
    for (let counter = 1; blocks.length * BLOCK < length; counter++) {
      const mixed = Buffer.from(first)
      mixed.writeUInt32BE((mixed.readUInt32BE(12) ^ counter) >>> 0, 12)
      blocks.push(this.#block(mixed))
    }
    return Buffer.concat(blocks).subarray(0, length)
  }
}

function ff1Header(radix: number, left: number, length: number, tweakBytes: number): Buffer {
  const header = Buffer.alloc(BLOCK)
  header.set([1, 2, 1])
  header.writeUIntBE(radix, 3, 3)
  header[6] = ROUNDS
  header[7] = left % 256
  header.writeUInt32BE(length, 8)
  header.writeUInt32BE(tweakBytes, 12)
  return header
}
