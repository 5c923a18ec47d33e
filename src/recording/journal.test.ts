import { expect, test } from 'vitest'
import { GatewayError } from '../kernel/index.ts'
import { rowsOf, SyncGroup, verifyRecording } from './index.ts'
import {
  frameOffsets,
  operationEvent,
  readAll,
  rowsBlock,
  sealedRecording,
  settle,
  testJournal,
  testKeys,
  testSession,
} from './test/support.ts'

test('what was appended comes back in order, and the totals fit', async () => {
  const { journal, sink, clock } = testJournal()
  journal.append({ type: 'session_started', at: clock.now(), session: testSession() })
  journal.append(operationEvent(clock.now()))
  expect(journal.commit()).toBeUndefined()
  journal.appendRows(
    1,
    2,
    rowsBlock(
      [
        ['a', null],
        ['b', ''],
      ],
      5,
    ),
    5,
  )
  journal.appendCopyData(2, 'out', Buffer.from('1\t2\n'))
  void journal.commit()
  const sealed = await journal.seal()
  expect(sealed).toMatchObject({ batches: 2, events: 4, rows: 2, bytes: sink.bytes.length, interrupted: false })
  const events = await readAll(sink.bytes)
  expect(events.map((event) => event.type)).toEqual(['session_started', 'operation', 'rows', 'copy_data'])
  expect(events[1]).toEqual(operationEvent(clock.now()))
  const rows = events[2]
  if (rows?.type !== 'rows') throw new Error('no rows')
  expect(
    [...rowsOf(rows.cells, rows.rowHeaderBytes)].map((row) => row.map((cell) => cell?.toString() ?? null)),
  ).toEqual([
    ['a', null],
    ['b', ''],
  ])
  const report = await verifyRecording([sink.bytes], testKeys().signer)
  expect(report).toMatchObject({ ok: true, sealed: true, digest: sealed.digest, headerDigest: journal.headerDigest })
})

test('nothing of what happened is readable in the file', async () => {
  const bytes = await sealedRecording()
  for (const secret of ['customers', 'alice', 'shop', 'terminated']) expect(bytes.includes(secret)).toBe(false)
  expect(bytes.includes('session-1')).toBe(true)
})

test('read at every chunk size it is the same', async () => {
  const bytes = await sealedRecording()
  const { signer } = testKeys()
  const whole = await verifyRecording([bytes], signer)
  expect(whole.ok).toBe(true)
  for (const step of [1, 2, 3, 7, 64, 1000]) {
    const chunks = Array.from({ length: Math.ceil(bytes.length / step) }, (_, at) =>
      bytes.subarray(at * step, (at + 1) * step),
    )
    expect(await verifyRecording(chunks, signer)).toEqual(whole)
  }
})

test('another recording key does not read it; another signing key does not verify it', async () => {
  const bytes = await sealedRecording()
  await expect(readAll(bytes, { ...testKeys(), wrapping: testKeys('other').wrapping })).rejects.toThrow('not here')
  const report = await verifyRecording([bytes], testKeys('other').signer)
  expect(report.ok).toBe(false)
})

test('past the cap rows are counted and hashed, whole rows only, and nothing slips in behind the gap', async () => {
  const rows = rowsBlock([['aaaa'], ['bbbb'], ['cccc']])
  const { journal, sink } = testJournal({ limits: { maxBytesPerOperation: Math.floor(rows.length * 0.7) } })
  journal.appendRows(1, 3, rows)
  journal.appendRows(1, 1, rowsBlock([['d']]))
  journal.appendRows(2, 1, rowsBlock([['e']]))
  void journal.commit()
  const sealed = await journal.seal()
  expect(sealed.rows).toBe(5)
  const events = await readAll(sink.bytes)
  expect(events).toMatchObject([
    { type: 'rows', operation: 1, count: 2, cells: rowsBlock([['aaaa'], ['bbbb']]) },
    { type: 'rows_omitted', operation: 1, count: 1, bytes: rows.length / 3, reason: 'cap' },
    { type: 'rows_omitted', operation: 1, count: 1 },
    { type: 'rows', operation: 2, count: 1 },
  ])
})

