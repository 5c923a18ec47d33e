import { expect, test } from 'vitest'
import { Writer } from './writer.ts'

test('every byte arrives, whichever call makes the buffer grow', () => {
  for (let expected = 1; expected <= 40; expected++) {
    const bytes = new Writer(expected)
      .text('word')
      .u8(0)
      .u8(7)
      .i16(258)
      .i32(1)
      .cstring('é')
      .bytes(Buffer.from([9]))
      .u8(3)
      .finish()
    expect(bytes.toString('hex')).toBe(`${Buffer.from('word').toString('hex')}00070102000000${'01c3a90009'}03`)
  }
})

test('a NUL cannot end a text early', () => {
  expect(() => new Writer().cstring('a\0b')).toThrow(RangeError)
})
