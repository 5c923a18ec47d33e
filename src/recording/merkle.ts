import { sha256 } from './frames.ts'

/** RFC 6962 section 2.1: the prefixes keep a leaf from ever being taken for a node. */
const LEAF = Buffer.from([0])
const NODE = Buffer.from([1])
const EMPTY_ROOT = sha256(Buffer.alloc(0))

export function leafHash(entry: Buffer): Buffer {
  return sha256(Buffer.concat([LEAF, entry]))
}

export function nodeHash(left: Buffer, right: Buffer): Buffer {
  return sha256(Buffer.concat([NODE, left, right]))
}

/** Grows a tree leaf by leaf; keeps only the perfect subtrees' roots, at most one per level. */
export class MerkleFrontier {
  readonly #roots: (Buffer | undefined)[] = []
  #size = 0

  get size(): number {
    return this.#size
  }

  add(leaf: Buffer): void {
    let hash = leaf
    let level = 0
    for (let left = this.#roots[level]; left !== undefined; left = this.#roots[++level]) {
      hash = nodeHash(left, hash)
      this.#roots[level] = undefined
    }
    this.#roots[level] = hash
    this.#size++
  }

  root(): Buffer {
    let root: Buffer | undefined
    for (const hash of this.#roots) {
      if (hash !== undefined) root = root === undefined ? hash : nodeHash(hash, root)
    }
    return root ?? EMPTY_ROOT
  }
}
