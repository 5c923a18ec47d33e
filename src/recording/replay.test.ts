import { expect, test } from 'vitest'
import { exportJsonLines, exportOcsf, type RecordingEvent, renderReplay, safeText } from './index.ts'
import { FACTS, operationEvent, rowsBlock, testSession } from './test/support.ts'

const AT = Date.UTC(2026, 10, 23, 12, 0, 0, 5)

const result = (operation: number, status: 'completed' | 'failed' = 'completed') =>
  ({
    type: 'result',
    at: AT,
    operation,
    status,
    tag: status === 'completed' ? 'SELECT 3' : '',
    rows: 3,
    bytes: 60,
    durationMicros: 1234,
    maskedValues: { emails: 2 },
    ...(status === 'failed' ? { error: { code: '22012', message: 'division by zero' } } : {}),
  }) as const

const EVENTS: RecordingEvent[] = [
  { type: 'session_started', at: AT, session: testSession() },
  operationEvent(AT),
  {
    type: 'columns',
    at: AT,
    operation: 1,
    result: 0,
    columns: [
      { name: 'email', type: 'text', format: 'text', treatment: 'mask', rule: 'emails' },
      { name: 'photo', type: 'bytea', format: 'binary', treatment: 'pass' },
    ],
  },
  {
    type: 'rows',
    at: AT,
    operation: 1,
    count: 2,
    rowHeaderBytes: 0,
    cells: rowsBlock([
      ['a***@b.example', 'AB'],
      [null, ''],
    ]),
  },
  { type: 'rows_omitted', at: AT, operation: 1, count: 1, bytes: 10, digest: 'd', reason: 'cap' },
  result(1),
  {
    ...operationEvent(AT, 2, 'drop table payments;\n-- \u001b]0;owned\u0007 \u202e'),
    facts: { ...FACTS, kind: 'drop' },
    decision: { kind: 'deny', rule: 'no-ddl', reason: 'Ask first.', masks: [], observed: [], code: 'policy.denied' },
  },
  {
    ...operationEvent(AT, 3, 'delete from payments'),
    facts: { ...FACTS, kind: 'delete' },
    decision: {
      kind: 'hold',
      rule: 'big-delete',
      reason: '',
      masks: [],
      observed: [{ rule: 'new', wouldHave: 'deny' }],
    },
  },
  { type: 'review', at: AT, operation: 3, review: 'r-1', state: 'requested', by: [], reason: '' },
  { type: 'review', at: AT, operation: 3, review: 'r-1', state: 'approved', by: ['bob'], reason: 'fine' },
  result(3, 'failed'),
  { type: 'interrupted', at: AT, tornBytes: 12, tornDigest: 'x' },
]

async function linesOf(lines: AsyncIterable<string>): Promise<string[]> {
  const all: string[] = []
  for await (const line of lines) all.push(line)
  return all
}

test('a timeline with who, what, the decision, the rows and the reviews', async () => {
  const lines = await linesOf(renderReplay(EVENTS))
  expect(lines).toEqual([
    'Session session-1, started 2026-11-23T12:00:00.000Z',
    '  who     alice via claude-code <alice@shop.example>, from 192.0.2.7',
    '  target  shop (postgres), access level read',
    '',
    '12:00:00.005  #1 select email from customers',
    '               $1 text = O’Brien',
    '               allowed with masks by emails: personal data',
    '               masks: emails',
    '                email              | photo',
    '                (masked by emails) |',
    '               --------------------+--------',
    '                a***@b.example     | \\x4142',
    '                NULL               | \\x',
    '                … and 1 more rows, 1 of them counted and hashed but not kept',
    '12:00:00.005  #1 completed SELECT 3 (3 rows, 1.2 ms; values masked: 2 by emails)',
    '12:00:00.005  #2 drop table payments;',
    '                 -- \\x1b]0;owned\\x07 \\u{202e}',
    '               $1 text = O’Brien',
    '               DENIED by no-ddl: Ask first.',
    '12:00:00.005  #3 delete from payments',
    '               $1 text = O’Brien',
    '               held for review by big-delete',
    '               observed: new would have said deny',
    '12:00:00.005  #3 review r-1 requested',
    '12:00:00.005  #3 review r-1 approved by bob: fine',
    '12:00:00.005  #3 failed 22012 division by zero (3 rows, 1.2 ms; values masked: 2 by emails)',
    '12:00:00.005  the gateway stopped here; the recording was closed when it started again.' +
      ' A write of 12 bytes was cut off; nothing in it was released.',
  ])
})

test('fewer rows when asked', async () => {
  const lines = await linesOf(renderReplay(EVENTS, { rows: 1 }))
  expect(lines.filter((line) => line.includes('NULL'))).toEqual([])
  expect(lines.join('\n')).toContain('and 2 more rows')
})

test('no recorded text reaches the terminal as a control, wherever it stands', async () => {
  const evil = '\u001b[2J\u009b1m\u202e\u2028\r\n\u0000\ud800'
  const poison = (value: unknown): unknown => {
    if (typeof value === 'string') return `${value}${evil}`
    if (Buffer.isBuffer(value)) return rowsBlock([[evil, evil]])
    if (Array.isArray(value)) return value.map(poison)
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(
      Object.entries(value).map(([key, one]) => {
        const fixed = ['type', 'kind', 'state', 'status', 'treatment', 'format', 'level', 'wouldHave'].includes(key)
        return [key === 'emails' ? evil : key, fixed ? one : poison(one)]
      }),
    )
  }
  const more: RecordingEvent[] = [
    { type: 'notice', at: AT, severity: 'NOTICE', code: '00000', message: 'm' },
    { type: 'setting_changed', at: AT, name: 'n', value: 'v' },
    { type: 'refused', at: AT, code: 'c', message: 'm' },
    { type: 'cancel', at: AT, by: 'client' },
    { type: 'inquiry', at: AT, operation: 1, purpose: 'p', text: 't' },
    {
      type: 'session_ended',
      at: AT,
      reason: 'r',
      totals: { operations: 1, rowsReturned: 1, bytesReturned: 1, denied: 0 },
    },
  ]
  const text = (await linesOf(renderReplay([...EVENTS, ...more].map((event) => poison(event) as RecordingEvent)))).join(
    '',
  )
  expect(text).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u2028-\u202e\ud800-\udfff]/)
  expect(safeText('plain – ünïcode 😀')).toBe('plain – ünïcode 😀')
})

test('JSON lines: every event, cells as strings', async () => {
  const lines = (await linesOf(exportJsonLines(EVENTS))).map((line) => JSON.parse(line))
  expect(lines).toHaveLength(EVENTS.length)
  expect(lines[3]).toEqual({
    type: 'rows',
    at: AT,
    operation: 1,
    count: 2,
    rows: [
      ['a***@b.example', '\\x4142'],
      [null, '\\x'],
    ],
  })
})

test('OCSF: one datastore activity per operation', async () => {
  const lines = (await linesOf(exportOcsf(EVENTS))).map((line) => JSON.parse(line))
  expect(lines).toMatchObject([
    { class_uid: 6005, type_uid: 600504, status_id: 1, action_id: 1, actor: { user: { name: 'alice' } } },
    { activity_id: 7, status_id: 2, action_id: 2, disposition_id: 2, policy: { name: 'no-ddl' } },
    { activity_id: 7, status_id: 2, action_id: 1, status_code: '22012', unmapped: { review: { by: ['bob'] } } },
  ])
  expect(lines[0].metadata).toMatchObject({ version: '1.5.0', correlation_uid: 'session-1' })
})
