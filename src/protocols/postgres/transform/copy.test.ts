import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { GatewayError, type MaskInstruction } from '../../../kernel/index.ts'
import type { FieldDescription, Format } from '../messages.ts'
import { OID } from '../types.ts'
import { type CopyOutOptions, CopyOutTransformer } from './copy.ts'
import { readEscapes, writeEscapes } from './copy-text.ts'
import { planResult } from './plan.ts'
import { card, DETECT_CARDS, field, int32, maskColumns, masker, shop } from './test/shop.ts'

const CARD = '4111111111111111'
const MASKED = '************1111'
const LAST4 = [maskColumns('last4', 'payments.card')]

const DEFAULTS: CopyOutOptions['options'] = {
  delimiter: undefined,
  null: undefined,
  quote: undefined,
  escape: undefined,
  header: 'none',
  encoding: undefined,
  unknown: [],
}

interface Setup {
  readonly format: CopyOutOptions['format']
  readonly options?: Partial<CopyOutOptions['options']>
  readonly masks?: readonly MaskInstruction[]
  readonly fields?: readonly FieldDescription[]
  readonly maxRowBytes?: number
}

/** By default three columns, of which the middle one is masked. */
function transformer({ format, options, masks = LAST4, fields, maxRowBytes = 10_000 }: Setup): CopyOutTransformer {
  const wire: Format = format === 'binary' ? 1 : 0
  const columns = fields ?? [field('id', OID.int4, wire), card(OID.text, wire), field('note', OID.text, wire)]
  const plan = planResult(columns, { masks, masker, catalog: shop, computedIsProtected: false })
  return new CopyOutTransformer(plan, { format, options: { ...DEFAULTS, ...options }, maxRowBytes })
}

/** Pushes the stream in pieces and answers all that came out. */
function stream(copy: CopyOutTransformer, data: Buffer | string, step = Number.POSITIVE_INFINITY): Buffer {
  const bytes = Buffer.from(data)
  const out: Buffer[] = []
  for (let at = 0; at < bytes.length; at += step) {
    const borrowed = Buffer.from(bytes.subarray(at, at + step))
    const ready = copy.push(borrowed)
    borrowed.fill(0x3f) // what came out must not point into what was borrowed
    if (ready !== undefined) out.push(ready)
  }
  copy.finish()
  return Buffer.concat(out)
}

const single = [card(OID.text)]
const one: Partial<Setup> = { fields: single }

const TEXT: readonly (readonly [string, Partial<Setup>, string, string])[] = [
  ['a plain row', {}, `1\t${CARD}\tnote\n`, `1\t${MASKED}\tnote\n`],
  ['NULL', {}, '1\t\\N\t\\N\n', '1\t\\N\t\\N\n'],
  ['a value that only looks like NULL', {}, '1\t\\\\N\tx\n', '1\t[redacted]\tx\n'],
  ['escapes beside it stay as they are', {}, `1\t${CARD}\ta\\tb\\nc\\\\d\\.\n`, `1\t${MASKED}\ta\\tb\\nc\\\\d\\.\n`],
  ['escapes within it are read', one, '4111\\x31111\\0611111111\n', `${MASKED}\n`],
  ['an escaped newline is part of a value', { ...one, masks: [DETECT_CARDS] }, `a\\\n${CARD}\n`, 'a\\n[redacted]\n'],
  ['an escaped delimiter', {}, `1\t${CARD}\\\t\tx\n`, `1\t${MASKED}\tx\n`],
  ['another delimiter', { options: { delimiter: '|' } }, `1|${CARD}|a\tb\n`, `1|${MASKED}|a\tb\n`],
  [
    'a delimiter that the mask holds',
    { options: { delimiter: '*' } },
    `1*${CARD}*x\n`,
    `1*${'\\*'.repeat(12)}1111*x\n`,
  ],
  ['another NULL', { options: { null: '-' } }, '1\tx\t-\n', '1\t[redacted]\t-\n'],
  ['a NULL chosen to spell a value', { options: { null: CARD } }, `1\t${CARD}\t${CARD}\n`, `1\t${MASKED}\t${CARD}\n`],
  [
    'a header',
    { options: { header: 'names' } },
    `id\tcard\tnote\n1\t${CARD}\tx\n`,
    `id\tcard\tnote\n1\t${MASKED}\tx\n`,
  ],
  ['an end marker', one, `${CARD}\n\\.\n`, `${MASKED}\n\\.\n`],
  ['an empty value', one, '\n', '[redacted]\n'],
  ['no columns', { fields: [] }, '\n\n', '\n\n'],
  ['what detectors find', { masks: [DETECT_CARDS] }, `1\tx\tsee ${CARD}\\t\n`, '1\tx\tsee [redacted]\\t\n'],
  [
    'bytea',
    { fields: [field('b', OID.bytea)], masks: [DETECT_CARDS] },
    `\\\\x${Buffer.from(CARD).toString('hex')}\n`,
    '\\N\n',
  ],
]

