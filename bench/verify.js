// Recordings: how fast one is written (chained and encrypted, to a file) and how fast its chain is verified.
import { generateKeyPairSync } from 'node:crypto'
import { closeSync, createReadStream, fdatasyncSync, openSync, writeSync } from 'node:fs'
import path from 'node:path'
import { systemClock } from '../dist/edge/clock.js'
import { systemRandom } from '../dist/edge/random.js'
import { Journal, KEY_BYTES, makeSigner, makeWrappingKey, SyncGroup, verifyRecording } from '../dist/recording/index.js'
import { main, round, table } from './lib/figures.js'
import { Workplace } from './lib/processes.js'

export const DEFAULTS = { megabytes: 200 }
/** As sessions make them: an interactive one commits after every statement, a bulk one after every chunk. */
const SESSIONS = { 'small batches': 300, 'chunks of 64 KiB': 64 * 1024 }

/** @param {typeof DEFAULTS} options */
export async function measure({ megabytes }) {
  const workplace = new Workplace()
  try {
    const cases = []
    for (const [session, batchBytes] of Object.entries(SESSIONS)) {
      const file = path.join(workplace.folder, `${batchBytes}.recording`)
      const { signer, ...written } = await write(file, batchBytes, megabytes * 1e6)
      const began = performance.now()
      const report = await verifyRecording(createReadStream(file, { highWaterMark: 1 << 20 }), signer)
      const seconds = (performance.now() - began) / 1000
      if (!report.ok) throw new Error(`the recording is not whole: ${report.problems[0]?.message}`)
      cases.push({
        session,
        batchBytes,
        ...written,
        verifiedMegabytesPerSecond: round(report.bytes / 1e6 / seconds, 1),
      })
    }
    return { cases }
  } finally {
    await workplace.close()
  }
}

/**
 * @param {string} file
 * @param {number} batchBytes
 * @param {number} bytes
 */
async function write(file, batchBytes, bytes) {
  const descriptor = openSync(file, 'w')
  const signer = makeSigner('sallyport/bench', generateKeyPairSync('ed25519').privateKey)
  const journal = new Journal({
    sessionId: 'bench',
    startedAt: systemClock.now(),
    mode: 'buffered',
    sink: {
      write: (bytes) => void writeSync(descriptor, bytes),
      sync: () => fdatasyncSync(descriptor),
      close: () => closeSync(descriptor),
    },
    keys: { wrapping: makeWrappingKey(systemRandom.bytes(KEY_BYTES)), signer },
    clock: systemClock,
    random: systemRandom,
    syncGroup: new SyncGroup(),
    limits: { maxBytesPerOperation: Number.MAX_SAFE_INTEGER, maxRowsPerOperation: Number.MAX_SAFE_INTEGER },
  })
  const data = Buffer.alloc(batchBytes, 'sallyport')
  const began = performance.now()
  for (let written = 0; written < bytes; written += batchBytes) {
    journal.appendCopyData(1, 'out', data)
    await journal.commit()
  }
  const sealed = await journal.seal()
  const seconds = (performance.now() - began) / 1000
  return {
    signer,
    megabytes: round(sealed.bytes / 1e6),
    writtenMegabytesPerSecond: round(sealed.bytes / 1e6 / seconds, 1),
    batchesPerSecond: round(sealed.batches / seconds),
  }
}

/** @param {Awaited<ReturnType<typeof measure>>} result */
export function tables({ cases }) {
  const rows = cases.map(({ session, megabytes, writtenMegabytesPerSecond, batchesPerSecond, ...read }) => {
    return [`${session}, ${megabytes} MB`, writtenMegabytesPerSecond, batchesPerSecond, read.verifiedMegabytesPerSecond]
  })
  return table(['recording', 'written, MB/s', 'batches per second', 'verified, MB/s'], rows)
}

await main(import.meta.url, DEFAULTS, measure)
