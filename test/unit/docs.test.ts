import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { commandReference } from '../../src/cli/reference.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const FENCE = /```[\s\S]*?```/g

function markdownBelow(folder: string): string[] {
  return readdirSync(path.join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const name = path.join(folder, entry.name)
    if (entry.isDirectory()) return entry.name === 'node_modules' ? [] : markdownBelow(name)
    return entry.name.endsWith('.md') ? [name] : []
  })
}

const PAGES = ['README.md', 'CHANGELOG.md', ...markdownBelow('docs'), ...markdownBelow('src')]

function textOf(page: string): string {
  return readFileSync(path.join(ROOT, page), 'utf8')
}

/** As GitHub makes anchors of headings. */
function anchorsOf(page: string): Set<string> {
  const headings = textOf(page)
    .replace(FENCE, '')
    .matchAll(/^#{1,6} (.+)$/gm)
  return new Set(
    [...headings].map(([, heading = '']) =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  )
}

test('docs/reference/facts.md is current; run `npm run generate` if not', async () => {
  // It reads what was built, as `npm run generate` does.
  const { renderFacts } = (await import('../../scripts/generate-facts.js' as string)) as { renderFacts: () => string }
  expect(textOf('docs/reference/facts.md')).toBe(renderFacts())
})

describe.each(PAGES)('%s', (page) => {
  const links = [
    ...textOf(page)
      .replace(FENCE, '')
      .matchAll(/\]\(([^)\s]+)\)/g),
  ].map(([, link = '']) => link)

  test('every relative link leads somewhere', () => {
    const broken = links.filter((link) => {
      if (/^[a-z]+:/.test(link)) return false
      const [file = '', anchor] = link.split('#')
      const place = file === '' ? page : path.join(path.dirname(page), file)
      if (!existsSync(path.join(ROOT, place))) return true
      return anchor !== undefined && !anchorsOf(place).has(anchor)
    })
    expect(broken).toEqual([])
  })

  test('every `sallyport …` command and option exists', () => {
    const reference = commandReference()
    const known = new Set([...reference.matchAll(/^#{2,3} sallyport ([a-z]+(?: [a-z]+)?)/gm)].map(([, name]) => name))
    const options = new Set([...reference.matchAll(/--[a-z][a-z-]*/g)].map(([option]) => option))
    const groups = new Set([...known].filter((name) => name?.includes(' ')).map((name) => name?.split(' ')[0]))
    const unknown = commandsIn(textOf(page)).flatMap(({ words, flags }) => {
      const [first = '', second = ''] = words
      const name = groups.has(first) && second !== '' ? `${first} ${second}` : first
      const wrong = flags.filter((flag) => !options.has(flag) && flag !== '--help' && flag !== '--version')
      return known.has(name) ? wrong.map((flag) => `${name} ${flag}`) : [name]
    })
    expect(unknown).toEqual([])
  })
})

/** Command lines in code, fenced or inline: what follows `sallyport`, options with their values taken out. */
function commandsIn(text: string): { words: string[]; flags: string[] }[] {
  const code = [...text.matchAll(/```[a-z]*\n([\s\S]*?)```|`([^`\n]+)`/g)].map(
    ([, block, inline]) => block ?? inline ?? '',
  )
  const lines = code.flatMap((piece) => piece.split('\n'))
  return lines.flatMap((line) =>
    [...line.matchAll(/(?:^|[\s(])(?:npx |\$ )?sallyport ((?:--?[a-z]|[a-z]).*)/g)].flatMap(([, rest = '']) => {
      if (rest.includes('\\n')) return [] // the first words of a file format or a signature, not of a command
      const command = rest.split(/\s[#|&;]|\$\(| {3}/)[0] ?? ''
      const flags = [...command.matchAll(/(?<=^|\s)--[a-z][a-z-]*/g)].map(([flag]) => flag)
      const plain = command.replace(/--(?:profile|data) \S+|--json|--debug/g, '')
      const words = plain.trim().split(/\s+/).slice(0, 2)
      return /^[a-z]+$/.test(words[0] ?? '') ? [{ words: words.filter((word) => /^[a-z]+$/.test(word)), flags }] : []
    }),
  )
}
