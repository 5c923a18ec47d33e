/**
 * The text with its plain string and number literals blanked, so that statements that differ in those alone share one
 * analysis. Gives up (undefined) on anything that is not plain: comments, backslashes, prefixed strings, dollar quotes,
 * exponents, numbers that touch other words, a second statement.
 */
export function blindKey(sql: string): string | undefined {
  let key = ''
  let at = 0
  const end = sql.length
  while (at < end) {
    const code = sql.charCodeAt(at)
    if (code === QUOTE) {
      const close = closing(sql, at, "'")
      if (close === -1 || isWord(sql.charCodeAt(at - 1)) || sql[at - 1] === '&') return undefined
      key += "''"
      at = close + 1
    } else if (code === DOUBLE_QUOTE) {
      const close = closing(sql, at, '"')
      if (close === -1 || isWord(sql.charCodeAt(at - 1)) || sql[at - 1] === '&') return undefined
      key += sql.slice(at, close + 1)
      at = close + 1
      if (isWord(sql.charCodeAt(at))) return undefined
    } else if (isDigit(code)) {
      const stop = numberEnd(sql, at)
      if (stop === -1) return undefined
      key += '0'
      at = stop
    } else if (code === DOLLAR) {
      // `$1` stays; `$$` and `$tag$` open a string, and a name may hold a dollar: too unusual.
      const parameter = /\$\d+(?![\w$\u0080-\uffff])/y
      parameter.lastIndex = at
      const match = parameter.exec(sql)
      if (match === null || isWord(sql.charCodeAt(at - 1))) return undefined
      key += match[0]
      at += match[0].length
    } else if (isWord(code)) {
      let stop = at + 1
      while (stop < end && isWord(sql.charCodeAt(stop))) stop++
      key += sql.slice(at, stop)
      at = stop
    } else {
      const step = plain(sql, at, code)
      if (step === 0) return undefined
      key += sql.slice(at, at + step)
      at += step
    }
  }
  return key
}

const QUOTE = 39
const DOUBLE_QUOTE = 34
const DOLLAR = 36

function isDigit(code: number): boolean {
  return code >= 48 && code <= 57
}

/** Letters, digits, underscore and all beyond ASCII: what a name is made of. `NaN` (outside the text) is not. */
function isWord(code: number): boolean {
  return (code >= 97 && code <= 122) || (code >= 65 && code <= 90) || isDigit(code) || code === 95 || code > 127
}

/** Where a quoted piece ends; a doubled quote goes on. Backslashes may mean anything, so they end the attempt. */
function closing(sql: string, open: number, quote: string): number {
  let at = open + 1
  for (;;) {
    const close = sql.indexOf(quote, at)
    if (close === -1) return -1
    if (sql[close + 1] !== quote) return sql.slice(open, close).includes('\\') ? -1 : close
    at = close + 2
  }
}

/** `12` or `1.5` that touches no word, dot or quote. */
function numberEnd(sql: string, start: number): number {
  if (sql[start - 1] === '.') return -1
  let at = start
  while (isDigit(sql.charCodeAt(at))) at++
  if (sql[at] === '.' && isDigit(sql.charCodeAt(at + 1))) {
    at++
    while (isDigit(sql.charCodeAt(at))) at++
  }
  const next = sql.charCodeAt(at)
  return isWord(next) || next === DOLLAR || sql[at] === '.' || sql[at] === "'" || sql[at] === '"' ? -1 : at
}

/** How many characters of punctuation or white space to copy; 0 gives up. */
function plain(sql: string, at: number, code: number): number {
  const next = sql[at + 1]
  if (code === 92 || (code === 45 && next === '-') || (code === 47 && next === '*')) return 0
  if (code === 59) return /^[; \t\r\n]*$/.test(sql.slice(at)) ? sql.length - at : 0
  if (code < 32 && code !== 9 && code !== 10 && code !== 13) return 0
  return 1
}
