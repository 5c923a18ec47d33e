import fc from 'fast-check'
import { expect, test } from 'vitest'
import { GatewayError } from '../../kernel/index.ts'
import * as decode from './decode.ts'
import * as encode from './encode.ts'
import type { FieldDescription, FrontendMessage } from './messages.ts'

const limits = { maxMessageBytes: 4096 }

function frame(tag: string, body: string | Buffer = '', length?: number): Buffer {
  const bytes = typeof body === 'string' ? Buffer.from(body, 'latin1') : body
  const header = Buffer.alloc(5)
  header.write(tag, 'latin1')
  header.writeInt32BE(length ?? bytes.length + 4, 1)
  return Buffer.concat([header, bytes])
}

/** Decodes at one chunk size, with one reused chunk buffer, as a socket with a reused read buffer would. */
function decodeAll(bytes: Buffer, step: number): FrontendMessage[] {
  const decoder = new decode.FrontendDecoder(limits)
  const messages: FrontendMessage[] = []
  const shared = Buffer.alloc(step)
  for (let at = 0; at < bytes.length; at += step) {
    const length = bytes.copy(shared, 0, at, at + step)
    decoder.push(shared.subarray(0, length))
    messages.push(...decoder.messages())
    expect(decoder.bufferedBytes).toBeLessThan(limits.maxMessageBytes)
  }
  shared.fill(0xff)
  return messages
}

function expectEverySplit(bytes: Buffer, want: readonly object[]): void {
  for (let step = 1; step <= bytes.length; step++) {
    expect(decodeAll(bytes, step).map(({ raw: _raw, ...rest }) => rest)).toEqual(want)
  }
}

test.each([
  { name: 'query', bytes: encode.query('select 1'), want: { kind: 'query', sql: Buffer.from('select 1') } },
  { name: 'empty query', bytes: encode.query(''), want: { kind: 'query', sql: Buffer.from('') } },
  {
    name: 'parse',
    bytes: encode.parse('s1', 'select $1', [23, 4294967295]),
    want: { kind: 'parse', name: 's1', sql: Buffer.from('select $1'), parameterTypes: [23, 4294967295] },
  },
  {
    name: 'bind',
    bytes: encode.bind('p', 's', [Buffer.from([1, 0]), null, ''], [1, 0, 0], [1]),
    want: {
      kind: 'bind',
      portal: 'p',
      statement: 's',
      parameterFormats: [1, 0, 0],
      parameters: [Buffer.from([1, 0]), undefined, Buffer.alloc(0)],
      resultFormats: [1],
    },
  },
  {
    name: 'describe',
    bytes: encode.describe('portal', ''),
    want: { kind: 'describe', target: 'portal', name: '' },
  },
  { name: 'execute', bytes: encode.execute('p', 50), want: { kind: 'execute', portal: 'p', maxRows: 50 } },
  { name: 'close', bytes: encode.close('statement', 's'), want: { kind: 'close', target: 'statement', name: 's' } },
  { name: 'sync', bytes: encode.sync(), want: { kind: 'sync' } },
  { name: 'flush', bytes: encode.flush(), want: { kind: 'flush' } },
  { name: 'terminate', bytes: encode.terminate(), want: { kind: 'terminate' } },
  {
    name: 'copy data',
    bytes: encode.copyData(Buffer.from('a\tb\n')),
    want: { kind: 'copyData', data: Buffer.from('a\tb\n') },
  },
  { name: 'copy done', bytes: encode.copyDone(), want: { kind: 'copyDone' } },
  { name: 'copy fail', bytes: encode.copyFail('no'), want: { kind: 'copyFail', message: Buffer.from('no') } },
  { name: 'function call', bytes: frame('F', '\0\0\0\u0001\0\0\0\0\0\0'), want: { kind: 'functionCall' } },
  { name: 'password', bytes: encode.password('x'), want: { kind: 'password', data: Buffer.from('x\0') } },
  { name: 'an unknown tag', bytes: frame('~', 'abc'), want: { kind: 'opaque', tag: 0x7e } },
])('$name, at every chunk size, alone and twice', ({ bytes, want }) => {
  expectEverySplit(bytes, [want])
  expectEverySplit(Buffer.concat([bytes, bytes]), [want, want])
})

