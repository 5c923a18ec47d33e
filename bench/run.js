// Runs every measurement with short durations, keeps the figures in bench/results/ and refreshes docs/performance.md.
// Names of scripts as arguments run those only, e.g. `node bench/run.js bulk facts`.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import * as bulk from './bulk.js'
import * as facts from './facts.js'
import * as idle from './idle.js'
import { machine } from './lib/figures.js'
import * as pgbench from './pgbench.js'
import * as verify from './verify.js'

const SCRIPTS = { pgbench, bulk, idle, facts, verify }
/** Short enough for all of it to end in a few minutes; a script by itself takes longer and is steadier. */
const SHORT = {
  pgbench: { seconds: 1, rounds: 3 },
  bulk: { rows: 250_000, rounds: 3 },
  idle: { sessions: 300 },
  facts: { seconds: 0.6 },
  verify: { megabytes: 100 },
}
const DOCUMENT = new URL('../docs/performance.md', import.meta.url)
const RESULTS = new URL('results/', import.meta.url)

process.env.BENCH_PROGRESS = '1'
const wanted = process.argv.slice(2)
const unknown = wanted.filter((name) => !Object.hasOwn(SCRIPTS, name))
if (unknown.length > 0) {
  console.error(`no such measurement: ${unknown.join(', ')}; there are ${Object.keys(SCRIPTS).join(', ')}`)
  process.exit(2)
}
const on = await machine()
/** @type {Record<string, unknown>} */
const results = { machine: on }
for (const [name, script] of Object.entries(SCRIPTS)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue
  console.error(`── ${name}`)
  const options = { ...script.DEFAULTS, ...SHORT[name] }
  const result = await script.measure(options)
  results[name] = { options, ...result }
  refresh(name, `${provenance(name, options)}\n\n${script.tables(result)}`)
}
mkdirSync(RESULTS, { recursive: true })
const file = new URL(`${new Date().toISOString().slice(0, 19).replaceAll(':', '-')}.json`, RESULTS)
writeFileSync(file, `${JSON.stringify(results, undefined, 2)}\n`)
console.log(`Figures: ${fileURLToPath(file)}\nTables: ${fileURLToPath(DOCUMENT)}`)

/**
 * What a table needs to be believed or repeated.
 *
 * @param {string} name
 * @param {Record<string, number>} options
 */
function provenance(name, options) {
  const flags = Object.entries(options).map(([option, value]) => `--${option} ${value}`)
  const versions = [on.postgres, on.pgbouncer ?? 'PgBouncer not run', `Node ${on.node}`, `Sallyport ${on.sallyport}`]
  return [
    `\`node bench/${name}.js ${flags.join(' ')}\``,
    `on ${on.date}: ${on.cores} cores (${on.processor}), ${on.memoryGib} GiB, ${on.system}; ${versions.join(', ')}.`,
    'Everything ran on this one machine, so only ratios inside one run mean anything.',
  ].join('\n')
}

/**
 * Puts a table between its markers in the document.
 *
 * @param {string} name
 * @param {string} text
 */
function refresh(name, text) {
  const document = readFileSync(DOCUMENT, 'utf8')
  const [begin, end] = [`<!-- bench:${name} -->`, `<!-- /bench:${name} -->`]
  const [from, to] = [document.indexOf(begin), document.indexOf(end)]
  if (from === -1 || to < from) throw new Error(`docs/performance.md has no place for ${name}`)
  writeFileSync(DOCUMENT, `${document.slice(0, from + begin.length)}\n${text}\n${document.slice(to)}`)
}
