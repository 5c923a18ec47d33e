import { expect, test } from 'vitest'
import type { RecordingEvent } from './events.ts'
import { operationEvent, rowsBlock } from './test/support.ts'
import { TotalsCount } from './totals.ts'

const at = 1
const denied = { ...operationEvent(at, 2).decision, kind: 'deny' } as const
const omitted = { at, operation: 1, digest: '', reason: 'cap' } as const
const review = { type: 'review', at, operation: 3, review: 'r_1', by: [], reason: '' } as const
const cells = rowsBlock([['a'], ['b']])
const events: readonly RecordingEvent[] = [
  operationEvent(at, 1),
  { type: 'rows', at, operation: 1, count: 2, rowHeaderBytes: 0, cells },
  { type: 'rows_omitted', ...omitted, count: 5, bytes: 100 },
  { ...operationEvent(at, 2), decision: denied },
  operationEvent(at, 3),
  { ...review, state: 'requested' },
  { ...review, state: 'expired' },
  { type: 'copy_data', at, operation: 3, direction: 'in', data: Buffer.alloc(1000) },
  { type: 'copy_data', at, operation: 3, direction: 'out', data: Buffer.alloc(10) },
  { type: 'copy_omitted', ...omitted, direction: 'out', bytes: 20 },
  { type: 'refused', at, code: 'pg.unsupported', message: '' },
]

test('a recording tells what its session did', () => {
  const count = new TotalsCount()
  for (const event of events) count.add(event)
  expect(count.totals).toEqual({ operations: 3, rowsReturned: 7, bytesReturned: cells.length + 130, denied: 3 })
  const totals = { operations: 9, rowsReturned: 8, bytesReturned: 7, denied: 6 }
  count.add({ type: 'session_ended', at, reason: '', totals })
  expect(count.totals).toEqual(totals)
})
