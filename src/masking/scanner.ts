import { GatewayError, type MaskInstruction, type MaskKind } from '../kernel/index.ts'
import { expandDetectors, FINDERS, isSecret } from './detect/catalogue.ts'
import type { Finder, View } from './detect/detector.ts'
import { type Folded, fold } from './detect/fold.ts'
import { type Hint, hintFor, NO_HINT } from './detect/hint.ts'
import { TRAIT, traitsOf } from './detect/traits.ts'
import { scanJsonText } from './json.ts'
import { MASK_STRENGTH, type Masks, REDACTED } from './masks.ts'

/** A larger cell is refused: nothing may pass unseen, and no text may outgrow the heap. */
export const MAX_CELL_BYTES = 256 * 1024 * 1024
/** Shorter credentials are redacted whole where `last4` was asked for. */
const MIN_SECRET_LAST4_CHARACTERS = 20
const UNSAFE = /[,(){}"'\\\s]/g
const ASCII = /^[\x00-\x7f]*$/
const TAG = /^~[a-z2-7]{6}$/
const TAG_CHARACTERS = 7
const HEX_PREFIX = '\\x'
/** PostgreSQL's text form of at least eight bytes. */
const HEX_RUN = /\\x(?:[0-9a-f]{2}){8,}/gi
/** How far around a token its surroundings may decide whether it looks real. */
const NEAR_CHARACTERS = 128

/** One kind of hit, counted. */
export interface Hit {
  readonly rule: string
  readonly detector: string
  count: number
}

interface Treatment {
  readonly rule: string
  readonly mask: MaskKind
}

interface Finding extends Treatment {
  readonly start: number
  readonly end: number
  readonly detector: string
}

/** Finds sensitive values in text and replaces them. Synchronous, and linear in the text. */
export class ContentScanner {
  /** Hits per detector since the scanner was made; for metrics. */
  readonly counts = new Map<string, number>()
  readonly #masks: Masks
  readonly #treatments: ReadonlyMap<string, Treatment>
  readonly #wanted: ReadonlySet<string>
  readonly #finders: readonly Finder[]
  /** Which finders to run, by traits and hint: most texts are of few kinds. */
  readonly #plans = new Map<number, readonly Finder[]>()
  #hits = new Map<string, Hit>()

  /** @throws GatewayError `policy.invalid` - a detector's name is unknown. */
  constructor(masks: Masks, instructions: readonly MaskInstruction[]) {
    this.#masks = masks
    this.#treatments = treatmentsOf(instructions)
    this.#wanted = new Set(this.#treatments.keys())
    this.#finders = FINDERS.filter((finder) => finder.detectors.some(({ name }) => this.#wanted.has(name)))
  }

  /**
   * Looks through one whole text value in any encoding that keeps ASCII as it is.
   *
   * @param name - The column or key it goes by, if known: some numbers are only told by their name.
   * @returns new bytes, or undefined when nothing was found.
   * @throws GatewayError `mask.failed` - the value is over `MAX_CELL_BYTES`.
   */
  scan(bytes: Buffer, name = ''): Buffer | undefined {
    const changed = this.#scanText(bytes, name)
    const text = changed ?? bytes
    return text.includes(HEX_PREFIX) ? (this.#scanHexRuns(text, name) ?? changed) : changed
  }

  /** Rows and JSON show a bytea inside them as `\x…`. A hit inside one leaves it empty: `\x`. */
  #scanHexRuns(bytes: Buffer, name: string): Buffer | undefined {
    const text = bytes.toString('latin1')
    const cleaned = text.replace(HEX_RUN, (run) => {
      const content = Buffer.from(run.slice(HEX_PREFIX.length), 'hex')
      return this.#scanText(content, name) === undefined ? run : HEX_PREFIX
    })
    return cleaned === text ? undefined : Buffer.from(cleaned, 'latin1')
  }

  #scanText(bytes: Buffer, name: string): Buffer | undefined {
    const hint = name === '' ? NO_HINT : hintFor(name)
    if (bytes.length > MAX_CELL_BYTES)
      throw new GatewayError('mask.failed', 'A value is too large to be looked through.')
    const traits = traitsOf(bytes)
    if ((traits & TRAIT.foreign) !== 0) {
      const folded = fold(bytes)
      if (folded !== undefined) return this.#search(bytes, folded, traitsOf(folded.bytes), hint)
    }
    return this.#search(bytes, undefined, traits, hint)
  }

  /**
   * Looks through a JSON document's strings (unescaped), keys and numbers. The result is valid JSON again; a masked
   * number becomes a string. What is not JSON is scanned as text.
   */
  scanJson(bytes: Buffer, name = ''): Buffer | undefined {
    if (bytes.length > MAX_CELL_BYTES)
      throw new GatewayError('mask.failed', 'A value is too large to be looked through.')
    const result = scanJsonText(bytes, name, (text, key) => this.scan(text, key))
    return result === 'malformed' ? this.scan(bytes, name) : result
  }

  /** Looks into PostgreSQL's `\x…` form of bytea. One hit withholds the whole: an empty bytea, `\x`. */
  scanByteaHex(bytes: Buffer, name = ''): Buffer | undefined {
    if (bytes.length < 2 || bytes[0] !== 0x5c || bytes[1] !== 0x78) return this.scan(bytes, name)
    const content = Buffer.from(bytes.toString('latin1', 2), 'hex')
    return this.#scanText(content, name) === undefined ? undefined : Buffer.from(HEX_PREFIX)
  }

  /** For error texts and statements. */
  scanText(text: string, name = ''): string {
    return this.scan(Buffer.from(text), name)?.toString() ?? text
  }

  /** What was masked since the last call; a caller that scans and takes without waiting in between gets only its own. */
  takeHits(): readonly Hit[] {
    if (this.#hits.size === 0) return []
    const hits = [...this.#hits.values()]
    this.#hits = new Map()
    return hits
  }

  #search(bytes: Buffer, folded: Folded | undefined, traits: number, hint: Hint): Buffer | undefined {
    const finders = this.#possible(traits, hint)
    if (finders.length === 0) return undefined
    const view: View = { text: (folded?.bytes ?? bytes).toString('latin1'), hint }
    const findings: Finding[] = []
    for (const finder of finders) {
      finder.find(view, this.#wanted, (detector, start, end) => {
        const treatment = this.#treatments.get(detector)
        if (treatment !== undefined && end > start) findings.push({ start, end, detector, ...treatment })
      })
    }
    if (findings.length === 0) return undefined
    return this.#replace(bytes, folded, view, merge(findings))
  }

  #possible(traits: number, hint: Hint): readonly Finder[] {
    const key = traits | (hint.secret ? 1 << 16 : 0) | (hint.words === '' ? 0 : 1 << 17)
    let plan = this.#plans.get(key)
    if (plan === undefined) {
      plan = this.#finders.filter((finder) => finder.possible(traits, hint))
      this.#plans.set(key, plan)
    }
    return plan
  }

  #replace(bytes: Buffer, folded: Folded | undefined, view: View, findings: readonly Finding[]): Buffer | undefined {
    const pieces: Buffer[] = []
    let kept = 0
    for (const finding of findings) {
      const start = folded === undefined ? finding.start : folded.origin[finding.start]!
      const end = folded === undefined ? finding.end : folded.origin[finding.end]!
      const slice = view.text.slice(finding.start, finding.end)
      const value = ASCII.test(slice) ? slice : bytes.toString('utf8', start, end)
      if (this.#isOwnToken(value, view.text.slice(finding.end, finding.end + TAG_CHARACTERS))) continue
      pieces.push(bytes.subarray(kept, start), Buffer.from(this.#replacement(finding, value, view)))
      kept = end
      this.#count(finding)
    }
    if (pieces.length === 0) return undefined
    pieces.push(bytes.subarray(kept))
    return Buffer.concat(pieces)
  }

  #replacement(finding: Finding, value: string, view: View): string {
    const { mask, detector } = finding
    if (isSecret(detector) && mask !== 'hash' && mask !== 'token') {
      return mask === 'last4' && value.length >= MIN_SECRET_LAST4_CHARACTERS
        ? this.#safely('last4', value, view.hint)
        : REDACTED
    }
    const text = this.#safely(mask, value, view.hint)
    return mask === 'token' && this.#stillFound(text, finding, view) ? `${text}${this.#masks.tag(text)}` : text
  }

  #safely(mask: MaskKind, value: string, hint: Hint): string {
    return (this.#masks.apply(mask, value, hint.words) ?? REDACTED).replace(UNSAFE, '_')
  }

  /** Whether a token would be taken for a real value where it stands. */
  #stillFound(token: string, { start, end }: Finding, view: View): boolean {
    const before = view.text.slice(Math.max(0, start - NEAR_CHARACTERS), start)
    const text = `${before}${token}${view.text.slice(end, end + NEAR_CHARACTERS)}`
    const hint = start <= NEAR_CHARACTERS ? view.hint : NO_HINT
    const traits = traitsOf(Buffer.from(text))
    let found = false
    for (const finder of this.#possible(traits, hint)) {
      finder.find({ text, hint }, this.#wanted, (_detector, from, to) => {
        found ||= from < before.length + token.length && to > before.length
      })
    }
    return found
  }

  /** The tag stands after what was found, or was taken for a part of it. */
  #isOwnToken(value: string, after: string): boolean {
    if (TAG.test(after)) return this.#masks.tag(value) === after
    const inner = value.slice(-TAG_CHARACTERS)
    return TAG.test(inner) && this.#masks.tag(value.slice(0, -TAG_CHARACTERS)) === inner
  }

  #count({ rule, detector }: Finding): void {
    this.counts.set(detector, (this.counts.get(detector) ?? 0) + 1)
    const key = `${rule}\0${detector}`
    const hit = this.#hits.get(key)
    if (hit === undefined) this.#hits.set(key, { rule, detector, count: 1 })
    else hit.count++
  }
}

/** Per detector the strongest mask that any instruction asks for. */
function treatmentsOf(instructions: readonly MaskInstruction[]): ReadonlyMap<string, Treatment> {
  const treatments = new Map<string, Treatment>()
  for (const { rule, mask, detect } of instructions) {
    for (const detector of expandDetectors(detect)) {
      const known = treatments.get(detector)
      if (known === undefined || MASK_STRENGTH[mask] > MASK_STRENGTH[known.mask])
        treatments.set(detector, { rule, mask })
    }
  }
  return treatments
}

/** Overlapping findings become one over all their characters, with the strongest mask; a part of another adds nothing. */
function merge(findings: Finding[]): readonly Finding[] {
  findings.sort((a, b) => a.start - b.start || b.end - a.end)
  const merged: Finding[] = []
  for (const finding of findings) {
    const last = merged.at(-1)
    if (last === undefined || finding.start >= last.end) {
      merged.push(finding)
      continue
    }
    const stronger = MASK_STRENGTH[finding.mask] > MASK_STRENGTH[last.mask] ? finding : last
    merged[merged.length - 1] = { ...stronger, start: last.start, end: Math.max(last.end, finding.end) }
  }
  return merged
}
