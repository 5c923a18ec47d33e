import { expect, test } from 'vitest'
import { TwoGenerations } from './two-generations.ts'

test('entries are bounded, and what is used stays', () => {
  const cache = new TwoGenerations<number>(8, 1_000)
  for (let index = 0; index < 100; index++) {
    cache.set(`${index}`, index, 1)
    expect(cache.get('0')).toBe(0)
    expect(cache.size).toBeLessThanOrEqual(9)
  }
  expect(cache.get('50')).toBeUndefined()
})

test('bytes are bounded, and one huge entry is not kept', () => {
  const cache = new TwoGenerations<number>(1_000, 100)
  cache.set('huge', 1, 51)
  expect(cache.get('huge')).toBeUndefined()
  for (let index = 0; index < 100; index++) cache.set(`${index}`, index, 25)
  expect(cache.size).toBeLessThanOrEqual(4)
  cache.clear()
  expect(cache.size).toBe(0)
})
