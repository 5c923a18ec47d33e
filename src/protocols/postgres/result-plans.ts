import type { MaskInstruction } from '../../kernel/index.ts'
import type { Masker } from '../../masking/index.ts'
import { TwoGenerations } from '../../sql/two-generations.ts'
import type { CatalogSnapshot } from './catalog.ts'
import { parseRowDescription } from './decode.ts'
import type { FieldDescription } from './messages.ts'
import { type DescribedColumn, type PlanContext, planResult, type ResultPlan } from './transform/index.ts'

const MAX_SHAPES = 2_000
const MAX_SHAPES_BYTES = 4 * 1024 * 1024
/** A field as an object weighs several times its bytes in the frame. */
const WEIGHT_PER_BYTE = 4
/** Wider results are rare, and take long anyway. */
const MAX_SHAPE_BYTES = 4_096
/** A shape's plans at one catalogue: for the client and for the recording, under a few policies. */
const MAX_PLANS = 8

const shapes = new TwoGenerations<readonly FieldDescription[]>(MAX_SHAPES, MAX_SHAPES_BYTES)

/** A RowDescription frame's fields: equal frames give the same array, so that its plans are found again. */
export function fieldsOf(buffer: Buffer, start: number, end: number): readonly FieldDescription[] {
  if (end - start > MAX_SHAPE_BYTES) return parseRowDescription(buffer, start, end)
  const key = buffer.toString('latin1', start, end)
  const known = shapes.get(key)
  if (known !== undefined) return known
  const fields = parseRowDescription(buffer, start, end)
  shapes.set(key, fields, key.length * WEIGHT_PER_BYTE)
  return fields
}

interface Planned {
  readonly masks: readonly MaskInstruction[]
  readonly masker: Masker
  readonly computedIsProtected: boolean
  readonly plan: ResultPlan
  /** In words, for the recording. */
  readonly columns: readonly DescribedColumn[]
}

/** Ends with the catalogue, and with the fields; what a plan depends on beside them is compared by identity. */
const plans = new WeakMap<CatalogSnapshot, WeakMap<readonly FieldDescription[], Planned[]>>()

/** The plan of a result, which counts for one run alone, and its columns in words. */
export function planFor(
  fields: readonly FieldDescription[],
  context: PlanContext,
): { readonly plan: ResultPlan; readonly columns: readonly DescribedColumn[] } {
  const { masks, masker, catalog, computedIsProtected } = context
  const known = plansOf(catalog, fields)
  for (const one of known)
    if (one.masks === masks && one.masker === masker && one.computedIsProtected === computedIsProtected)
      return { plan: one.plan.forAnotherRun(), columns: one.columns }
  const plan = planResult(fields, context)
  const columns = plan.describe()
  if (known.length >= MAX_PLANS) known.shift()
  known.push({ masks, masker, computedIsProtected, plan, columns })
  return { plan: plan.forAnotherRun(), columns }
}

function plansOf(catalog: CatalogSnapshot, fields: readonly FieldDescription[]): Planned[] {
  let ofCatalog = plans.get(catalog)
  if (ofCatalog === undefined) {
    ofCatalog = new WeakMap()
    plans.set(catalog, ofCatalog)
  }
  let known = ofCatalog.get(fields)
  if (known === undefined) {
    known = []
    ofCatalog.set(fields, known)
  }
  return known
}