const CSV: readonly (readonly [string, Partial<Setup>, string, string])[] = [
  ['a plain row', {}, `1,${CARD},note\n`, `1,${MASKED},note\n`],
  ['NULL and the empty string', {}, '1,,""\n1,"",\n', '1,,""\n1,"[redacted]",\n'],
  ['quotes, newlines and delimiters', {}, `1,"${CARD}","a ""b"",\nc"\n`, `1,"${MASKED}","a ""b"",\nc"\n`],
  [
    'another quote and escape',
    { options: { quote: "'", escape: '\\' } },
    `1,'${CARD}','a\\'b\\\\'\n`,
    `1,'${MASKED}','a\\'b\\\\'\n`,
  ],
  ['another delimiter', { options: { delimiter: ';' } }, `1;${CARD};a,b\n`, `1;${MASKED};a,b\n`],
  ['a mask that needs quotes', { options: { delimiter: '*' } }, `1*${CARD}*x\n`, `1*"${MASKED}"*x\n`],
  ['a mask that looks like NULL', { options: { null: '[redacted]' } }, '1,abc,\n', '1,"[redacted]",\n'],
  [
    'a header over two lines',
    { options: { header: 'names' } },
    `id,"ca\nrd",n\n1,${CARD},x\n`,
    `id,"ca\nrd",n\n1,${MASKED},x\n`,
  ],
  ['a quoted end marker', one, '"\\."\n', '"[redacted]"\n'],
  ['what detectors find', { masks: [DETECT_CARDS] }, `1,x,"see ""${CARD}"""\n`, '1,x,"see ""[redacted]"""\n'],
  [
    'a JSON column',
    { fields: [field('j', OID.json)], masks: [DETECT_CARDS] },
    `"{""a"": ""${CARD}""}"\n`,
    '"{""a"": ""[redacted]""}"\n',
  ],
]

describe.each([
  { format: 'text' as const, cases: TEXT },
  { format: 'csv' as const, cases: CSV },
])('$format', ({ format, cases }) => {
  test.each(cases)('%s, at every chunk size', (_name, setup, sent, wanted) => {
    for (let step = 1; step <= sent.length; step++)
      expect(stream(transformer({ format, ...setup }), sent, step).toString()).toBe(wanted)
  })
})

test.each([
  ['text', 'too few columns', `1\t${CARD}\n`],
  ['text', 'too many columns', `1\t${CARD}\tx\ty\n`],
  ['text', 'an unfinished row', `1\t${CARD}\tx`],
  ['text', 'rows after the end', '\\.\n1\ta\tb\n'],
  ['csv', 'too few columns', `1,${CARD}\n`],
  ['csv', 'too many columns', `1,${CARD},x,y\n`],
  ['csv', 'an open quote', `1,"${CARD},x\n`],
  ['csv', 'a quote within a value', `1,a"b",x\n`],
  ['csv', 'a value after its quote', `1,"a"b,x\n`],
  ['binary', 'no signature', 'PGCOPX\n'],
  ['binary', 'nothing', ''],
] as const)('%s with %s is withheld', (format, _name, sent) => {
  const copy = transformer({ format })
  expect(() => stream(copy, sent)).toThrow(expect.objectContaining({ code: 'target.protocol' }))
})

