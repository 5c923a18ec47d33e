import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { GatewayError, MASK_KINDS, type MaskInstruction } from '../../../kernel/index.ts'
import { parseDataRow } from '../decode.ts'
import { dataRow } from '../encode.ts'
import type { FieldDescription, Format } from '../messages.ts'
import { OID } from '../types.ts'
import { type PlanContext, planResult } from './plan.ts'
import { transformRows } from './rows.ts'
import {
  binaryArray,
  binaryComposite,
  card,
  DETECT_CARDS,
  field,
  maskColumns,
  masker,
  PAIR,
  PAYMENTS,
  shop,
} from './test/shop.ts'

const CARD = '4111111111111111'

function context(masks: readonly MaskInstruction[], computedIsProtected = false): PlanContext {
  return { masks, masker, catalog: shop, computedIsProtected }
}

/** Runs one row through, inside a larger buffer as it comes from the network; answers the cells. */
function run(fields: readonly FieldDescription[], cells: readonly (Buffer | string | null)[], given: PlanContext) {
  const plan = planResult(fields, given)
  const frame = dataRow(cells)
  const around = Buffer.concat([Buffer.from('before'), frame, Buffer.from('after')])
  const changed = transformRows(plan, around, 6, 6 + frame.length)
  expect(around).toEqual(Buffer.concat([Buffer.from('before'), frame, Buffer.from('after')])) // only borrowed
  return { plan, changed, cells: changed === undefined ? undefined : parseDataRow(changed, 0, changed.length) }
}

/** One cell; `same` when it was left alone. */
function one(described: FieldDescription, cell: Buffer | string, given: PlanContext): Buffer | undefined | 'same' {
  const { cells } = run([described], [cell], given)
  return cells === undefined ? 'same' : cells[0]
}

function int8(value: bigint): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigInt64BE(value)
  return bytes
}

/** `numeric_send` of a whole number. */
function numeric(text: string): Buffer {
  const padded = text.padStart(Math.ceil(text.length / 4) * 4, '0')
  const digits = padded.match(/.{4}/g)!.map(Number)
  while (digits.at(-1) === 0) digits.pop()
  return Buffer.from([digits.length, padded.length / 4 - 1, 0, 0, ...digits].flatMap((each) => [each >> 8, each & 255]))
}

const NULL = undefined
const json = (text: string) => Buffer.from(text)
const jsonb = (text: string) => Buffer.from(`\x01${text}`)