test('names that differ in one byte stay different, whatever their encoding', () => {
  const [first, second] = decodeAll(Buffer.concat([frame('D', 'S\u00e9\0'), frame('D', 'S\u00ff\0')]), 7) as Extract<
    FrontendMessage,
    { kind: 'describe' }
  >[]
  expect(first?.name).not.toBe(second?.name)
})

test('messages own their bytes', () => {
  const bytes = encode.query('select 1')
  const [message] = decodeAll(bytes, bytes.length)
  expect(message?.raw.equals(bytes)).toBe(true)
})

const short = Buffer.alloc(2)
test.each([
  { name: 'a query without an end', bytes: frame('Q', 'select 1') },
  { name: 'a query with bytes behind its end', bytes: frame('Q', 'select 1\0drop table users\0') },
  { name: 'a parse that promises types', bytes: frame('P', 's\0select\0\0\u0002') },
  { name: 'a parse with bytes left over', bytes: frame('P', 's\0select\0\0\0x') },
  { name: 'a bind with a negative length', bytes: frame('B', '\0\0\0\0\0\u0001\u00ff\u00ff\u00ff\u00fe\0\0') },
  { name: 'a bind whose value is cut', bytes: frame('B', '\0\0\0\0\0\u0001\0\0\0\u0009ab\0\0') },
  { name: 'a bind with format 2', bytes: frame('B', '\0\0\0\u0001\0\u0002\0\0\0\0') },
  { name: 'a bind with two formats for one value', bytes: encode.bind('', '', ['a'], [0, 1]) },
  { name: 'a describe of something else', bytes: frame('D', 'X\0') },
  { name: 'an execute that is too short', bytes: frame('E', '\0\0\0') },
  { name: 'a sync with a body', bytes: frame('S', 'x') },
  { name: 'a terminate with a body', bytes: frame('X', short) },
])('$name is malformed at every chunk size, after what came before it', ({ bytes }) => {
  const stream = Buffer.concat([encode.sync(), bytes, encode.query('never')])
  for (let step = 1; step <= stream.length; step++) {
    const decoder = new decode.FrontendDecoder(limits)
    const seen: string[] = []
    const run = () => {
      for (let at = 0; at < stream.length; at += step) {
        decoder.push(stream.subarray(at, at + step))
        for (const message of decoder.messages()) seen.push(message.kind)
      }
    }
    expect(run).toThrow(expect.objectContaining({ code: 'pg.malformed' }))
    expect(seen).toEqual(['sync'])
    expect(() => [...decoder.messages()]).toThrow(expect.objectContaining({ code: 'pg.malformed' }))
  }
})

test.each([
  ['1 GiB', 1 << 30],
  ['the most an Int32 holds', 0x7fffffff],
  ['a negative length', -1],
  ['a length shorter than itself', 3],
  ['one byte over the limit', 4096],
])('%s is refused as soon as it is seen, and nothing more is kept', (_name, length) => {
  const decoder = new decode.FrontendDecoder(limits)
  decoder.push(Buffer.concat([encode.sync(), frame('Q', 'x', length)]))
  const seen: string[] = []
  const run = () => {
    for (const message of decoder.messages()) seen.push(message.kind)
  }
  expect(run).toThrow(expect.objectContaining({ code: 'pg.frame_length' }))
  expect(seen).toEqual(['sync'])
  for (let i = 0; i < 100; i++) decoder.push(Buffer.alloc(1000))
  expect(decoder.bufferedBytes).toBe(0)
  const framer = new decode.BackendFramer(limits)
  const bytes = frame('D', 'x', length)
  expect(() => framer.push(bytes, () => undefined)).toThrow(expect.objectContaining({ code: 'target.protocol' }))
  const slow = new decode.BackendFramer(limits)
  const trickle = () => {
    for (const byte of bytes) slow.push(Buffer.from([byte]), () => undefined)
  }
  expect(trickle).toThrow(expect.objectContaining({ code: 'target.protocol' }))
})