test('a row over the limit is refused before it is buffered whole', () => {
  for (const [format, sent] of [
    ['text', 'x'],
    ['csv', '"x'],
    ['binary', ''],
  ] as const) {
    const copy = transformer({ format, maxRowBytes: 100 })
    if (format === 'binary') copy.push(Buffer.concat([HEADER, Buffer.from([0, 3]), int32(0x7fff_ffff)]))
    else copy.push(Buffer.from(sent))
    expect(() => {
      for (let i = 0; i < 200; i++) copy.push(Buffer.from('y'))
    }).toThrow(expect.objectContaining({ code: 'mask.failed' }))
  }
})

test.each([
  [{ format: 'other' as const }, 'pg.unsupported'],
  [{ format: 'text' as const, options: { unknown: ['on_error'] } }, 'pg.unsupported'],
  [{ format: 'text' as const, options: { delimiter: '||' } }, 'pg.unsupported'],
  [{ format: 'csv' as const, options: { quote: '\n' } }, 'pg.unsupported'],
  [{ format: 'text' as const, options: { encoding: 'SJIS' } }, 'sql.encoding'],
  [{ format: 'csv' as const, options: { encoding: 'gb18030' } }, 'sql.encoding'],
])('%o is refused', (setup, code) => {
  expect(() => transformer(setup)).toThrow(expect.objectContaining({ code }))
})

test.each(['utf-8', 'LATIN1', 'iso_8859_5', 'SQL_ASCII', 'EUC_JP'])('%s keeps ASCII, so it is read', (encoding) => {
  expect(stream(transformer({ format: 'text', options: { encoding } }), `1\t${CARD}\tx\n`).toString()).toContain(MASKED)
})

test("the target's announcement must be what was planned", () => {
  const copy = transformer({ format: 'text' })
  copy.start({ format: 0, columnFormats: [0, 0, 0] })
  for (const response of [
    { format: 1 as const, columnFormats: [1, 1, 1] as const },
    { format: 0 as const, columnFormats: [0, 0] as const },
    { format: 0 as const, columnFormats: [0, 1, 0] as const },
  ])
    expect(() => copy.start(response)).toThrow(expect.objectContaining({ code: 'target.protocol' }))
})

