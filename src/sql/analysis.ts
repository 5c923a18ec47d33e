import type { Facts, Volatility } from '../kernel/index.ts'

/**
 * What a statement does to the session, in the order it happens. The gateway follows these to know what later
 * statements mean; `'*'` as a setting's name stands for settings that cannot be told.
 */
export type SessionEffect =
  | { readonly kind: 'prepare'; readonly name: string; readonly statement: StatementAnalysis }
  | { readonly kind: 'execute'; readonly name: string }
  | { readonly kind: 'deallocate' /** undefined: all */; readonly name: string | undefined }
  | {
      readonly kind: 'declare'
      readonly name: string
      /** Lives on after the transaction. */
      readonly hold: boolean
      /** FETCH answers in the binary format. */
      readonly binary: boolean
      readonly statement: StatementAnalysis
    }
  | { readonly kind: 'fetch'; readonly name: string; readonly move: boolean }
  | { readonly kind: 'close' /** undefined: all */; readonly name: string | undefined }
  | {
      readonly kind: 'set'
      /** Lower case; `'*'` when it is not a constant. */
      readonly name: string
      /** As SHOW would print it before the target normalises it; undefined when it cannot be told. */
      readonly value: string | undefined
      /** Until the end of the transaction only. */
      readonly local: boolean
      readonly via: 'set' | 'set_config' | 'rule'
    }
  | { readonly kind: 'reset' /** undefined: all */; readonly name: string | undefined }
  | { readonly kind: 'discard'; readonly what: 'all' | 'plans' | 'sequences' | 'temp' }
  | {
      readonly kind: 'transaction'
      readonly what: TransactionStep
      /** What BEGIN or SET TRANSACTION asks for; undefined when it does not say. */
      readonly readOnly?: boolean
      /** Savepoint, or the name of a prepared transaction. */
      readonly name?: string
      /** AND CHAIN: a new transaction begins at once. */
      readonly chain?: boolean
    }
  /** The target's catalogue may differ from now on. */
  | { readonly kind: 'ddl'; readonly temporary: boolean }
  | { readonly kind: 'listen'; readonly channel: string }
  | { readonly kind: 'unlisten' /** undefined: all */; readonly channel: string | undefined }

export type TransactionStep =
  | 'begin'
  | 'commit'
  | 'rollback'
  | 'savepoint'
  | 'release'
  | 'rollback_to'
  | 'prepare'
  | 'commit_prepared'
  | 'rollback_prepared'
  | 'set'

/** What a COPY moves, and how it is written on the wire. */
export interface CopyFacts {
  readonly direction: 'in' | 'out'
  readonly source: 'stdio' | 'file' | 'program'
  /** `schema.table` or `table` as written; undefined for COPY of a query. */
  readonly relation: string | undefined
  /** The inner query of `COPY (query) TO`, without its parentheses. */
  readonly query: { readonly startByte: number; readonly endByte: number; readonly text: string } | undefined
  /** Columns as listed; empty means all. */
  readonly columns: readonly string[]
  readonly format: 'text' | 'csv' | 'binary' | 'other'
  readonly options: CopyOptions
}

/** Undefined means the target's default for the format. */
export interface CopyOptions {
  readonly delimiter: string | undefined
  readonly null: string | undefined
  readonly default: string | undefined
  readonly quote: string | undefined
  readonly escape: string | undefined
  readonly header: 'none' | 'names' | 'match'
  readonly encoding: string | undefined
  /** `'*'` alone means all columns. */
  readonly forceQuote: readonly string[]
  readonly freeze: boolean
  /** Options that this version of the gateway does not know; the gateway should refuse them. */
  readonly unknown: readonly string[]
}

export interface StatementAnalysis {
  /** The statement's own text, without the white space and semicolon around it. */
  readonly text: string
  /** Where it stands in the analysed text, in UTF-8 bytes. */
  readonly startByte: number
  readonly endByte: number
  readonly facts: Facts
  readonly effects: readonly SessionEffect[]
  /** Its literals may be credentials: show and keep `redactLiterals(text)` only. */
  readonly secretLiterals: boolean
  readonly copy?: CopyFacts
  /** The highest `$n`. */
  readonly parameterCount: number
}

/** What the target's catalogue knows of user functions; the name is bare or `schema.name`. */
export type FunctionResolver = (name: string) => Volatility | undefined

export interface SqlLimits {
  readonly maxStatementBytes: number
  readonly maxStatements: number
  /** Nested syntax nodes; texts that chain over four times as many tokens are refused before parsing. */
  readonly maxDepth: number
}
