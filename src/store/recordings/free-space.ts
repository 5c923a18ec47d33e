import { statfs } from 'node:fs/promises'
import type { Clock, Logger } from '../../kernel/index.ts'

/** `refuse`: no new sessions; `end`: running ones must end, so that their recordings can still be closed. */
export type SpaceLevel = 'ok' | 'warn' | 'refuse' | 'end'

export interface SpaceLimits {
  readonly warnBelowBytes: number
  readonly refuseBelowBytes: number
  readonly endBelowBytes: number
  readonly intervalMs: number
}

export const DEFAULT_SPACE_LIMITS: SpaceLimits = {
  warnBelowBytes: 2 * 1024 ** 3,
  refuseBelowBytes: 256 * 1024 ** 2,
  endBelowBytes: 64 * 1024 ** 2,
  intervalMs: 5000,
}

/** Bytes that the gateway's user may still write. */
async function freeBytesOf(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder)
  return bavail * bsize
}

/** Looks at the recordings' disk now and then. A disk that cannot be asked counts as full for new sessions. */
export class FreeSpaceWatch {
  readonly #folder: string
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #limits: SpaceLimits
  readonly #measure: (folder: string) => Promise<number>
  readonly #listeners = new Set<(level: SpaceLevel) => void>()
  #level: SpaceLevel = 'ok'
  #cancel: (() => void) | undefined
  #stopped = false

  constructor(options: {
    readonly folder: string
    readonly clock: Clock
    readonly logger: Logger
    readonly limits?: Partial<SpaceLimits>
    /** How free space is measured; the file system is asked unless told otherwise. */
    readonly measure?: (folder: string) => Promise<number>
  }) {
    this.#folder = options.folder
    this.#clock = options.clock
    this.#logger = options.logger
    this.#limits = { ...DEFAULT_SPACE_LIMITS, ...options.limits }
    this.#measure = options.measure ?? freeBytesOf
  }

  get level(): SpaceLevel {
    return this.#level
  }

  /** Calls at every change of level; the answer stops listening. */
  onLevel(call: (level: SpaceLevel) => void): () => void {
    this.#listeners.add(call)
    return () => this.#listeners.delete(call)
  }

  /** Looks now, and from now on at the interval. */
  async start(): Promise<void> {
    await this.check()
    if (this.#stopped) return
    this.#cancel = this.#clock.after(this.#limits.intervalMs, () => void this.start())
  }

  stop(): void {
    this.#stopped = true
    this.#cancel?.()
  }

  async check(): Promise<SpaceLevel> {
    let freeBytes: number | undefined
    try {
      freeBytes = await this.#measure(this.#folder)
    } catch (error) {
      this.#logger.error('the free space for recordings cannot be measured', { error: String(error) })
    }
    this.#set(freeBytes === undefined ? 'refuse' : this.#levelOf(freeBytes), freeBytes)
    return this.#level
  }

  #levelOf(freeBytes: number): SpaceLevel {
    if (freeBytes < this.#limits.endBelowBytes) return 'end'
    if (freeBytes < this.#limits.refuseBelowBytes) return 'refuse'
    return freeBytes < this.#limits.warnBelowBytes ? 'warn' : 'ok'
  }

  #set(level: SpaceLevel, freeBytes: number | undefined): void {
    if (level === this.#level) return
    this.#level = level
    const what = {
      ok: 'there is room for recordings again',
      warn: 'the disk for recordings is getting full',
      refuse: 'the disk for recordings is almost full: new sessions are refused',
      end: 'the disk for recordings is full: sessions are ended',
    }[level]
    this.#logger[level === 'ok' ? 'info' : level === 'warn' ? 'warn' : 'error'](what, { freeBytes })
    for (const call of this.#listeners) call(level)
  }
}
