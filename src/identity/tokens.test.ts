import { createHash, randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import type { Clock } from '../kernel/index.ts'
import { mockVerifier, verifySecret } from '../wire/scram.ts'
import { base62 } from './base.ts'
import { FailureLimiter } from './failure-limiter.ts'
import { isReviewId, isSessionId, isTokenId, newReviewId, newSessionId, newTokenId } from './ids.ts'
import { mintToken } from './tokens.ts'

let counter = 0
const random = {
  bytes: (count: number) => createHash('shake256', { outputLength: count }).update(String(counter++)).digest(),
}

test('a token fits a connection URL as it is, and only its secret opens it', () => {
  const { id, secret, verifier } = mintToken(random)
  expect(isTokenId(id)).toBe(true)
  expect(secret).toMatch(/^sps_[0-9A-Za-z]{43}$/)
  expect(new URL(`postgres://${id}:${secret}@gateway/shop`).password).toBe(secret)
  expect(verifySecret(verifier, secret)).toBe(true)
  expect(verifySecret(verifier, `${secret}0`)).toBe(false)
  expect(JSON.stringify(verifier)).not.toContain(secret)
})

test('a made-up verifier has the shape of a real one', () => {
  const { verifier } = mintToken(random)
  const mock = mockVerifier(randomBytes(32), 'spt_x')
  const shape = (one: typeof mock) => [one.salt.length, one.iterations, one.storedKey.length, one.serverKey.length]
  expect(shape(mock)).toEqual(shape(verifier))
})

test('ids keep their form, and sessions sort by time', () => {
  for (let round = 0; round < 500; round++) {
    expect(isTokenId(newTokenId(random))).toBe(true)
    expect(isReviewId(newReviewId(random))).toBe(true)
    expect(isSessionId(newSessionId(1_700_000_000_000 + round, random))).toBe(true)
  }
  const times = [0, 1, 31, 32, 1_700_000_000_000, 1_700_000_000_001, 2 ** 47]
  const ids = times.map((time) => newSessionId(time, random))
  expect([...ids].sort()).toEqual(ids)
  expect(isTokenId("spt_' or 1=1 --xxx")).toBe(false)
})

test('no bits of a secret are lost', () => {
  expect(base62(Buffer.alloc(32, 0))).toBe('0'.repeat(43))
  const largest = base62(Buffer.alloc(32, 255))
  const value = [...largest].reduce(
    (sum, digit) => sum * 62n + BigInt('0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'.indexOf(digit)),
    0n,
  )
  expect(value).toBe(2n ** 256n - 1n)
})

function fakeClock() {
  let time = 0
  const clock: Clock = { now: () => time, monotonic: () => time, after: () => () => undefined }
  return { clock, pass: (ms: number) => (time += ms) }
}

test('failures are counted by address, for a window, and success elsewhere does not help', () => {
  const { clock, pass } = fakeClock()
  const limiter = new FailureLimiter(clock, { maxFailuresPerAddress: 3, windowMs: 1_000 })
  expect([limiter.failed('192.0.2.1'), limiter.failed('192.0.2.1'), limiter.failed('192.0.2.1')]).toEqual([
    false,
    false,
    true,
  ])
  expect(() => limiter.check('192.0.2.1')).toThrow(expect.objectContaining({ code: 'auth.throttled' }))
  expect(() => limiter.check('::ffff:192.0.2.1')).toThrow()
  expect(() => limiter.check('192.0.2.2')).not.toThrow()
  pass(999)
  expect(() => limiter.check('192.0.2.1')).toThrow()
  pass(1)
  expect(() => limiter.check('192.0.2.1')).not.toThrow()
})

test('a whole IPv6 network counts as one', () => {
  const limiter = new FailureLimiter(fakeClock().clock, { maxFailuresPerAddress: 1 })
  limiter.failed('2001:db8::1')
  for (const address of ['2001:db8::2', '2001:0DB8:0:0:ffff::1', '2001:db8:0::9%eth0'])
    expect(() => limiter.check(address)).toThrow()
  expect(() => limiter.check('2001:db8:0:1::1')).not.toThrow()
})

test('guessing at one token from many addresses is limited too, and the memory is bounded', () => {
  const limiter = new FailureLimiter(fakeClock().clock, { maxFailuresPerToken: 5, maxEntries: 100 })
  for (let one = 0; one < 5; one++) limiter.failed(`198.51.100.${one}`, 'spt_a')
  expect(() => limiter.check('203.0.113.9', 'spt_a')).toThrow()
  expect(() => limiter.check('203.0.113.9', 'spt_b')).not.toThrow()
  for (let one = 0; one < 10_000; one++) limiter.failed(`10.0.${one >> 8}.${one & 255}`, `spt_${one}`)
  expect(limiter.size).toBeLessThanOrEqual(100)
})
