/**
 * An upper bound on how deep the parser can nest: the tokens since the last separator, summed over the open brackets.
 * Deep nesting would unwind the parser's stack by force, so such texts never reach it. One pass, no backtracking. A text
 * that ends inside a string or comment is a syntax error, so what was seen until then is enough.
 */
export function chainedTokens(sql: string): number {
  const open: number[] = []
  let here = 0
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
    if (token === ',' || token === ';' || isListWord(sql, at, end)) here = 0
    else if (token === '(' || token === '[') {
      open.push(here)
      below += here + 1
      here = 0
    } else if (token === ')' || token === ']') {
      const before = open.pop() ?? 0
      below = Math.max(0, below - before - 1)
      here = before + 1
    } else here++
    deepest = Math.max(deepest, below + here)
    at = end
  }
  return deepest
}

function isSpace(character: string): boolean {
  return character === ' ' || (character >= '\t' && character <= '\r')
}

/** Lists joined by AND or OR are flat in the tree. */
function isListWord(sql: string, start: number, end: number): boolean {
  return end - start <= 3 && /^(?:and|or)$/i.test(sql.slice(start, end))
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
