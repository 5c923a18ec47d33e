import { rmSync } from 'node:fs'
import path from 'node:path'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Logger } from '../../src/kernel/index.ts'
import { ManagedPostgres } from '../../src/store/managed-postgres.ts'
import {
  column,
  errorOf,
  eventually,
  Gateway,
  type Person,
  prepareStore,
  type StoreServer,
  startGateway,
  startTarget,
  type Target,
  temporaryFolder,
} from '../harness/index.ts'

const RULES = `rules:
  - name: delete-needs-a-second-pair-of-eyes
    match: { operation: [delete] }
    then: { hold: { reviewers: ["group:dba"], expires: 5m } }
`
/** Other gateways take a gateway for gone when it was not seen for 30 seconds, and look every five. */
const GONE_AFTER_MS = 60_000
const TWO_SECONDS_MS = 2_000

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} }

/** A store's server that can go away and come back at its address. */
class StoreMachine {
  readonly #folder = temporaryFolder('store')
  #server: ManagedPostgres | undefined
  #port = 0
  store: StoreServer | undefined

  async up(): Promise<this> {
    const server = await ManagedPostgres.start({
      folder: path.join(this.#folder, 'server'),
      listen: { host: '127.0.0.1', port: this.#port },
      log: silent,
    })
    this.#server = server
    this.#port = server.connection.port
    this.store ??= await prepareStore({ ...server.connection, sql: (text) => this.sql(text) })
    return this
  }

  async down(): Promise<void> {
    await this.#server?.stop()
    this.#server = undefined
  }

  /** Stops or goes on with every process of the server: it neither answers nor goes away. */
  signal(name: 'SIGSTOP' | 'SIGCONT'): void {
    if (this.#server === undefined) return
    for (const pid of [...childrenOf(this.#server.pid), this.#server.pid]) process.kill(pid, name)
  }

  async sql<Row extends object>(text: string, database = 'postgres'): Promise<Row[]> {
    const client = new pg.Client({ ...this.#server?.connection, database })
    await client.connect()
    try {
      return (await client.query<Row>(text)).rows
    } finally {
      await client.end()
    }
  }

  get url(): string {
    const { user, password, host, port, database } = this.store!
    return `postgres://${user}:${encodeURIComponent(password)}@${host}:${port}/${database}`
  }

  async remove(): Promise<void> {
    this.signal('SIGCONT')
    await this.down()
    rmSync(this.#folder, { recursive: true, force: true })
  }
}
