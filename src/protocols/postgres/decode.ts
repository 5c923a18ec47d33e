import { GatewayError } from '../../kernel/index.ts'
import { ByteQueue } from '../../wire/byte-queue.ts'
import { Reader } from '../../wire/reader.ts'
import {
  type BackendKeyData,
  type CopyResponse,
  type DiagnosticFields,
  type FieldDescription,
  type Format,
  FRONTEND,
  type FrontendMessage,
  HEADER_BYTES,
  type TransactionStatus,
} from './messages.ts'

export interface CodecLimits {
  /** Of one whole frame, header included; checked before its body is buffered. */
  readonly maxMessageBytes: number
  /** Of a frame that holds a statement (Query, Parse), in the client's direction; undefined: as any other. */
  readonly maxStatementMessageBytes?: number
}

/**
 * The client's direction: bytes in at any chunk size, whole messages out.
 *
 * Lengths are checked as soon as they arrive. After a bad one nothing more is buffered; `messages()` still yields the
 * messages before it, then throws.
 */
export class FrontendDecoder {
  readonly #limits: CodecLimits
  readonly #queue = new ByteQueue()
  /** Bytes at the front of the queue that are whole, checked frames. */
  #whole = 0
  #failure: GatewayError | undefined

  constructor(limits: CodecLimits) {
    this.#limits = limits
  }

  get bufferedBytes(): number {
    return this.#queue.length
  }

  /** Takes a borrowed chunk; what is kept is copied. */
  push(chunk: Buffer): void {
    if (this.#failure !== undefined) return
    this.#queue.append(chunk)
    this.#checkLengths()
  }

  /**
   * Yields the whole messages that arrived.
   * @throws GatewayError `pg.frame_length` or `pg.malformed`; nothing can be read afterwards, so close the connection.
   */
  *messages(): Generator<FrontendMessage> {
    while (this.#whole > 0) {
      const raw = this.#queue.take(1 + frameLength(this.#queue, 0))!
      this.#whole -= raw.length
      yield this.#parse(raw)
    }
    if (this.#failure !== undefined) throw this.#failure
  }

  #parse(raw: Buffer): FrontendMessage {
    try {
      return parseFrontend(raw)
    } catch (error) {
      this.#fail(GatewayError.from(error), 0)
      throw error
    }
  }

  #checkLengths(): void {
    while (this.#queue.length - this.#whole >= HEADER_BYTES) {
      const length = frameLength(this.#queue, this.#whole)
      const problem = lengthProblem(length, this.#maxBytes(this.#queue.byteAt(this.#whole)))
      if (problem !== undefined) {
        this.#fail(new GatewayError('pg.frame_length', problem), this.#whole)
        return
      }
      if (this.#queue.length - this.#whole < 1 + length) return
      this.#whole += 1 + length
    }
  }

  #maxBytes(tag: number): number {
    const { maxMessageBytes, maxStatementMessageBytes = maxMessageBytes } = this.#limits
    return tag === FRONTEND.query || tag === FRONTEND.parse ? maxStatementMessageBytes : maxMessageBytes
  }

  #fail(failure: GatewayError, keptBytes: number): void {
    this.#failure = failure
    this.#whole = keptBytes
    this.#queue.truncate(keptBytes)
  }
}

function frameLength(queue: ByteQueue, offset: number): number {
  return (
    (queue.byteAt(offset + 1) << 24) |
    (queue.byteAt(offset + 2) << 16) |
    (queue.byteAt(offset + 3) << 8) |
    queue.byteAt(offset + 4)
  )
}

function lengthProblem(length: number, maxBytes: number): string | undefined {
  if (length < 4) return 'A message is shorter than its own length field.'
  if (length > maxBytes - 1) return `A message is over the limit of ${maxBytes} bytes.`
  return undefined
}

function parseFrontend(raw: Buffer): FrontendMessage {
  const reader = new Reader(raw, HEADER_BYTES)
  const message = readFrontend(raw, reader)
  reader.finish()
  return message
}

function readFrontend(raw: Buffer, reader: Reader): FrontendMessage {
  const tag = raw[0]!
  switch (tag) {
    case FRONTEND.query:
      return { kind: 'query', raw, sql: reader.cbytes() }
    case FRONTEND.parse:
      return { kind: 'parse', raw, name: reader.cstring(), sql: reader.cbytes(), parameterTypes: readOids(reader) }
    case FRONTEND.bind:
      return readBind(raw, reader)
    case FRONTEND.describe:
      return { kind: 'describe', raw, target: readTarget(reader), name: reader.cstring() }
    case FRONTEND.execute:
      return { kind: 'execute', raw, portal: reader.cstring(), maxRows: reader.i32() }
    case FRONTEND.close:
      return { kind: 'close', raw, target: readTarget(reader), name: reader.cstring() }
    case FRONTEND.sync:
      return { kind: 'sync', raw }
    case FRONTEND.flush:
      return { kind: 'flush', raw }
    case FRONTEND.terminate:
      return { kind: 'terminate', raw }
    case FRONTEND.copyData:
      return { kind: 'copyData', raw, data: reader.rest() }
    case FRONTEND.copyDone:
      return { kind: 'copyDone', raw }
    case FRONTEND.copyFail:
      return { kind: 'copyFail', raw, message: reader.cbytes() }
    case FRONTEND.functionCall:
      reader.rest()
      return { kind: 'functionCall', raw }
    case FRONTEND.password:
      return { kind: 'password', raw, data: reader.rest() }
    default:
      reader.rest()
      return { kind: 'opaque', raw, tag }
  }
}

function readBind(raw: Buffer, reader: Reader): FrontendMessage {
  const portal = reader.cstring()
  const statement = reader.cstring()
  const parameterFormats = readFormats(reader)
  const parameters: (Buffer | undefined)[] = []
  const count = reader.u16()
  for (let i = 0; i < count; i++) {
    const length = reader.i32()
    if (length < -1) reader.fail('a parameter has a negative length')
    parameters.push(length === -1 ? undefined : reader.bytes(length))
  }
  if (parameterFormats.length > 1 && parameterFormats.length !== count) {
    reader.fail('there are as many parameter formats as neither one nor the parameters')
  }
  return { kind: 'bind', raw, portal, statement, parameterFormats, parameters, resultFormats: readFormats(reader) }
}

function readTarget(reader: Reader): 'statement' | 'portal' {
  const letter = reader.u8()
  if (letter === 0x53) return 'statement'
  if (letter === 0x50) return 'portal'
  return reader.fail('only a statement or a portal can be described or closed')
}

function readOids(reader: Reader): number[] {
  const count = reader.u16()
  if (reader.remaining < count * 4) reader.fail('type numbers are missing')
  return Array.from({ length: count }, () => reader.u32())
}

function readFormats(reader: Reader): Format[] {
  const count = reader.u16()
  if (reader.remaining < count * 2) reader.fail('format codes are missing')
  return Array.from({ length: count }, () => readFormat(reader))
}

function readFormat(reader: Reader): Format {
  const code = reader.u16()
  return code === 0 || code === 1 ? code : reader.fail('a format is neither text nor binary')
}

export type OnFrame = (tag: number, buffer: Buffer, start: number, end: number) => void

/**
 * The target's direction. Walks headers and calls back per whole frame, which lies in `buffer` at [start, end), header
 * included. Nothing is copied but a frame that straddles chunks; buffers are borrowed for the call.
 */
export class BackendFramer {
  readonly #limits: CodecLimits
  readonly #partial = new ByteQueue()