const HEADER = Buffer.concat([Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1'), int32(0), int32(0)])
const TRAILER = Buffer.from([255, 255])

function tuple(...cells: readonly (Buffer | string | null)[]): Buffer {
  const parts = cells.map((cell) =>
    cell === null ? int32(-1) : Buffer.concat([int32(Buffer.byteLength(cell)), Buffer.from(cell)]),
  )
  return Buffer.concat([Buffer.from([0, cells.length]), ...parts])
}

describe('binary', () => {
  const copy = () => transformer({ format: 'binary' })
  const id = Buffer.from([0, 0, 0, 1])

  test('values, NULLs and the trailer, at every chunk size', () => {
    const sent = Buffer.concat([HEADER, tuple(id, CARD, 'x'), tuple(null, null, null), tuple(id, '', ''), TRAILER])
    const wanted = [HEADER, tuple(id, MASKED, 'x'), tuple(null, null, null), tuple(id, '[redacted]', ''), TRAILER]
    for (let step = 1; step <= sent.length; step++) {
      const each = copy()
      expect(stream(each, sent, step)).toEqual(Buffer.concat(wanted))
      expect(each.rows).toBe(3)
    }
  })

  test('a type that takes no text becomes NULL', () => {
    const fields = [card(OID.uuid, 1)]
    const sent = Buffer.concat([HEADER, tuple(Buffer.alloc(16)), TRAILER])
    expect(stream(transformer({ format: 'binary', fields }), sent)).toEqual(
      Buffer.concat([HEADER, tuple(null), TRAILER]),
    )
  })

  test('a header extension passes', () => {
    const extended = Buffer.concat([HEADER.subarray(0, 15), int32(3), Buffer.from('abc')])
    const sent = Buffer.concat([extended, tuple(id, 'a', 'b'), TRAILER])
    expect(stream(copy(), sent).subarray(0, 22)).toEqual(extended)
  })

  test.each([
    ['row OIDs', Buffer.concat([HEADER.subarray(0, 11), int32(0x1_0000), int32(0), TRAILER])],
    ['unknown critical flags', Buffer.concat([HEADER.subarray(0, 11), int32(-0x8000_0000), int32(0), TRAILER])],
    ['a huge extension', Buffer.concat([HEADER.subarray(0, 15), int32(0x7fff_ffff)])],
    ['no trailer', Buffer.concat([HEADER, tuple(id, 'a', 'b')])],
    ['rows after the trailer', Buffer.concat([HEADER, TRAILER, tuple(id, 'a', 'b')])],
    ['another number of columns', Buffer.concat([HEADER, tuple(id, 'a'), TRAILER])],
    ['a negative length', Buffer.concat([HEADER, Buffer.from([0, 3]), int32(-2), TRAILER])],
    ['half a row', Buffer.concat([HEADER, tuple(id, 'a', 'b').subarray(0, 9)])],
  ])('%s is withheld', (_name, sent) => {
    expect(() => stream(copy(), sent)).toThrow(expect.objectContaining({ code: 'target.protocol' }))
  })
})

test('escapes: what is written is read back', () => {
  fc.assert(
    fc.property(fc.uint8Array(), fc.constantFrom(9, 0x7c, 0x2c), (bytes, delimiter) => {
      const value = Buffer.from(bytes)
      const written = writeEscapes(value, delimiter)
      expect(readEscapes(written)).toEqual(value)
      expect(written.includes(10)).toBe(false)
    }),
  )
})

test.each(['text', 'csv'] as const)('%s: columns that pass keep every byte, however the stream is cut', (format) => {
  const value = fc.string({ unit: fc.constantFrom('a', '"', '\\', ',', '\n', '\t', '1', 'é', ' ', '\r') })
  fc.assert(
    fc.property(fc.array(fc.tuple(value, value), { maxLength: 8 }), fc.integer({ min: 1, max: 40 }), (rows, step) => {
      const spell = (text: string) =>
        format === 'text' ? writeEscapes(Buffer.from(text), 9).toString() : `"${text.replaceAll('"', '""')}"`
      const separator = format === 'text' ? '\t' : ','
      const line = (cells: readonly string[]) => `${cells.join(separator)}\n`
      const sent = rows.map(([a, b]) => line([spell(a), spell(`${b}x`), spell(b)])).join('')
      const redacted = spell('[redacted]')
      const wanted = rows.map(([a, b]) => line([spell(a), redacted, spell(b)])).join('')
      const masks = [maskColumns('redact', 'payments.card')]
      expect(stream(transformer({ format, masks }), sent, step).toString()).toBe(wanted)
    }),
  )
})

test.each(['text', 'csv', 'binary'] as const)('%s: any bytes come out or give one clean error', (format) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), fc.boolean(), (bytes, begin) => {
      const data = begin && format === 'binary' ? Buffer.concat([HEADER, bytes]) : Buffer.from(bytes)
      try {
        stream(transformer({ format }), data, 7)
      } catch (error) {
        expect(error).toBeInstanceOf(GatewayError)
      }
    }),
  )
})
