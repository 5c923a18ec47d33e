import { isDigit, isLetterOrDigit } from './detector.ts'

const SEPARATORS = new Set([...' \t\r\n-./_()'].map((character) => character.charCodeAt(0)))
const MAX_SEPARATOR_CHARACTERS = 3
const NOT_HEX_LETTER = /[g-z]/i
const MAX_ADJACENT_CHARACTERS = 24

/** Groups of digits with nothing but short separators between them, as long as it goes. */
export class DigitRun {
  readonly text: string
  readonly starts: number[] = []
  readonly ends: number[] = []
  #joined: string | undefined
  #offsets: number[] | undefined

  constructor(text: string) {
    this.text = text
  }

  get groups(): number {
    return this.starts.length
  }

  size(group: number): number {
    return this.ends[group]! - this.starts[group]!
  }

  /** What stands between a group and the next. */
  separator(group: number): string {
    return this.text.slice(this.ends[group]!, this.starts[group + 1]!)
  }

  digits(first: number, last: number): string {
    this.#joined ??= this.starts.map((start, group) => this.text.slice(start, this.ends[group])).join('')
    return this.#joined.slice(this.#offset(first), this.#offset(last) + this.size(last))
  }

  /** Where a group's digits stand among all digits of the run. */
  #offset(group: number): number {
    if (this.#offsets === undefined) {
      this.#offsets = []
      let offset = 0
      for (let each = 0; each < this.groups; each++) {
        this.#offsets.push(offset)
        offset += this.size(each)
      }
    }
    return this.#offsets[group]!
  }

  /** `3-2-4`: the sizes of groups and what stands between them. */
  shape(first: number, last: number): string {
    let shape = `${this.size(first)}`
    for (let group = first; group < last; group++) shape += `${this.separator(group)}${this.size(group + 1)}`
    return shape
  }

  charBefore(group: number): number {
    const start = this.starts[group]!
    return start === 0 ? 0 : this.text.charCodeAt(start - 1)
  }

  charAfter(group: number): number {
    const end = this.ends[group]!
    return end >= this.text.length ? 0 : this.text.charCodeAt(end)
  }

  /** No letter touches the groups; or only a plain word does (`card4111…`), which no hash or base64 text looks like. */
  standsAlone(first: number, last: number): boolean {
    return this.#wordOnly(this.starts[first]!, -1) && this.#wordOnly(this.ends[last]!, 1)
  }

  #wordOnly(from: number, step: 1 | -1): boolean {
    let at = step === 1 ? from : from - 1
    let length = 0
    while (isLetterOrDigit(this.text.charCodeAt(at)) && length < MAX_ADJACENT_CHARACTERS) {
      if (isDigit(this.text.charCodeAt(at))) return false
      at += step
      length++
    }
    if (length === 0) return true
    const word = step === 1 ? this.text.slice(from, at) : this.text.slice(at + 1, from)
    return length < MAX_ADJACENT_CHARACTERS && NOT_HEX_LETTER.test(word)
  }
}

/** All runs of at least `minDigits` digits, left to right. */
export function* digitRuns(text: string, minDigits: number): Generator<DigitRun> {
  let run = new DigitRun(text)
  let count = 0
  let at = 0
  while (at < text.length) {
    if (!isDigit(text.charCodeAt(at))) {
      at++
      continue
    }
    const start = at
    while (at < text.length && isDigit(text.charCodeAt(at))) at++
    run.starts.push(start)
    run.ends.push(at)
    count += at - start
    const next = nextGroup(text, at)
    if (next >= 0) {
      at = next
      continue
    }
    if (count >= minDigits) yield run
    run = new DigitRun(text)
    count = 0
  }
}

function nextGroup(text: string, end: number): number {
  for (let at = end; at <= end + MAX_SEPARATOR_CHARACTERS && at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (isDigit(code)) return at
    if (!SEPARATORS.has(code)) return -1
  }
  return -1
}
