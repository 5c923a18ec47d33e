import { expect, test } from 'vitest'
import { DEFAULT_SESSION_LIMITS, type EngineServices, EngineSession, Outbox } from '../../engine/index.ts'
import { type ByteStream, EMPTY_FACTS, type MaskInstruction } from '../../kernel/index.ts'
import { Journal, SyncGroup } from '../../recording/index.ts'
import { ManualClock, MemorySink, seededRandom, testKeys, testSession } from '../../recording/test/support.ts'
import { Answers } from './answers.ts'
import type { CatalogKeeper } from './catalog-keeper.ts'
import { Conversation } from './conversation.ts'
import { Run, type RunScene } from './run.ts'
import { maskColumns, masker, PAYMENTS, shop } from './transform/test/shop.ts'

/** A frame of the target. */
function frame(tag: string, ...parts: (string | Buffer)[]): Buffer {
  const body = Buffer.concat(parts.map((part) => Buffer.from(part as string)))
  const head = Buffer.alloc(5)
  head.write(tag)
  head.writeInt32BE(4 + body.length, 1)
  return Buffer.concat([head, body])
}

function u16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 0xff])
}

function u32(value: number): Buffer {
  return Buffer.from([value >>> 24, (value >> 16) & 0xff, (value >> 8) & 0xff, value & 0xff])
}

function field(name: string, attribute: number): Buffer {
  return Buffer.concat([Buffer.from(`${name}\0`), u32(PAYMENTS), u16(attribute), u32(25), u16(0xffff), u32(0), u16(0)])
}

function row(...cells: string[]): Buffer {
  return frame('D', u16(cells.length), ...cells.flatMap((cell) => [u32(cell.length), cell]))
}

/** A client that takes whatever it is sent. */
class Sink implements ByteStream {
  readonly remoteAddress = 'test'
  readonly tls = undefined
  readonly queuedBytes = 0
  bytes = Buffer.alloc(0)
  write(buffers: readonly Buffer[]): boolean {
    this.bytes = Buffer.concat([this.bytes, ...buffers])
    return true
  }
  read(): void {}
  onDrain(): void {}
  pause(): void {}
  resume(): void {}
  end(): void {}
  destroy(): void {}
  startTls(): Promise<ByteStream> {
    return Promise.reject(new Error('no TLS here'))
  }
}

/** What the client gets of an answer that arrives in chunks of a size, each in a buffer that is used again at once. */
function relayed(answer: Buffer, chunkBytes: number, masks: readonly MaskInstruction[]): Buffer {
  const clock = new ManualClock()
  const journal = new Journal({
    sessionId: 'session-1',
    startedAt: clock.now(),
    mode: 'buffered',
    sink: new MemorySink(),
    keys: testKeys(),
    clock,
    random: seededRandom('answers'),
    syncGroup: new SyncGroup(),
  })
  const services = { clock, masker, limits: DEFAULT_SESSION_LIMITS } as unknown as EngineServices
  const session = new EngineSession({ info: testSession() } as never, journal, services)
  const client = new Sink()
  const failed = (error: Error) => expect.unreachable(error.message)
  const outbox = new Outbox({ journal, client, target: new Sink(), maxQueuedBytes: 1_000_000, failed })
  const scene: RunScene = {
    session,
    outbox,
    masker,
    catalog: () => shop,
    uncertain: () => false,
    atRest: () => masks,
    settle: () => undefined,
    drop: () => undefined,
  }
  const talk = new Conversation()
  const catalog = { snapshot: shop, uncertain: false } as unknown as CatalogKeeper
  const answers = new Answers({ talk, scene, catalog, fatal: failed, parameters: new Map() })
  const judged = {
    operation: { sequence: 1, text: 'select', parameters: [], facts: EMPTY_FACTS },
    analysis: undefined,
    decision: { kind: 'mask', rule: 'r', reason: '', masks, observed: [] },
    protection: { computed: false, computedAtRest: false, strict: false },
  } as const
  talk.expect({ kind: 'query', runs: [new Run(judged, scene, undefined)], at: 0, failed: false })
  const borrowed = Buffer.alloc(chunkBytes)
  for (let at = 0; at < answer.length; at += chunkBytes) {
    const size = answer.copy(borrowed, 0, at, at + chunkBytes)
    answers.push(borrowed.subarray(0, size))
    borrowed.fill('#')
    outbox.flush()
  }
  return client.bytes
}

const shape = frame('T', u16(2), field('card', 2), field('note', 3))
const end = Buffer.concat([frame('C', 'SELECT 3\0'), frame('Z', 'I')])
const chunkSizes = [...Array.from({ length: 80 }, (_, index) => index + 1), 1000]

test.each(chunkSizes)('rows arrive as they were sent in chunks of %i bytes', (size) => {
  const answer = Buffer.concat([shape, row('one', 'a note'), row('', 'another, longer note'), row('three', ''), end])
  expect(relayed(answer, size, []).toString('latin1')).toBe(answer.toString('latin1'))
})

test.each(chunkSizes)('masked rows among others leave masked and in order in chunks of %i bytes', (size) => {
  const rows = (first: string) => [row(first, 'a note'), row('', 'a much longer note'), row(first, ''), row('', 'x')]
  const answer = Buffer.concat([shape, ...rows('4111111111111111'), end])
  const masks = [maskColumns('last4', 'payments.card')]
  const whole = relayed(answer, 1_000, masks).toString('latin1')
  expect(whole).not.toContain('411111')
  expect(whole).toContain('a much longer note')
  expect(relayed(answer, size, masks).toString('latin1')).toBe(whole)
})
