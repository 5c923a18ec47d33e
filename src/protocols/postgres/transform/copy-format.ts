import { GatewayError } from '../../../kernel/index.ts'
import type { ByteQueue } from '../../../wire/byte-queue.ts'

/** How one COPY format is cut into rows. */
export interface RowFormat {
  /** Bytes of the next whole row at the front of the queue; remembers how far it looked. */
  next(queue: ByteQueue): number | undefined
  /** Masks one whole row. @returns undefined when it may leave as it is. */
  change(row: Buffer): Buffer | undefined
  /** The stream has ended. @throws GatewayError when something of it is missing. */
  finish(): void
  /** Rows of data so far. */
  readonly rows: number
}

/** A delimiter, quote or escape as its byte. */
export function singleByte(value: string | undefined, otherwise: string): number {
  const bytes = Buffer.from(value ?? otherwise)
  const [byte] = bytes
  if (bytes.length !== 1 || byte === undefined || byte >= 0x80 || byte === 0x0a || byte === 0x0d)
    throw new GatewayError('pg.unsupported', 'A COPY delimiter, quote or escape must be a single ASCII character.')
  return byte
}

/** The target's stream has not the shape that its format has. */
export function malformedCopy(what: string): GatewayError {
  return new GatewayError('target.protocol', `The COPY that the target sends ${what}.`)
}
