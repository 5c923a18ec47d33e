import type { MaskInstruction, MaskKind } from '../kernel/index.ts'
import { Masks } from './masks.ts'
import { ContentScanner } from './scanner.ts'

const MAX_CACHED_SCANNERS = 256

/** All masking of one tenant: what replaces a value, and what looks for values. */
export class Masker {
  readonly #masks: Masks
  readonly #byIdentity = new WeakMap<readonly MaskInstruction[], ContentScanner | 'none'>()
  readonly #byContent = new Map<string, ContentScanner>()

  /** @param options.key - The tenant's masking key, at least 16 bytes; tokens and hashes depend on it. */
  constructor(options: { readonly key: Buffer }) {
    this.#masks = new Masks(options.key)
  }

  /**
   * Masks one whole value.
   *
   * @returns text without `, ( ) { } " ' \` and white space, or null where NULL must stand.
   */
  apply(mask: MaskKind, value: string, context: { readonly column: string }): string | null {
    return this.#masks.apply(mask, value, context.column)
  }

  /**
   * The scanner for the instructions' detectors; equal instructions share one.
   *
   * @returns undefined when no instruction names a detector.
   * @throws GatewayError `policy.invalid` - a detector's name is unknown.
   */
  scanner(instructions: readonly MaskInstruction[]): ContentScanner | undefined {
    const known = this.#byIdentity.get(instructions)
    if (known !== undefined) return known === 'none' ? undefined : known
    const scanner = this.#scannerFor(instructions.filter(({ detect }) => detect.length > 0))
    this.#byIdentity.set(instructions, scanner ?? 'none')
    return scanner
  }

  #scannerFor(instructions: readonly MaskInstruction[]): ContentScanner | undefined {
    if (instructions.length === 0) return undefined
    const key = JSON.stringify(instructions.map(({ rule, mask, detect }) => [rule, mask, detect]))
    const known = this.#byContent.get(key)
    if (known !== undefined) return known
    const scanner = new ContentScanner(this.#masks, instructions)
    if (this.#byContent.size >= MAX_CACHED_SCANNERS) this.#byContent.clear()
    this.#byContent.set(key, scanner)
    return scanner
  }
}