  constructor(limits: CodecLimits) {
    this.#limits = limits
  }

  get bufferedBytes(): number {
    return this.#partial.length
  }

  /** @throws GatewayError `target.protocol` for a length that cannot be; the stream is lost then. */
  push(chunk: Buffer, onFrame: OnFrame): void {
    const size = chunk.length
    let at = this.#partial.length === 0 ? 0 : this.#completePartial(chunk, onFrame)
    while (size - at >= HEADER_BYTES) {
      const length = (chunk[at + 1]! << 24) | (chunk[at + 2]! << 16) | (chunk[at + 3]! << 8) | chunk[at + 4]!
      if (length < 4 || length >= this.#limits.maxMessageBytes) this.#refuse(length)
      const end = at + 1 + length
      if (end > size) break
      onFrame(chunk[at]!, chunk, at, end)
      at = end
    }
    if (at < size) this.#partial.append(chunk, at, size)
  }

  /** Fills up the frame that an earlier chunk began; answers how many bytes of this chunk belonged to it. */
  #completePartial(chunk: Buffer, onFrame: OnFrame): number {
    const partial = this.#partial
    let used = Math.min(Math.max(0, HEADER_BYTES - partial.length), chunk.length)
    partial.append(chunk, 0, used)
    if (partial.length < HEADER_BYTES) return used
    const length = frameLength(partial, 0)
    if (length < 4 || length >= this.#limits.maxMessageBytes) this.#refuse(length)
    const missing = Math.min(1 + length - partial.length, chunk.length - used)
    partial.append(chunk, used, used + missing)
    used += missing
    const frame = partial.peek(1 + length)
    if (frame === undefined) return used
    onFrame(frame[0]!, frame, 0, frame.length)
    partial.clear()
    return used
  }

  #refuse(length: number): never {
    this.#partial.clear()
    const problem = lengthProblem(length, this.#limits.maxMessageBytes) ?? 'A message has an impossible length.'
    throw new GatewayError('target.protocol', `The target's answer cannot be read. ${problem}`)
  }
}

/** The parsers below take a whole frame, header included, at [start, end) of the buffer. They throw `target.protocol`. */
function body(buffer: Buffer, start: number, end: number): Reader {
  return new Reader(buffer, start + HEADER_BYTES, end, 'target.protocol')
}

export function parseRowDescription(buffer: Buffer, start: number, end: number): FieldDescription[] {
  const reader = body(buffer, start, end)
  const count = reader.u16()
  const fields: FieldDescription[] = []
  for (let i = 0; i < count; i++) {
    fields.push({
      name: reader.cstring('utf8'),
      tableOid: reader.u32(),
      attribute: reader.i16(),
      typeOid: reader.u32(),
      typeSize: reader.i16(),
      typeModifier: reader.i32(),
      format: readFormat(reader),
    })
  }
  reader.finish()
  return fields
}

/** The fields of an ErrorResponse or NoticeResponse by their letters. */
export function parseDiagnostic(buffer: Buffer, start: number, end: number): DiagnosticFields {
  const reader = body(buffer, start, end)
  const fields: DiagnosticFields = new Map()
  for (let letter = reader.u8(); letter !== 0; letter = reader.u8()) {
    fields.set(String.fromCharCode(letter), reader.cstring('utf8'))
  }
  reader.finish()
  return fields
}

export function parseParameterStatus(buffer: Buffer, start: number, end: number): { name: string; value: string } {
  const reader = body(buffer, start, end)
  const status = { name: reader.cstring('utf8'), value: reader.cstring('utf8') }
  reader.finish()
  return status
}

/** The tag, such as `SELECT 5`. */
export function parseCommandComplete(buffer: Buffer, start: number, end: number): string {
  const reader = body(buffer, start, end)
  const tag = reader.cstring()
  reader.finish()
  return tag
}

export function parseBackendKeyData(buffer: Buffer, start: number, end: number): BackendKeyData {
  const reader = body(buffer, start, end)
  const pid = reader.i32()
  if (reader.remaining < 4 || reader.remaining > 256) reader.fail('a cancel key has 4 to 256 bytes')
  return { pid, secret: Buffer.from(reader.rest()) }
}

/** Of a CopyInResponse, CopyOutResponse or CopyBothResponse. */
export function parseCopyResponse(buffer: Buffer, start: number, end: number): CopyResponse {
  const reader = body(buffer, start, end)
  const code = reader.u8()
  const format = code === 0 || code === 1 ? code : reader.fail('a COPY is neither text nor binary')
  const columnFormats = readFormats(reader)
  reader.finish()
  return { format, columnFormats }
}

export function parseNotificationResponse(
  buffer: Buffer,
  start: number,
  end: number,
): { pid: number; channel: string; payload: string } {
  const reader = body(buffer, start, end)
  const notification = { pid: reader.i32(), channel: reader.cstring('utf8'), payload: reader.cstring('utf8') }
  reader.finish()
  return notification
}

export function parseReadyForQuery(buffer: Buffer, start: number, end: number): TransactionStatus {
  const reader = body(buffer, start, end)
  const status = String.fromCharCode(reader.u8())
  reader.finish()
  if (status !== 'I' && status !== 'T' && status !== 'E') return reader.fail('a transaction status is not known')
  return status
}

export function parseParameterDescription(buffer: Buffer, start: number, end: number): number[] {
  const reader = body(buffer, start, end)
  const oids = readOids(reader)
  reader.finish()
  return oids
}

/** The cells of one DataRow as views; undefined is NULL. For small results: a relay walks the frame instead. */
export function parseDataRow(buffer: Buffer, start: number, end: number): (Buffer | undefined)[] {
  const reader = body(buffer, start, end)
  const count = reader.u16()
  const cells: (Buffer | undefined)[] = []
  for (let i = 0; i < count; i++) {
    const length = reader.i32()
    if (length < -1) reader.fail('a value has a negative length')
    cells.push(length === -1 ? undefined : reader.bytes(length))
  }
  reader.finish()
  return cells
}
