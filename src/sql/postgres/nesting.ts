/**
 * An upper bound on how deep the parser can nest: the tokens since the last separator, summed over the open brackets.
 * Deep nesting would unwind the parser's stack by force, so such texts never reach it. One pass, no backtracking. A text
 * that ends inside a string or comment is a syntax error, so what was seen until then is enough.
 */
export function chainedTokens(sql: string): number {
  const open: Level[] = []
  let level: Level = { tokens: 0, chain: 0 }
  let below = 0
  let deepest = 0
  let at = 0
  while (at < sql.length) {
    const end = tokenEnd(sql, at)
    if (end === -1) break
    const token = sql[at]!
    if (isSpace(token) || sql.startsWith('--', at) || sql.startsWith('/*', at)) {
      at = end
      continue
    }
    const word = end - at <= LONGEST_CHAIN_WORD ? CHAINS[sql.slice(at, end).toLowerCase()] : undefined
    if (token === ';') level = { tokens: 0, chain: 0 }
    else if (token === ',' || word === 0) level.tokens = 0
    else if (token === '(' || token === '[') {
      below += level.tokens + level.chain + BRACKET
      open.push(level)
      level = { tokens: 0, chain: 0 }
    } else if (token === ')' || token === ']') {
      level = open.pop() ?? { tokens: 0, chain: 0 }
      below = Math.max(0, below - level.tokens - level.chain - BRACKET)
      level.tokens++
    } else level.tokens++
    if (word !== undefined) level.chain = Math.max(0, level.chain + word)
    deepest = Math.max(deepest, below + level.tokens + level.chain)
    at = end
  }
  return deepest
}

interface Level {
  /** Since the last separator. */
  tokens: number
  /** Words that nest to the left across separators. */
  chain: number
}

/** What a word adds to the chain. Lists joined by AND or OR are flat in the tree: those separate, like a comma. */
const CHAINS: Readonly<Record<string, number>> = Object.assign(Object.create(null), {
  and: 0,
  or: 0,
  join: 3,
  union: 3,
  intersect: 3,
  except: 3,
  case: 3,
  end: -3,
})
const LONGEST_CHAIN_WORD = 9
/** A bracket may open a whole sub-select right after a comma. */
const BRACKET = 2

function isSpace(character: string): boolean {
  return character === ' ' || (character >= '\t' && character <= '\r')
}

/** Where the token at `at` ends; -1 when it is a string or comment without an end. */
function tokenEnd(sql: string, at: number): number {
  const character = sql[at]!
  if (character === "'") return quotedEnd(sql, at, false)
  if (character === '"') return after(sql.indexOf('"', at + 1), 1)
  if (character === '-' && sql[at + 1] === '-') return lineEnd(sql, at)
  if (character === '/' && sql[at + 1] === '*') return commentEnd(sql, at)
  if ((character === 'e' || character === 'E') && sql[at + 1] === "'") return quotedEnd(sql, at + 1, true)
  if (character === '$') return dollarEnd(sql, at)
  WORD.lastIndex = at
  return WORD.test(sql) ? WORD.lastIndex : at + 1
}

const WORD = /[\w\u0080-\uffff][\w$\u0080-\uffff]*/y

function after(found: number, length: number): number {
  return found === -1 ? -1 : found + length
}

function lineEnd(sql: string, at: number): number {
  LINE.lastIndex = at
  return LINE.test(sql) ? LINE.lastIndex : sql.length
}

const LINE = /--[^\n\r]*/y

/** A string, with all its continuations on following lines when it began with E. */
function quotedEnd(sql: string, open: number, escapes: boolean): number {
  let at = open + 1
  for (;;) {
    const close = sql.indexOf("'", at)
    if (close === -1) return -1
    if (!escapes) return close + 1
    let slashes = 0
    while (close - 1 - slashes >= at && sql[close - 1 - slashes] === '\\') slashes++
    if (slashes % 2 === 1) {
      at = close + 1
      continue
    }
    CONTINUED.lastIndex = close + 1
    if (sql[close + 1] === "'") at = close + 2
    else if (CONTINUED.test(sql)) at = CONTINUED.lastIndex
    else return close + 1
  }
}

const CONTINUED = /[ \t\f\v]*[\r\n]\s*'/y

/** Comments nest. */
function commentEnd(sql: string, open: number): number {
  let depth = 0
  MARK.lastIndex = open
  for (let mark = MARK.exec(sql); mark !== null; mark = MARK.exec(sql)) {
    depth += mark[0] === '/*' ? 1 : -1
    if (depth === 0) return MARK.lastIndex
  }
  return -1
}

const MARK = /\/\*|\*\//g

function dollarEnd(sql: string, at: number): number {
  TAG.lastIndex = at
  const tag = TAG.exec(sql)?.[0]
  if (tag === undefined) return at + 1
  return after(sql.indexOf(tag, at + tag.length), tag.length)
}

const TAG = /\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$/y

const OPERATOR_CHARACTERS = new Set('~!@#^&|`?+-*/%<>='.split('').map((character) => character.charCodeAt(0)))
const SLASH = 47
const STAR = 42

/**
 * How many comments open in one run of operator characters, side by side. The parser's scanner reads to the end of the
 * run at each of them, so its time grows with the square. Wherever the run stands, also within a string, it counts.
 */
export function commentsInARow(sql: string): number {
  let openers = 0
  let most = 0
  for (let at = 0; at < sql.length; at++) {
    const code = sql.charCodeAt(at)
    if (!OPERATOR_CHARACTERS.has(code)) openers = 0
    else if (code === SLASH && sql.charCodeAt(at + 1) === STAR) most = Math.max(most, ++openers)
  }
  return most
}
