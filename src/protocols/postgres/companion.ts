import { type Facts, GatewayError, type Parameter, type ReviewEvidence } from '../../kernel/index.ts'
import { countTouchedRows } from '../../sql/index.ts'
import { showParameter } from './judgement.ts'
import type { QueryClient } from './query-client.ts'

interface Question {
  readonly text: string
  readonly parameters: readonly Parameter[]
  readonly facts: Facts
}

interface ExplainedPlan {
  readonly Plan: {
    readonly 'Plan Rows': number
    readonly 'Node Type': string
    readonly Plans?: readonly { readonly 'Plan Rows': number }[]
  }
}

/**
 * The gateway's own questions about a statement that has not run yet, on a session of their own: what the planner
 * expects, and how many rows a DELETE or UPDATE would touch. Asked in a read-only transaction with a time limit, and
 * only about statements whose evaluation cannot have effects.
 */
export class Companion {
  readonly #open: () => Promise<QueryClient>
  readonly #timeoutMs: number
  #client: QueryClient | undefined

  constructor(options: { readonly open: () => Promise<QueryClient>; readonly timeoutMs: number }) {
    this.#open = options.open
    this.#timeoutMs = options.timeoutMs
  }

  /** Rows that the planner expects to be returned or touched; undefined when it could not be asked. */
  async estimate(question: Question, searchPath: string | undefined): Promise<number | undefined> {
    if (!explainable(question.facts)) return undefined
    try {
      return await this.#explain(question, searchPath)
    } catch {
      return undefined
    }
  }

  async evidence(question: Question, searchPath: string | undefined): Promise<ReviewEvidence> {
    if (!explainable(question.facts))
      return {
        estimatedRows: undefined,
        affectedRows: undefined,
        note: 'Not estimated: planning or counting might run code that is not inspected.',
      }
    try {
      const estimatedRows = await this.#explain(question, searchPath)
      const affectedRows = await this.#count(question, searchPath)
      return { estimatedRows, affectedRows, note: undefined }
    } catch (error) {
      const code = error instanceof GatewayError ? error.code : 'gateway.internal'
      return { estimatedRows: undefined, affectedRows: undefined, note: `The target could not be asked (${code}).` }
    }
  }

  close(): void {
    this.#client?.close()
    this.#client = undefined
  }

  async #explain(question: Question, searchPath: string | undefined): Promise<number> {
    const answer = await this.#ask(`explain (format json, costs on) ${question.text}`, question.parameters, searchPath)
    const plan = (JSON.parse(answer) as readonly ExplainedPlan[])[0]?.Plan
    if (plan === undefined) throw new GatewayError('target.protocol', 'The planner gave no plan.')
    // A ModifyTable without RETURNING is said to return no rows; what it touches is what its input yields.
    return plan['Node Type'] === 'ModifyTable'
      ? (plan.Plans?.[0]?.['Plan Rows'] ?? plan['Plan Rows'])
      : plan['Plan Rows']
  }

  async #count(question: Question, searchPath: string | undefined): Promise<number | undefined> {
    const sql = countTouchedRows(question.text)
    return sql === undefined ? undefined : Number(await this.#ask(sql, question.parameters, searchPath))
  }

  async #ask(sql: string, parameters: readonly Parameter[], searchPath: string | undefined): Promise<string> {
    const client = await this.#connected()
    try {
      await client.query(`begin transaction read only; set local statement_timeout = ${this.#timeoutMs}`)
      if (searchPath !== undefined)
        await client.query("select pg_catalog.set_config('search_path', $1, true)", [searchPath])
      const { rows } = await client.query(sql, parameters.map(showParameter))
      return rows.map((row) => row[0]).join('')
    } finally {
      await client.query('rollback').catch(() => this.close())
    }
  }

  async #connected(): Promise<QueryClient> {
    this.#client ??= await this.#open()
    return this.#client
  }
}

/** Planning folds immutable calls and evaluates stable ones; counting evaluates the WHERE clause. Neither may run unknown code. */
function explainable(facts: Facts): boolean {
  const plannable = ['select', 'insert', 'update', 'delete', 'merge'].includes(facts.kind)
  return (
    plannable &&
    facts.opaque.length === 0 &&
    !facts.dynamicSql &&
    facts.functions.every((use) => use.volatility === 'immutable' || use.volatility === 'stable')
  )
}
