import { readdirSync, readFileSync } from 'node:fs'
import { DEFAULT_SESSION_LIMITS, type EngineServices, EngineSession } from '../../../engine/index.ts'
import {
  type AccessLevel,
  GatewayError,
  type MaskInstruction,
  type OpenedSession,
  type PendingReview,
  type ReviewOutcome,
} from '../../../kernel/index.ts'
import { Masker } from '../../../masking/index.ts'
import { compilePolicies, type PolicySnapshot, parsePolicyYaml } from '../../../policy/index.ts'
import { Journal, type RecordingEvent, type StructuredEvent, SyncGroup } from '../../../recording/index.ts'
import { ManualClock, MemorySink, seededRandom, testKeys } from '../../../recording/test/support.ts'
import { DEFAULT_SQL_LIMITS, SqlAnalyzer } from '../../../sql/index.ts'
import { CatalogKeeper } from '../catalog-keeper.ts'
import { Companion } from '../companion.ts'
import { terminate } from '../encode.ts'
import { Relay } from '../relay.ts'
import { shopClient } from './shop.ts'
import { ScriptedStream } from './streams.ts'
import { bytesOf, linesToClient, linesToTarget } from './words.ts'

export type Split = 'whole' | 'byte-by-byte' | 'seeded'

export interface Transcript {
  readonly name: string
  readonly text: string
}

export function transcriptsIn(folder: URL): Transcript[] {
  return readdirSync(folder)
    .filter((file) => file.endsWith('.wire'))
    .sort()
    .map((file) => ({ name: file.slice(0, -5), text: readFileSync(new URL(file, folder), 'utf8') }))
}

const OUTPUTS = /^(T>|C<|record|end) /

/** Plays what the script gives, and writes the transcript anew with what really came of it. */
export async function replay(transcript: Transcript, split: Split): Promise<string> {
  const lines = transcript.text.split('\n').filter((line) => !OUTPUTS.test(line) && line !== '')
  const scene = await Scene.open(lines, split)
  const answer: string[] = []
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at] as string
    answer.push(line)
    const side = line.slice(0, 2)
    const batch = [line]
    // Neighbouring lines of one side travel together.
    while ((side === 'C>' || side === 'T<') && lines[at + 1]?.startsWith(side) && !lines[at + 1]?.endsWith('hangup')) {
      batch.push(lines[++at] as string)
      answer.push(lines[at] as string)
    }
    await scene.play(batch)
    answer.push(...scene.happened())
  }
  return `${answer.join('\n')}\n`
}

/** Writes down what is recorded, and refuses that anything leaves before what it stands for is written. */
class WatchedJournal extends Journal {
  readonly recorded: string[] = []
  /** Appended, but not written yet. */
  waiting = 0

  override append(event: StructuredEvent): void {
    this.#note(told(event))
    super.append(event)
  }

  override appendRows(...rows: Parameters<Journal['appendRows']>): void {
    this.#note(`rows ${rows[1]}`)
    super.appendRows(...rows)
  }

  override appendCopyData(...data: Parameters<Journal['appendCopyData']>): void {
    this.#note(`copy_data ${data[1]} ${JSON.stringify(data[2].toString())}`)
    super.appendCopyData(...data)
  }

  override omitCopyData(...data: Parameters<Journal['omitCopyData']>): void {
    this.#note(`copy_omitted ${data[1]} ${data[2].length} bytes`)
    super.omitCopyData(...data)
  }

  override commit(): void | Promise<void> {
    this.waiting = 0
    return super.commit()
  }

  #note(line: string | undefined): void {
    this.waiting += 1
    if (line !== undefined) this.recorded.push(line)
  }
}

/** @returns undefined for what every session has. */
function told(event: RecordingEvent): string | undefined {
  switch (event.type) {
    case 'operation': {
      const { kind, rule } = event.decision
      const values = event.parameters.map(({ value }) => ` ${value === null ? 'null' : JSON.stringify(value)}`)
      return `operation ${kind} rule=${rule} ${JSON.stringify(event.text)}${values.join('')}`
    }
    case 'columns':
      return `columns ${event.columns.map((column) => `${column.name}:${column.treatment}`).join(' ')}`
    case 'result':
      return `result ${event.status} ${JSON.stringify(event.tag)}${event.error ? ` ${event.error.code} ${JSON.stringify(event.error.message)}` : ''}`
    case 'refused':
      return `refused ${event.code}`
    case 'review':
      return `review ${event.state}`
    case 'notice':
      return `notice ${JSON.stringify(event.message)}`
    case 'setting_changed':
      return `setting ${event.name} ${JSON.stringify(event.value)}`
    case 'copy_omitted': // told when it is handed over
    case 'session_started':
    case 'session_ended':
      return undefined
    default:
      return event.type
  }
}

