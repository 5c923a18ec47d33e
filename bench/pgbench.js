// Small queries: `pgbench -S` through every peer in turn, round after round, so that what else runs on the machine
// slows all of them alike.
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import path from 'node:path'
import { main, median, progress, quantile, ratio, round, table } from './lib/figures.js'
import { environmentOf, startPgBouncer, startPipe, startPostgres, startSallyport } from './lib/peers.js'
import { ensure, processorMicros, run, Workplace } from './lib/processes.js'

/** @typedef {import('./lib/peers.js').Peer} Peer */

export const DEFAULTS = { seconds: 3, rounds: 5, scale: 5 }
const PROTOCOLS = ['simple', 'extended', 'prepared']
const CLIENTS = [1, 8, 32]
/** Times the wanted seconds. */
const MOST_TIME = 16

/** @param {typeof DEFAULTS} options */
export async function measure({ seconds, rounds, scale }) {
  const pgbench = ensure('pgbench', 'postgresql')
  if (pgbench === undefined) return { notRun: 'pgbench is not installed' }
  const workplace = new Workplace()
  try {
    const server = await startPostgres(workplace)
    await run(pgbench, ['-i', '-q', '-s', String(scale)], { env: environmentOf(server) })
    const { buffered, strict } = await startSallyport(workplace, server, { columns: ['pgbench_accounts.filler'] })
    const bouncer = await startPgBouncer(workplace, server)
    const pipe = await startPipe(workplace, server)
    const peers = [server, ...(bouncer === undefined ? [] : [bouncer]), pipe, buffered, strict]
    const cases = []
    for (const protocol of PROTOCOLS)
      for (const clients of CLIENTS) {
        const one = { pgbench, protocol, clients, folder: workplace.folder }
        if (clients === CLIENTS[0]) for (const peer of peers) await once(one, peer, ['-t', '300']) // code is compiled
        /** @type {Map<string, Awaited<ReturnType<typeof once>>[]>} */
        const results = new Map(peers.map(({ name }) => [name, []]))
        for (let turn = 0; turn < rounds; turn++)
          // Each round begins with another peer, so that none always follows the same one.
          for (const peer of rotated(peers, turn)) results.get(peer.name)?.push(await timed(one, peer, seconds))
        cases.push(summary(protocol, clients, results))
        progress(`pgbench ${protocol} ${clients}: ${JSON.stringify(cases.at(-1)?.peers)}`)
      }
    return { cases }
  } finally {
    await workplace.close()
  }
}

/**
 * @template Item
 * @param {readonly Item[]} items
 * @param {number} by
 */
function rotated(items, by) {
  const at = by % items.length
  return [...items.slice(at), ...items.slice(0, at)]
}

/**
 * @param {{ pgbench: string, protocol: string, clients: number, folder: string }} one
 * @param {Peer} peer
 * @param {readonly string[]} length
 */
async function once({ pgbench, protocol, clients, folder }, peer, length) {
  const prefix = path.join(folder, 'latencies')
  const jobs = String(Math.min(clients, 2))
  const args = ['-S', '-n', '-M', protocol, '-c', String(clients), '-j', jobs, '-l', `--log-prefix=${prefix}`]
  const meter = peer.name === 'direct' ? undefined : new Meter(peer.pid ?? 0)
  const output = await run(pgbench, [...args, ...length], { env: environmentOf(peer) })
  meter?.stop()
  const failed = Number(/number of failed transactions: (\d+)/.exec(output)?.[1] ?? 0)
  if (failed > 0) throw new Error(`${failed} transactions failed at ${peer.name}`)
  const { latencies, began } = takeLog(folder)
  const tps = Number(/tps = ([\d.]+) /.exec(output)?.[1])
  return {
    tps,
    processor: (meter?.since(began) ?? 0) / latencies.length,
    p50: quantile(latencies, 0.5),
    p99: quantile(latencies, 0.99),
  }
}

/**
 * pgbench's time runs from the first connection on. On a busy machine it may be over before the last is open; then no
 * speed can be told and it is given more.
 *
 * @param {{ pgbench: string, protocol: string, clients: number, folder: string }} one
 * @param {Peer} peer
 * @param {number} seconds
 */
async function timed(one, peer, seconds) {
  for (let time = Math.ceil(seconds); time <= seconds * MOST_TIME; time *= 2) {
    const result = await once(one, peer, ['-T', String(time)])
    if (result.tps > 0) return result
  }
  throw new Error(`${peer.name} does not get ${one.clients} clients connected in time: take more --seconds`)
}

