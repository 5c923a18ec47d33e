import { expect, test } from 'vitest'
import { Reader } from './reader.ts'
import { Writer } from './writer.ts'

test('fields are read as they were written', () => {
  const bytes = new Writer(1).u8(7).i16(65535).i32(-2).cstring('naïve').text('abc').finish()
  const reader = new Reader(bytes)
  expect([reader.u8(), reader.u16(), reader.i32(), reader.cstring('utf8'), reader.rest().toString()]).toEqual([
    7,
    65535,
    -2,
    'naïve',
    'abc',
  ])
  reader.finish()
})

test.each([
  { name: 'a number past the end', read: (reader: Reader) => reader.i32() },
  { name: 'bytes past the end', read: (reader: Reader) => reader.bytes(4) },
  { name: 'a negative count', read: (reader: Reader) => reader.bytes(-1) },
  { name: 'a text whose NUL lies behind the message', read: (reader: Reader) => reader.cstring() },
  { name: 'bytes left over', read: (reader: Reader) => reader.finish() },
])('$name is refused', ({ read }) => {
  const reader = new Reader(Buffer.from('abc\0', 'latin1'), 0, 3)
  expect(() => read(reader)).toThrow(expect.objectContaining({ code: 'pg.malformed' }))
})

test('a text with a NUL inside is not written', () => {
  expect(() => new Writer().cstring('a\0b')).toThrow(RangeError)
})
