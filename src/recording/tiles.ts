import { GatewayError } from '../kernel/index.ts'

/** Names and shapes of the files of a log. @see https://c2sp.org/tlog-tiles */
export const TILE_WIDTH = 256
export const HASH_BYTES = 32
export const MAX_ENTRY_BYTES = 0xffff
export const CHECKPOINT_PATH = 'checkpoint'

/** `1234067` is `x001/x234/067`. */
function indexPath(index: number): string {
  const parts: string[] = [String(index % 1000).padStart(3, '0')]
  for (let rest = Math.floor(index / 1000); rest > 0; rest = Math.floor(rest / 1000)) {
    parts.unshift(`x${String(rest % 1000).padStart(3, '0')}`)
  }
  return parts.join('/')
}

/** @param width - Hashes or entries in it; `TILE_WIDTH` is a whole one. */
export function tilePath(level: number | 'entries', index: number, width: number): string {
  const whole = `tile/${level}/${indexPath(index)}`
  return width === TILE_WIDTH ? whole : `${whole}.p/${width}`
}

/** The folder of the partial tiles that a whole one replaces. */
export function partialFolder(level: number | 'entries', index: number): string {
  return `${tilePath(level, index, TILE_WIDTH)}.p`
}

export function encodeBundle(entries: readonly Buffer[]): Buffer {
  const pieces: Buffer[] = []
  for (const entry of entries) {
    const length = Buffer.allocUnsafe(2)
    length.writeUInt16BE(entry.length)
    pieces.push(length, entry)
  }
  return Buffer.concat(pieces)
}

/** @throws GatewayError `recording.invalid` when it does not hold exactly so many entries. */
export function decodeBundle(bundle: Buffer, count: number): Buffer[] {
  const entries: Buffer[] = []
  let at = 0
  while (at + 2 <= bundle.length) {
    const end = at + 2 + bundle.readUInt16BE(at)
    if (end > bundle.length) break
    entries.push(bundle.subarray(at + 2, end))
    at = end
  }
  if (at !== bundle.length || entries.length !== count) {
    throw new GatewayError('recording.invalid', `An entry bundle does not hold ${count} whole entries.`)
  }
  return entries
}

export interface Checkpoint {
  /** `sallyport/<installation>`. */
  readonly origin: string
  readonly size: number
  readonly root: Buffer
}

/** @see https://c2sp.org/tlog-checkpoint */
export function checkpointText({ origin, size, root }: Checkpoint): string {
  return `${origin}\n${size}\n${root.toString('base64')}\n`
}

/** @throws GatewayError `recording.invalid` */
export function parseCheckpointText(text: string): Checkpoint {
  const [origin, size, encoded] = text.split('\n')
  const root = Buffer.from(encoded ?? '', 'base64')
  const canonical = root.length === HASH_BYTES && root.toString('base64') === encoded
  if (!origin || size === undefined || !/^(0|[1-9]\d{0,14})$/.test(size) || !canonical) {
    throw new GatewayError('recording.invalid', 'This is not a checkpoint.')
  }
  return { origin, size: Number(size), root }
}
