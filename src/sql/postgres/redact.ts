import { COMMENT_TOKENS, scan, TOKEN } from './parser.ts'

const STRINGS = new Set<number>([TOKEN.SCONST, TOKEN.USCONST, TOKEN.BCONST, TOKEN.XCONST])
const NUMBERS = new Set<number>([TOKEN.FCONST, TOKEN.ICONST])

/** What stands for a text that cannot even be split into tokens. */
export const ALL_REDACTED = '[redacted statement]'

/** The text with every string, number, bit string and comment replaced; their lengths are not kept. */
export function redactLiterals(sql: string): string {
  if (sql.includes('\0')) return ALL_REDACTED
  const bytes = Buffer.from(sql)
  const parts: string[] = []
  let at = 0
  try {
    for (const { start, end, tokenType } of scan(sql)) {
      const kept = STRINGS.has(tokenType) ? "'?'" : NUMBERS.has(tokenType) ? '?' : undefined
      const replacement = COMMENT_TOKENS.has(tokenType) ? '/* ? */' : kept
      if (replacement === undefined) continue
      parts.push(bytes.toString('utf8', at, start), replacement)
      at = end
    }
  } catch {
    return ALL_REDACTED
  }
  parts.push(bytes.toString('utf8', at))
  return parts.join('')
}
