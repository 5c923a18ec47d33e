import type { Hint } from './hint.ts'

/** What people and policies may know of a detector. */
export interface DetectorInfo {
  readonly name: string
  readonly title: string
  readonly description: string
  /** A check digit or signature-like structure makes a chance hit unlikely. */
  readonly checksum: boolean
  /** A credential: masks that leave parts of the value readable are not applied to short ones. */
  readonly secret: boolean
  /** For a group: the detectors that its name stands for. */
  readonly members?: readonly string[]
}

/** The text that finders look at: one character per byte, look-alikes folded to ASCII (see fold.ts). */
export interface View {
  readonly text: string
  /** The name that the value goes by: a column, a JSON key. It counts as words just before the value. */
  readonly hint: Hint
}

/** @param start - First character of the sensitive part, `end` the one after it. */
export type Report = (detector: string, start: number, end: number) => void

/** One way of looking, which may serve several detectors. Its time is linear in the text. */
export interface Finder {
  readonly detectors: readonly DetectorInfo[]
  /**
   * Whether a text with these traits could hold a hit at all. The answer is kept, so of the hint it may use only
   * `secret` and whether there are words.
   */
  possible(traits: number, hint: Hint): boolean
  /** Reports hits; may report detectors that nobody wants, but should skip work for them. */
  find(view: View, wanted: ReadonlySet<string>, report: Report): void
}

const CONTEXT_CHARACTERS = 48

/** The words before a position, the hint included when the position is near the beginning. */
export function wordsBefore(view: View, at: number): string {
  const before = view.text.slice(Math.max(0, at - CONTEXT_CHARACTERS), at)
  return at <= CONTEXT_CHARACTERS && view.hint.words !== '' ? `${view.hint.words} ${before}` : before
}

export function isDigit(code: number): boolean {
  return code >= 48 && code <= 57
}

export function isLetterOrDigit(code: number): boolean {
  return isDigit(code) || (code >= 65 && code <= 90) || (code >= 97 && code <= 122)
}