class Scene {
  readonly #split: Split
  readonly #client: ScriptedStream
  readonly #target: ScriptedStream
  readonly #journal: WatchedJournal
  readonly #relay: Relay
  readonly #toClient: Buffer[] = []
  readonly #toTarget: Buffer[] = []
  readonly #random = seededRandom('transcript')
  #answerReview: ((outcome: ReviewOutcome) => void) | undefined
  #approvals = 0
  #ended: string | undefined
  #toldEnd = false

  static async open(lines: readonly string[], split: Split): Promise<Scene> {
    const words = (word: string) =>
      lines.filter((line) => line.startsWith(`${word} `)).map((line) => line.slice(word.length).trim())
    const clock = new ManualClock()
    const catalog = new CatalogKeeper({ open: async () => shopClient(), clock, logger: SILENT, pollMs: 60_000 })
    await catalog.acquire()
    const level = (words('level')[0] ?? 'admin') as AccessLevel
    return new Scene(split, clock, catalog, policyOf(words('policy')), level)
  }

  private constructor(
    split: Split,
    clock: ManualClock,
    catalog: CatalogKeeper,
    policy: PolicySnapshot,
    level: AccessLevel,
  ) {
    this.#split = split
    const leave = (pile: Buffer[]) => (bytes: Buffer) => {
      if (this.#journal.waiting > 0 && !bytes.equals(GOOD_BYE))
        throw new Error('something leaves before it is recorded')
      pile.push(bytes)
    }
    this.#client = new ScriptedStream(leave(this.#toClient))
    this.#target = new ScriptedStream(leave(this.#toTarget))
    this.#journal = new WatchedJournal({
      sessionId: 'session-1',
      startedAt: clock.now(),
      mode: 'buffered',
      sink: new MemorySink(),
      keys: testKeys(),
      clock,
      random: seededRandom('journal'),
      syncGroup: new SyncGroup(),
    })
    const services = this.#services(clock, policy)
    const opened = openedAs(level)
    const companion = new Companion({
      open: () => Promise.reject(new GatewayError('target.unreachable', 'There is no second connection here.')),
      timeoutMs: 1_000,
    })
    this.#relay = new Relay({
      client: this.#client,
      leftover: Buffer.alloc(0),
      link: {
        stream: this.#target,
        pid: 1,
        secret: Buffer.alloc(4),
        parameterStatus: new Map([
          ['client_encoding', 'UTF8'],
          ['standard_conforming_strings', 'on'],
        ]),
        leftover: Buffer.alloc(0),
        transactionStatus: 'I',
      },
      session: new EngineSession(opened, this.#journal, services),
      analyzer: new SqlAnalyzer({ limits: DEFAULT_SQL_LIMITS, cacheEntries: 100 }),
      catalog,
      companion,
      atRest: () => [...policy.maskRules, REST],
      cancelTarget: async () => {
        this.#journal.recorded.push('(the target is asked to cancel)')
      },
      ended: (reason) => {
        this.#ended = reason
      },
    })
    void this.#journal.commit()
    this.#relay.start()
  }

  #services(clock: ManualClock, policy: PolicySnapshot): EngineServices {
    return {
      control: {
        admitLogin: () => undefined,
        loginFailed: () => undefined,
        verifierFor: () => Promise.reject(new Error('a transcript begins after the login')),
        openSession: () => Promise.reject(new Error('a transcript begins after the login')),
        closeSession: async () => undefined,
        requestReview: async () => this.#review(),
        spendApproval: async () => this.#approvals-- > 0,
        onRevoked: () => () => undefined,
      },
      policy: () => policy,
      openJournal: async () => this.#journal,
      masker: new Masker({ key: Buffer.alloc(32, 7) }),
      clock,
      random: seededRandom('session'),
      logger: SILENT,
      dial: () => Promise.reject(new Error('a transcript dials nobody')),
      limits: { ...DEFAULT_SESSION_LIMITS, maxMessageBytes: 64 * 1024, maxStatementMessageBytes: 64 * 1024 },
      tls: { available: false, required: false },
    }
  }

  #review(): PendingReview {
    const outcome = new Promise<ReviewOutcome>((resolve) => {
      this.#answerReview = resolve
    })
    const withdraw = () => this.#answerReview?.({ kind: 'withdrawn', reviewId: 'r_1' })
    return { id: 'r_1', link: 'http://gateway.example/reviews/r_1', outcome, withdraw }
  }

  async play(batch: readonly string[]): Promise<void> {
    const [line = ''] = batch
    const given = batch.map((each) => each.slice(2).trim())
    if (line.startsWith('C>')) await this.#send(this.#client, 'client', given)
    else if (line.startsWith('T<')) await this.#send(this.#target, 'target', given)
    else if (line.startsWith('cancel')) this.#relay.cancel()
    else if (line.startsWith('review')) this.#settle(line.slice('review'.length).trim())
    await settled()
  }

  async #send(stream: ScriptedStream, side: 'client' | 'target', lines: readonly string[]): Promise<void> {
    if (lines[0] === 'hangup') return stream.hangUp()
    const bytes = Buffer.concat(lines.map((line) => bytesOf(side, line)))
    for (let at = 0; at < bytes.length; ) {
      const size = this.#chunk(bytes.length - at)
      stream.arrive(bytes.subarray(at, at + size))
      at += size
      if (this.#split === 'seeded') await settled()
    }
  }

  #chunk(left: number): number {
    if (this.#split === 'whole') return left
    return this.#split === 'byte-by-byte' ? 1 : Math.min(left, 1 + ((this.#random.bytes(1)[0] ?? 0) % 23))
  }

  #settle(verdict: string): void {
    if (verdict === 'approve') this.#approvals += 1
    this.#answerReview?.(
      verdict === 'approve'
        ? { kind: 'approved', reviewId: 'r_1', by: ['bob'] }
        : verdict === 'expire'
          ? { kind: 'expired', reviewId: 'r_1' }
          : { kind: 'denied', reviewId: 'r_1', by: 'bob', reason: 'not today' },
    )
  }

  /** What came of the last step: what was recorded, then what left. */
  happened(): string[] {
    const lines = [
      ...joinRows(this.#journal.recorded.splice(0)).map((line) => `record ${line}`),
      ...linesToTarget(Buffer.concat(this.#toTarget.splice(0))).map((line) => `T> ${line}`),
      ...linesToClient(Buffer.concat(this.#toClient.splice(0))).map((line) => `C< ${line}`),
    ]
    if (this.#ended !== undefined && !this.#toldEnd) {
      this.#toldEnd = true
      lines.push(`end ${this.#ended}`)
    }
    return lines
  }
}

/** Rows of one chunk are recorded together; how many that are depends on where the chunks end. */
function joinRows(lines: readonly string[]): string[] {
  const answer: string[] = []
  for (const line of lines) {
    const [word, count] = line.split(' ')
    const [last, before] = answer.at(-1)?.split(' ') ?? []
    if (word === 'rows' && last === 'rows') answer[answer.length - 1] = `rows ${Number(before) + Number(count)}`
    else answer.push(line)
  }
  return answer
}

const GOOD_BYE = terminate()
const SILENT = { debug() {}, info() {}, warn() {}, error() {} }
const REST: MaskInstruction = { rule: 'recording', mask: 'redact', columns: [], detect: ['personal', 'secret'] }

function policyOf(rules: readonly string[]): PolicySnapshot {
  const yaml = rules.length === 0 ? 'rules: []' : `rules:\n${rules.map((rule) => `  - ${rule}\n`).join('')}`
  const parsed = parsePolicyYaml(yaml, 'transcript')
  const compiled = 'document' in parsed ? compilePolicies([parsed.document]) : parsed
  if (!('snapshot' in compiled)) throw new Error(`the transcript's policy: ${JSON.stringify(compiled.problems)}`)
  return compiled.snapshot
}

function openedAs(level: AccessLevel): OpenedSession {
  const target = { name: 'shop', type: 'postgres', labels: {} }
  return {
    info: {
      id: 'session-1',
      principal: {
        identity: { issuer: 'local', subject: 'alice', email: 'alice@shop.example', groups: [] },
        actor: { kind: 'agent', name: 'claude-code' },
      },
      target,
      level,
      tokenId: 'token-1',
      client: { address: '192.0.2.7', application: 'psql' },
      startedAt: 0,
    },
    target: {
      info: target,
      connection: undefined,
      credential: { user: 'x', password: undefined },
      recording: 'buffered',
    },
  }
}

async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve))
}
