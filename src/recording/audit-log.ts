import { type Clock, GatewayError } from '../kernel/index.ts'
import { type AuditEntry, type AuditRecord, decodeEntry, encodeEntry } from './audit-entries.ts'
import { leafHash, MerkleFrontier } from './merkle.ts'
import { openNote, type Signer, signNote } from './note.ts'
import {
  CHECKPOINT_PATH,
  checkpointText,
  decodeBundle,
  encodeBundle,
  parseCheckpointText,
  partialFolder,
  TILE_WIDTH,
  tilePath,
} from './tiles.ts'

/** Files of the log's own folder. One process at a time writes it. */
export interface AuditStorage {
  read(path: string): Promise<Buffer | undefined>
  /** On the disk, under its name and whole, when it resolves. */
  write(path: string, bytes: Buffer): Promise<void>
  removeFolder(path: string): Promise<void>
  isEmpty(): Promise<boolean>
}

interface Waiting {
  readonly bytes: Buffer
  readonly resolve: (answer: { readonly index: number }) => void
  readonly reject: (error: unknown) => void
}

/** Entries of one write round: bounds how long the first of them waits. */
const MAX_ROUND_ENTRIES = 1024
/** Waiting entries past which an append is refused: the disk does not follow. */
const MAX_WAITING_ENTRIES = 65_536

/**
 * Append-only Merkle log of what must not be forgotten. An entry is on the disk, and under a signed checkpoint, when
 * its `append` resolves. Appends that arrive during a write share the next one.
 */
export class AuditLog {
  readonly #storage: AuditStorage
  readonly #signer: Signer
  readonly #clock: Clock
  readonly #frontier = new MerkleFrontier()
  /** Entries of the last, partial bundle. */
  #bundle: Buffer[] = []
  /** Hashes of the last, partial tile of each level. */
  readonly #tiles: Buffer[][] = []
  /** Paths of partial tiles as last written: an upper level seldom changes. */
  readonly #written = new Map<number, string>()
  /** Partial tiles that whole ones have replaced; gone once the checkpoint does not need them. */
  #replaced: string[] = []
  #checkpoint = ''
  #signedSize = 0
  readonly #waiting: Waiting[] = []
  #writing = false
  #failure: GatewayError | undefined

  private constructor(options: { storage: AuditStorage; signer: Signer; clock: Clock }) {
    this.#storage = options.storage
    this.#signer = options.signer
    this.#clock = options.clock
  }

  /**
   * Reads the log from the start and recomputes its tree.
   * @param options.onEntry - Told of each entry on the way.
   * @throws GatewayError `recording.invalid` - the log is not what its signed checkpoint says, or has none.
   */
  static async open(options: {
    readonly storage: AuditStorage
    readonly signer: Signer
    readonly clock: Clock
    readonly onEntry?: (entry: AuditRecord, index: number) => void
  }): Promise<AuditLog> {
    const log = new AuditLog(options)
    const note = await options.storage.read(CHECKPOINT_PATH)
    if (note === undefined) {
      if (!(await options.storage.isEmpty())) throw invalid('The audit log has entries but no checkpoint.')
      await log.#sign()
      return log
    }
    const checkpoint = parseCheckpointText(openNote(note.toString('utf8'), options.signer))
    if (checkpoint.origin !== options.signer.name) throw invalid('The checkpoint belongs to another log.')
    const from = (path: string) => options.storage.read(path)
    for await (const { bytes, record, index } of readEntries(from, checkpoint.size)) {
      log.#add(bytes)
      await log.#forgetWholeTiles()
      options.onEntry?.(record, index)
    }
    if (!log.#frontier.root().equals(checkpoint.root)) {
      throw invalid('The audit log does not fit its checkpoint: an entry was changed. Run `sallyport audit verify`.')
    }
    log.#checkpoint = note.toString('utf8')
    log.#signedSize = checkpoint.size
    return log
  }

  /** Entries under the last checkpoint. */
  get size(): number {
    return this.#signedSize
  }

  /** The last signed checkpoint: keep a copy elsewhere to notice a log that was rolled back. */
  checkpoint(): string {
    return this.#checkpoint
  }

