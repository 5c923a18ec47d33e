import { randomBytes } from 'node:crypto'
import { linkSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import path from 'node:path'
import { GatewayError } from '../../kernel/index.ts'
import { birthOf, isAlive } from './processes.ts'

const HEARTBEAT_MS = 5_000
/** A holder on another host (or in another container) cannot be looked up, so its heartbeat decides. */
const FOREIGN_STALE_MS = 30_000
const MAX_TAKEOVERS = 5

interface Holder {
  readonly pid: number
  readonly birth: string
  readonly host: string
  readonly nonce: string
}

function readHolder(file: string): Holder | undefined {
  try {
    const holder = JSON.parse(readFileSync(file, 'utf8')) as Partial<Holder>
    if (typeof holder.pid !== 'number' || typeof holder.nonce !== 'string') return undefined
    return { pid: holder.pid, birth: holder.birth ?? '', host: holder.host ?? '', nonce: holder.nonce }
  } catch {
    return undefined
  }
}

function ageMs(file: string): number {
  const stat = statSync(file, { throwIfNoEntry: false })
  return stat === undefined ? Number.POSITIVE_INFINITY : Date.now() - stat.mtimeMs
}

function holds(holder: Holder, file: string): boolean {
  if (holder.host !== hostname()) return ageMs(file) < FOREIGN_STALE_MS
  return isAlive(holder.pid) && (holder.birth === '' || birthOf(holder.pid) === holder.birth)
}

/**
 * Moves a dead holder's lock away. Renaming is atomic, so of several gateways that see it dead one gets it; whoever
 * finds that it moved a newer lock instead puts that back.
 */
function removeStale(file: string, stale: Holder | undefined): void {
  const aside = `${file}.${randomBytes(6).toString('hex')}`
  try {
    renameSync(file, aside)
  } catch {
    return // somebody else was faster
  }
  if (readHolder(aside)?.nonce !== stale?.nonce) {
    try {
      linkSync(aside, file)
    } catch {
      // A third gateway holds it by now; the one that was moved notices at its next heartbeat.
    }
  }
  rmSync(aside, { force: true })
}

/** Keeps two gateways from using one folder. Survives `kill -9`: a lock whose process is gone is taken over. */
export class FolderLock {
  readonly #file: string
  readonly #nonce: string
  readonly #heartbeat: NodeJS.Timeout

  private constructor(file: string, nonce: string) {
    this.#file = file
    this.#nonce = nonce
    this.#heartbeat = setInterval(() => this.#touch(), HEARTBEAT_MS).unref()
  }

  /** @throws GatewayError `store.locked` - another gateway, named by its process id, uses the folder. */
  static take(folder: string): FolderLock {
    const file = path.join(folder, 'gateway.lock')
    const nonce = randomBytes(12).toString('hex')
    const mine = `${file}.${nonce}`
    const holder: Holder = { pid: process.pid, birth: birthOf(process.pid), host: hostname(), nonce }
    writeFileSync(mine, JSON.stringify(holder), { mode: 0o600 })
    try {
      for (let attempt = 0; attempt < MAX_TAKEOVERS; attempt++) {
        try {
          linkSync(mine, file) // appears whole or not at all, and never replaces
          return new FolderLock(file, nonce)
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
        }
        const other = readHolder(file)
        if (other !== undefined && holds(other, file)) throw taken(folder, other)
        removeStale(file, other)
      }
      throw taken(folder, readHolder(file))
    } finally {
      rmSync(mine, { force: true })
    }
  }

  #touch(): void {
    const now = new Date()
    try {
      if (readHolder(this.#file)?.nonce === this.#nonce) utimesSync(this.#file, now, now)
    } catch {
      // The folder is gone or read-only; the server notices that by itself.
    }
  }

  release(): void {
    clearInterval(this.#heartbeat)
    if (readHolder(this.#file)?.nonce === this.#nonce) rmSync(this.#file, { force: true })
  }
}

function taken(folder: string, holder: Holder | undefined): GatewayError {
  const who = holder === undefined ? 'another gateway' : `another gateway (process ${holder.pid})`
  return new GatewayError('store.locked', `The data folder is in use by ${who}.`, {
    detail: `folder ${folder}${holder === undefined ? '' : `, host ${holder.host}`}`,
    hint: 'Stop that gateway, or give this one a data folder of its own.',
  })
}
