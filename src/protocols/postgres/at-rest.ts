import type { Facts, MaskInstruction, Parameter } from '../../kernel/index.ts'
import type { ContentScanner, Masker } from '../../masking/index.ts'
import { redactLiterals, type StatementAnalysis } from '../../sql/index.ts'
import type { CatalogSnapshot } from './catalog.ts'
import { showParameter } from './judgement.ts'
import { touchesProtected } from './transform/touches.ts'

/** A statement with its facts, in the parts that decide what of it may be kept. */
interface Statement {
  readonly analysis: StatementAnalysis | undefined
  readonly facts: Facts
  readonly text: string
}

interface Kept {
  readonly text: string
  /** Its parameters may be values of protected columns. */
  readonly hidesParameters: boolean
}

interface Known extends Kept {
  readonly of: Statement
  readonly masks: readonly MaskInstruction[]
  readonly masker: Masker
  readonly catalog: CatalogSnapshot
}

/** Analyses are cached with their texts, so a text that comes again is not looked through again. */
const known = new WeakMap<StatementAnalysis, Known>()

/** Statements and parameters as the recording and reviewers may have them: nothing sensitive that the client wrote. */
export class AtRest {
  readonly #masker: Masker
  readonly #masks: () => readonly MaskInstruction[]
  readonly #catalog: () => CatalogSnapshot

  constructor(options: {
    readonly masker: Masker
    readonly masks: () => readonly MaskInstruction[]
    readonly catalog: () => CatalogSnapshot
  }) {
    this.#masker = options.masker
    this.#masks = options.masks
    this.#catalog = options.catalog
  }

  text(of: Statement): string {
    return this.#kept(of).text
  }

  parameters(
    of: Statement & { readonly parameters: readonly Parameter[] },
  ): { type: string; format: 'text' | 'binary'; value: string | null }[] {
    if (of.parameters.length === 0) return []
    const hide = this.#kept(of).hidesParameters
    const scanner = this.#scanner()
    return of.parameters.map((parameter) => {
      const shown = showParameter(parameter)
      const value = shown === null ? null : hide ? '[redacted]' : (scanner?.scanText(shown) ?? shown)
      return { type: parameter.type, format: parameter.format, value }
    })
  }

  #kept(of: Statement): Kept {
    const masks = this.#masks()
    const catalog = this.#catalog()
    const masker = this.#masker
    const { analysis, facts, text } = of
    const found = analysis === undefined ? undefined : known.get(analysis)
    const still = found?.masks === masks && found.masker === masker && found.catalog === catalog
    if (found !== undefined && still && found.of.facts === facts && found.of.text === text) return found
    const hidesParameters = mentionsProtected(of, masks, catalog)
    const bare = analysis?.secretLiterals === true || hidesParameters ? redactLiterals(text) : text
    const kept = { text: this.#scanner()?.scanText(bare) ?? bare, hidesParameters }
    if (analysis !== undefined) known.set(analysis, { ...kept, of: { analysis, facts, text }, masks, masker, catalog })
    return kept
  }

  #scanner(): ContentScanner | undefined {
    return this.#masker.scanner(this.#masks())
  }
}

/**
 * Literals and parameters beside a protected column may be its values, and no detector need know them. So they are
 * hidden when the statement names such a column anywhere, or writes whole rows into its table.
 */
function mentionsProtected({ text, facts }: Statement, masks: readonly MaskInstruction[], catalog: CatalogSnapshot) {
  if (!masks.some((mask) => mask.columns.length > 0)) return false
  const lower = text.toLowerCase()
  if (namePieces(masks).some((pieces) => pieces.every((piece) => lower.includes(piece)))) return true
  // EXECUTE names no column, but what it runs does.
  const touched = touchesProtected(facts.columns, facts.reads, masks, catalog)
  if (touched.computed || touched.predicate || touched.writes) return true
  const writesRows = facts.kinds.some((kind) => kind === 'insert' || kind === 'merge')
  return writesRows && facts.writes.some((table) => hasProtectedColumn(table, masks, catalog))
}

function hasProtectedColumn(table: string, masks: readonly MaskInstruction[], catalog: CatalogSnapshot): boolean {
  return touchesProtected([{ table, column: '*', use: 'expression' }], [table], masks, catalog).computed
}

const pieces = new WeakMap<readonly MaskInstruction[], readonly (readonly string[])[]>()

/** Of each column pattern's last part, the plain pieces that a name must hold to match; none for `*`: any name does. */
function namePieces(masks: readonly MaskInstruction[]): readonly (readonly string[])[] {
  const found = pieces.get(masks)
  if (found !== undefined) return found
  const made = masks.flatMap((mask) => mask.columns.map((pattern) => lastPart(pattern).split('*').filter(Boolean)))
  pieces.set(masks, made)
  return made
}

function lastPart(pattern: string): string {
  return pattern
    .slice(pattern.lastIndexOf('.') + 1)
    .replaceAll('"', '')
    .toLowerCase()
}
