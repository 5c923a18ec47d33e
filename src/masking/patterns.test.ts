import { readdirSync, readFileSync } from 'node:fs'
import { checkSync } from 'recheck'
import { expect, test } from 'vitest'

const REGEX =
  /(?<=(?:[=(,:[]|^)\s*)\/((?:[^/*\\\n[]|\\.|\[(?:[^\]\\\n]|\\.)*\])(?:[^/\\\n[]|\\.|\[(?:[^\]\\\n]|\\.)*\])*)\/([a-z]*)/gm

/** Every regular expression literal in this folder, so that none is forgotten. */
function patterns(): { file: string; source: string; flags: string }[] {
  return ['./', './detect/'].flatMap((folder) => {
    const url = new URL(folder, import.meta.url)
    const files = readdirSync(url).filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
    return files.flatMap((file) =>
      [...readFileSync(new URL(file, url), 'utf8').matchAll(REGEX)].map((match) => ({
        file,
        source: match[1]!,
        flags: match[2]!,
      })),
    )
  })
}

test('there are patterns to check', () => expect(patterns().length).toBeGreaterThan(60))

test.each(patterns())('$file: $source takes linear time', ({ source, flags }) => {
  const { status } = checkSync(source, flags, { timeout: 20_000, checker: 'automaton' })
  expect(status).toBe('safe')
})
