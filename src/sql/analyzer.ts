import { GatewayError } from '../kernel/index.ts'
import type { FunctionResolver, SqlLimits, StatementAnalysis } from './analysis.ts'
import { blindKey } from './blind-key.ts'
import { type Analyzed, analyzeText } from './postgres/analyze.ts'
import { TwoGenerations } from './two-generations.ts'

export interface SqlAnalyzerOptions {
  readonly limits: SqlLimits
  /** Analyses kept; 0 keeps none. */
  readonly cacheEntries: number
  /** Roughly what they may weigh. */
  readonly cacheBytes?: number
  /** User functions of the target; call `clear()` when its answers change. */
  readonly functions?: FunctionResolver
}

const DEFAULT_CACHE_BYTES = 32 * 1024 * 1024
/** An analysis weighs some multiple of its text: names are kept in facts, strings take two bytes a character. */
const BYTES_PER_CHARACTER = 16
const BYTES_PER_ENTRY = 1_024
/** Longer texts are rarely repeated, and expensive to key. */
const MAX_BLIND_CHARACTERS = 16_384

/** Turns SQL into facts, synchronously. The same text, or one that differs in plain literals, is parsed once. */
export class SqlAnalyzer {
  readonly #limits: SqlLimits
  readonly #functions: FunctionResolver | undefined
  readonly #exact: TwoGenerations<Analyzed> | undefined
  readonly #blind: TwoGenerations<StatementAnalysis> | undefined

  constructor(options: SqlAnalyzerOptions) {
    this.#limits = options.limits
    this.#functions = options.functions
    if (options.cacheEntries < 1) return
    const bytes = (options.cacheBytes ?? DEFAULT_CACHE_BYTES) / 2
    this.#exact = new TwoGenerations(options.cacheEntries, bytes)
    this.#blind = new TwoGenerations(options.cacheEntries, bytes)
  }

  /**
   * @returns One analysis per statement, in order; none for an empty text.
   * @throws GatewayError `sql.unparsable`, `sql.too_large`, `sql.encoding`
   */
  analyze(sql: string): readonly StatementAnalysis[] {
    const exact = this.#exact?.get(sql)
    if (exact !== undefined) return exact.statements
    const key = this.#blind === undefined || sql.length > MAX_BLIND_CHARACTERS ? undefined : blindKey(sql)
    const sibling = key === undefined ? undefined : this.#blind?.get(key)
    if (sibling !== undefined && this.#fits(sql)) return [withText(sibling, sql)]
    const analyzed = this.#parse(sql)
    const [first] = analyzed.statements
    const weight = BYTES_PER_ENTRY + sql.length * BYTES_PER_CHARACTER
    if (key !== undefined && key !== sql && analyzed.literalBlind && first !== undefined)
      this.#blind?.set(key, first, weight)
    else this.#exact?.set(sql, analyzed, weight)
    return analyzed.statements
  }

  /** Forgets all analyses, e.g. after the target's catalogue changed. */
  clear(): void {
    this.#exact?.clear()
    this.#blind?.clear()
  }

  #fits(sql: string): boolean {
    return Buffer.byteLength(sql) <= this.#limits.maxStatementBytes && !/[\0\ud800-\udfff]/.test(sql)
  }

  #parse(sql: string): Analyzed {
    try {
      return analyzeText(sql, { limits: this.#limits, functions: this.#functions })
    } catch (error) {
      if (error instanceof RangeError)
        throw new GatewayError('sql.too_large', 'The statement is too complicated to be judged.', { cause: error })
      throw GatewayError.from(error)
    }
  }
}

/** A sibling's analysis over this text: a blind key has one statement, white space and semicolons around it. */
function withText(sibling: StatementAnalysis, sql: string): StatementAnalysis {
  const lead = sql.length - sql.replace(/^[ \t\r\n]+/, '').length
  const text = sql.slice(lead).replace(/[; \t\r\n]+$/, '')
  return { ...sibling, text, startByte: lead, endByte: lead + Buffer.byteLength(text) }
}
