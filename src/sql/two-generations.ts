/** A bounded cache: when the young generation is full it becomes the old one, and the old one is dropped. */
export class TwoGenerations<Value> {
  readonly #maxEntries: number
  readonly #maxBytes: number
  #young = new Map<string, Value>()
  #old = new Map<string, Value>()
  #youngBytes = 0

  /** Each generation holds at most half of the entries and half of the bytes. */
  constructor(maxEntries: number, maxBytes: number) {
    this.#maxEntries = Math.max(1, Math.floor(maxEntries / 2))
    this.#maxBytes = Math.floor(maxBytes / 2)
  }

  get size(): number {
    return this.#young.size + this.#old.size
  }

  get(key: string): Value | undefined {
    const young = this.#young.get(key)
    if (young !== undefined) return young
    const old = this.#old.get(key)
    if (old !== undefined) this.#keep(key, old, key.length)
    return old
  }

  /** @param bytes - What the entry weighs; one that is over a generation's share is not kept. */
  set(key: string, value: Value, bytes: number): void {
    if (bytes <= this.#maxBytes) this.#keep(key, value, bytes)
  }

  clear(): void {
    this.#young = new Map()
    this.#old = new Map()
    this.#youngBytes = 0
  }

  #keep(key: string, value: Value, bytes: number): void {
    if (this.#young.size >= this.#maxEntries || this.#youngBytes + bytes > this.#maxBytes) {
      this.#old = this.#young
      this.#young = new Map()
      this.#youngBytes = 0
    }
    this.#young.set(key, value)
    this.#youngBytes += bytes
  }
}
