import { test } from 'vitest'

/** Tools of scripts/test-tools.js that this machine lacks. */
const MISSING = new Set((process.env['SALLYPORT_TEST_MISSING'] ?? '').split(',').filter((tool) => tool !== ''))

export function isMissing(tool: string): boolean {
  return MISSING.has(tool)
}

/** `test` where all the tools are there; else one that is skipped and says for want of what. */
export function needs(...tools: readonly string[]): (title: string, work: () => Promise<void>) => void {
  const lacking = tools.filter(isMissing)
  if (lacking.length === 0) return (title, work) => test(title, work)
  return (title, work) => test.skip(`${title} (needs ${lacking.join(', ')})`, work)
}
