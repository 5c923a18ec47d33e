import { closeSync, constants, fdatasync, fdatasyncSync, openSync, writeSync } from 'node:fs'
import { access, mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises'
import { dirname, join, sep } from 'node:path'
import type { AuditStorage, FolderReader, JournalSink } from '../../recording/index.ts'

/** Recordings and keys are nobody's but the gateway's. */
export const FOLDER_MODE = 0o700
export const FILE_MODE = 0o600
const READ_CHUNK_BYTES = 256 * 1024

export function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException | undefined)?.code === 'ENOENT'
}

/** Names in a folder are on the disk only after the folder itself is synced. */
export async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, constants.O_RDONLY)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Makes the folder and those above it; what is new is on the disk when it resolves. */
export async function makeFolder(path: string): Promise<void> {
  const first = await mkdir(path, { recursive: true, mode: FOLDER_MODE })
  if (first === undefined) return
  for (let folder = path; ; folder = dirname(folder)) {
    await syncFolder(dirname(folder))
    if (folder === first || folder === dirname(folder)) return
  }
}

/** Whole, and under its name, when it resolves; the old file stands until then. */
export async function writeDurably(path: string, bytes: Buffer): Promise<void> {
  await makeFolder(dirname(path))
  const temporary = `${path}.new`
  const handle = await open(temporary, 'w', FILE_MODE)
  try {
    await handle.writeFile(bytes)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(temporary, path)
  await syncFolder(dirname(path))
}

export async function moveDurably(from: string, to: string): Promise<void> {
  await makeFolder(dirname(to))
  await rename(from, to)
  await syncFolder(dirname(to))
  await syncFolder(dirname(from))
}

export async function readIfThere(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path)
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

/** Opens at once, so that a file that is moved meanwhile is still read. */
export async function streamIfThere(path: string): Promise<AsyncIterable<Buffer> | undefined> {
  try {
    const handle = await open(path, constants.O_RDONLY)
    return handle.createReadStream({ highWaterMark: READ_CHUNK_BYTES }) as AsyncIterable<Buffer>
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

export async function* filesBelow(folder: string, prefix = ''): AsyncGenerator<string, void, void> {
  let entries: Awaited<ReturnType<typeof listFolder>>
  try {
    entries = await listFolder(folder)
  } catch (error) {
    if (isMissing(error)) return
    throw error
  }
  for (const entry of entries) {
    if (entry.isDirectory()) yield* filesBelow(join(folder, entry.name), `${prefix}${entry.name}/`)
    else yield `${prefix}${entry.name}`
  }
}

function listFolder(folder: string) {
  return readdir(folder, { withFileTypes: true })
}

/** A folder, or a copy of one, for verification. */
export function folderReader(folder: string): FolderReader {
  const at = (path: string) => join(folder, ...path.split('/'))
  return {
    read: (path) => readIfThere(at(path)),
    has: (path) =>
      access(at(path)).then(
        () => true,
        () => false,
      ),
    stream: (path) => streamIfThere(at(path)),
    list: () => filesBelow(folder),
  }
}

export function auditStorage(folder: string): AuditStorage {
  const at = (path: string) => `${folder}${sep}${path.replaceAll('/', sep)}`
  return {
    read: (path) => readIfThere(at(path)),
    write: (path, bytes) => writeDurably(at(path), bytes),
    removeFolder: (path) => rm(at(path), { recursive: true, force: true }),
    isEmpty: async () => {
      for await (const _ of filesBelow(folder)) return false
      return true
    },
  }
}

/** A journal's file. Writes are synchronous: when one returns, the operating system has the bytes, whatever becomes of us. */
export class FileSink implements JournalSink {
  readonly #descriptor: number
  readonly #inline: boolean
  #syncing = false
  #closing = false

  /** @param inline - The disk syncs faster than a trip through the thread pool takes. */
  constructor(path: string, inline: boolean) {
    this.#descriptor = openSync(path, 'wx', FILE_MODE)
    this.#inline = inline
  }

  write(bytes: Buffer): void {
    for (let written = 0; written < bytes.length; ) written += writeSync(this.#descriptor, bytes, written)
  }

  sync(urgent: boolean): void | Promise<void> {
    if (urgent && this.#inline) return fdatasyncSync(this.#descriptor)
    this.#syncing = true
    return new Promise((resolve, reject) => {
      fdatasync(this.#descriptor, (error) => {
        this.#syncing = false
        if (this.#closing) closeSync(this.#descriptor)
        if (error === null) resolve()
        else reject(error)
      })
    })
  }

  /** Waits for a sync that is under way: the descriptor's number must not be another file's by then. */
  close(): void {
    if (this.#closing) return
    this.#closing = true
    if (!this.#syncing) closeSync(this.#descriptor)
  }
}
