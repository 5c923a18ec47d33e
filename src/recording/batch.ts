import {
  type CopyDataEvent,
  isStructuredEvent,
  type RecordingEvent,
  type RowsEvent,
  type StructuredEvent,
} from './events.ts'

/**
 * A batch in the clear is items of `[u8 kind][u32 length][bytes]`, big-endian.
 * - event: one JSON object
 * - rows: `[f64 at][u32 operation][u32 count][u8 row header bytes]`, then rows of `[i16 cells]` and per cell
 *   `[i32 length, -1 is NULL][bytes]`, each row after so many bytes of the protocol's own framing
 * - copy: `[f64 at][u32 operation][u8 0 in, 1 out]`, then data
 */
const ITEM = { event: 1, rows: 2, copy: 3 } as const
const ITEM_PREFIX_BYTES = 5
const ROWS_PREFIX_BYTES = 17
const COPY_PREFIX_BYTES = 13

/** Facts and columns are cached by those who make them and never change, so their text is kept, too. */
const texts = new WeakMap<object, string>()

function keptText(value: object): string {
  const known = texts.get(value)
  if (known !== undefined) return known
  const text = JSON.stringify(value)
  texts.set(value, text)
  return text
}

function eventText(event: StructuredEvent): string {
  switch (event.type) {
    case 'operation': {
      const { facts, ...rest } = event
      return `${JSON.stringify(rest).slice(0, -1)},"facts":${keptText(facts)}}`
    }
    case 'columns': {
      const { columns, ...rest } = event
      return `${JSON.stringify(rest).slice(0, -1)},"columns":${keptText(columns)}}`
    }
    default:
      return JSON.stringify(event)
  }
}

function item(kind: number, bodyBytes: number): Buffer {
  const buffer = Buffer.allocUnsafe(ITEM_PREFIX_BYTES + bodyBytes)
  buffer[0] = kind
  buffer.writeUInt32BE(bodyBytes, 1)
  return buffer
}

export function encodeEvent(event: StructuredEvent): Buffer {
  const text = eventText(event)
  const bytes = item(ITEM.event, Buffer.byteLength(text))
  bytes.write(text, ITEM_PREFIX_BYTES)
  return bytes
}

/** Copies the cells: they are borrowed from a read buffer. */
export function encodeRows(event: Omit<RowsEvent, 'type'>): Buffer {
  const bytes = item(ITEM.rows, ROWS_PREFIX_BYTES + event.cells.length)
  bytes.writeDoubleBE(event.at, ITEM_PREFIX_BYTES)
  bytes.writeUInt32BE(event.operation, ITEM_PREFIX_BYTES + 8)
  bytes.writeUInt32BE(event.count, ITEM_PREFIX_BYTES + 12)
  bytes[ITEM_PREFIX_BYTES + 16] = event.rowHeaderBytes
  event.cells.copy(bytes, ITEM_PREFIX_BYTES + ROWS_PREFIX_BYTES)
  return bytes
}

/** Copies the data: it is borrowed from a read buffer. */
export function encodeCopyData(event: Omit<CopyDataEvent, 'type'>): Buffer {
  const bytes = item(ITEM.copy, COPY_PREFIX_BYTES + event.data.length)
  bytes.writeDoubleBE(event.at, ITEM_PREFIX_BYTES)
  bytes.writeUInt32BE(event.operation, ITEM_PREFIX_BYTES + 8)
  bytes[ITEM_PREFIX_BYTES + 12] = event.direction === 'out' ? 1 : 0
  event.data.copy(bytes, ITEM_PREFIX_BYTES + COPY_PREFIX_BYTES)
  return bytes
}

/** Undefined when the bytes are no batch. */
export function decodeBatch(plain: Buffer): RecordingEvent[] | undefined {
  const events: RecordingEvent[] = []
  let at = 0
  while (at < plain.length) {
    if (plain.length - at < ITEM_PREFIX_BYTES) return undefined
    const end = at + ITEM_PREFIX_BYTES + plain.readUInt32BE(at + 1)
    if (end > plain.length) return undefined
    const event = decodeItem(plain[at]!, plain.subarray(at + ITEM_PREFIX_BYTES, end))
    if (event === undefined) return undefined
    events.push(event)
    at = end
  }
  return events
}

function decodeItem(kind: number, body: Buffer): RecordingEvent | undefined {
  switch (kind) {
    case ITEM.event:
      return decodeEvent(body)
    case ITEM.rows:
      if (body.length < ROWS_PREFIX_BYTES) return undefined
      return {
        type: 'rows',
        at: body.readDoubleBE(0),
        operation: body.readUInt32BE(8),
        count: body.readUInt32BE(12),
        rowHeaderBytes: body[16]!,
        cells: body.subarray(ROWS_PREFIX_BYTES),
      }
    case ITEM.copy:
      if (body.length < COPY_PREFIX_BYTES) return undefined
      return {
        type: 'copy_data',
        at: body.readDoubleBE(0),
        operation: body.readUInt32BE(8),
        direction: body[12] === 1 ? 'out' : 'in',
        data: body.subarray(COPY_PREFIX_BYTES),
      }
    default:
      return undefined
  }
}

function decodeEvent(body: Buffer): StructuredEvent | undefined {
  try {
    const value: unknown = JSON.parse(body.toString('utf8'))
    return isStructuredEvent(value) ? value : undefined
  } catch {
    return undefined
  }
}