test('past the row cap, and past the cap of a COPY stream', async () => {
  const { journal, sink } = testJournal({ limits: { maxRowsPerOperation: 1, maxBytesPerOperation: 100 } })
  journal.appendRows(1, 2, rowsBlock([['a'], ['b']]))
  journal.appendCopyData(2, 'out', Buffer.alloc(60, 97))
  journal.appendCopyData(2, 'out', Buffer.alloc(60, 98))
  journal.appendCopyData(2, 'out', Buffer.alloc(60, 99))
  await journal.seal()
  expect(await readAll(sink.bytes)).toMatchObject([
    { type: 'rows', count: 1 },
    { type: 'rows_omitted', count: 1 },
    { type: 'copy_data', data: Buffer.alloc(60, 97) },
    { type: 'copy_data', data: Buffer.alloc(40, 98) },
    { type: 'copy_omitted', bytes: 20 },
    { type: 'copy_omitted', bytes: 60 },
  ])
})

test('buffered: written when commit returns, synced at the interval, with a signed head', async () => {
  const { journal, sink, clock } = testJournal({ limits: { syncIntervalMs: 1000, headEveryMs: 10_000 } })
  journal.append(operationEvent(clock.now()))
  expect(sink.writes).toHaveLength(1)
  void journal.commit()
  expect(sink.writes).toHaveLength(2)
  expect(sink.syncs).toBe(0)
  await clock.advance(1000)
  expect(sink.syncs).toBe(1)
  expect(sink.synced).toBe(sink.writes.length)
  expect(sink.writes).toHaveLength(3)
  const report = await verifyRecording([sink.bytes], testKeys().signer, { open: true })
  expect(report).toMatchObject({ ok: true, sealed: false, batches: 1, head: { batches: 1 } })
  await clock.advance(5000)
  expect(sink.syncs).toBe(1)
})

test('buffered: a disk that does not follow fails the journal after the allowed lag', async () => {
  const { journal, sink, clock } = testJournal({ limits: { syncIntervalMs: 1000, maxLagMs: 3000 } })
  sink.gate = () => new Promise(() => {})
  const failures: GatewayError[] = []
  journal.onFailed((error) => failures.push(error))
  const write = () => {
    journal.append(operationEvent(clock.now()))
    void journal.commit()
  }
  write()
  await clock.advance(1000)
  write()
  await clock.advance(3000)
  write()
  await clock.advance(1)
  expect(write).toThrow(GatewayError)
  expect(failures).toHaveLength(1)
  expect(journal.failed?.code).toBe('recording.failed')
})

test('buffered: a sync that fails in the background fails the journal for ever', async () => {
  const { journal, sink, clock } = testJournal()
  sink.gate = () => Promise.reject(new Error('EIO'))
  journal.append(operationEvent(clock.now()))
  void journal.commit()
  const failures: GatewayError[] = []
  journal.onFailed((error) => failures.push(error))
  await clock.advance(1000)
  expect(failures.map((error) => error.code)).toEqual(['recording.failed'])
  expect(() => journal.append(operationEvent(clock.now()))).toThrow(failures[0])
  expect(() => journal.commit()).toThrow(failures[0])
  sink.gate = undefined
  await expect(journal.seal()).rejects.toBe(failures[0])
  expect(sink.closed).toBe(true)
})

test.each(['buffered', 'strict'] as const)(
  '%s: a write that fails keeps the bytes from being released',
  async (mode) => {
    const { journal, sink, clock } = testJournal({ mode })
    journal.append(operationEvent(clock.now()))
    sink.failWrites = true
    expect(() => journal.commit()).toThrow(GatewayError)
    sink.failWrites = false
    expect(() => journal.append(operationEvent(clock.now()))).toThrow(journal.failed)
    expect(() => journal.appendRows(1, 0, Buffer.alloc(0))).toThrow(journal.failed)
    expect(() => journal.commit()).toThrow(journal.failed)
    // The operator sees why; the client does not.
    expect(journal.failed?.message).not.toContain('ENOSPC')
    expect(journal.failed?.detail).toContain('ENOSPC')
  },
)

