/**
 * Frames of one chunk that leave together: untouched neighbours as one piece borrowed from the chunk, changed ones
 * between them. What is borrowed must be taken before the chunk goes away.
 */
export class Gathered {
  #pieces: Buffer[] = []
  #bytes = 0
  #buffer: Buffer | undefined
  #start = 0
  #end = 0
  count = 0

  /** A frame that lies in a borrowed buffer and stays as it is. */
  untouched(buffer: Buffer, start: number, end: number): void {
    this.count += 1
    if (this.#buffer === buffer && this.#end === start) {
      this.#end = end
      return
    }
    this.#close()
    this.#buffer = buffer
    this.#start = start
    this.#end = end
  }

  /** A frame of its own, which nobody changes any more. */
  changed(frame: Buffer): void {
    this.count += 1
    this.#close()
    this.#add(frame)
  }

  /** All of it, in order, in a buffer that nobody else holds; then it is empty. */
  take(): Buffer {
    this.#close()
    const bytes = Buffer.concat(this.#pieces, this.#bytes)
    this.#pieces = []
    this.#bytes = 0
    this.count = 0
    return bytes
  }

  #close(): void {
    if (this.#buffer === undefined) return
    this.#add(this.#buffer.subarray(this.#start, this.#end))
    this.#buffer = undefined
  }

  #add(piece: Buffer): void {
    this.#pieces.push(piece)
    this.#bytes += piece.length
  }
}
