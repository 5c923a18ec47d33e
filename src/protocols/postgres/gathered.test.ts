import { expect, test } from 'vitest'
import { Gathered } from './gathered.ts'

test('frames leave in order, whatever happened to them, and as a copy', () => {
  const chunk = Buffer.from('aabbccddee')
  const gathered = new Gathered()
  gathered.untouched(chunk, 0, 2)
  gathered.untouched(chunk, 2, 4)
  gathered.changed(Buffer.from('XXX'))
  gathered.changed(Buffer.from(''))
  gathered.untouched(chunk, 6, 8)
  gathered.untouched(Buffer.from('__other__'), 2, 7)
  gathered.untouched(chunk, 8, 10)
  expect(gathered.count).toBe(7)
  const taken = gathered.take()
  chunk.fill(0)
  expect(taken.toString()).toBe('aabbXXXddotheree')
  expect(gathered.count).toBe(0)
  expect(gathered.take()).toHaveLength(0)
})

test('neighbours in place but not in order stay apart', () => {
  const chunk = Buffer.from('aabb')
  const gathered = new Gathered()
  gathered.untouched(chunk, 2, 4)
  gathered.untouched(chunk, 0, 2)
  expect(gathered.take().toString()).toBe('bbaa')
})
