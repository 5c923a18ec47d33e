import { expect, test } from 'vitest'
import { type ByteStream, GatewayError } from '../kernel/index.ts'
import { StreamReader } from './stream-reader.ts'

type On = Parameters<ByteStream['read']>[0]

/** The reading half of a stream, with the test as its peer. */
function scripted(more: { initial?: Buffer } = {}) {
  const calls: string[] = []
  let on: On | undefined
  const stream = {
    read: (reader: On) => {
      on = reader
    },
    pause: () => calls.push('pause'),
    resume: () => calls.push('resume'),
  } as unknown as ByteStream
  const closed = () => new GatewayError('target.lost', 'gone')
  const reader = new StreamReader(stream, { maxBufferedBytes: 4, closed, ...more })
  return { reader, calls, peer: on! }
}

test('waits for the bytes, however they come', async () => {
  const { reader, peer } = scripted({ initial: Buffer.from('a') })
  const taken = reader.take(3)
  peer.data(Buffer.from('b'))
  peer.data(Buffer.from('cd'))
  expect((await taken).toString()).toBe('abc')
  expect((await reader.peek(1)).toString()).toBe('d')
  expect(reader.buffered).toBe(1)
})

test('pauses when nobody takes, and goes on when somebody does', async () => {
  const { reader, peer, calls } = scripted()
  peer.data(Buffer.from('abcdef'))
  expect(calls).toEqual(['pause'])
  await reader.take(1)
  expect(calls).toEqual(['pause'])
  await reader.take(2)
  expect(calls).toEqual(['pause', 'resume'])
})

test('waiting for more than is held ends a pause', async () => {
  const { reader, peer, calls } = scripted()
  peer.data(Buffer.from('abcd'))
  const taken = reader.take(5)
  expect(calls).toEqual(['pause', 'resume'])
  peer.data(Buffer.from('e'))
  expect((await taken).toString()).toBe('abcde')
})

test('a closed stream still gives what arrived, then fails; the first failure stays', async () => {
  const { reader, peer } = scripted()
  peer.data(Buffer.from('ab'))
  const waiting = reader.take(3)
  reader.fail(new GatewayError('auth.timeout', 'late'))
  peer.closed(undefined)
  await expect(waiting).rejects.toMatchObject({ code: 'auth.timeout' })
  expect((await reader.take(2)).toString()).toBe('ab')
  await expect(reader.take(1)).rejects.toMatchObject({ code: 'auth.timeout' })
})

test('release pauses and hands on the rest', () => {
  const { reader, peer, calls } = scripted()
  peer.data(Buffer.from('xyz'))
  expect(reader.release().toString()).toBe('xyz')
  expect(calls).toEqual(['pause'])
  expect(reader.buffered).toBe(0)
})
