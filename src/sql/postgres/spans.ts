import { scan, type Token } from './parser.ts'

export interface Span {
  /** UTF-8 bytes within the statement's text. */
  readonly start: number
  readonly end: number
}

/** Where the statement inside PREPARE, DECLARE or COPY stands; undefined when it is not there. */
export function innerSpan(statement: string, type: 'PrepareStmt' | 'DeclareCursorStmt' | 'CopyStmt'): Span | undefined {
  const tokens = scan(statement).filter((token) => !isComment(token))
  if (type === 'CopyStmt') return copied(tokens)
  const word = type === 'PrepareStmt' ? 'as' : 'for'
  // The name comes second, and may itself be spelled like the word.
  const start = tokens.findIndex((token, index) => index >= 2 && depthBefore(tokens, index) === 0 && is(token, word))
  const first = tokens[start + 1]
  const last = tokens.at(-1)
  if (start === -1 || first === undefined || last === undefined) return undefined
  return { start: first.start, end: last.end }
}

function isComment(token: Token): boolean {
  return token.text.startsWith('--') || token.text.startsWith('/*')
}

function is(token: Token, word: string): boolean {
  return token.text.toLowerCase() === word
}

function depthBefore(tokens: readonly Token[], end: number): number {
  let depth = 0
  for (const { text } of tokens.slice(0, end)) depth += text === '(' ? 1 : text === ')' ? -1 : 0
  return depth
}

/** `COPY ( query ) TO …`: what is between the brackets. */
function copied(tokens: readonly Token[]): Span | undefined {
  if (tokens[1]?.text !== '(') return undefined
  let depth = 0
  for (const [index, { text }] of tokens.entries()) {
    depth += text === '(' ? 1 : text === ')' ? -1 : 0
    if (index < 2 || depth > 0) continue
    const first = tokens[2]
    const last = tokens[index - 1]
    return first === undefined || last === undefined ? undefined : { start: first.start, end: last.end }
  }
  return undefined
}
