import { readFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { find, run } from './processes.js'

/** @param {readonly number[]} values */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/**
 * @param {readonly number[]} sorted
 * @param {number} share - 0.99 for p99.
 */
export function quantile(sorted, share) {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]
}

/**
 * The median over rounds of one peer's figure divided by another's in the same round: what else ran on the machine in
 * a round slowed both.
 *
 * @param {readonly number[]} values
 * @param {readonly number[] | undefined} base
 */
export function ratio(values, base) {
  if (base === undefined) return undefined
  return round(median(values.map((value, index) => value / base[index])), 3)
}

/** @param {number} value @param {number} [digits] */
export function round(value, digits = 0) {
  return Number(value.toFixed(digits))
}

/** What a figure was measured on. */
export async function machine() {
  const version = async (/** @type {string} */ program) => {
    const file = find(program)
    return file === undefined ? undefined : (await run(file, ['--version'])).split('\n')[0].trim()
  }
  const { version: sallyport } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  return {
    date: new Date().toISOString().slice(0, 10),
    cores: os.availableParallelism(),
    processor: os.cpus()[0]?.model.trim(),
    memoryGib: round(os.totalmem() / 2 ** 30),
    system: `${os.type()} ${os.release().split('.').slice(0, 2).join('.')}`,
    node: process.version,
    sallyport,
    postgres: await version('postgres'),
    pgbouncer: await version('pgbouncer'),
  }
}

/**
 * A GitHub table. The first column is text, the others are figures.
 *
 * @param {readonly string[]} head
 * @param {readonly (readonly (string | number | undefined)[])[]} rows
 */
export function table(head, rows) {
  const cells = rows.map((row) => row.map((cell) => (cell === undefined ? 'not run' : shown(cell))))
  const line = (/** @type {readonly string[]} */ row) => `| ${row.join(' | ')} |`
  return [line(head), line(head.map((_, index) => (index === 0 ? '---' : '---:'))), ...cells.map(line)].join('\n')
}

/** @param {string | number} cell */
function shown(cell) {
  return typeof cell === 'number' && Math.abs(cell) >= 1000 ? Math.round(cell).toLocaleString('en-US') : String(cell)
}

/**
 * The options of one script, all of them numbers.
 *
 * @template {Record<string, number>} Options
 * @param {Options} defaults
 * @returns {Options}
 */
export function optionsFrom(defaults) {
  const options = Object.fromEntries(
    Object.keys(defaults).map((name) => [name, { type: /** @type {const} */ ('string') }]),
  )
  const { values } = parseArgs({ options })
  const given = Object.entries(values).map(([name, value]) => {
    const number = Number(value)
    if (!Number.isFinite(number) || number <= 0) throw new Error(`--${name} takes a number above 0`)
    return [name, number]
  })
  return { ...defaults, ...Object.fromEntries(given) }
}

/**
 * Runs a measurement when its script was called by itself: JSON to standard output.
 *
 * @template {Record<string, number>} Options
 * @param {string} url - `import.meta.url` of the script.
 * @param {Options} defaults
 * @param {(options: Options) => Promise<object>} measure
 */
export async function main(url, defaults, measure) {
  if (url !== pathToFileURL(path.resolve(process.argv[1] ?? '')).href) return
  const options = optionsFrom(defaults)
  const result = await measure(options)
  const script = path.basename(fileURLToPath(url))
  console.log(JSON.stringify({ script, options, machine: await machine(), ...result }, undefined, 2))
}

/** @param {string} text */
export function progress(text) {
  if (process.stderr.isTTY || process.env.BENCH_PROGRESS) console.error(text)
}
