import { GatewayError } from '../kernel/index.ts'
import type {
  AuditRecord,
  RecordingInterruptedEntry,
  RecordingSealedEntry,
  SessionOpenedEntry,
} from './audit-entries.ts'
import { readEntries, tileRoot } from './audit-log.ts'
import { sha256 } from './frames.ts'
import { leafHash, MerkleFrontier } from './merkle.ts'
import { openNote, type Verifier } from './note.ts'
import { isRecordingsPath, openPath, sealedPath, sessionAt } from './paths.ts'
import { CHECKPOINT_PATH, type Checkpoint, parseCheckpointText, TILE_WIDTH, tilePath } from './tiles.ts'
import { type RecordingReport, verifyRecording } from './verify-recording.ts'

/** A folder to be checked, wherever it stands. Paths are relative, with slashes. */
export interface FolderReader {
  /** Undefined when there is no such file. */
  read(path: string): Promise<Buffer | undefined>
  has(path: string): Promise<boolean>
  /** Undefined when there is no such file. To be read to its end or left early by the loop that reads it. */
  stream(path: string): Promise<AsyncIterable<Buffer> | undefined>
  /** Every file in it, at any depth. */
  list(): AsyncIterable<string>
}

export interface AuditProblem {
  readonly session?: string
  readonly path?: string
  readonly offset?: number
  readonly message: string
}

export interface AuditReport {
  readonly ok: boolean
  readonly problems: readonly AuditProblem[]
  /** Not wrong, but worth knowing. */
  readonly notes: readonly string[]
  readonly checkpoint: { readonly origin: string; readonly size: number; readonly root: string } | undefined
  readonly sessions: { readonly sealed: number; readonly interrupted: number; readonly open: number }
}

/** After so many, one more does not help anyone. */
const MAX_PROBLEMS = 1000

interface SessionFacts {
  opened: SessionOpenedEntry | undefined
  sealed: RecordingSealedEntry | undefined
  torn: RecordingInterruptedEntry[]
}

/**
 * Checks the audit log and every recording that it names, offline, with the public key alone.
 * @param options.earlierCheckpoint - A checkpoint kept elsewhere: the log must still contain all that it covered.
 */
export async function verifyAudit(options: {
  readonly audit: FolderReader
  readonly recordings: FolderReader
  readonly verifier: Verifier
  readonly earlierCheckpoint?: string
}): Promise<AuditReport> {
  return new Verification(options).run()
}

class Verification {
  readonly #audit: FolderReader
  readonly #recordings: FolderReader
  readonly #verifier: Verifier
  readonly #earlier: string | undefined
  readonly #problems: AuditProblem[] = []
  readonly #notes: string[] = []
  readonly #sessions = new Map<string, SessionFacts>()
  readonly #count = { sealed: 0, interrupted: 0, open: 0 }

  constructor(options: Parameters<typeof verifyAudit>[0]) {
    this.#audit = options.audit
    this.#recordings = options.recordings
    this.#verifier = options.verifier
    this.#earlier = options.earlierCheckpoint
  }