  /** Durable when it resolves. @throws GatewayError `recording.failed`; after a failed write, for ever. */
  append(entry: AuditEntry): Promise<{ readonly index: number }> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) throw this.#failure
      if (this.#waiting.length >= MAX_WAITING_ENTRIES) {
        throw new GatewayError('recording.failed', 'Too many audit entries wait for the disk.')
      }
      this.#waiting.push({ bytes: encodeEntry(entry, this.#clock.now()), resolve, reject })
      if (!this.#writing) void this.#writeWaiting()
    })
  }

  async #writeWaiting(): Promise<void> {
    this.#writing = true
    // After the turn's other appends, so that they share the write.
    await Promise.resolve()
    while (this.#waiting.length > 0) {
      const round = this.#waiting.splice(0, MAX_ROUND_ENTRIES)
      try {
        if (this.#failure !== undefined) throw this.#failure
        const first = this.#signedSize
        await this.#writeRound(round.map((one) => one.bytes))
        for (const [offset, one] of round.entries()) one.resolve({ index: first + offset })
      } catch (error) {
        // What is on the disk is not known any more; the next start finds out.
        this.#failure ??= GatewayError.from(error, 'recording.failed')
        for (const one of round) one.reject(this.#failure)
      }
    }
    this.#writing = false
  }

  /** Entries and hashes first, the checkpoint over them last: a crash in between leaves the older log whole. */
  async #writeRound(entries: readonly Buffer[]): Promise<void> {
    for (const bytes of entries) {
      this.#add(bytes)
      if (this.#bundle.length === TILE_WIDTH) await this.#writeWholeTiles()
    }
    await this.#writePartialTiles()
    await this.#sign()
    for (const folder of this.#replaced.splice(0)) await this.#storage.removeFolder(folder)
  }

  #add(bytes: Buffer): void {
    const hash = leafHash(bytes)
    this.#frontier.add(hash)
    this.#bundle.push(Buffer.from(bytes))
    this.#level(0).push(hash)
  }

  #level(level: number): Buffer[] {
    const tile = this.#tiles[level] ?? []
    this.#tiles[level] = tile
    return tile
  }

  /** Index of the tile of this level that is being filled. */
  #tileIndex(level: number): number {
    return Math.floor((this.#frontier.size - 1) / TILE_WIDTH ** (level + 1))
  }

  async #writeWholeTiles(): Promise<void> {
    const index = this.#tileIndex(0)
    await this.#storage.write(tilePath('entries', index, TILE_WIDTH), encodeBundle(this.#bundle))
    this.#replaced.push(partialFolder('entries', index))
    await this.#closeTiles(async (level, tile) => {
      await this.#storage.write(tilePath(level, this.#tileIndex(level), TILE_WIDTH), tile)
      this.#replaced.push(partialFolder(level, this.#tileIndex(level)))
    })
  }

  /** While reading: the tiles are there, only their roots are wanted. */
  async #forgetWholeTiles(): Promise<void> {
    if (this.#bundle.length === TILE_WIDTH) await this.#closeTiles(async () => {})
  }

  async #closeTiles(write: (level: number, tile: Buffer) => Promise<void>): Promise<void> {
    this.#bundle = []
    for (let level = 0; this.#level(level).length === TILE_WIDTH; level++) {
      const tile = this.#level(level)
      await write(level, Buffer.concat(tile))
      this.#level(level + 1).push(tileRoot(tile))
      this.#tiles[level] = []
    }
  }

  async #writePartialTiles(): Promise<void> {
    if (this.#bundle.length > 0) {
      const path = tilePath('entries', this.#tileIndex(0), this.#bundle.length)
      await this.#storage.write(path, encodeBundle(this.#bundle))
    }
    for (const [level, tile] of this.#tiles.entries()) {
      const path = tilePath(level, Math.floor(this.#frontier.size / TILE_WIDTH ** (level + 1)), tile.length)
      if (tile.length === 0 || this.#written.get(level) === path) continue
      await this.#storage.write(path, Buffer.concat(tile))
      this.#written.set(level, path)
    }
  }

  async #sign(): Promise<void> {
    const { size } = this.#frontier
    const text = checkpointText({ origin: this.#signer.name, size, root: this.#frontier.root() })
    const note = signNote(text, this.#signer)
    await this.#storage.write(CHECKPOINT_PATH, Buffer.from(note))
    this.#checkpoint = note
    this.#signedSize = size
  }
}

function invalid(message: string): GatewayError {
  return new GatewayError('recording.invalid', message)
}

/** The root over a tile's hashes. */
export function tileRoot(tile: readonly Buffer[]): Buffer {
  const frontier = new MerkleFrontier()
  for (const hash of tile) frontier.add(hash)
  return frontier.root()
}

export interface ReadEntry {
  readonly index: number
  readonly bytes: Buffer
  readonly record: AuditRecord
}

/** @throws GatewayError `recording.invalid` - a bundle is missing or malformed, or an entry is not readable. */
export async function* readEntries(
  read: (path: string) => Promise<Buffer | undefined>,
  size: number,
): AsyncGenerator<ReadEntry, void, void> {
  for (let first = 0; first < size; first += TILE_WIDTH) {
    const count = Math.min(TILE_WIDTH, size - first)
    const path = tilePath('entries', first / TILE_WIDTH, count)
    const bundle = await read(path)
    if (bundle === undefined) throw invalid(`The audit log lacks ${path}: entries from ${first} on are gone.`)
    for (const [offset, bytes] of decodeBundle(bundle, count).entries()) {
      const record = decodeEntry(bytes)
      if (record === undefined) throw invalid(`Entry ${first + offset} of the audit log is not readable.`)
      yield { index: first + offset, bytes, record }
    }
  }
}
