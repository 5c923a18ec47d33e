import fc from 'fast-check'
import { expect, test } from 'vitest'
import { MASK_KINDS, type MaskInstruction, type MaskKind } from '../kernel/index.ts'
import { Masker } from './masker.ts'
import { positives } from './test/corpus.ts'

const masker = new Masker({ key: Buffer.alloc(32, 7) })

function instruction(mask: MaskKind, ...detect: string[]): MaskInstruction {
  return { rule: `rule-${mask}`, mask, columns: [], detect }
}
const everything = (mask: MaskKind) => masker.scanner([instruction(mask, 'personal', 'secret')])!
const redactor = everything('redact')
const json = (text: string) => redactor.scanJson(Buffer.from(text))?.toString()

test('scanners are shared by equal instructions, and absent without detectors', () => {
  expect(masker.scanner([instruction('redact', 'email')])).toBe(masker.scanner([instruction('redact', 'email')]))
  expect(masker.scanner([{ rule: 'c', mask: 'last4', columns: ['*.pan'], detect: [] }])).toBeUndefined()
  expect(() => masker.scanner([instruction('redact', 'e_mail')])).toThrow(/no detector "e_mail"/)
})

test('the strongest of several masks wins, and its rule is counted', () => {
  const scanner = masker.scanner([
    instruction('email', 'email'),
    instruction('hash', 'personal'),
    instruction('token', 'email'),
  ])!
  expect(scanner.scanText('to ann@example.com')).toMatch(/^to hash-[a-z2-7]{20}$/)
  expect(scanner.takeHits()).toEqual([{ rule: 'rule-hash', detector: 'email', count: 1 }])
  expect(scanner.takeHits()).toEqual([])
  expect(scanner.counts.get('email')).toBe(1)
})

test('null inside a text is a redaction', () => {
  expect(everything('null').scanText('card 4111111111111111.')).toBe('card [redacted].')
})

test('only the password of a connection string goes, even with e-mail detection on', () => {
  expect(redactor.scanText('postgres://app:s3cr3tpw@db.example.com:5432/shop')).toBe(
    'postgres://app:[redacted]@db.example.com:5432/shop',
  )
})

test('bytes around a value stay as they are, in any encoding', () => {
  const latin1 = Buffer.concat([
    Buffer.from([0xe9, 0xff, 0x20]),
    Buffer.from('ann@example.com'),
    Buffer.from([0x20, 0xfc]),
  ])
  const want = Buffer.concat([Buffer.from([0xe9, 0xff, 0x20]), Buffer.from('[redacted]'), Buffer.from([0x20, 0xfc])])
  expect(redactor.scan(latin1)).toEqual(want)
})

test.each([
  ['{"a":"x 4111111111111111"}', '{"a":"x [redacted]"}'],
  ['{"a" : 4111111111111111, "b":[1,2.50]}', '{"a" : "[redacted]", "b":[1,2.50]}'],
  ['{"a":"\\u0034111 1111 1111 1111","b":"\\u00e9"}', '{"a":"[redacted]","b":"\\u00e9"}'],
  ['{"ann@example.com":{"x":[]}}', '{"[redacted]":{"x":[]}}'],
  ['{"ssn":["123456789"]}', '{"ssn":["[redacted]"]}'],
  ['{"ssn":123456789,"order":123456789}', '{"ssn":"[redacted]","order":123456789}'],
  ['{"password":"hunter2","user":"ann"}', '{"password":"[redacted]","user":"ann"}'],
  ['"redis:\\/\\/:hunter2@cache"', '"redis://:[redacted]@cache"'],
  ['"key:\\n-----BEGIN EC PRIVATE KEY-----\\nMHc\\n-----END EC PRIVATE KEY-----\\n"', '"key:\\n[redacted]\\n"'],
  ['-4111111111111111', '"-[redacted]"'],
])('JSON %s becomes %s', (text, want) => {
  expect(json(text)).toBe(want)
  expect(() => JSON.parse(want)).not.toThrow()
})

