import type { MaskInstruction } from '../../../kernel/index.ts'
import { type ContentScanner, expandDetectors, type Masker } from '../../../masking/index.ts'
import type { CatalogSnapshot } from '../catalog.ts'
import type { FieldDescription, Format } from '../messages.ts'
import { OID, typeInfo } from '../types.ts'
import type { CellChange } from './literals.ts'
import { maskChange } from './mask-cells.ts'
import { PLAIN_TYPES } from './plain-values.ts'
import { type ProtectedColumns, type Protection, protectedColumns } from './protection.ts'
import { CellScan, type Scanners } from './scan-cells.ts'

export type Treatment = 'pass' | 'scan' | 'mask' | 'redact'

export interface ColumnPlan {
  readonly name: string
  readonly typeOid: number
  /** As people and the recording call it. */
  readonly type: string
  readonly format: Format
  readonly treatment: Treatment
  /** The rule that masks or redacts it. */
  readonly rule: string | undefined
  /** Undefined where every value passes. */
  readonly change: CellChange | undefined
}

export interface PlanContext {
  readonly masks: readonly MaskInstruction[]
  readonly masker: Masker
  readonly catalog: CatalogSnapshot
  /** Some protected column is used where the target's reported origin cannot follow it. */
  readonly computedIsProtected: boolean
}

export interface DescribedColumn {
  readonly name: string
  readonly type: string
  readonly format: 'text' | 'binary'
  readonly treatment: Treatment
  readonly rule?: string
}

/** What happens to each column of one result. */
export class ResultPlan {
  readonly columns: readonly ColumnPlan[]
  /** Nothing needs to be looked at. */
  readonly passthrough: boolean
  readonly #scanners: Scanners
  readonly #counts = new Map<string, number>()

  constructor(columns: readonly ColumnPlan[], scanners: Scanners) {
    this.columns = columns
    this.passthrough = columns.every((column) => column.change === undefined)
    this.#scanners = scanners
  }

  /** The same plan with counts of its own. */
  forAnotherRun(): ResultPlan {
    return this.passthrough ? this : new ResultPlan(this.columns, this.#scanners)
  }

  /** In words per column, for the recording. */
  describe(): DescribedColumn[] {
    return this.columns.map(({ name, type, format, treatment, rule }) => ({
      name,
      type,
      format: format === 0 ? 'text' : 'binary',
      treatment,
      ...(rule === undefined ? {} : { rule }),
    }))
  }

  /** How many values each rule replaced so far. */
  maskedValues(): Record<string, number> {
    return Object.fromEntries(this.#counts)
  }

  /** Counts a value of the column that was just replaced. */
  countReplaced(column: ColumnPlan): void {
    if (column.rule !== undefined) return this.#add(column.rule)
    const rules = new Set<string>()
    for (const scanner of [this.#scanners.text, ...this.#scanners.plain.values()])
      for (const hit of scanner?.takeHits() ?? []) rules.add(hit.rule)
    for (const rule of rules) this.#add(rule)
  }

  #add(rule: string): void {
    this.#counts.set(rule, (this.#counts.get(rule) ?? 0) + 1)
  }
}

/**
 * Decides per result column: masked where a rule names its origin, redacted where something protected is or may be
 * computed into it, looked through by the content detectors otherwise.
 *
 * @param fields - Of the RowDescription, with the formats that the rows will really have.
 */
export function planResult(fields: readonly FieldDescription[], context: PlanContext): ResultPlan {
  const scanners = scannersFor(context)
  const columns = protectedColumns(context.catalog, context.masks)
  return new ResultPlan(
    fields.map((field) => planColumn(field, context, columns, scanners)),
    scanners,
  )
}

/** Relations that the catalogue does not know: it should be read again before the result is planned. */
export function hasUnknownOrigin(fields: readonly FieldDescription[], catalog: CatalogSnapshot): boolean {
  return fields.some(
    ({ tableOid, attribute }) =>
      tableOid !== 0 &&
      (catalog.relationByOid(tableOid) === undefined ||
        (attribute > 0 && catalog.attribute(tableOid, attribute) === undefined)),
  )
}

function planColumn(
  field: FieldDescription,
  context: PlanContext,
  columns: ProtectedColumns,
  scanners: Scanners,
): ColumnPlan {
  const { name, typeOid, format } = field
  const { catalog, masker } = context
  const type = typeInfo(typeOid, catalog)
  const base = { name, typeOid, type: type.name, format }
  const found = protectionOf(field, context, columns)
  if (found !== undefined && typeOid !== OID.void) {
    const { mask, rule, computed } = found
    const column = originName(field, catalog)
    const change = maskChange(typeOid, format, catalog, {
      kind: mask,
      whole: computed,
      apply: (value) => masker.apply(mask, value, { column }),
    })
    return { ...base, treatment: computed ? 'redact' : 'mask', rule, change }
  }
  if (scanners.text === undefined) return { ...base, treatment: 'pass', rule: undefined, change: undefined }
  const change = new CellScan(scanners, catalog, originName(field, catalog)).change(typeOid, format)
  return { ...base, treatment: change === undefined ? 'pass' : 'scan', rule: undefined, change }
}

function protectionOf(
  { tableOid, attribute }: FieldDescription,
  { computedIsProtected }: PlanContext,
  columns: ProtectedColumns,
): Protection | undefined {
  if (tableOid !== 0) return columns.byNumber(tableOid, attribute)
  return computedIsProtected ? columns.unknown : undefined
}

/** The base column's name where it is known: the client chooses the other. */
function originName({ name, tableOid, attribute }: FieldDescription, catalog: CatalogSnapshot): string {
  if (tableOid === 0) return name
  return catalog.attribute(tableOid, attribute)?.column ?? name
}

const known = new WeakMap<Masker, WeakMap<readonly MaskInstruction[], Scanners>>()

function scannersFor({ masks, masker }: PlanContext): Scanners {
  const ofMasker = known.get(masker) ?? new WeakMap<readonly MaskInstruction[], Scanners>()
  known.set(masker, ofMasker)
  const found = ofMasker.get(masks) ?? { text: masker.scanner(masks), plain: plainScanners(masks, masker) }
  ofMasker.set(masks, found)
  return found
}

function plainScanners(masks: readonly MaskInstruction[], masker: Masker): ReadonlyMap<string, ContentScanner> {
  const scanners = new Map<string, ContentScanner>()
  for (const { detector } of Object.values(PLAIN_TYPES)) {
    const only = masks.map((mask) => ({
      ...mask,
      detect: expandDetectors(mask.detect).filter((name) => name === detector),
    }))
    const scanner = masker.scanner(only)
    if (scanner !== undefined) scanners.set(detector, scanner)
  }
  return scanners
}
