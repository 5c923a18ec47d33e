// Checks that imports point down the list of layers, that protocols know nothing of each other, and that only the edges touch I/O and time.
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

/** Lowest first. A folder may import from itself and from folders before it. */
export const LAYERS = [
  'kernel',
  'wire',
  'shell',
  'sql',
  'recording',
  'masking',
  'review',
  'policy',
  'engine',
  'protocols',
  'notify',
  'secrets',
  'identity',
  'tunnel',
  'store',
  'edge',
  'api',
  'cli',
  'gateway',
]

/** Folders that may do I/O and read the clock. `cli` and `gateway` use them for the person at the terminal and for starting up. */
const EDGES = new Set(['gateway', 'cli', 'api', 'edge', 'tunnel', 'store', 'secrets'])
const EFFECT_MODULES =
  /^node:(net|tls|fs|fs\/promises|http|http2|https|dgram|child_process|timers|timers\/promises|worker_threads|cluster|dns|os|process|readline)$/
const EFFECT_CALLS =
  /\b(Date\.now\(|new Date\(\)|Math\.random\(|performance\.now\(|setTimeout\(|setInterval\(|setImmediate\(|process\.(env|hrtime|exit)|randomBytes\(|randomUUID\()/
const PROTOCOL_NAMES = /protocols\/([a-z]+)\//

/**
 * @param {{ file: string, text: string }} source - Path below src/, with forward slashes.
 * @returns {string[]} one sentence per breach.
 */
export function breaches({ file, text }) {
  const layer = file.split('/')[0]
  const own = LAYERS.indexOf(layer)
  if (own < 0) return [`${file}: the folder "${layer}" is not in the list of layers (scripts/layers.js).`]
  const found = []
  const isTest = file.endsWith('.test.ts') || file.includes('/test/')
  for (const [, specifier] of text.matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)) {
    if (specifier.startsWith('.')) {
      const to = path.posix.join(path.posix.dirname(file), specifier)
      if (to.startsWith('..')) continue
      const there = to.split('/')[0]
      if (!isTest && LAYERS.indexOf(there) > own)
        found.push(
          `${file}: imports ${to}, but "${there}" lies above "${layer}". Hand it in from the composition root instead.`,
        )
      const from = PROTOCOL_NAMES.exec(file)?.[1]
      const other = PROTOCOL_NAMES.exec(to)?.[1]
      if (from !== undefined && other !== undefined && from !== other)
        found.push(`${file}: imports ${to}; a protocol knows no other protocol.`)
    } else if (!isTest && !EDGES.has(layer) && EFFECT_MODULES.test(specifier))
      found.push(
        `${file}: imports ${specifier}; "${layer}" is pure. Take a port (Clock, Random, Dial, …) from the kernel.`,
      )
  }
  if (!isTest && !EDGES.has(layer))
    for (const [index, line] of text.split('\n').entries()) {
      const code = line.replace(/\/\/.*$|^\s*\*.*$/, '')
      if (EFFECT_CALLS.test(code))
        found.push(
          `${file}:${index + 1}: reads time, chance or the process; "${layer}" is pure. Take a Clock or Random.`,
        )
    }
  return found
}

function* sources(directory) {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const child = path.join(directory, entry.name)
    if (entry.isDirectory()) yield* sources(child)
    else if (entry.name.endsWith('.ts') && !entry.name.endsWith('.d.ts')) yield child
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const root = path.join(path.dirname(path.dirname(fileURLToPath(import.meta.url))), 'src')
  const all = [...sources(root)].flatMap((file) =>
    breaches({ file: path.relative(root, file).split(path.sep).join('/'), text: readFileSync(file, 'utf8') }),
  )
  for (const breach of all) console.error(breach)
  if (all.length > 0) process.exitCode = 1
  else console.log('layers: imports point down, protocols are closed, effects stay at the edge')
}
