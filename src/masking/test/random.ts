/** A small seeded generator (mulberry32), so that a corpus is the same everywhere. */
export class Seeded {
  #state: number

  constructor(seed: number) {
    this.#state = seed
  }

  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }

  below(limit: number): number {
    return Math.floor(this.next() * limit)
  }

  pick<Item>(items: readonly Item[]): Item {
    return items[this.below(items.length)]!
  }

  of(alphabet: string, length: number): string {
    let text = ''
    for (let i = 0; i < length; i++) text += alphabet[this.below(alphabet.length)]!
    return text
  }

  /** `#` a digit, `A` a capital, `a` a small letter, `x` a hexadecimal digit, `*` a letter or digit; others stand. */
  fill(template: string): string {
    return template.replace(/[#Aax*]/g, (mark) =>
      this.of(mark === '#' ? DIGITS : mark === 'A' ? UPPER : mark === 'a' ? LOWER : mark === 'x' ? HEX : BASE62, 1),
    )
  }
}

export const DIGITS = '0123456789'
export const UPPER = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ'
export const LOWER = 'abcdefghijklmnopqrstuvwxyz'
export const HEX = '0123456789abcdef'
export const BASE62 = DIGITS + UPPER + LOWER
