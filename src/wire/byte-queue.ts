const SMALLEST_STORAGE = 256
/** Storage above this is given back as soon as the queue is empty, so that an idle connection stays small. */
const KEPT_STORAGE = 4096

/**
 * Bytes that arrived and were not yet taken, in one contiguous piece of storage: many tiny chunks cost no more memory
 * than one large one. Appending copies, so a borrowed chunk may be handed in.
 */
export class ByteQueue {
  #storage: Buffer = Buffer.alloc(0)
  #start = 0
  #end = 0

  get length(): number {
    return this.#end - this.#start
  }

  /** Copies the chunk (or its part `from`..`to`) to the end of the queue. */
  append(chunk: Uint8Array, from = 0, to = chunk.length): void {
    const added = to - from
    if (added <= 0) return
    if (this.#end + added > this.#storage.length) this.#makeRoom(added)
    this.#storage.set(from === 0 && to === chunk.length ? chunk : chunk.subarray(from, to), this.#end)
    this.#end += added
  }

  /** A view of the next bytes, valid until the queue changes; undefined when fewer are there. */
  peek(count: number): Buffer | undefined {
    if (this.length < count) return undefined
    return this.#storage.subarray(this.#start, this.#start + count)
  }

  /** The byte at an offset from the front, which must be within `length`. */
  byteAt(offset: number): number {
    return this.#storage[this.#start + offset]!
  }

  /** Removes the next bytes and answers them as an owned copy; undefined when fewer are there. */
  take(count: number): Buffer | undefined {
    if (this.length < count) return undefined
    const taken = Buffer.allocUnsafe(count)
    this.#storage.copy(taken, 0, this.#start, this.#start + count)
    this.skip(count)
    return taken
  }

  /** Drops at most `count` bytes from the front. */
  skip(count: number): void {
    this.#start += Math.min(count, this.length)
    if (this.#start === this.#end) this.clear()
  }

  /** Drops everything beyond the first `count` bytes. */
  truncate(count: number): void {
    if (count < this.length) this.#end = this.#start + count
    if (this.#start === this.#end) this.clear()
  }

  clear(): void {
    this.#start = 0
    this.#end = 0
    if (this.#storage.length > KEPT_STORAGE) this.#storage = Buffer.alloc(0)
  }

  #makeRoom(added: number): void {
    const needed = this.length + added
    // Doubling keeps the copying linear; moving to the front alone is enough only while half the storage is free.
    const target =
      needed * 2 <= this.#storage.length
        ? this.#storage
        : Buffer.allocUnsafe(Math.max(SMALLEST_STORAGE, needed, Math.min(needed * 2, needed + 16 * 1024 * 1024)))
    this.#storage.copy(target, 0, this.#start, this.#end)
    this.#end = this.length
    this.#start = 0
    this.#storage = target
  }
}
