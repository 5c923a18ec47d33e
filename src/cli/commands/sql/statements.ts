/**
 * Cuts typed text at its semicolons, for the prompt only: what is sent is judged by the gateway, not by this.
 *
 * @returns The whole statements, their semicolons included, and what is not finished yet.
 */
export function splitStatements(text: string): { readonly statements: readonly string[]; readonly rest: string } {
  const statements: string[] = []
  let start = 0
  let depth = 0
  for (let at = 0; at < text.length; ) {
    const end = skipQuoted(text, at)
    if (end === undefined) return { statements, rest: text.slice(start) }
    if (end > at) {
      at = end
      continue
    }
    const character = text[at]
    if (character === '(') depth++
    if (character === ')') depth = Math.max(0, depth - 1)
    at++
    if (character !== ';' || depth > 0) continue
    const statement = text.slice(start, at).trim()
    if (statement !== ';') statements.push(statement)
    start = at
  }
  return { statements, rest: text.slice(start) }
}

/** Where the quoted text, comment or dollar quote at `at` ends; `at` when there is none, undefined when it has no end yet. */
function skipQuoted(text: string, at: number): number | undefined {
  const two = text.slice(at, at + 2)
  if (two === '--') {
    const end = text.indexOf('\n', at)
    return end < 0 ? undefined : end + 1
  }
  if (two === '/*') return skipComment(text, at)
  const quote = text[at]
  if (quote === "'" || quote === '"') return skipString(text, at, quote)
  if (quote !== '$' || /[\w$]/.test(text[at - 1] ?? '')) return at
  const tag = /^\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$/.exec(text.slice(at, at + 66))?.[0]
  if (tag === undefined) return at
  const end = text.indexOf(tag, at + tag.length)
  return end < 0 ? undefined : end + tag.length
}

function skipString(text: string, at: number, quote: string): number | undefined {
  const escapes = quote === "'" && /(^|[^\w$])[eE]$/.test(text.slice(Math.max(0, at - 2), at))
  for (let index = at + 1; index < text.length; index++) {
    if (escapes && text[index] === '\\') index++
    else if (text[index] === quote) {
      if (text[index + 1] !== quote) return index + 1
      index++
    }
  }
  return undefined
}

function skipComment(text: string, at: number): number | undefined {
  let depth = 0
  for (let index = at; index < text.length; ) {
    const two = text.slice(index, index + 2)
    if (two === '/*') depth++
    if (two === '*/') depth--
    index += two === '/*' || two === '*/' ? 2 : 1
    if (depth === 0) return index
  }
  return undefined
}
