/**
 * An upper bound on how deep the parser can nest: the tokens since the last separator, summed over the open brackets.
 * Deep nesting would unwind the parser's stack by force, so such texts never reach it. Comments and strings are skipped
 * roughly; a text that fools this costs one parser instance, nothing more.
 */
export function chainedTokens(sql: string): number {
  const open: number[] = []
  let here = 0
  let below = 0
  let deepest = 0
  TOKEN.lastIndex = 0
  for (let match = TOKEN.exec(sql); match !== null; match = TOKEN.exec(sql)) {
    const token = match[0]
    if (token === ',' || token === ';' || SEPARATORS.has(token.toLowerCase())) here = 0
    else if (token === '(' || token === '[') {
      open.push(here)
      below += here + 1
      here = 0
    } else if (token === ')' || token === ']') {
      here = (open.pop() ?? 0) + 1
      below = Math.max(0, below - here)
    } else here++
    if (below + here > deepest) deepest = below + here
  }
  return deepest
}

/** Lists of these are flat in the tree. */
const SEPARATORS = new Set(['and', 'or'])
const TOKEN =
  /'(?:[^']|'')*'|"[^"]*"|--[^\n]*|\/\*[\s\S]*?\*\/|\$(\w*)\$[\s\S]*?\$\1\$|[A-Za-z_][\w$]*|\d[\w.]*|[-+*/<>=~!@#%^&|?`]|[^\s]/g
