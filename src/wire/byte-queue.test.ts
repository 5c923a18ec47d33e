import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ByteQueue } from './byte-queue.ts'

test('whatever the chunks, the bytes come out as they went in', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 700 })), fc.array(fc.nat(900)), (chunks, takes) => {
      const queue = new ByteQueue()
      const taken: Buffer[] = []
      const wanted = Buffer.concat(chunks)
      for (const [i, chunk] of chunks.entries()) {
        queue.append(chunk)
        const part = queue.take(takes[i] ?? 0)
        if (part !== undefined) taken.push(part)
      }
      taken.push(queue.take(queue.length)!)
      expect(Buffer.concat(taken).equals(wanted)).toBe(true)
      expect(queue.length).toBe(0)
    }),
  )
})

test('a borrowed chunk may be reused after append, and a taken piece is owned', () => {
  const queue = new ByteQueue()
  const chunk = Buffer.from('abcdef')
  queue.append(chunk)
  chunk.fill(0)
  const taken = queue.take(3)!
  queue.append(Buffer.from('ghi'))
  queue.clear()
  queue.append(Buffer.from('zzzzzzzzz'))
  expect(taken.toString()).toBe('abc')
})

test('peek leaves the bytes, and more than there is is not to be had', () => {
  const queue = new ByteQueue()
  queue.append(Buffer.from('xabcy'), 1, 4)
  expect(queue.peek(4)).toBeUndefined()
  expect(queue.take(4)).toBeUndefined()
  expect(queue.peek(2)?.toString()).toBe('ab')
  expect(queue.byteAt(2)).toBe(0x63)
  queue.truncate(2)
  expect(queue.take(2)?.toString()).toBe('ab')
})
