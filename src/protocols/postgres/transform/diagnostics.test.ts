import fc from 'fast-check'
import { expect, test } from 'vitest'
import { transformDiagnostic } from './diagnostics.ts'
import { DETECT_CARDS, masker } from './test/shop.ts'

const CARD = '4111111111111111'
const scanner = masker.scanner([DETECT_CARDS])

function strict(fields: Readonly<Record<string, string>>) {
  const answer = transformDiagnostic(new Map(Object.entries(fields)), { scanner, strict: true })
  return Object.fromEntries(answer)
}

const H = 'Values are withheld because the statement touches protected data.'

test('texts are looked through, the rest is kept in its order', () => {
  const fields = new Map([
    ['S', 'ERROR'],
    ['C', '22P02'],
    ['M', `invalid input syntax for type integer: "${CARD}"`],
    ['D', `Failing row contains (1, ${CARD}).`],
    ['H', CARD],
    ['W', `at ${CARD}`],
    ['q', `select '${CARD}'`],
    ['P', '8'],
    ['R', 'pg_strtoint32'],
    ['z', `from the future: ${CARD}`],
  ])
  const answer = transformDiagnostic(fields, { scanner, strict: false })
  expect([...answer.keys()]).toEqual([...fields.keys()])
  expect(JSON.stringify([...answer])).not.toContain('4111')
  expect(answer.get('M')).toBe('invalid input syntax for type integer: "[redacted]"')
  expect(answer.get('P')).toBe('8')
  expect(transformDiagnostic(fields, { scanner: undefined, strict: false })).toEqual(fields)
})

test.each([
  ['22P02', 'invalid input syntax for type integer: "secret"', {}, 'invalid input syntax for type integer'],
  ['22P02', 'invalid input syntax for type secret: "x"', {}, 'invalid input syntax for type'],
  ['22P02', 'invalid input value for enum mood: "secret"', {}, 'invalid input value for enum'],
  ['22003', 'value "secret" is out of range for type integer', {}, 'value is out of range for type integer'],
  ['22003', 'integer out of range', {}, 'integer out of range'],
  ['22008', 'date/time field value out of range: "secret"', {}, 'date/time field value out of range'],
  ['22012', 'division by zero', {}, 'division by zero'],
  ['22012', 'division by secret', {}, 'division by zero (message withheld)'],
  [
    '23505',
    'duplicate key value violates unique constraint "payments_card_key"',
    { n: 'payments_card_key', D: 'Key (card)=(secret) already exists.' },
    'duplicate key value violates unique constraint "payments_card_key"',
  ],
  [
    '23502',
    'null value in column "card" of relation "payments" violates not-null constraint',
    { c: 'card', D: 'Failing row contains (1, secret).' },
    'null value in column "card" violates not-null constraint',
  ],
  [
    '23514',
    'new row for relation "payments" violates check constraint "positive"',
    { n: 'positive' },
    'violates check constraint "positive"',
  ],
  ['42P01', 'relation "secret" does not exist', {}, 'relation does not exist'],
  ['42601', 'syntax error at or near "secret"', {}, 'syntax error'],
  ['P0001', 'the card is secret', {}, 'raise exception (message withheld)'],
  ['00000', 'the card is secret', {}, 'successful completion (message withheld)'],
  ['54000', 'requested character too large: secret', {}, 'program limit exceeded (message withheld)'],
  ['ZZ999', 'secret', {}, 'condition not known (message withheld)'],
])('%s %s', (C, M, more, wanted) => {
  const answer = strict({ S: 'ERROR', C, M, ...more, W: 'secret', q: 'secret', p: '3', P: '7', x: 'secret' })
  const { D: _withheld, ...kept } = more as { D?: string }
  expect(answer).toEqual({ S: 'ERROR', C, M: wanted, ...kept, P: '7', H })
})

test('names are kept, but looked through as well', () => {
  expect(strict({ C: '23505', M: 'x', n: 'key', t: CARD })).toMatchObject({ n: 'key', t: '[redacted]' })
})

test('a strict answer never holds a word that only the texts held', () => {
  const codes = fc.constantFrom(
    '22P02',
    '22003',
    '22007',
    '22008',
    '23502',
    '23505',
    '42601',
    '42703',
    'P0001',
    'XX000',
  )
  const words = fc.string({
    unit: fc.constantFrom('"', ' ', ':', '(', 'type', 'value', 'integer', 'out of range', 'zq'),
  })
  fc.assert(
    fc.property(codes, words, (C, text) => {
      for (const M of [
        text,
        `invalid input syntax for type ${text}`,
        `value "${text}" is out of range for type ${text}`,
      ])
        expect(JSON.stringify(strict({ C, M, D: text, H: text, W: text, q: text }))).not.toContain('zq')
    }),
  )
})

const unknownTable = new Map([
  ['C', '42P01'],
  ['M', 'relation "paymnts" does not exist'],
  ['P', '15'],
])

test('what analysis says of the client’s own text is kept, so that a typing error can be mended', () => {
  const answer = transformDiagnostic(unknownTable, { scanner: undefined, strict: true })
  expect(answer.get('M')).toBe('relation "paymnts" does not exist')
  expect(answer.has('H')).toBe(false)
})

test.each([
  ['from inside a function', new Map([...unknownTable, ['W', 'PL/pgSQL function f() line 1 at RAISE']])],
  ['from an internal query', new Map([...unknownTable, ['q', 'select 4111']])],
  ['without a position in the text', new Map([...unknownTable].filter(([letter]) => letter !== 'P'))],
])('the same code %s may be anybody’s words', (_name, fields) => {
  expect(transformDiagnostic(fields, { scanner: undefined, strict: true }).get('M')).not.toContain('paymnts')
})

test('IF EXISTS is answered with the name', () => {
  const fields = new Map([
    ['V', 'NOTICE'],
    ['C', '00000'],
    ['M', 'table "nosuch" does not exist, skipping'],
  ])
  expect(transformDiagnostic(fields, { scanner: undefined, strict: true }).get('M')).toBe(fields.get('M'))
})
