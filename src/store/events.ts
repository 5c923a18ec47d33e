import pg from 'pg'
import type { Clock, Logger } from '../kernel/index.ts'
import { CHANNEL, type ConnectionTo, type NoticeKind } from './database.ts'

const FIRST_RETRY_MS = 200
const MAX_RETRY_MS = 5_000
const HEARTBEAT_MS = 5_000
const HEARTBEAT_TIMEOUT_MS = 3_000

/** `resync`: notices may have been missed; look for what changed. */
export type Notice = { readonly kind: NoticeKind; readonly id: string } | { readonly kind: 'resync' }

/**
 * The one connection that hears what other gateways did. It is only for speed: whoever needs certainty also looks at
 * what changed now and then, since a broken connection can stay unnoticed for a while.
 */
export class StoreEvents {
  readonly #to: ConnectionTo
  readonly #clock: Clock
  readonly #log: Logger
  readonly #listeners = new Set<(notice: Notice) => void>()
  #client: pg.Client | undefined
  #cancelTimer: () => void = () => undefined
  #retryMs = FIRST_RETRY_MS
  #closed = false

  constructor(to: ConnectionTo, clock: Clock, log: Logger) {
    this.#to = to
    this.#clock = clock
    this.#log = log
  }

  /** Calls for every notice; the answer stops it. */
  subscribe(call: (notice: Notice) => void): () => void {
    this.#listeners.add(call)
    return () => this.#listeners.delete(call)
  }

  get connected(): boolean {
    return this.#client !== undefined
  }

  /** Connects once; later losses are repaired in the background. */
  async open(): Promise<void> {
    await this.#connect()
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#cancelTimer()
    this.#listeners.clear()
    const client = this.#client
    this.#client = undefined
    await client?.end().catch(() => undefined)
  }

  async #connect(): Promise<void> {
    const client = new pg.Client({
      ...this.#to,
      connectionTimeoutMillis: HEARTBEAT_TIMEOUT_MS,
      query_timeout: HEARTBEAT_TIMEOUT_MS,
      application_name: 'sallyport events',
      keepAlive: true,
    })
    client.on('error', () => this.#lost(client))
    client.on('end', () => this.#lost(client))
    client.on('notification', (message) => this.#heard(message.payload ?? ''))
    try {
      await client.connect()
      await client.query(`listen ${CHANNEL}`)
    } catch (error) {
      client.end().catch(() => undefined)
      throw error
    }
    if (this.#closed) return void (await client.end().catch(() => undefined))
    this.#client = client
    this.#retryMs = FIRST_RETRY_MS
    this.#beat(client)
    this.#tell({ kind: 'resync' })
  }

  #beat(client: pg.Client): void {
    this.#cancelTimer = this.#clock.after(HEARTBEAT_MS, () => {
      client.query('select 1').then(
        () => this.#client === client && this.#beat(client),
        () => this.#lost(client),
      )
    })
  }

  #lost(client: pg.Client): void {
    if (this.#client !== client) return
    this.#client = undefined
    this.#cancelTimer()
    client.end().catch(() => undefined)
    if (this.#closed) return
    this.#log.warn('the connection that wakes reviews and revocations was lost; connecting again')
    this.#retry()
  }

  #retry(): void {
    this.#cancelTimer = this.#clock.after(this.#retryMs, () => {
      this.#retryMs = Math.min(this.#retryMs * 2, MAX_RETRY_MS)
      this.#connect().catch(() => this.#closed || this.#retry())
    })
  }

  #heard(payload: string): void {
    const [kind, id] = payload.split(' ')
    if (id !== undefined && (kind === 'review' || kind === 'token' || kind === 'session')) this.#tell({ kind, id })
  }

  #tell(notice: Notice): void {
    for (const call of [...this.#listeners]) call(notice)
  }
}