describe('a column that a rule names', () => {
  const last4 = context([maskColumns('last4', 'payments.card')])
  const token = context([maskColumns('token', 'payments.card')])
  const coarse = context([maskColumns('generalise', 'payments.card')])
  const masked = '************1111'

  test.each([
    ['text', OID.text, 0, CARD, masked],
    ['binary text', OID.text, 1, CARD, masked],
    ['varchar', OID.varchar, 1, CARD, masked],
    ['bpchar', OID.bpchar, 0, CARD, masked],
    ['xml', OID.xml, 1, CARD, masked],
    ['unknown', OID.unknown, 0, CARD, masked],
    ['json', OID.json, 0, `"${CARD}"`, `"${masked}"`],
    ['json number', OID.json, 0, CARD, `"${masked}"`],
    ['jsonb', OID.jsonb, 0, `"${CARD}"`, `"${masked}"`],
    ['binary jsonb', OID.jsonb, 1, `\x01"${CARD}"`, `\x01"${masked}"`],
    ['jsonb of another version', OID.jsonb, 1, `\x02"${CARD}"`, NULL],
    ['int8', OID.int8, 0, CARD, NULL],
    ['binary int8', OID.int8, 1, int8(BigInt(CARD)), NULL],
    ['numeric', OID.numeric, 0, CARD, NULL],
    ['bytea', OID.bytea, 0, '\\x34313131', NULL],
    ['uuid', OID.uuid, 0, '0b9f3c2e-0000-4000-8000-000000000000', NULL],
    ['bool', OID.bool, 0, 't', NULL],
    ['timestamp', OID.timestamptz, 0, '2024-01-01 00:00:00+00', NULL],
    ['unknown extension type', 99_999, 0, CARD, NULL],
    ['record', OID.record, 0, `(${CARD})`, NULL],
    ['text array', 1009, 0, `{${CARD},NULL,"${CARD}"}`, `{${masked},NULL,${masked}}`],
    ['int8 array', 1016, 0, `{${CARD}}`, '{NULL}'],
    ['array of another shape', 1009, 0, 'no array', NULL],
  ] as const)('last4 of %s', (_name, oid, format, cell, wanted) => {
    expect(one(card(oid, format), cell, last4)?.toString()).toBe(wanted)
  })

  test('each element of a binary array, with NULLs', () => {
    const array = binaryArray(OID.text, [Buffer.from(CARD), null])
    expect(one(card(1009, 1), array, last4)).toEqual(binaryArray(OID.text, [Buffer.from(masked), null]))
    const numbers = binaryArray(OID.int8, [int8(BigInt(CARD)), int8(7n)])
    expect(one(card(1016, 1), numbers, last4)).toEqual(binaryArray(OID.int8, [null, null]))
  })

  test('numbers and dates stay values of their type where the mask makes one', () => {
    const text = one(card(OID.int8), CARD, token)?.toString() ?? ''
    expect(text).toMatch(/^\d{1,16}$/)
    expect(text).not.toBe(CARD)
    expect(one(card(OID.int8, 1), int8(BigInt(CARD)), token)).toEqual(int8(BigInt(text)))
    expect(one(card(OID.date), '1987-06-05', coarse)?.toString()).toBe('1987-06-01')
    expect(one(card(OID.int4), '1234', coarse)?.toString()).toBe('1000')
    expect(one(card(OID.int4, 1), Buffer.from([0, 0, 4, 210]), coarse)).toEqual(Buffer.from([0, 0, 3, 232]))
    expect(one(card(OID.date, 1), Buffer.from([0, 0, 0, 1]), coarse)).toBe(NULL)
  })

  test('NULL stays NULL, and neighbours stay as they are', () => {
    expect(run([card(OID.text)], [null], last4).changed).toBeUndefined()
    const { cells, plan } = run(
      [field('a', OID.text), card(OID.text), field('b', OID.bytea, 1)],
      ['x', CARD, ''],
      last4,
    )
    expect(cells).toEqual([Buffer.from('x'), Buffer.from(masked), Buffer.from('')])
    expect(plan.describe()).toEqual([
      { name: 'a', type: 'text', format: 'text', treatment: 'pass' },
      { name: 'card', type: 'text', format: 'text', treatment: 'mask', rule: 'last4 rule' },
      { name: 'b', type: 'bytea', format: 'binary', treatment: 'pass' },
    ])
    expect(plan.maskedValues()).toEqual({ 'last4 rule': 1 })
  })

  test('whatever the client calls it', () => {
    const renamed = { ...card(OID.text), name: 'harmless' }
    expect(one(renamed, CARD, last4)?.toString()).toBe(masked)
  })
})

describe('what cannot be followed', () => {
  const masks = [maskColumns('last4', 'payments.card')]

  test.each([
    ['text', OID.text, 0, CARD, '[redacted]'],
    ['json', OID.json, 0, `{"card":"${CARD}"}`, '"[redacted]"'],
    ['int8', OID.int8, 1, int8(1n), NULL],
    ['bool', OID.bool, 0, 't', NULL],
    ['text array', 1009, 0, '{a,b}', NULL],
    ['record', OID.record, 0, '(a,b)', NULL],
  ] as const)('a computed %s is redacted whole', (_name, oid, format, cell, wanted) => {
    expect(one(field('x', oid, format), cell, context(masks, true))?.toString()).toBe(wanted)
    expect(one(field('x', oid, format), cell, context(masks, false))).toBe('same')
  })

  test('a table, a column or a whole row that is not known', () => {
    const given = context(masks)
    expect(one({ ...field('x', OID.text), tableOid: 31_337, attribute: 1 }, 'a', given)?.toString()).toBe('[redacted]')
    expect(one(field('x', OID.text, 0, 99), 'a', given)?.toString()).toBe('[redacted]')
    expect(one({ ...field('x', OID.record), tableOid: PAYMENTS, attribute: 0 }, '(a)', given)).toBe(NULL)
    expect(one(field('ctid', 27, 0, -1), '(0,1)', given)).toBe('same')
    expect(one({ ...field('x', OID.text), tableOid: 31_337, attribute: 1 }, 'a', context([DETECT_CARDS]))).toBe('same')
  })
})

