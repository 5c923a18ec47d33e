// Memory of idle sessions: how much a process grows when many clients connect, run one statement and stay.
import { main, progress, round, table } from './lib/figures.js'
import { connectTo, makeCertificate, startPgBouncer, startPostgres, startSallyport } from './lib/peers.js'
import { residentKib, sleep, Workplace } from './lib/processes.js'

/** @typedef {import('./lib/peers.js').Peer} Peer */

export const DEFAULTS = { sessions: 500 }
const AT_ONCE = 16
const WARM_UP_SESSIONS = 16
/** Garbage of opening is collected and pools have shrunk; longer waiting changed nothing. */
const SETTLE_MS = 4_000

/** @param {typeof DEFAULTS} options */
export async function measure({ sessions }) {
  const cases = []
  for (const secure of [false, true]) {
    const workplace = new Workplace()
    try {
      const tls = secure ? await makeCertificate(workplace) : undefined
      if (secure && tls === undefined) continue
      // Both gateways' at once: PgBouncer keeps its connections to the server when its clients have left.
      const maxConnections = String(2 * (sessions + WARM_UP_SESSIONS) + 50)
      const settings = { max_connections: maxConnections, shared_buffers: '32MB' }
      const server = await startPostgres(workplace, settings)
      const connections = sessions + WARM_UP_SESSIONS
      const { buffered } = await startSallyport(workplace, server, { columns: ['*.email'], connections, tls })
      const bouncer = await startPgBouncer(workplace, server, { connections, tls })
      const peers = []
      for (const peer of bouncer === undefined ? [buffered] : [bouncer, buffered])
        peers.push({ name: peer.name, ...(await grow(peer, sessions, tls !== undefined)) })
      cases.push({ tls: secure, sessions, peers })
      progress(`idle ${secure ? 'TLS' : 'plain'}: ${JSON.stringify(peers)}`)
    } finally {
      await workplace.close()
    }
  }
  return { cases }
}

/**
 * @param {Peer} peer
 * @param {number} sessions
 * @param {boolean} secure
 */
async function grow(peer, sessions, secure) {
  const pid = peer.pid ?? 0
  // What the first sessions cost once (code, pools, caches) is no session's own.
  await closeAll((await openAll(peer, WARM_UP_SESSIONS, secure)).clients)
  await sleep(SETTLE_MS)
  const before = residentKib(pid)
  const { clients, seconds } = await openAll(peer, sessions, secure)
  await sleep(SETTLE_MS)
  const after = residentKib(pid)
  await closeAll(clients)
  return {
    kibPerSession: round((after - before) / sessions, 1),
    processKib: after,
    sessionsPerSecond: round(sessions / seconds),
  }
}

/**
 * @param {Peer} peer
 * @param {number} count
 * @param {boolean} secure
 */
async function openAll(peer, count, secure) {
  /** @type {import('pg').Client[]} */
  const clients = []
  const began = Date.now()
  let next = 0
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      while (next++ < count) {
        const client = await connectTo(peer, secure ? { ssl: { rejectUnauthorized: false } } : {})
        await client.query('select 1')
        clients.push(client)
      }
    }),
  )
  return { clients, seconds: (Date.now() - began) / 1000 }
}

/** @param {import('pg').Client[]} clients */
async function closeAll(clients) {
  await Promise.all(clients.map((client) => client.end()))
}

/** @param {Awaited<ReturnType<typeof measure>>} result */
export function tables({ cases }) {
  const rows = cases.map(({ tls, sessions, peers }) => {
    const peer = (/** @type {string} */ name) => peers.find((one) => one.name === name)
    const sallyport = peer('sallyport')
    const what = `${sessions} sessions, ${tls ? 'TLS' : 'no TLS'}`
    return [what, peer('pgbouncer')?.kibPerSession, sallyport?.kibPerSession, sallyport?.sessionsPerSecond]
  })
  return table(['', 'PgBouncer, KiB each', 'Sallyport, KiB each', 'Sallyport, sessions opened per second'], rows)
}

await main(import.meta.url, DEFAULTS, measure)
