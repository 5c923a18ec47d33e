import { systemClock } from '../../src/edge/clock.ts'
import { makeDial } from '../../src/edge/dial.ts'
import { systemRandom } from '../../src/edge/random.ts'
import type { ByteStream } from '../../src/kernel/index.ts'
import {
  BackendFramer,
  parseCommandComplete,
  parseDataRow,
  parseDiagnostic,
} from '../../src/protocols/postgres/decode.ts'
import { bind, describe, execute, parse, query, sync } from '../../src/protocols/postgres/encode.ts'
import { BACKEND, HEADER_BYTES } from '../../src/protocols/postgres/messages.ts'
import { connectTarget, type TargetLink } from '../../src/protocols/postgres/target.ts'
import { eventually, type Gateway, type Person } from '../harness/index.ts'

const LIMITS = { maxMessageBytes: 256 * 1024 * 1024 }
const PATIENCE_MS = 20_000
export const dial = makeDial()

/** All that came for what was sent, byte for byte and taken apart. */
export interface Answer {
  readonly raw: Buffer
  readonly cells: readonly (Buffer | undefined)[]
  readonly errors: readonly ReadonlyMap<string, string>[]
  readonly notices: readonly ReadonlyMap<string, string>[]
  readonly tags: readonly string[]
  /** Bodies of CopyData. */
  readonly copied: Buffer
  readonly frames: readonly number[]
}

interface Frame {
  readonly tag: number
  readonly bytes: Buffer
}

/** A client that sends whatever bytes it is given. */
export class Wire {
  readonly link: TargetLink
  readonly #framer = new BackendFramer(LIMITS)
  #frames: Frame[] = []
  closed = false
  #arrived: () => void = () => undefined

  constructor(link: TargetLink) {
    this.link = link
    link.stream.read({
      data: (chunk) => {
        this.#framer.push(chunk, (tag, buffer, start, end) =>
          this.#frames.push({ tag, bytes: Buffer.from(buffer.subarray(start, end)) }),
        )
        this.#arrived()
      },
      closed: () => {
        this.closed = true
        this.#arrived()
      },
    })
    link.stream.resume()
  }

  static async open(
    gateway: Gateway,
    person: Person,
    parameters: Readonly<Record<string, string>> = {},
  ): Promise<Wire> {
    const { id, secret } = gateway.token(person)
    const link = await connectTarget({
      dial,
      connection: {
        address: gateway.address,
        database: parameters['database'] ?? 'shop',
        tls: { mode: 'disable' },
        connectTimeoutMs: 20_000,
      },
      credential: { user: id, password: secret },
      startupParameters: new Map(Object.entries(parameters)),
      random: systemRandom,
      clock: systemClock,
      limits: LIMITS,
    })
    return new Wire(link)
  }

  /** The session's id, which the gateway tells the target in the application's name. */
  get session(): string {
    return this.link.parameterStatus.get('application_name')?.split(' ')[1] ?? ''
  }

  send(...messages: Buffer[]): void {
    this.link.stream.write([Buffer.concat(messages)])
  }

  count(tag: number): number {
    return this.#frames.filter((frame) => frame.tag === tag).length
  }

  /** Waits for so many ReadyForQuery, or for the end, and takes all that came. */
  async answer(readies = 1): Promise<Answer> {
    await this.until(() => this.count(BACKEND.readyForQuery) >= readies)
    return this.take()
  }

  async until(test: () => boolean): Promise<void> {
    const impatient = setTimeout(() => this.link.stream.destroy(), PATIENCE_MS)
    while (!test() && !this.closed)
      await new Promise<void>((resolve) => {
        this.#arrived = resolve
      })
    clearTimeout(impatient)
  }

  take(): Answer {
    const frames = this.#frames
    this.#frames = []
    const of = (tag: number) => frames.filter((frame) => frame.tag === tag).map((frame) => frame.bytes)
    return {
      raw: Buffer.concat(frames.map((frame) => frame.bytes)),
      cells: of(BACKEND.dataRow).flatMap((frame) => parseDataRow(frame, 0, frame.length)),
      errors: of(BACKEND.errorResponse).map((frame) => parseDiagnostic(frame, 0, frame.length)),
      notices: of(BACKEND.noticeResponse).map((frame) => parseDiagnostic(frame, 0, frame.length)),
      tags: of(BACKEND.commandComplete).map((frame) => parseCommandComplete(frame, 0, frame.length)),
      copied: Buffer.concat(of(BACKEND.copyData).map((frame) => frame.subarray(HEADER_BYTES))),
      frames: frames.map((frame) => frame.tag),
    }
  }

  async ask(sql: string): Promise<Answer> {
    this.send(query(sql))
    return await this.answer()
  }

  /** The same in the extended protocol, with results in binary. */
  async askBinary(sql: string): Promise<Answer> {
    this.send(parse('', sql), bind('', '', [], [], [1]), describe('portal', ''), execute(''), sync())
    return await this.answer()
  }

  /** The first cell of the first row. */
  async value(sql: string): Promise<string | undefined> {
    return (await this.ask(sql)).cells[0]?.toString('utf8')
  }

  end(): void {
    this.link.stream.destroy()
  }
}

/** Bytes to a listener that nobody has logged in to; what it says until it closes, or until `enough`. */
export async function knock(
  gateway: Gateway,
  bytes: readonly Buffer[],
  enough: (received: Buffer) => boolean = () => false,
): Promise<{ readonly received: Buffer; readonly closed: boolean }> {
  const stream: ByteStream = await dial(gateway.address)
  let received: Buffer = Buffer.alloc(0)
  let closed = false
  stream.read({
    data: (chunk) => {
      received = Buffer.concat([received, chunk])
    },
    closed: () => {
      closed = true
    },
  })
  stream.resume()
  for (const each of bytes) stream.write([each])
  await eventually('the listener to answer', () => (closed || enough(received) ? true : undefined))
  stream.destroy()
  return { received, closed }
}
