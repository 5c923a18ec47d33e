import type { Volatility } from '../../kernel/index.ts'
import { IMMUTABLE, ROW_TAKING, STABLE, VOLATILE } from './builtin-functions.ts'

const VOLATILITY: ReadonlyMap<string, Volatility> = new Map<string, Volatility>([
  ...IMMUTABLE.split(' ').map((name) => [name, 'immutable'] as const),
  ...STABLE.split(' ').map((name) => [name, 'stable'] as const),
  ...VOLATILE.split(' ').map((name) => [name, 'volatile'] as const),
])
const ROWS: ReadonlySet<string> = new Set(ROW_TAKING.split(' '))

/** The worst volatility of all functions of this name that PostgreSQL ships; undefined for a name that it does not. */
export function builtinVolatility(name: string): Volatility | undefined {
  return VOLATILITY.get(name)
}

/** A function that PostgreSQL ships and that takes a row of any type as its only argument. */
export function takesRow(name: string): boolean {
  return ROWS.has(name)
}
