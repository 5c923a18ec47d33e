// Writes the files that are made from the code: JSON Schemas and reference pages. `npm run generate` builds first.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { referenceFiles } from '../dist/gateway/reference/files.js'
import { renderFacts } from './generate-facts.js'

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)))

function textOf(file) {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}

for (const [name, text] of [...referenceFiles(), ['docs/reference/facts.md', renderFacts()]]) {
  const file = path.join(root, name)
  if (textOf(file) === text) continue
  mkdirSync(path.dirname(file), { recursive: true })
  writeFileSync(file, text)
  console.log(`wrote ${name}`)
}
