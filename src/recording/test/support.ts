import { createHash, createPrivateKey } from 'node:crypto'
import type { Clock, Facts, Random, RecordingMode, SessionInfo } from '../../kernel/index.ts'
import {
  type AuditStorage,
  type FolderReader,
  Journal,
  type JournalLimits,
  type JournalSink,
  makeSigner,
  makeWrappingKey,
  type OperationEvent,
  type RecordingEvent,
  type RecordingKeys,
  readRecording,
  type StructuredEvent,
  SyncGroup,
} from '../index.ts'

/** The same bytes for the same seed. */
export function seededRandom(seed: string): Random {
  let counter = 0
  return {
    bytes(count) {
      const pieces: Buffer[] = []
      for (let have = 0; have < count; have += 32) {
        pieces.push(createHash('sha256').update(`${seed} ${counter++}`).digest())
      }
      return Buffer.concat(pieces).subarray(0, count)
    },
  }
}

/** Time that stands still until it is moved. */
export class ManualClock implements Clock {
  #now = Date.UTC(2026, 10, 23, 12, 0, 0)
  readonly #timers = new Set<{ readonly due: number; readonly call: () => void }>()

  now(): number {
    return this.#now
  }

  monotonic(): number {
    return this.#now
  }

  after(ms: number, call: () => void): () => void {
    const timer = { due: this.#now + ms, call }
    this.#timers.add(timer)
    return () => this.#timers.delete(timer)
  }

  /** Moves on and calls what is due, then lets promises settle. */
  async advance(ms: number): Promise<void> {
    this.#now += ms
    for (const timer of [...this.#timers]) {
      if (timer.due > this.#now) continue
      this.#timers.delete(timer)
      timer.call()
    }
    await settle()
  }
}

export async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve()
}

export class MemorySink implements JournalSink {
  readonly writes: Buffer[] = []
  synced = 0
  syncs = 0
  closed = false
  failWrites = false
  /** Given it, syncs wait for it. */
  gate: (() => Promise<void>) | undefined

  write(bytes: Buffer): void {
    if (this.failWrites) throw new Error('ENOSPC: no space left on device')
    this.writes.push(Buffer.from(bytes))
  }

  sync(): void | Promise<void> {
    this.syncs++
    const upTo = this.writes.length
    if (this.gate === undefined) {
      this.synced = upTo
      return
    }
    return this.gate().then(() => {
      this.synced = upTo
    })
  }

  close(): void {
    this.closed = true
  }

  get bytes(): Buffer {
    return Buffer.concat(this.writes)
  }
}

const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex')

/** Made from the name, so that failures repeat. */
export function testKeys(name = 'test'): RecordingKeys {
  const seed = createHash('sha256').update(`signing ${name}`).digest()
  const key = createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, seed]), format: 'der', type: 'pkcs8' })
  const wrapping = makeWrappingKey(createHash('sha256').update(`wrapping ${name}`).digest())
  return { wrapping, signer: makeSigner('sallyport/test', key) }
}

export function testSession(id = 'session-1'): SessionInfo {
  return {
    id,
    principal: {
      identity: { issuer: 'local', subject: 'alice', email: 'alice@shop.example', groups: ['dev'] },
      actor: { kind: 'agent', name: 'claude-code' },
    },
    target: { name: 'shop', type: 'postgres', labels: { env: 'production' } },
    level: 'read',
    tokenId: 'token-1',
    client: { address: '192.0.2.7', application: 'psql' },
    startedAt: Date.UTC(2026, 10, 23, 12, 0, 0),
  }
}

export const FACTS: Facts = {
  kind: 'select',
  kinds: ['select'],
  reads: ['public.customers'],
  writes: [],
  columns: [{ table: 'customers', column: 'email', use: 'output' }],
  functions: [],
  unbounded: true,
  level: 'read',
  levelReason: '',
  rowLocks: false,
  changesSession: [],
  changesPrivileges: false,
  serverFiles: false,
  serverPrograms: false,
  dynamicSql: false,
  opaque: [],
}

export function operationEvent(at: number, operation = 1, text = 'select email from customers'): OperationEvent {
  return {
    type: 'operation',
    at,
    operation,
    via: 'simple',
    text,
    textDigest: createHash('sha256').update(text).digest('hex'),
    parameters: [{ type: 'text', format: 'text', value: 'O’Brien' }],
    facts: FACTS,
    decision: { kind: 'mask', rule: 'emails', reason: 'personal data', masks: ['emails'], observed: [] },
  }
}

