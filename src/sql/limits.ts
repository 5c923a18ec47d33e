import type { SqlLimits } from './analysis.ts'

/** 4 MiB parse in about 0.3 s, during which the process does nothing else; larger texts belong into COPY. */
export const DEFAULT_SQL_LIMITS: SqlLimits = {
  maxStatementBytes: 4 * 1024 * 1024,
  maxStatements: 10_000,
  maxDepth: 1_000,
}