/**
 * Latencies of every transaction in µs, sorted, and when the first began, in ms since 1970.
 *
 * @param {string} folder
 */
function takeLog(folder) {
  const files = readdirSync(folder).filter((name) => name.startsWith('latencies.'))
  let began = Number.POSITIVE_INFINITY
  const latencies = files.flatMap((name) => {
    const file = path.join(folder, name)
    const lines = readFileSync(file, 'latin1').trimEnd().split('\n')
    rmSync(file)
    return lines.map((line) => {
      // client, its transaction, latency, script, end in seconds and microseconds
      const [, , latency, , seconds, micros] = line.split(' ').map(Number)
      began = Math.min(began, seconds * 1000 + (micros - latency) / 1000)
      return latency
    })
  })
  return { latencies: latencies.sort((a, b) => a - b), began }
}

const METER_MS = 10

/** Processor time of a process from a moment on that is known only later: pgbench's first transaction. */
class Meter {
  /** @type {{ at: number, micros: number }[]} */
  #samples = []
  #pid
  #timer

  /** @param {number} pid */
  constructor(pid) {
    this.#pid = pid
    this.#sample()
    this.#timer = setInterval(() => this.#sample(), METER_MS)
  }

  #sample() {
    this.#samples.push({ at: Date.now(), micros: processorMicros(this.#pid) })
  }

  stop() {
    clearInterval(this.#timer)
    this.#sample()
  }

  /** @param {number} time - ms since 1970. */
  since(time) {
    const before = this.#samples.filter(({ at }) => at <= time).at(-1) ?? this.#samples[0]
    return this.#samples[this.#samples.length - 1].micros - before.micros
  }
}

/**
 * @param {string} protocol
 * @param {number} clients
 * @param {Map<string, Awaited<ReturnType<typeof once>>[]>} results
 */
function summary(protocol, clients, results) {
  const tps = new Map([...results].map(([name, list]) => [name, list.map((one) => one.tps)]))
  const peers = [...results].map(([name, list]) => {
    const own = tps.get(name) ?? []
    const processor = list.map((one) => one.processor)
    return {
      name,
      tps: round(median(own)),
      p50Micros: round(median(list.map((one) => one.p50))),
      processorMicros: round(median(processor)),
      p99Micros: round(median(list.map((one) => one.p99))),
      ofDirect: ratio(own, tps.get('direct')),
      ofPipe: ratio(own, tps.get('pipe')),
      ofPgbouncer: ratio(own, tps.get('pgbouncer')),
      ofSallyport: ratio(own, tps.get('sallyport')),
      rounds: own.map((one) => round(one)),
    }
  })
  return { protocol, clients, peers }
}

/**
 * Medians of the rounds; the ratios are of the same round.
 *
 * @param {Awaited<ReturnType<typeof measure>>} result
 */
export function tables({ cases, notRun }) {
  if (cases === undefined) return `Not run: ${notRun}.`
  const rows = cases.map(({ protocol, clients, peers }) => {
    const peer = (/** @type {string} */ name) => peers.find((one) => one.name === name)
    const sallyport = peer('sallyport')
    const strict = peer('sallyport strict')
    const added = (sallyport?.p50Micros ?? 0) - (peer('direct')?.p50Micros ?? 0)
    const tps = ['direct', 'pgbouncer', 'pipe', 'sallyport', 'sallyport strict'].map((name) => peer(name)?.tps)
    const ratios = [sallyport?.ofPipe, sallyport?.ofPgbouncer, strict?.ofSallyport]
    const processor = ['pipe', 'pgbouncer', 'sallyport'].map((name) => peer(name)?.processorMicros)
    return [`${protocol}, ${clients}`, ...tps, ...ratios, added, ...processor]
  })
  const head = ['protocol, clients', 'direct', 'PgBouncer', 'pipe', 'Sallyport', 'strict']
  return table(
    [
      ...head,
      'Sallyport ÷ pipe',
      'Sallyport ÷ PgBouncer',
      'strict ÷ buffered',
      'added p50, µs',
      'processor µs: pipe',
      'PgBouncer',
      'Sallyport',
    ],
    rows,
  )
}

await main(import.meta.url, DEFAULTS, measure)
