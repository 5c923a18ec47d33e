import fc from 'fast-check'
import { expect, test } from 'vitest'
import { MASK_KINDS } from '../kernel/index.ts'
import { luhn } from './checksums.ts'
import { Masker } from './masker.ts'

const masker = new Masker({ key: Buffer.alloc(32, 7) })
const other = new Masker({ key: Buffer.alloc(32, 8) })
const mask = (kind: (typeof MASK_KINDS)[number], value: string, column = 'value') =>
  masker.apply(kind, value, { column })

test.each([
  ['redact', 'anything', '[redacted]'],
  ['null', 'anything', null],
  ['last4', '4111 1111 1111 1111', '************1111'],
  ['last4', '123-45-6789', '*****6789'],
  ['last4', '12345678', '[redacted]'],
  ['last4', '', '[redacted]'],
  ['email', 'ann.lee@example.com', 'a***@e***.com'],
  ['email', 'al@ex.io', '***@***.io'],
  ['email', 'not an address', '[redacted]'],
  ['generalise', '1987-05-06', '1987-05'],
  ['generalise', '1987-05-06 07:08:09+00', '1987-05'],
  ['generalise', '06.05.1987', '1987'],
  ['generalise', '37', '30..39'],
  ['generalise', '-37', '-40..-31'],
  ['generalise', '1234.5', '1000..1999'],
  ['generalise', '4111111111111111', '4***'],
  ['generalise', '192.0.2.17', '192.0.2.*'],
  ['generalise', 'ann@example.com', '***@example.com'],
  ['generalise', 'Johnson', 'J***'],
  ['generalise', 'Jo', '[redacted]'],
] as const)('%s of %s is %s', (kind, value, want) => expect(mask(kind, value)).toBe(want))

test.each([
  ['SW1A 1AA', 'SW1A***'],
  ['94107', '94***'],
  ['94107-1234', '941***'],
])('a postcode %s is known by its column: %s', (value, want) =>
  expect(mask('generalise', value, 'zip_code')).toBe(want),
)

test('hash and token depend on the tenant key alone, and are stable', () => {
  for (const kind of ['hash', 'token'] as const) {
    expect(mask(kind, 'Ann Lee 12345')).toBe(mask(kind, 'Ann Lee 12345'))
    expect(mask(kind, 'Ann Lee 12345')).not.toBe(other.apply(kind, 'Ann Lee 12345', { column: 'value' }))
  }
  expect(mask('hash', 'a')).toMatch(/^hash-[a-z2-7]{20}$/)
})

test('a short key is refused', () => expect(() => new Masker({ key: Buffer.alloc(8) })).toThrow(/at least 16 bytes/))

const classes = (text: string) => text.replace(/\d/g, '0').replace(/[A-Z]/g, 'A').replace(/[a-z]/g, 'a')

test('a token keeps length and classes, and different values get different tokens', () => {
  const seen = new Map<string, string>()
  const values = fc.stringMatching(/^[A-Z][a-z]{5,9}-[0-9]{3,6}$/)
  fc.assert(
    fc.property(values, (value) => {
      const token = mask('token', value)!
      expect(classes(token)).toBe(classes(value))
      expect(seen.get(token) ?? value).toBe(value)
      seen.set(token, value)
    }),
  )
})

test('a token of a card, or of any number as long, never passes for a card', () => {
  fc.assert(
    fc.property(fc.stringMatching(/^[0-9]{13,19}$/), (digits) => {
      const token = mask('token', digits)!
      expect(token).toMatch(/^\d+$/)
      expect(token).toHaveLength(digits.length)
      expect(luhn(token)).toBe(false)
    }),
  )
})

test('the separators of a number do not change the digits of its token', () => {
  expect(mask('token', '4111-1111-1111-1111')!.replaceAll('-', '')).toBe(mask('token', '4111111111111111'))
})

test('too small a domain is hashed, and so is a very long value', () => {
  expect(mask('token', '12345')).toMatch(/^hash-/)
  expect(mask('token', 'a'.repeat(300))).toMatch(/^hash-/)
  expect(mask('token', 'Müller')).not.toBe(mask('token', 'Muller'))
})

test('no mask needs quoting in an array, a row, JSON or CSV, whatever the value', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary', maxLength: 60 }),
      fc.constantFrom(...MASK_KINDS),
      fc.string(),
      (value, kind, column) => {
        expect(mask(kind, value, column) ?? '').not.toMatch(/[,(){}"'\\\s]/)
      },
    ),
    { numRuns: 1000 },
  )
})