describe('what the detectors find', () => {
  const given = context([{ ...DETECT_CARDS, detect: ['credit_card', 'ip_address', 'mac_address', 'date_of_birth'] }])

  test.each([
    ['text', OID.text, 0, `pay ${CARD} now`, 'pay [redacted] now'],
    ['binary varchar', OID.varchar, 1, `pay ${CARD}`, 'pay [redacted]'],
    ['json', OID.json, 0, `{"a": "${CARD}"}`, '{"a": "[redacted]"}'],
    ['escaped json', OID.json, 0, `{"a": "\\u0034111111111111111"}`, '{"a": "[redacted]"}'],
    ['binary jsonb', OID.jsonb, 1, `\x01["${CARD}"]`, '\x01["[redacted]"]'],
    ['bytea', OID.bytea, 0, `\\x${Buffer.from(CARD).toString('hex')}`, NULL],
    ['binary bytea', OID.bytea, 1, CARD, NULL],
    ['int8', OID.int8, 0, CARD, NULL],
    ['binary int8', OID.int8, 1, int8(BigInt(CARD)), NULL],
    ['numeric', OID.numeric, 0, CARD, NULL],
    ['binary numeric', OID.numeric, 1, numeric(CARD), NULL],
    ['binary numeric with trailing zeroes', OID.numeric, 1, numeric('4000000000000000'), 'same'],
    ['text array', 1009, 0, `{a,"${CARD}"}`, '{a,[redacted]}'],
    ['text array with quotes', 1009, 0, `{"a \\" ${CARD}",b}`, '{"a \\" [redacted]",b}'],
    ['json array', 199, 0, `{"{\\"a\\": \\"${CARD}\\"}"}`, '{"{\\"a\\": \\"[redacted]\\"}"}'],
    ['bytea array', 1001, 0, `{"\\\\x${Buffer.from(CARD).toString('hex')}","\\\\x00"}`, '{NULL,"\\\\x00"}'],
    ['int8 array', 1016, 0, `{1,${CARD}}`, '{1,NULL}'],
    ['record', OID.record, 0, `(1,${CARD},"a b")`, '(1,[redacted],"a b")'],
    ['user composite', PAIR, 0, `("${CARD} x",)`, '("[redacted] x",)'],
    ['extension type', 99_999, 0, `a=>${CARD}`, 'a=>[redacted]'],
    ['binary extension type', 99_999, 1, `\0${CARD}\0`, NULL],
    ['uuid', OID.uuid, 0, CARD, 'same'],
    ['text array with letters beyond ASCII', 1009, 0, `{à,\u00a0,${CARD}}`, '{à,\u00a0,[redacted]}'],
    ['inet', OID.inet, 0, '192.0.2.7/24', NULL],
    ['binary inet', OID.inet, 1, Buffer.from([2, 32, 0, 4, 192, 0, 2, 7]), NULL],
    [
      'binary inet of version 6',
      OID.inet,
      1,
      Buffer.from([3, 128, 0, 16, 0x20, 1, 13, 184, ...Buffer.alloc(11), 1]),
      NULL,
    ],
    ['macaddr', OID.macaddr, 0, '08:00:2b:01:02:03', NULL],
    ['binary macaddr', OID.macaddr, 1, Buffer.from([8, 0, 43, 1, 2, 3]), NULL],
    ['a date that is no birthday', OID.date, 0, '1987-06-05', 'same'],
    ['float8', OID.float8, 0, CARD, 'same'],
    ['no card', OID.text, 0, '4111111111111112', 'same'],
  ] as const)('in %s', (_name, oid, format, cell, wanted) => {
    expect(one(field('x', oid, format), cell, given)?.toString()).toBe(wanted)
  })

  test.each([
    ['text', 0, '1987-06-05'],
    ['binary', 1, Buffer.from([0xff, 0xff, 0xee, 0x11])],
  ] as const)('a %s date in a column for birthdays', (_name, format, cell) => {
    expect(one(field('date_of_birth', OID.date, format), cell, given)).toBe(NULL)
    expect(one(field('due', OID.date, format), cell, given)).toBe('same')
  })

  test('in the elements and fields of nested binary values', () => {
    const inner = (value: string) =>
      binaryComposite([
        [OID.text, Buffer.from(value)],
        [OID.int4, null],
        [OID.jsonb, jsonb('1')],
      ])
    const nested = (value: string) => binaryArray(OID.record, [inner(value), null])
    expect(one(field('x', 2287, 1), nested(CARD), given)).toEqual(nested('[redacted]'))
    expect(one(field('x', 2287, 1), nested('fine'), given)).toBe('same')
    const withJson = binaryArray(OID.json, [json(`"${CARD}"`), json('2')])
    expect(one(field('x', 199, 1), withJson, given)).toEqual(binaryArray(OID.json, [json('"[redacted]"'), json('2')]))
  })

  test('a record that nests without end is withheld, not followed', () => {
    let value = binaryComposite([[OID.int4, Buffer.alloc(4)]])
    for (let depth = 0; depth < 40; depth++) value = binaryComposite([[OID.record, value]])
    const answer = one(field('x', OID.record, 1), value, given)
    expect(answer).toBeInstanceOf(Buffer)
    expect((answer as Buffer).length).toBeLessThan(value.length)
  })

  test('hits are counted per rule', () => {
    const fields = [field('x', OID.text), field('y', OID.int8)]
    const { plan } = run(fields, [`${CARD} and 5555555555554444`, CARD], given)
    expect(plan.maskedValues()).toEqual({ 'found cards': 2 })
  })
})