test('strict: commit resolves only when its own bytes are synced; commits meanwhile share the next sync', async () => {
  const { journal, sink, clock } = testJournal({ mode: 'strict' })
  const open: (() => void)[] = []
  sink.gate = () => new Promise((resolve) => open.push(resolve))
  const resolved: string[] = []
  const commit = (name: string) => {
    journal.append(operationEvent(clock.now()))
    const done = journal.commit()
    if (done === undefined) throw new Error('strict commit must be a promise')
    void done.then(() => resolved.push(name))
  }
  commit('a')
  commit('b')
  await settle()
  expect(sink.syncs).toBe(1)
  commit('c')
  commit('d')
  await settle()
  expect(sink.syncs).toBe(1)
  open[0]!()
  await settle()
  expect(resolved).toEqual(['a', 'b'])
  expect(sink.syncs).toBe(2)
  expect(sink.synced).toBeLessThan(sink.writes.length)
  open[1]!()
  await settle()
  expect(resolved).toEqual(['a', 'b', 'c', 'd'])
  expect(sink.synced).toBe(sink.writes.length)
  expect(journal.commit()).toBeUndefined()
})

test('strict: only so many files are synced at once, and every one gets its turn', async () => {
  const syncGroup = new SyncGroup({ parallel: 2 })
  let active = 0
  let most = 0
  const journals = ['a', 'b', 'c', 'd', 'e'].map((id) => testJournal({ id, mode: 'strict', syncGroup }))
  const commits = journals.map(({ journal, sink, clock }) => {
    sink.gate = async () => {
      most = Math.max(most, ++active)
      await settle()
      active--
    }
    journal.append(operationEvent(clock.now()))
    return journal.commit()
  })
  await Promise.all(commits)
  expect(most).toBe(2)
  for (const { sink } of journals) expect(sink.synced).toBe(sink.writes.length)
})

test('strict: a sync that fails rejects the commit, and does not touch other sessions', async () => {
  const syncGroup = new SyncGroup()
  const good = testJournal({ id: 'good', mode: 'strict', syncGroup })
  const bad = testJournal({ id: 'bad', mode: 'strict', syncGroup })
  bad.sink.gate = () => Promise.reject(new Error('EIO'))
  for (const { journal, clock } of [good, bad]) journal.append(operationEvent(clock.now()))
  const commits = [good.journal.commit(), bad.journal.commit()]
  await expect(commits[0]).resolves.toBeUndefined()
  await expect(commits[1]).rejects.toThrow(GatewayError)
  expect(good.journal.failed).toBeUndefined()
})

test('after the seal nothing is taken, and sealing again is the same seal', async () => {
  const { journal, sink, clock } = testJournal()
  const first = journal.seal()
  expect(() => journal.append(operationEvent(clock.now()))).toThrow(GatewayError)
  expect(() => journal.commit()).toThrow(GatewayError)
  expect(await journal.seal()).toBe(await first)
  expect(sink.closed).toBe(true)
  expect(sink.synced).toBe(sink.writes.length)
  expect(frameOffsets(sink.bytes)).toHaveLength(3)
})

test('much that is appended before one commit is written in batches of bounded size', async () => {
  const { journal, sink } = testJournal({ limits: { maxPendingBytes: 1000, maxBytesPerOperation: 1e6 } })
  for (let index = 0; index < 50; index++) journal.appendRows(1, 1, rowsBlock([['x'.repeat(100)]]))
  expect(sink.writes.length).toBeGreaterThan(4)
  await journal.seal()
  expect(await readAll(sink.bytes)).toHaveLength(50)
})
