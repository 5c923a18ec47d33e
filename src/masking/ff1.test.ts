import { expect, test } from 'vitest'
import { Ff1 } from './ff1.ts'

const KEYS = [
  '2B7E151628AED2A6ABF7158809CF4F3C',
  '2B7E151628AED2A6ABF7158809CF4F3CEF4359D8D580AA4F',
  '2B7E151628AED2A6ABF7158809CF4F3CEF4359D8D580AA4F7F036D6F04FC6A94',
] as const

// NIST, "FF1 samples" of SP 800-38G.
test.each([
  { key: 0, radix: 10, tweak: '', plain: '0123456789', want: '2433477484' },
  { key: 0, radix: 10, tweak: '39383736353433323130', plain: '0123456789', want: '6124200773' },
  { key: 0, radix: 36, tweak: '3737373770717273373737', plain: '0123456789abcdefghi', want: 'a9tv40mll9kdu509eum' },
  { key: 1, radix: 10, tweak: '', plain: '0123456789', want: '2830668132' },
  { key: 1, radix: 10, tweak: '39383736353433323130', plain: '0123456789', want: '2496655549' },
  { key: 1, radix: 36, tweak: '3737373770717273373737', plain: '0123456789abcdefghi', want: 'xbj3kv35jrawxv32ysr' },
  { key: 2, radix: 10, tweak: '', plain: '0123456789', want: '6657667009' },
  { key: 2, radix: 10, tweak: '39383736353433323130', plain: '0123456789', want: '1001623463' },
  { key: 2, radix: 36, tweak: '3737373770717273373737', plain: '0123456789abcdefghi', want: 'xs8a0azh2avyalyzuwd' },
])('NIST sample: AES key $key, radix $radix, tweak "$tweak"', ({ key, radix, tweak, plain, want }) => {
  const ff1 = new Ff1(Buffer.from(KEYS[key]!, 'hex'))
  expect(ff1.encrypt(plain, radix, Buffer.from(tweak, 'hex'))).toBe(want)
})

test('is a permutation of its domain', () => {
  const ff1 = new Ff1(Buffer.from(KEYS[2], 'hex'))
  const seen = new Set<bigint>()
  for (let value = 0n; value < 1000n; value++) seen.add(ff1.encryptNumber(value, 10, 3, Buffer.alloc(0)))
  expect(seen.size).toBe(1000)
  expect([...seen].every((value) => value >= 0n && value < 1000n)).toBe(true)
})