describe('a row of another shape ends the session', () => {
  const plan = planResult([card(OID.text), field('n', OID.int4)], context([maskColumns('last4', 'payments.card')]))
  const good = dataRow([CARD, '1'])

  function broken(change: (frame: Buffer) => void): Buffer {
    const frame = Buffer.from(good)
    change(frame)
    return frame
  }

  test.each([
    ['fewer columns', dataRow([CARD])],
    ['more columns', dataRow([CARD, '1', '2'])],
    ['another message', broken((frame) => frame.writeUInt8(0x43, 0))],
    ['a length that is not its own', broken((frame) => frame.writeInt32BE(good.length, 1))],
    ['a value past the end', broken((frame) => frame.writeInt32BE(1000, 7))],
    ['a negative length', broken((frame) => frame.writeInt32BE(-2, 7))],
    ['a huge length', broken((frame) => frame.writeInt32BE(0x7fff_ffff, 7))],
    ['bytes after the last value', broken((frame) => frame.writeInt32BE(0, good.length - 5))],
    ['nothing', Buffer.alloc(0)],
  ])('%s', (_name, frame) => {
    expect(() => transformRows(plan, frame, 0, frame.length)).toThrow(
      expect.objectContaining({ code: 'target.protocol' }),
    )
  })

  test.each([
    ['too short', Buffer.alloc(11)],
    ['too many dimensions', Buffer.concat([Buffer.from([0, 0, 0, 7]), Buffer.alloc(100)])],
    ['negative dimensions', Buffer.concat([Buffer.from([255, 255, 255, 255]), Buffer.alloc(100)])],
    ['a count without elements', binaryArray(OID.text, []).fill(255, 12, 16)],
    ['a rest', Buffer.concat([binaryArray(OID.text, [Buffer.from('a')]), Buffer.from('x')])],
  ])('a binary array with %s', (_name, cell) => {
    const frame = dataRow([cell])
    for (const given of [context([DETECT_CARDS]), context([maskColumns('last4', 'payments.card')])]) {
      const arrays = planResult([card(1009, 1)], given)
      expect(() => transformRows(arrays, frame, 0, frame.length)).toThrow(
        expect.objectContaining({ code: 'target.protocol' }),
      )
    }
  })

  test('a mask that throws withholds the row, and tells nobody the value', () => {
    const broken = {
      apply: () => {
        throw new Error(`cannot mask ${CARD}`)
      },
      scanner: () => undefined,
    }
    const masks = [maskColumns('last4', 'payments.card')]
    const failing = planResult([card(OID.text)], { ...context(masks), masker: broken as unknown as typeof masker })
    const frame = dataRow([CARD])
    try {
      transformRows(failing, frame, 0, frame.length)
      expect.unreachable()
    } catch (error) {
      expect(error).toMatchObject({ code: 'mask.failed' })
      const { message, detail, cause } = error as GatewayError
      expect(JSON.stringify([message, detail, String(cause)])).not.toContain('4111')
    }
  })
})