  async run(): Promise<AuditReport> {
    // Files first: a gateway that is still running names a session's file in the log right after it creates it.
    const files: string[] = []
    for await (const path of this.#recordings.list()) if (isRecordingsPath(path)) files.push(path)
    const checkpoint = await this.#openCheckpoint()
    if (checkpoint !== undefined) await this.#checkTree(checkpoint)
    const known = new Set<string>()
    for (const [session, facts] of this.#sessions) await this.#checkSession(session, facts, known)
    if (checkpoint !== undefined) for (const path of files) if (!known.has(path)) await this.#checkExtra(path)
    return {
      ok: this.#problems.length === 0,
      problems: this.#problems,
      notes: this.#notes,
      checkpoint: checkpoint && { ...checkpoint, root: checkpoint.root.toString('base64') },
      sessions: this.#count,
    }
  }

  #problem(problem: AuditProblem): void {
    if (this.#problems.length < MAX_PROBLEMS) this.#problems.push(problem)
  }

  async #openCheckpoint(): Promise<Checkpoint | undefined> {
    const note = await this.#audit.read(CHECKPOINT_PATH)
    if (note === undefined) {
      this.#problem({
        path: CHECKPOINT_PATH,
        message: 'The audit log has no checkpoint: it is missing or was removed.',
      })
      return undefined
    }
    try {
      return this.#parse(note.toString('utf8'))
    } catch (error) {
      this.#problem({
        path: CHECKPOINT_PATH,
        message: `The checkpoint does not hold: ${GatewayError.from(error).message}`,
      })
      return undefined
    }
  }

  #parse(note: string): Checkpoint {
    const checkpoint = parseCheckpointText(openNote(note, this.#verifier))
    if (checkpoint.origin === this.#verifier.name) return checkpoint
    throw new GatewayError('recording.invalid', `The checkpoint belongs to ${checkpoint.origin}.`)
  }

  #parseEarlier(size: number): Checkpoint | undefined {
    if (this.#earlier === undefined) return undefined
    try {
      const earlier = this.#parse(this.#earlier)
      if (earlier.size <= size) return earlier
      const message = `The log has ${size} entries, the earlier checkpoint has ${earlier.size}: the log was rolled back.`
      this.#problem({ path: CHECKPOINT_PATH, message })
    } catch (error) {
      this.#problem({ message: `The earlier checkpoint does not hold: ${GatewayError.from(error).message}` })
    }
    return undefined
  }

  async #checkTree(checkpoint: Checkpoint): Promise<void> {
    const earlier = this.#parseEarlier(checkpoint.size)
    const tree = new MerkleFrontier()
    const tiles = new TileChecker(this.#audit, checkpoint.size, (problem) => this.#problem(problem))
    const checkEarlier = () => {
      if (earlier?.size !== tree.size || earlier.root.equals(tree.root())) return
      const message = `The first ${earlier.size} entries are not those of the earlier checkpoint: history was rewritten.`
      this.#problem({ path: CHECKPOINT_PATH, message })
    }
    try {
      checkEarlier()
      for await (const { bytes, record } of readEntries((path) => this.#audit.read(path), checkpoint.size)) {
        const hash = leafHash(bytes)
        tree.add(hash)
        await tiles.add(hash)
        checkEarlier()
        this.#learn(record)
      }
      await tiles.finish()
    } catch (error) {
      this.#problem({ message: GatewayError.from(error).message })
      return
    }
    if (tree.root().equals(checkpoint.root)) return
    const message =
      'The entries do not add up to the signed checkpoint: an entry was changed, or the checkpoint is older.'
    this.#problem({ path: CHECKPOINT_PATH, message })
  }

  #learn(record: AuditRecord): void {
    if (
      record.type !== 'session_opened' &&
      record.type !== 'recording_sealed' &&
      record.type !== 'recording_interrupted'
    ) {
      return
    }
    const { session } = record
    const facts = this.#sessions.get(session) ?? { opened: undefined, sealed: undefined, torn: [] }
    this.#sessions.set(session, facts)
    if (record.type === 'recording_interrupted') facts.torn.push(record)
    else if (record.type === 'session_opened') {
      if (facts.opened !== undefined) this.#problem({ session, message: 'The log opens this session twice.' })
      facts.opened = record
    } else {
      if (facts.sealed !== undefined) this.#problem({ session, message: 'The log seals this session twice.' })
      facts.sealed = record
    }
  }

  async #checkSession(session: string, facts: SessionFacts, known: Set<string>): Promise<void> {
    const { opened, sealed } = facts
    for (const torn of facts.torn) await this.#checkTorn(torn, known)
    if (opened === undefined) {
      this.#problem({ session, message: 'The log speaks of this session but never opened it.' })
      return
    }
    const last = sealed?.path ?? sealedPath(session, opened.startedAt)
    const paths = sealed === undefined ? [openPath(session), last] : [last, openPath(session), last]
    for (const path of paths) {
      // A gateway that is running moves the file from the open to the sealed ones while we look.
      const bytes = await this.#recordings.stream(path)
      if (bytes === undefined) continue
      known.add(path)
      const report = await verifyRecording(bytes, this.#verifier, { open: sealed === undefined })
      this.#compare(session, path, facts, report)
      return
    }
    const what = sealed === undefined ? 'opened' : 'sealed'
    this.#problem({ session, path: last, message: `The log ${what} this recording, but the file is gone.` })
  }

  #compare(session: string, path: string, { opened, sealed }: SessionFacts, report: RecordingReport): void {
    for (const { offset, message } of report.problems) this.#problem({ session, path, offset, message })
    if (!report.ok) return
    if (report.header?.session !== session || report.headerDigest !== opened?.header) {
      this.#problem({
        session,
        path,
        message: "This is not the session's recording: another one was put in its place.",
      })
    } else if (sealed === undefined) {
      this.#count.open++
      const state = report.sealed ? 'sealed, but the log does not say so yet' : 'open'
      this.#notes.push(`Session ${session} is ${state}: ${report.batches} batches, ${report.bytes} bytes hold.`)
    } else if (report.digest !== sealed.digest) {
      this.#problem({ session, path, message: 'The recording is whole but not the one that the log sealed.' })
    } else {
      this.#count[report.interrupted ? 'interrupted' : 'sealed']++
    }
  }

  async #checkTorn(entry: RecordingInterruptedEntry, known: Set<string>): Promise<void> {
    const { session, tornPath: path } = entry
    if (path === null) return
    known.add(path)
    const bytes = await this.#recordings.read(path)
    if (bytes === undefined) this.#problem({ session, path, message: 'The torn bytes that were kept aside are gone.' })
    else if (sha256(bytes).toString('hex') !== entry.tornDigest) {
      this.#problem({ session, path, message: 'The torn bytes that were kept aside were changed.' })
    }
  }

  async #checkExtra(path: string): Promise<void> {
    const session = sessionAt(path)
    const named = session === undefined ? undefined : this.#sessions.get(session)
    // Moved from open to sealed while we looked, and checked there.
    if (named !== undefined && !(await this.#recordings.has(path))) return
    if (named === undefined && session !== undefined && (await this.#isJustCreated(path))) {
      this.#notes.push(`Session ${session} was just created and holds nothing yet.`)
      return
    }
    const message =
      named === undefined
        ? 'No entry of the log names this file: it was added, or its entries were dropped.'
        : 'This session has a second file that the log does not name.'
    this.#problem(session === undefined ? { path, message } : { session, path, message })
  }

  async #isJustCreated(path: string): Promise<boolean> {
    if (!path.startsWith('open/')) return false
    const bytes = await this.#recordings.stream(path)
    if (bytes === undefined) return true
    const report = await verifyRecording(bytes, this.#verifier, { open: true })
    return report.ok && report.batches === 0 && !report.sealed
  }
}

/** Compares the stored hash tiles, which others read, with the hashes of the entries. */
class TileChecker {
  readonly #folder: FolderReader
  readonly #size: number
  readonly #problem: (problem: AuditProblem) => void
  readonly #tiles: Buffer[][] = []
  readonly #indexes: number[] = []

  constructor(folder: FolderReader, size: number, problem: (problem: AuditProblem) => void) {
    this.#folder = folder
    this.#size = size
    this.#problem = problem
  }

  async add(hash: Buffer, level = 0): Promise<void> {
    const tile = this.#tiles[level] ?? []
    this.#tiles[level] = tile
    tile.push(hash)
    if (tile.length < TILE_WIDTH) return
    await this.#compare(level, tile)
    this.#tiles[level] = []
    this.#indexes[level] = (this.#indexes[level] ?? 0) + 1
    await this.add(tileRoot(tile), level + 1)
  }

  async finish(): Promise<void> {
    for (const [level, tile] of this.#tiles.entries()) if (tile.length > 0) await this.#compare(level, tile)
  }

  async #compare(level: number, tile: readonly Buffer[]): Promise<void> {
    const index = this.#indexes[level] ?? 0
    const path = tilePath(level, index, tile.length)
    const stored = await this.#folder.read(path)
    if (stored?.equals(Buffer.concat(tile)) === true) return
    const wrong = tile.findIndex((hash, at) => stored?.subarray(at * 32, at * 32 + 32).equals(hash) !== true)
    const entry = level === 0 && wrong >= 0 ? ` at entry ${Math.min(index * TILE_WIDTH + wrong, this.#size - 1)}` : ''
    const what = stored === undefined ? 'is missing' : `does not fit the entries${entry}: one of them was changed`
    this.#problem({ path, message: `The hash tile ${what}.` })
  }
}
