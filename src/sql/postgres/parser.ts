import load, { type ParserModule } from 'libpg-query/wasm/libpg-query.js'
import { GatewayError } from '../../kernel/index.ts'

/** One raw statement: `node` is the tree as PostgreSQL's grammar builds it, offsets are UTF-8 bytes. */
export interface RawStatement {
  readonly node: unknown
  readonly start: number
  /** 0 means up to the end of the text. */
  readonly length: number
}

export interface Token {
  readonly start: number
  readonly end: number
  readonly text: string
  readonly tokenType: number
}

/** Token numbers of PostgreSQL's scanner, as libpg_query 18 prints them. */
export const TOKEN = { FCONST: 260, SCONST: 261, USCONST: 262, BCONST: 263, XCONST: 264, ICONST: 266 } as const
export const COMMENT_TOKENS: ReadonlySet<number> = new Set([275, 276])

/**
 * A trap inside WebAssembly (its stack is unwound by force) leaves an instance that fails for ever, so it is thrown
 * away and the spare takes its place while a new spare loads.
 */
let current: ParserModule | undefined
let spare: ParserModule | undefined

/** Loads the parser; call once at start. */
export async function loadParser(): Promise<void> {
  current ??= await load()
  spare ??= await load()
}

function replaceInstance(): void {
  current = spare
  spare = undefined
  void load().then(
    (fresh) => {
      if (current === undefined) current = fresh
      else spare = fresh
    },
    () => undefined, // the next call says that the parser is not ready
  )
}

function instance(): ParserModule {
  if (current === undefined)
    throw new GatewayError('gateway.internal', 'The SQL parser is not ready; run the statement again.')
  return current
}

/** @throws GatewayError `sql.unparsable` with PostgreSQL's own message. */
export function parse(sql: string): RawStatement[] {
  const tree = call(sql, (module, query) => {
    const result = module._wasm_parse_query_raw(query)
    if (result === 0) throw new Error('no result')
    try {
      const failure = module.getValue(result + 8, 'i32')
      if (failure !== 0) throw unparsable(module.UTF8ToString(module.getValue(failure, 'i32')))
      return module.UTF8ToString(module.getValue(result, 'i32'))
    } finally {
      module._wasm_free_parse_result(result)
    }
  })
  const { stmts } = JSON.parse(tree) as { stmts?: { stmt?: unknown; stmt_location?: number; stmt_len?: number }[] }
  return (stmts ?? []).map(({ stmt, stmt_location = 0, stmt_len = 0 }) => ({
    node: stmt,
    start: stmt_location,
    length: stmt_len,
  }))
}

/** @throws GatewayError `sql.unparsable` when the text is not even a row of tokens. */
export function scan(sql: string): Token[] {
  const answer = call(sql, (module, query) => {
    const result = module._wasm_scan(query)
    try {
      return module.UTF8ToString(result)
    } finally {
      module._wasm_free_string(result)
    }
  })
  if (!answer.startsWith('{')) throw unparsable('it cannot be split into tokens')
  return (JSON.parse(answer) as { tokens?: Token[] }).tokens ?? []
}

function call(sql: string, use: (module: ParserModule, query: number) => string): string {
  const module = instance()
  try {
    const bytes = module.lengthBytesUTF8(sql) + 1
    const query = module._malloc(bytes)
    if (query === 0) throw new Error('no memory')
    module.stringToUTF8(sql, query, bytes)
    try {
      return use(module, query)
    } finally {
      module._free(query)
    }
  } catch (error) {
    if (error instanceof GatewayError) throw error
    replaceInstance()
    throw new GatewayError('sql.unparsable', 'The statement is too complicated to be judged.', { cause: error })
  }
}

/** The parser quotes the text near the error, which may hold literals; only the part before that is passed on. */
function unparsable(reason: string): GatewayError {
  if (/memory exhausted|stack depth/i.test(reason))
    return new GatewayError('sql.too_large', 'The statement is nested too deeply to be judged.')
  const safe = reason.replace(/ at or near ".*$/s, '').replace(/".*"/gs, '"…"')
  return new GatewayError('sql.unparsable', `The statement cannot be parsed: ${safe}.`, { detail: reason })
}
