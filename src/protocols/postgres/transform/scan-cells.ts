import type { ContentScanner } from '../../../masking/index.ts'
import { type TypeInfo, typeInfo, type UserTypes } from '../types.ts'
import { changeBinaryArray, changeBinaryComposite } from './containers.ts'
import { type CellChange, changeArrayLiteral, changeCompositeLiteral } from './literals.ts'
import { PLAIN_TYPES } from './plain-values.ts'

export interface Scanners {
  /** For text of any kind. */
  readonly text: ContentScanner | undefined
  /** For the plain types, by the one detector that each of them is looked through by. */
  readonly plain: ReadonlyMap<string, ContentScanner>
}

/** Composites within composites within …: deeper ones are withheld. */
const MAX_NESTING = 32
const JSONB_VERSION = 1

/**
 * Makes, for one column, the functions that look through its values. Where a type cannot take a replacement, a hit
 * makes the value NULL.
 */
export class CellScan {
  readonly #scanners: Scanners
  readonly #types: UserTypes
  readonly #name: string
  readonly #known = new Map<number, CellChange | undefined>()
  #nesting = 0

  /** @param name - The column's, which a detector may take as a hint. */
  constructor(scanners: Scanners, types: UserTypes, name: string) {
    this.#scanners = scanners
    this.#types = types
    this.#name = name
  }

  /** @returns undefined when values of the type need not be looked at. */
  change(typeOid: number, format: 0 | 1): CellChange | undefined {
    const key = typeOid * 2 + format
    if (this.#known.has(key)) return this.#known.get(key)
    const type = typeInfo(typeOid, this.#types)
    const change = format === 0 ? this.#inText(type) : this.#inBinary(type)
    this.#known.set(key, change)
    return change
  }

  #inText(type: TypeInfo): CellChange | undefined {
    const { text } = this.#scanners
    switch (type.category) {
      case 'number':
      case 'datetime':
      case 'closed':
        return this.#plain(type.oid, 0)
      case 'array':
        return this.#arrayLiteral(type.element ?? 0)
      case 'composite':
        return text && this.#within((cell) => this.#literal(cell, changeCompositeLiteral, this.#openText))
      case 'bytea':
        return text && ((cell) => (text.scanByteaHex(cell, this.#name) === undefined ? undefined : null))
      case 'json':
      case 'jsonb':
        return text && ((cell) => text.scanJson(cell, this.#name))
      case 'text':
      case 'open':
        return text && this.#openText
    }
  }

  #inBinary(type: TypeInfo): CellChange | undefined {
    const { text } = this.#scanners
    switch (type.category) {
      case 'number':
      case 'datetime':
      case 'closed':
        return this.#plain(type.oid, 1)
      case 'array':
        return this.#within((cell) => changeBinaryArray(cell, (oid) => this.change(oid, 1)))
      case 'composite':
        return this.#within((cell) => changeBinaryComposite(cell, (oid) => this.change(oid, 1)))
      case 'json':
        return text && ((cell) => text.scanJson(cell, this.#name))
      case 'jsonb':
        return text && ((cell) => changeJsonb(cell, (body) => text.scanJson(body, this.#name)))
      case 'text':
        return text && this.#openText
      case 'bytea':
      case 'open':
        return text && ((cell) => (text.scan(cell, this.#name) === undefined ? undefined : null))
    }
  }

  readonly #openText: CellChange = (cell) => this.#scanners.text?.scan(cell, this.#name)

  #plain(oid: number, format: 0 | 1): CellChange | undefined {
    const type = PLAIN_TYPES[oid]
    const scanner = this.#scanners.plain.get(type?.detector ?? '')
    if (type === undefined || scanner === undefined) return undefined
    return (cell) => {
      const text = format === 0 ? cell : Buffer.from(type.spell(cell) ?? '')
      if (text.length < type.minBytes) return undefined
      return scanner.scan(text, this.#name) === undefined ? undefined : null
    }
  }

  #arrayLiteral(elementOid: number): CellChange | undefined {
    const element = this.change(elementOid, 0)
    if (element === undefined) return undefined
    const { category } = typeInfo(elementOid, this.#types)
    // Elements with a grammar of their own are escaped twice; the others stand in the literal nearly as they are.
    if (category !== 'text' && category !== 'open') return (cell) => changeArrayLiteral(cell, element)
    return (cell) => this.#literal(cell, changeArrayLiteral, element)
  }

  /** Looks at the whole literal first, which is quick and nearly always finds nothing. */
  #literal(
    cell: Buffer,
    changeLiteral: (cell: Buffer, change: CellChange) => Buffer | null | undefined,
    change: CellChange,
  ): Buffer | null | undefined {
    if (this.#openText(cell) === undefined) return undefined
    // A hit that no single part explains spans parts: then the whole goes.
    return changeLiteral(cell, change) ?? null
  }

  #within(change: CellChange): CellChange {
    return (cell) => {
      if (this.#nesting >= MAX_NESTING) return null
      this.#nesting++
      try {
        return change(cell)
      } finally {
        this.#nesting--
      }
    }
  }
}

/** Changes the text behind jsonb's version byte; another version is not known and withheld. */
export function changeJsonb(cell: Buffer, change: CellChange): Buffer | null | undefined {
  if (cell[0] !== JSONB_VERSION) return null
  const answer = change(cell.subarray(1))
  return answer ? Buffer.concat([Buffer.of(JSONB_VERSION), answer]) : answer
}
