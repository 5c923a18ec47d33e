import type { MaskInstruction } from '../../kernel/index.ts'

type Masks = readonly MaskInstruction[]

const known = new WeakMap<Masks, WeakMap<Masks, Masks>>()

/**
 * What is still to be masked at rest of a result that the client got with other masks. A mask is applied once: the
 * recording shows `************1111` as the client saw it, and not what that mask makes of its own output.
 *
 * @returns the same list for the same two lists, so that plans made for it are found again.
 */
export function masksLeft(atRest: Masks, applied: Masks): Masks {
  if (applied.length === 0) return atRest
  let ofRest = known.get(atRest)
  if (ofRest === undefined) {
    ofRest = new WeakMap()
    known.set(atRest, ofRest)
  }
  let left = ofRest.get(applied)
  if (left === undefined) {
    const done = new Set(applied.map(exactly))
    left = atRest.filter((mask) => !done.has(exactly(mask)))
    ofRest.set(applied, left)
  }
  return left
}

function exactly({ rule, mask, columns, detect }: MaskInstruction): string {
  return JSON.stringify([rule, mask, columns, detect])
}
