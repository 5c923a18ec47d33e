import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { referenceFiles } from './files.ts'

test.each([...referenceFiles()])('%s is what the code says (else: npm run generate)', async (file, text) => {
  const kept = await readFile(new URL(`../../../${file}`, import.meta.url), 'utf8')
  expect(kept).toBe(text)
})

test('every limit of the configuration says its unit and its default', () => {
  const reference = referenceFiles().get('docs/reference/config.md') ?? ''
  const limits = reference.split('\n').filter((line) => /^\| `limits\./.test(line))
  expect(limits.length).toBeGreaterThan(10)
  for (const line of limits) expect(line).toMatch(/\| `\d+` \| .*Unit: \w+/)
})
