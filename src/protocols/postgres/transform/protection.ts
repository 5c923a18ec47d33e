import type { MaskInstruction, MaskKind } from '../../../kernel/index.ts'
import { type ColumnMatcher, columnMatcher } from '../../../masking/columns.ts'
import { MASK_STRENGTH } from '../../../masking/masks.ts'
import type { CatalogSnapshot, Column, Lineage, Relation } from '../catalog.ts'
import { columnAt } from '../catalog.ts'
import { holdsStoredValues } from './stored-values.ts'

/** What must happen to a column's values. */
export interface Protection {
  readonly mask: MaskKind
  readonly rule: string
  /** The protected column that was found, `schema.table.column`. */
  readonly column: string
  /** Something is computed from it, or nobody can tell what it is: the rule's own mask would not fit. */
  readonly computed: boolean
}

interface ColumnRule {
  readonly rule: string
  readonly mask: MaskKind
  readonly matches: ColumnMatcher
  /** The same without the patterns' schemas, for tables of which only the name is known. */
  readonly matchesAnySchema: ColumnMatcher
  /** Matches every column of the tables that the patterns name. */
  readonly matchesTable: ColumnMatcher
}

const known = new WeakMap<CatalogSnapshot, WeakMap<readonly MaskInstruction[], ProtectedColumns>>()

/** The protected columns of one catalogue under one list of masks; cached by the identity of both. */
export function protectedColumns(catalog: CatalogSnapshot, masks: readonly MaskInstruction[]): ProtectedColumns {
  const ofCatalog = known.get(catalog) ?? new WeakMap<readonly MaskInstruction[], ProtectedColumns>()
  known.set(catalog, ofCatalog)
  const found = ofCatalog.get(masks) ?? new ProtectedColumns(catalog, masks)
  ofCatalog.set(masks, found)
  return found
}

/** Answers, per column of the target, whether a mask rule names it or anything that flows into it. */
export class ProtectedColumns {
  readonly catalog: CatalogSnapshot
  readonly #rules: readonly ColumnRule[]
  readonly #answers = new Map<Column, Protection | undefined>()
  readonly #wholes = new Map<Relation, Protection | undefined>()

  constructor(catalog: CatalogSnapshot, masks: readonly MaskInstruction[]) {
    this.catalog = catalog
    this.#rules = masks.filter((mask) => mask.columns.length > 0).map(columnRule)
  }

  /** Some rule names columns at all. */
  get any(): boolean {
    return this.#rules.length > 0
  }

  /** For what cannot be told: withheld whole while any column is masked. */
  get unknown(): Protection | undefined {
    const [first] = this.#rules
    return first && { mask: 'redact', rule: first.rule, column: '', computed: true }
  }

  /** By the numbers of a RowDescription. Attribute 0 is a whole row, a negative one a system column. */
  byNumber(oid: number, attribute: number): Protection | undefined {
    if (!this.any || attribute < 0) return undefined
    const relation = this.catalog.relationByOid(oid)
    if (relation === undefined) return this.unknown
    if (attribute === 0) return computed(this.ofRelation(relation))
    const column = columnAt(relation, attribute)
    return column === undefined ? this.unknown : this.of(relation, column)
  }

  of(relation: Relation, column: Column): Protection | undefined {
    if (!this.any) return undefined
    if (this.#answers.has(column)) return this.#answers.get(column)
    const answer = this.#judge(this.catalog.lineage(relation, column))
    this.#answers.set(column, answer)
    return answer
  }

  /** The strongest protection of any of its columns. */
  ofRelation(relation: Relation): Protection | undefined {
    if (this.#wholes.has(relation)) return this.#wholes.get(relation)
    const answer = relation.columns.reduce<Protection | undefined>(
      (found, column) => stronger(found, this.of(relation, column)),
      undefined,
    )
    this.#wholes.set(relation, answer)
    return answer
  }

  /** For a relation that the catalogue does not show: by the names alone, whatever its schema. `*` is any column. */
  byName(table: string, column: string): Protection | undefined {
    const names = [table, table.slice(table.lastIndexOf('.') + 1)]
    const rule = this.#rules.find((each) => {
      const matches = column === '*' ? each.matchesTable : each.matchesAnySchema
      return names.some((name) => matches('', name, column))
    })
    return rule && { mask: rule.mask, rule: rule.rule, column: `${table}.${column}`, computed: false }
  }

  #judge(lineage: Lineage): Protection | undefined {
    let answer = lineage.opaque ? this.unknown : undefined
    for (const { relation, column } of lineage.copies) answer = stronger(answer, this.#match(relation, column, false))
    for (const { relation, column } of lineage.computedFrom)
      answer = stronger(answer, this.#match(relation, column, true))
    return answer
  }

  #match(relation: Relation, column: Column, isComputed: boolean): Protection | undefined {
    const name = `${relation.schema}.${relation.name}.${column.name}`
    let answer: Protection | undefined
    if (holdsStoredValues({ relation, column })) answer = this.unknown && { ...this.unknown, column: name }
    for (const { rule, mask, matches } of this.#rules)
      if (matches(relation.schema, relation.name, column.name))
        answer = stronger(answer, { mask, rule, column: name, computed: false })
    return isComputed ? computed(answer) : answer
  }
}

function columnRule(instruction: MaskInstruction): ColumnRule {
  return {
    rule: instruction.rule,
    mask: instruction.mask,
    matches: columnMatcher(instruction.columns),
    matchesAnySchema: columnMatcher(instruction.columns.map((pattern) => partsOf(pattern).slice(-2).join('.'))),
    matchesTable: columnMatcher(instruction.columns.map((pattern) => `${partsOf(pattern).at(-2) ?? '*'}.*`)),
  }
}

/** `a."b.c".d` has the parts `a`, `"b.c"` and `d`. */
function partsOf(pattern: string): string[] {
  return pattern.match(/(?:"(?:[^"]|"")*"|[^."])+/g) ?? []
}

function computed(protection: Protection | undefined): Protection | undefined {
  if (protection === undefined) return undefined
  return { ...protection, mask: protection.mask === 'null' ? 'null' : 'redact', computed: true }
}

function stronger(a: Protection | undefined, b: Protection | undefined): Protection | undefined {
  if (a === undefined || b === undefined) return a ?? b
  if (MASK_STRENGTH[a.mask] !== MASK_STRENGTH[b.mask]) return MASK_STRENGTH[b.mask] > MASK_STRENGTH[a.mask] ? b : a
  return b.computed && !a.computed ? b : a
}