test('clean JSON is left alone, and what is no JSON is scanned as text', () => {
  expect(json('{"a":[1,2,{"b":null}],"c":"text"}')).toBeUndefined()
  expect(json('"ann@example.com')).toBe('"[redacted]')
  expect(json('"\\uZZ ann@example.com"')).toBe('"\\uZZ [redacted]"')
})

test('bytea in hexadecimal is looked into and withheld whole', () => {
  const hex = (text: string) => Buffer.from(`\\x${Buffer.from(text).toString('hex')}`)
  expect(redactor.scanByteaHex(hex('pan 4111111111111111 end'))?.toString()).toBe('\\x')
  expect(redactor.scanByteaHex(hex('nothing here'))).toBeUndefined()
})

const samples = fc.constantFrom(...positives(3, 8))

test('the value never survives, under any mask', () => {
  fc.assert(
    fc.property(samples, fc.constantFrom(...MASK_KINDS), ({ text, value }, mask) => {
      expect(everything(mask).scanText(text)).not.toContain(value)
    }),
    { numRuns: 2000 },
  )
})

test('a second scan changes nothing', () => {
  fc.assert(
    fc.property(samples, fc.constantFrom(...MASK_KINDS), ({ text }, mask) => {
      const once = everything(mask).scanText(text)
      expect(everything(mask).scanText(once)).toBe(once)
    }),
    { numRuns: 2000 },
  )
})

test('a forged mark does not hide a value', () => {
  expect(everything('token').scanText('ann@example.com~abcdef')).not.toContain('ann@example.com')
})

test('what replaces a value needs no quoting', () => {
  fc.assert(
    fc.property(samples, fc.constantFrom(...MASK_KINDS), ({ value }, mask) => {
      const out = everything(mask).scanText(value)
      if (out !== value && !/[\s,(){}"'\\]/.test(value)) expect(out).not.toMatch(/[,(){}"'\\\s]/)
    }),
    { numRuns: 1000 },
  )
})

test('any bytes pass through all ways of scanning without a throw', () => {
  const noise = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc
      .string({ unit: fc.constantFrom(...'4111 -.@:/=_~eyJ+()"\\{}[],pwdtoken\u00a0\uff14\u200b'), maxLength: 120 })
      .map((text) => Buffer.from(text)),
  )
  fc.assert(
    fc.property(noise, fc.constantFrom(...MASK_KINDS), (bytes, mask) => {
      const buffer = Buffer.from(bytes)
      for (const output of [
        everything(mask).scan(buffer),
        everything(mask).scanJson(buffer),
        everything(mask).scanByteaHex(buffer),
      ])
        expect(output === undefined || Buffer.isBuffer(output)).toBe(true)
    }),
    { numRuns: 3000 },
  )
})

test('masked JSON is JSON', () => {
  fc.assert(
    fc.property(fc.json(), samples, (document, { text }) => {
      const whole = JSON.stringify({ [text]: JSON.parse(document) as unknown, list: [text] })
      const out = redactor.scanJson(Buffer.from(whole))
      if (out !== undefined) expect(() => JSON.parse(out.toString())).not.toThrow()
    }),
    { numRuns: 500 },
  )
})

test('a bytea inside a row, an array or JSON is looked into', () => {
  const hex = (text: string) => `x${Buffer.from(text).toString('hex')}`
  const card = hex('pan 4111111111111111 end')
  expect(redactor.scan(Buffer.from(`(1,"\\\\${card}",x)`))?.toString()).toBe('(1,"\\\\x",x)')
  expect(redactor.scanJson(Buffer.from(`{"a":"\\\\${card}"}`))?.toString()).toBe('{"a":"\\\\x"}')
  expect(redactor.scan(Buffer.from(`(1,"\\\\${hex('nothing in here')}")`))).toBeUndefined()
})