/** Rows in the journal's layout, each after `header` bytes of framing. */
export function rowsBlock(rows: readonly (readonly (string | null)[])[], header = 0): Buffer {
  const pieces: Buffer[] = []
  for (const row of rows) {
    pieces.push(Buffer.alloc(header, 0x44))
    const count = Buffer.alloc(2)
    count.writeInt16BE(row.length)
    pieces.push(count)
    for (const cell of row) {
      const length = Buffer.alloc(4)
      length.writeInt32BE(cell === null ? -1 : Buffer.byteLength(cell))
      pieces.push(length, Buffer.from(cell ?? ''))
    }
  }
  return Buffer.concat(pieces)
}

export interface TestJournal {
  readonly journal: Journal
  readonly sink: MemorySink
  readonly clock: ManualClock
}

export function testJournal(
  options: {
    readonly id?: string
    readonly mode?: RecordingMode
    readonly limits?: Partial<JournalLimits>
    readonly keys?: RecordingKeys
    readonly syncGroup?: SyncGroup
    readonly clock?: ManualClock
  } = {},
): TestJournal {
  const sink = new MemorySink()
  const clock = options.clock ?? new ManualClock()
  const id = options.id ?? 'session-1'
  const journal = new Journal({
    sessionId: id,
    startedAt: clock.now(),
    mode: options.mode ?? 'buffered',
    sink,
    keys: options.keys ?? testKeys(),
    clock,
    random: seededRandom(id),
    syncGroup: options.syncGroup ?? new SyncGroup(),
    limits: options.limits ?? {},
  })
  return { journal, sink, clock }
}

/** A small recording with every kind of frame but an interruption. */
export async function sealedRecording(id = 'session-1', keys = testKeys()): Promise<Buffer> {
  const { journal, sink, clock } = testJournal({ id, keys, limits: { headEveryBatches: 2 } })
  const commit = (...events: StructuredEvent[]) => {
    for (const event of events) journal.append(event)
    void journal.commit()
  }
  commit({ type: 'session_started', at: clock.now(), session: testSession(id) })
  commit(operationEvent(clock.now()))
  journal.appendRows(1, 2, rowsBlock([['a***@shop.example'], [null]]))
  void journal.commit()
  commit({ type: 'refused', at: clock.now(), code: 'pg.malformed', message: 'no' })
  const totals = { operations: 1, rowsReturned: 2, bytesReturned: 30, denied: 0 }
  commit({ type: 'session_ended', at: clock.now(), reason: 'terminated', totals })
  await journal.seal()
  return sink.bytes
}

/** Where each frame starts, and where the last one ends. */
export function frameOffsets(bytes: Buffer): number[] {
  const offsets = [bytes.indexOf(10) + 1]
  for (let at = offsets[0]!; at < bytes.length; offsets.push(at)) at += 5 + bytes.readUInt32BE(at)
  return offsets
}

export async function readAll(bytes: Buffer, keys = testKeys(), open = false): Promise<RecordingEvent[]> {
  const events: RecordingEvent[] = []
  const reading = { wrapping: [keys.wrapping], verifier: keys.signer }
  for await (const event of readRecording([bytes], reading, { open })) events.push(event)
  return events
}

/** A folder in memory, for the audit log and for verification. */
export class MemoryFolder implements AuditStorage, FolderReader {
  readonly files = new Map<string, Buffer>()
  /** Given it, writes after so many fail, as when the process is killed. */
  writesLeft = Number.POSITIVE_INFINITY
  writes = 0

  async read(path: string): Promise<Buffer | undefined> {
    return this.files.get(path)
  }

  async has(path: string): Promise<boolean> {
    return this.files.has(path)
  }

  async stream(path: string): Promise<AsyncIterable<Buffer> | undefined> {
    const bytes = this.files.get(path)
    if (bytes === undefined) return undefined
    return (async function* () {
      yield bytes
    })()
  }

  async *list(): AsyncGenerator<string, void, void> {
    yield* [...this.files.keys()]
  }

  async write(path: string, bytes: Buffer): Promise<void> {
    if (this.writesLeft-- <= 0) throw new Error('killed')
    this.writes++
    this.files.set(path, Buffer.from(bytes))
  }

  async removeFolder(path: string): Promise<void> {
    if (this.writesLeft <= 0) throw new Error('killed')
    for (const name of this.files.keys()) if (name.startsWith(`${path}/`)) this.files.delete(name)
  }

  async isEmpty(): Promise<boolean> {
    return this.files.size === 0
  }

  copy(): MemoryFolder {
    const folder = new MemoryFolder()
    for (const [path, bytes] of this.files) folder.files.set(path, Buffer.from(bytes))
    return folder
  }
}
