import { GatewayError } from '../kernel/index.ts'

export type ColumnMatcher = (schema: string, table: string, column: string) => boolean

const MAX_PARTS = 3
const MAX_CACHED_ANSWERS = 10_000
const matchers = new WeakMap<readonly string[], ColumnMatcher>()

/** `*` is a wildcard only where it was written outside quotes; it is kept as a piece boundary. */
type Part = readonly string[]

/**
 * Compiles column patterns: `schema.table.column`, `table.column` or `column`; `*` stands for any run of characters
 * within one part. Unquoted parts fold to lower case, `"Quoted"` parts are taken as they are, like PostgreSQL does.
 *
 * @throws GatewayError `policy.invalid` - a pattern is not of that form.
 */
export function columnMatcher(patterns: readonly string[]): ColumnMatcher {
  const known = matchers.get(patterns)
  if (known !== undefined) return known
  const compiled = patterns.map(parsePattern)
  const answers = new Map<string, boolean>()
  const matcher: ColumnMatcher = (schema, table, column) => {
    if (compiled.length === 0) return false
    const key = `${schema}\0${table}\0${column}`
    const answered = answers.get(key)
    if (answered !== undefined) return answered
    const answer = compiled.some((parts) => partsMatch(parts, [schema, table, column]))
    if (answers.size >= MAX_CACHED_ANSWERS) answers.clear()
    answers.set(key, answer)
    return answer
  }
  matchers.set(patterns, matcher)
  return matcher
}

function partsMatch(parts: readonly Part[], names: readonly string[]): boolean {
  const skip = names.length - parts.length
  return parts.every((part, index) => globMatches(part, names[index + skip]!))
}

/** Pieces between wildcards, in order; the first and last are anchored. */
function globMatches(pieces: Part, name: string): boolean {
  const first = pieces[0]!
  if (pieces.length === 1) return name === first
  const last = pieces[pieces.length - 1]!
  if (name.length < first.length + last.length || !name.startsWith(first) || !name.endsWith(last)) return false
  let at = first.length
  for (const piece of pieces.slice(1, -1)) {
    const found = name.indexOf(piece, at)
    if (found < 0) return false
    at = found + piece.length
  }
  return at <= name.length - last.length
}

function parsePattern(pattern: string): readonly Part[] {
  const parts: Part[] = []
  let pieces = ['']
  let empty = true
  const add = (text: string) => {
    pieces[pieces.length - 1] += text
    empty = false
  }
  for (let i = 0; i < pattern.length; i++) {
    const character = pattern[i]!
    if (character === '"') {
      const end = closingQuote(pattern, i + 1)
      add(pattern.slice(i + 1, end).replaceAll('""', '"'))
      i = end
    } else if (character === '*') {
      pieces.push('')
      empty = false
    } else if (character === '.') {
      if (empty) throw malformed(pattern)
      parts.push(pieces)
      pieces = ['']
      empty = true
    } else add(character.toLowerCase())
  }
  parts.push(pieces)
  if (empty || parts.length > MAX_PARTS) throw malformed(pattern)
  return parts
}

function closingQuote(pattern: string, from: number): number {
  for (let i = from; i < pattern.length; i++) {
    if (pattern[i] !== '"') continue
    if (pattern[i + 1] !== '"') return i
    i++
  }
  throw malformed(pattern)
}

function malformed(pattern: string): GatewayError {
  return new GatewayError(
    'policy.invalid',
    `The column pattern ${JSON.stringify(pattern)} is not schema.table.column, table.column or column.`,
  )
}