test('a frame of exactly the limit passes', () => {
  const bytes = encode.query('x'.repeat(limits.maxMessageBytes - 6))
  expect(bytes).toHaveLength(limits.maxMessageBytes)
  expect(decodeAll(bytes, 100)).toHaveLength(1)
  const frames: number[] = []
  new decode.BackendFramer(limits).push(bytes, (tag) => frames.push(tag))
  expect(frames).toEqual([0x51])
})

test('property: any bytes in any chunks decode or end in one GatewayError, within the limit', () => {
  const tagged = fc
    .tuple(fc.constantFrom(...'QPBDECSHXdcfFp~'), fc.uint8Array({ maxLength: 40 }))
    .map(([tag, body]) => frame(tag, Buffer.from(body)))
  const pieces = fc.array(fc.oneof(tagged, fc.uint8Array({ maxLength: 60 })), { maxLength: 12 })
  fc.assert(
    fc.property(pieces, fc.integer({ min: 1, max: 80 }), (parts, step) => {
      const bytes = Buffer.concat(parts)
      const decoder = new decode.FrontendDecoder({ maxMessageBytes: 64 })
      let consumed = 0
      try {
        for (let at = 0; at < bytes.length; at += step) {
          decoder.push(bytes.subarray(at, at + step))
          for (const message of decoder.messages()) {
            expect(message.raw.equals(bytes.subarray(consumed, consumed + message.raw.length))).toBe(true)
            consumed += message.raw.length
          }
          expect(decoder.bufferedBytes).toBeLessThan(64)
        }
        expect(consumed + decoder.bufferedBytes).toBe(bytes.length)
      } catch (error) {
        expect(error).toBeInstanceOf(GatewayError)
      }
    }),
    { numRuns: 1000 },
  )
})

test('property: the framer answers every byte once and in order, whatever the chunks', () => {
  const frames = fc.array(fc.uint8Array({ maxLength: 300 }), { minLength: 1, maxLength: 20 })
  fc.assert(
    fc.property(frames, fc.integer({ min: 1, max: 500 }), (bodies, step) => {
      const bytes = Buffer.concat(bodies.map((body) => frame('D', Buffer.from(body))))
      const framer = new decode.BackendFramer(limits)
      const seen: Buffer[] = []
      const shared = Buffer.alloc(step)
      for (let at = 0; at < bytes.length; at += step) {
        const length = bytes.copy(shared, 0, at, at + step)
        framer.push(shared.subarray(0, length), (tag, buffer, start, end) => {
          expect(tag).toBe(0x44)
          seen.push(Buffer.from(buffer.subarray(start, end)))
        })
      }
      expect(seen).toHaveLength(bodies.length)
      expect(Buffer.concat(seen).equals(bytes)).toBe(true)
      expect(framer.bufferedBytes).toBe(0)
    }),
  )
})

test('property: any bytes are framed or refused, and the parsers refuse with target.protocol', () => {
  const parsers = Object.entries(decode).filter(([name]) => name.startsWith('parse'))
  expect(parsers.length).toBeGreaterThan(8)
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 120 }), (body) => {
      const bytes = frame('T', Buffer.from(body))
      for (const [, parser] of parsers) {
        try {
          ;(parser as (buffer: Buffer, start: number, end: number) => unknown)(bytes, 0, bytes.length)
        } catch (error) {
          expect(error).toMatchObject({ code: 'target.protocol' })
        }
      }
      try {
        new decode.BackendFramer(limits).push(Buffer.from(body), () => undefined)
      } catch (error) {
        expect(error).toMatchObject({ code: 'target.protocol' })
      }
    }),
    { numRuns: 1000 },
  )
})

