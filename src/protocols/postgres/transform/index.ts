export { type CopyOutOptions, CopyOutTransformer } from './copy.ts'
export { type DiagnosticContext, transformDiagnostic } from './diagnostics.ts'
export {
  type ColumnPlan,
  type DescribedColumn,
  hasUnknownOrigin,
  type PlanContext,
  planResult,
  ResultPlan,
  type Treatment,
} from './plan.ts'
export { ProtectedColumns, type Protection, protectedColumns } from './protection.ts'
export { transformRows } from './rows.ts'
export { type Touched, touchesProtected } from './touches.ts'
