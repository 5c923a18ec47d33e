import { type Facts, OPERATION_KINDS, type OperationKind } from '../kernel/index.ts'
import type { Certainty } from './patterns.ts'

const DML: readonly OperationKind[] = ['insert', 'update', 'delete', 'merge', 'copy_in']
const DDL: readonly OperationKind[] = ['create', 'alter', 'drop', 'truncate', 'comment']
const DCL: readonly OperationKind[] = ['grant', 'revoke']

/** Convenient words for several kinds at once. */
export const OPERATION_ALIASES = {
  /** Changes rows. */
  dml: DML,
  /** Changes the schema. */
  ddl: DDL,
  /** Changes privileges. */
  dcl: DCL,
  /** Reads rows or settings. */
  read: ['select', 'copy_out', 'explain', 'show', 'declare', 'fetch'],
  /** Changes anything that stays, or may: also every operation that needs more than `read` access, however it is spelt. */
  write: [...DML, ...DDL, ...DCL, 'call', 'do', 'load', 'maintenance'],
  /** Changes the session only. */
  session: ['set', 'discard', 'listen', 'prepare', 'deallocate', 'close'],
} as const satisfies Record<string, readonly OperationKind[]>

export type OperationWord = OperationKind | keyof typeof OPERATION_ALIASES
export const OPERATION_WORDS: readonly OperationWord[] = [
  ...OPERATION_KINDS,
  ...(Object.keys(OPERATION_ALIASES) as (keyof typeof OPERATION_ALIASES)[]),
]

/** Possible: one of the operation's kinds (nested ones too) is meant. Certain: all of them are. */
export function operationTest(words: readonly OperationWord[], certainty: Certainty): (facts: Facts) => boolean {
  const kinds = new Set<OperationKind>()
  for (const word of words) {
    if (word in OPERATION_ALIASES)
      for (const kind of OPERATION_ALIASES[word as keyof typeof OPERATION_ALIASES]) kinds.add(kind)
    else kinds.add(word as OperationKind)
  }
  if (certainty === 'certain') {
    // `read` in a list that loosens means read-only whatever the kind is called: SELECT may call a function that writes.
    const readOnly = words.every((word) => word === 'read')
    return (facts) =>
      kinds.has(facts.kind) && facts.kinds.every((kind) => kinds.has(kind)) && (!readOnly || facts.level === 'read')
  }
  const anyWrite = words.includes('write')
  return (facts) =>
    kinds.has(facts.kind) || facts.kinds.some((kind) => kinds.has(kind)) || (anyWrite && facts.level !== 'read')
}
