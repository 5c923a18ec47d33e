import { randomBytes } from 'node:crypto'
import { writeSync } from 'node:fs'
import type { Clock, Logger, RecordingMode } from '../../../kernel/index.ts'
import { operationEvent, rowsBlock, testSession } from '../../../recording/test/support.ts'
import { Recordings, recordingFolders } from '../index.ts'

/**
 * A gateway in small, to be killed: records rows in a loop and, after each commit, says on its output what it may
 * release from now on. The output is written at once, so a line that is out was released.
 */
const [folder = '', mode = 'buffered', ...sessions] = process.argv.slice(2)
const clock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after: (ms, call) => {
    const timer = setTimeout(call, ms)
    return () => clearTimeout(timer)
  },
}
const silent = () => {}
const logger: Logger = { debug: silent, info: silent, warn: silent, error: silent }
const recordings = await Recordings.open({
  folders: recordingFolders(folder),
  installation: 'test',
  clock,
  random: { bytes: randomBytes },
  logger,
  limits: { headEveryBatches: 7, syncIntervalMs: 20 },
})

async function run(session: string): Promise<void> {
  const journal = await recordings.create({ ...testSession(session), startedAt: clock.now() }, mode as RecordingMode)
  for (let operation = 1; ; operation++) {
    journal.append(operationEvent(clock.now(), operation, `select ${operation}`))
    await journal.commit()
    const value = `${session}-${operation}-${'x'.repeat((operation * 37) % 5000)}`
    journal.appendRows(operation, 1, rowsBlock([[value]]))
    await journal.commit()
    writeSync(1, `${session} ${operation} ${value.length}\n`)
    if (operation % 5 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
}

await Promise.all(sessions.map(run))