test('any row under any plan: other cells keep their bytes, the frame stays valid', () => {
  const oids = [
    OID.text,
    OID.int4,
    OID.int8,
    OID.bytea,
    OID.jsonb,
    OID.uuid,
    OID.timestamptz,
    OID.numeric,
    99_999,
    OID.name,
  ]
  const column = fc.record({
    oid: fc.constantFrom(...oids),
    format: fc.constantFrom<Format>(0, 1),
    attribute: fc.integer({ min: 0, max: 6 }),
    cell: fc.oneof(
      fc.constant(null),
      fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
      fc.string().map((text) => Buffer.from(`${text}${CARD}`)),
    ),
  })
  const mask = fc.constantFrom(...MASK_KINDS)
  fc.assert(
    fc.property(fc.array(column, { maxLength: 12 }), mask, fc.boolean(), (columns, kind, detect) => {
      const masks = [maskColumns(kind, 'payments.card'), ...(detect ? [DETECT_CARDS] : [])]
      const fields = columns.map(({ oid, format, attribute }, index) => field(`c${index}`, oid, format, attribute))
      const cells = columns.map(({ cell }) => cell)
      const {
        changed,
        cells: after = cells.map((cell) => cell ?? undefined),
        plan,
      } = run(fields, cells, context(masks))
      expect(after).toHaveLength(cells.length)
      if (changed !== undefined) expect(changed).toEqual(dataRow(after))
      plan.columns.forEach(({ treatment }, index) => {
        const [before, now] = [cells[index] ?? undefined, after[index]]
        if (before === undefined || treatment === 'pass') expect(now).toEqual(before)
        if (treatment === 'mask' && before !== undefined && kind !== 'generalise' && kind !== 'token')
          expect(now?.includes(CARD) ?? false).toBe(false)
      })
    }),
    { numRuns: 500 },
  )
})

test('any bytes for a row: a frame or one clean error', () => {
  const plan = planResult(
    [card(1009, 1), field('r', OID.record, 1), field('j', OID.jsonb, 1), field('a', 1009)],
    context([maskColumns('last4', 'payments.card'), DETECT_CARDS]),
  )
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (bytes, framed) => {
      const frame = Buffer.from(bytes)
      if (framed && frame.length >= 7) {
        frame.writeUInt8(0x44, 0)
        frame.writeInt32BE(frame.length - 1, 1)
        frame.writeInt16BE(4, 5)
      }
      try {
        transformRows(plan, frame, 0, frame.length)
      } catch (error) {
        expect(error).toBeInstanceOf(GatewayError)
      }
    }),
    { numRuns: 1000 },
  )
})

test.each([
  ['text array', 1009],
  ['record', OID.record],
  ['json', OID.json],
  ['bytea', OID.bytea],
  ['json array', 199],
])('any text for a %s never throws anything but a GatewayError, and never shows the card it held', (_name, oid) => {
  const plan = planResult([field('x', oid)], context([DETECT_CARDS]))
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom('{', '}', '(', ')', '"', '\\', ',', 'a', ' ', ` ${CARD} `) }),
      (text) => {
        const frame = dataRow([text])
        const changed = transformRows(plan, frame, 0, frame.length)
        expect((changed ?? frame).includes(CARD)).toBe(false)
      },
    ),
    { numRuns: 500 },
  )
})