/** Parses a frame from the middle of a larger buffer, as the framer hands it out. */
function within<T>(bytes: Buffer, parser: (buffer: Buffer, start: number, end: number) => T): T {
  return parser(Buffer.concat([Buffer.alloc(9, 1), bytes, Buffer.alloc(9, 1)]), 9, 9 + bytes.length)
}

test('what a server sends is read as it was written', () => {
  const field: FieldDescription = {
    name: 'größe',
    tableOid: 4000000000,
    attribute: -1,
    typeOid: 25,
    typeSize: -1,
    typeModifier: -1,
    format: 1,
  }
  expect(within(encode.rowDescription([field]), decode.parseRowDescription)).toEqual([field])
  expect(within(encode.dataRow(['a', null, Buffer.from([0])]), decode.parseDataRow)).toEqual([
    Buffer.from('a'),
    undefined,
    Buffer.from([0]),
  ])
  expect(within(encode.parameterStatus('TimeZone', 'UTC'), decode.parseParameterStatus)).toEqual({
    name: 'TimeZone',
    value: 'UTC',
  })
  expect(within(encode.commandComplete('SELECT 5'), decode.parseCommandComplete)).toBe('SELECT 5')
  expect(within(encode.readyForQuery('T'), decode.parseReadyForQuery)).toBe('T')
  const secret = Buffer.alloc(256, 3)
  expect(within(encode.backendKeyData(-7, secret), decode.parseBackendKeyData)).toEqual({ pid: -7, secret })
  expect(within(frame('G', '\u0001\0\u0002\0\u0001\0\0'), decode.parseCopyResponse)).toEqual({
    format: 1,
    columnFormats: [1, 0],
  })
  expect(within(frame('A', '\0\0\0\u0005ch\0text\0'), decode.parseNotificationResponse)).toEqual({
    pid: 5,
    channel: 'ch',
    payload: 'text',
  })
  expect(within(frame('t', '\0\u0001\0\0\0\u0017'), decode.parseParameterDescription)).toEqual([23])
})

test("an error shows the rule, the code and the next step, never the operator's detail", () => {
  const error = new GatewayError('policy.denied', 'No\0 way.', { rule: 'freeze', detail: '10.0.0.7 said hunter2' })
  const bytes = encode.errorResponse(error)
  expect(Object.fromEntries(within(bytes, decode.parseDiagnostic))).toEqual({
    S: 'ERROR',
    V: 'ERROR',
    C: '42501',
    M: 'No way.',
    D: 'rule freeze (code policy.denied)',
    H: error.row.help,
  })
  expect(bytes.toString('latin1')).not.toContain('hunter2')
  const fatal = within(encode.errorResponse(new GatewayError('auth.failed', 'x'), 'FATAL'), decode.parseDiagnostic)
  expect([fatal.get('S'), fatal.get('D')]).toEqual(['FATAL', 'code auth.failed'])
  const letters = new Map([
    ['S', 'HINWEIS'],
    ['V', 'NOTICE'],
    ['C', '00000'],
    ['M', 'm'],
  ])
  expect(within(encode.notice(letters), decode.parseDiagnostic)).toEqual(letters)
  expect(within(encode.notice({ message: 'wait' }), decode.parseDiagnostic).get('V')).toBe('NOTICE')
})

test('a message with a statement has a limit of its own, checked before its body is buffered', () => {
  const decoder = new decode.FrontendDecoder({ maxMessageBytes: 1_000_000, maxStatementMessageBytes: 100 })
  const header = Buffer.from([0x51, 0, 0, 0, 101])
  decoder.push(header)
  expect(() => [...decoder.messages()]).toThrow(expect.objectContaining({ code: 'pg.frame_length' }))
  expect(decoder.bufferedBytes).toBe(0)
  const other = new decode.FrontendDecoder({ maxMessageBytes: 1_000_000, maxStatementMessageBytes: 100 })
  other.push(Buffer.from([0x64, 0, 0, 0, 101, ...Buffer.alloc(97)]))
  expect([...other.messages()].map(({ kind }) => kind)).toEqual(['copyData'])
})
