import type { Clock, Logger } from '../../kernel/index.ts'
import { type CatalogSnapshot, loadCatalog, refreshCatalog } from './catalog.ts'
import type { FieldDescription } from './messages.ts'
import type { QueryClient } from './query-client.ts'

/**
 * Keeps one target's catalogue fresh for all of its sessions: loaded before the first one opens, looked at again at
 * intervals while any is open, and at once after DDL that went through the gateway. Between a DDL statement's start and
 * the reload after it, `uncertain` tells the sessions not to trust what it says about views.
 */
export class CatalogKeeper {
  readonly #open: () => Promise<QueryClient>
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #pollMs: number
  #client: QueryClient | undefined
  #snapshot: CatalogSnapshot | undefined
  #loading: Promise<CatalogSnapshot> | undefined
  #again = false
  #changes = 0
  #users = 0
  #stopPolling: (() => void) | undefined
  readonly #listeners = new Set<() => void>()

  /** @param open - Opens a session of the gateway's own at the target, with the target's credential. */
  constructor(options: {
    readonly open: () => Promise<QueryClient>
    readonly clock: Clock
    readonly logger: Logger
    readonly pollMs: number
  }) {
    this.#open = options.open
    this.#clock = options.clock
    this.#logger = options.logger
    this.#pollMs = options.pollMs
  }

  /** Only after `acquire`. */
  get snapshot(): CatalogSnapshot {
    if (this.#snapshot === undefined) throw new Error('the catalogue was not loaded')
    return this.#snapshot
  }

  /** DDL is under way, or its effect is not loaded yet. */
  get uncertain(): boolean {
    return this.#changes > 0
  }

  /** A session opens: waits for a catalogue that knows what earlier sessions changed, and keeps it fresh until `release`. */
  async acquire(): Promise<void> {
    this.#users += 1
    try {
      const reloading = this.#loading !== undefined && this.uncertain
      if (this.#snapshot === undefined || this.#client === undefined || reloading) await this.refresh()
    } catch (error) {
      this.#users -= 1
      throw error
    }
    this.#poll()
  }

  release(): void {
    this.#users -= 1
    if (this.#users > 0) return
    this.#stopPolling?.()
    this.#stopPolling = undefined
    this.#closeUnused()
  }

  /** The last session may leave while what it changed is still being read. */
  #closeUnused(): void {
    if (this.#users > 0 || this.#loading !== undefined) return
    this.#client?.close()
    this.#client = undefined
  }

  /** Something that may change the catalogue goes to the target. The answer reloads; call it when it is committed or gone. */
  changing(): () => Promise<void> {
    this.#changes += 1
    let open = true
    return async () => {
      if (!open) return
      open = false
      try {
        await this.refresh()
        this.#changes -= 1
      } catch (error) {
        this.#logger.warn('the catalogue could not be reloaded after DDL; trying again', { error: String(error) })
        this.#clock.after(this.#pollMs, () => {
          open = true
          this.#changes -= 1
          void this.changing()()
        })
      }
    }
  }

  /** Calls after every reload that changed something; the answer stops it. */
  onChange(call: () => void): () => void {
    this.#listeners.add(call)
    return () => this.#listeners.delete(call)
  }

  /** A load that started before the call may have missed the change, so it is followed by another. */
  async refresh(): Promise<void> {
    if (this.#loading !== undefined) {
      this.#again = true
      await this.#loading.catch(() => undefined)
      if (this.#loading !== undefined) {
        await this.#loading
        return
      }
      if (!this.#again) return
    }
    this.#again = false
    this.#loading = this.#load()
    try {
      const before = this.#snapshot
      this.#snapshot = await this.#loading
      if (before !== this.#snapshot) for (const listener of this.#listeners) listener()
    } finally {
      this.#loading = undefined
      this.#closeUnused()
    }
  }

  async #load(): Promise<CatalogSnapshot> {
    try {
      this.#client ??= await this.#open()
      const before = this.#snapshot
      return before === undefined ? await loadCatalog(this.#client) : await refreshCatalog(this.#client, before)
    } catch (error) {
      this.#client?.close()
      this.#client = undefined
      throw error
    }
  }

  #poll(): void {
    if (this.#stopPolling !== undefined || this.#users === 0) return
    this.#stopPolling = this.#clock.after(this.#pollMs, () => {
      this.#stopPolling = undefined
      this.refresh()
        .catch((error: unknown) => this.#logger.warn('the catalogue could not be looked at', { error: String(error) }))
        .finally(() => this.#poll())
    })
  }
}

/**
 * While DDL is under way a view may be another one than the catalogue knows. Only columns of tables keep their origin
 * then; the others count as computed.
 */
export function withSureOrigins(fields: readonly FieldDescription[], catalog: CatalogSnapshot): FieldDescription[] {
  return fields.map((field) => {
    const kind = catalog.relationByOid(field.tableOid)?.kind
    const sure = kind === 'r' || kind === 'p' || kind === 'S' || kind === 't'
    return sure ? field : { ...field, tableOid: 0, attribute: 0 }
  })
}
