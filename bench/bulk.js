// Large results: one SELECT and one COPY of a million rows with eight columns, through every peer in turn.
import { main, median, progress, ratio, round, table } from './lib/figures.js'
import { connectTo, startPgBouncer, startPipe, startPostgres, startSallyport } from './lib/peers.js'
import { Workplace } from './lib/processes.js'

/** @typedef {import('./lib/peers.js').Peer} Peer */

export const DEFAULTS = { rows: 1_000_000, rounds: 3 }
const STATEMENTS = { select: 'select * from people', copy: 'copy people to stdout' }
/** An e-mail address in every row is masked as a column; the other text is looked through by every detector. */
const COLUMNS = ['people.email']

const TABLE = (/** @type {number} */ rows) => `create unlogged table people as
  select n as id, 'Customer number ' || n as name, 'c' || n || '@example.com' as email,
    (array['Oslo', 'Lyon', 'Porto', 'Graz'])[1 + n % 4] as city,
    'Ordered ' || n % 40 || ' items, asked for a delivery in the morning' as note,
    (n % 10000)::numeric / 100 as amount, timestamptz '2026-01-01' + n * interval '1 s' as created, n % 3 = 0 as active
  from generate_series(1, ${rows}) as n`

/** @param {typeof DEFAULTS} options */
export async function measure({ rows, rounds }) {
  const workplace = new Workplace()
  try {
    const server = await startPostgres(workplace)
    const admin = await connectTo(server)
    await admin.query(TABLE(rows))
    await admin.query('vacuum analyze people') // hint bits are set once, here
    await admin.end()
    const { buffered, strict } = await startSallyport(workplace, server, { columns: COLUMNS })
    const bouncer = await startPgBouncer(workplace, server)
    const pipe = await startPipe(workplace, server)
    const peers = [server, ...(bouncer === undefined ? [] : [bouncer]), pipe, buffered, strict]
    const cases = []
    for (const [name, sql] of Object.entries(STATEMENTS)) {
      /** @type {Map<string, number[]>} */
      const speeds = new Map(peers.map((peer) => [peer.name, []]))
      let bytes = 0
      for (let turn = 0; turn < rounds; turn++)
        for (const peer of peers) {
          const one = await once(peer, sql, rows)
          if (peer === server) bytes = one.bytes
          // Rows through time, in bytes as the server sends them: a mask that shortens a value gains nothing.
          speeds.get(peer.name)?.push(bytes / 1e6 / one.seconds)
        }
      cases.push({ statement: name, rows, megabytes: round(bytes / 1e6), peers: summary(speeds) })
      progress(`bulk ${name}: ${JSON.stringify(cases.at(-1)?.peers)}`)
    }
    return { cases }
  } finally {
    await workplace.close()
  }
}

/**
 * Reads the answer and throws it away.
 *
 * @param {Peer} peer
 * @param {string} sql
 * @param {number} rows
 */
async function once(peer, sql, rows) {
  const client = await connectTo(peer)
  try {
    const socket = /** @type {any} */ (client).connection.stream
    socket.removeAllListeners('data')
    const text = Buffer.from(`${sql}\0`)
    const query = Buffer.alloc(5 + text.length)
    query.write('Q')
    query.writeInt32BE(4 + text.length, 1)
    text.copy(query, 5)
    const began = process.hrtime.bigint()
    const { bytes, tail } = await new Promise((resolve, reject) => {
      let [bytes, tail] = [0, Buffer.alloc(0)]
      socket.on('data', (/** @type {Buffer} */ chunk) => {
        bytes += chunk.length
        // Only the end is looked at: CommandComplete, then ReadyForQuery.
        tail =
          chunk.length >= TAIL_BYTES ? chunk.subarray(-TAIL_BYTES) : Buffer.concat([tail, chunk]).subarray(-TAIL_BYTES)
        if (tail.subarray(-READY.length).equals(READY)) resolve({ bytes, tail: Buffer.from(tail) })
      })
      socket.once('close', () => reject(new Error(`${peer.name} closed the connection`)))
      socket.write(query)
    })
    const seconds = Number(process.hrtime.bigint() - began) / 1e9
    if (!tail.toString('latin1').includes(` ${rows}\0`)) throw new Error(`${peer.name} did not send ${rows} rows`)
    return { bytes, seconds }
  } finally {
    await client.end()
  }
}

const TAIL_BYTES = 64
const READY = Buffer.from('Z\0\0\0\x05I', 'latin1')

/** @param {Map<string, number[]>} speeds */
function summary(speeds) {
  return [...speeds].map(([name, own]) => ({
    name,
    megabytesPerSecond: round(median(own), 1),
    ofDirect: ratio(own, speeds.get('direct')),
    ofPipe: ratio(own, speeds.get('pipe')),
    ofPgbouncer: ratio(own, speeds.get('pgbouncer')),
    rounds: own.map((one) => round(one, 1)),
  }))
}

/** @param {Awaited<ReturnType<typeof measure>>} result */
export function tables({ cases }) {
  const names = ['direct', 'pgbouncer', 'pipe', 'sallyport', 'sallyport strict']
  const rows = cases.map(({ statement, rows, megabytes, peers }) => {
    const peer = (/** @type {string} */ name) => peers.find((one) => one.name === name)
    const speeds = names.map((name) => peer(name)?.megabytesPerSecond)
    const sallyport = peer('sallyport')
    const what = `${statement}, ${rows.toLocaleString('en-US')} rows, ${megabytes} MB`
    return [what, ...speeds, sallyport?.ofDirect, sallyport?.ofPipe, sallyport?.ofPgbouncer]
  })
  const head = ['MB/s', 'direct', 'PgBouncer', 'pipe', 'Sallyport', 'strict']
  return table([...head, 'Sallyport ÷ direct', '÷ pipe', '÷ PgBouncer'], rows)
}

await main(import.meta.url, DEFAULTS, measure)
