import { rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import {
  type Clock,
  GatewayError,
  type Logger,
  principalLabel,
  type Random,
  type RecordingMode,
  type SessionInfo,
} from '../../kernel/index.ts'
import {
  AuditLog,
  Journal,
  type JournalLimits,
  openPath,
  type RecordingKeys,
  type SessionOpenedEntry,
  SyncGroup,
} from '../../recording/index.ts'
import { measureSync, syncsInline } from './disk-speed.ts'
import { auditStorage, FileSink, filesBelow, makeFolder, syncFolder } from './files.ts'
import { FreeSpaceWatch, type SpaceLimits } from './free-space.ts'
import { loadRecordingKeys } from './keys.ts'
import { lockFolder } from './lock.ts'
import { RecordingReader } from './reading.ts'
import { fileSealed, type RecoveryOutcome, recoverRecordings } from './recovery.ts'

/** Where things stand below the gateway's data folder. */
export interface RecordingFolders {
  readonly recordings: string
  readonly audit: string
  readonly keys: string
}

export function recordingFolders(dataFolder: string): RecordingFolders {
  const at = (name: string) => join(dataFolder, name)
  return { recordings: at('recordings'), audit: at('audit'), keys: at('keys') }
}

export interface RecordingsOptions {
  readonly folders: RecordingFolders
  /** Names this installation in its signatures. */
  readonly installation: string
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly limits?: Partial<JournalLimits>
  readonly space?: Partial<SpaceLimits>
}

/** Recordings in a folder: `open/` while their sessions run, `sealed/YYYY/MM/DD/` afterwards. One gateway at a time. */
export class Recordings {
  readonly audit: AuditLog
  readonly keys: RecordingKeys
  readonly space: FreeSpaceWatch
  readonly reader: RecordingReader
  /** What was left open by the gateway before us, and what became of it. */
  readonly recovered: readonly RecoveryOutcome[]
  /** Median microseconds of a sync, measured at the start. */
  readonly syncMicros: number
  readonly #options: RecordingsOptions
  readonly #syncGroup: SyncGroup
  readonly #unlock: () => void

  private constructor(
    options: RecordingsOptions,
    parts: Pick<Recordings, 'audit' | 'keys' | 'space' | 'recovered' | 'syncMicros'> & { unlock: () => void },
  ) {
    this.#options = options
    this.audit = parts.audit
    this.keys = parts.keys
    this.space = parts.space
    this.recovered = parts.recovered
    this.syncMicros = parts.syncMicros
    this.#unlock = parts.unlock
    this.#syncGroup = new SyncGroup()
    const { wrapping, signer } = parts.keys
    this.reader = new RecordingReader(options.folders.recordings, { wrapping: [wrapping], verifier: signer })
  }

  /**
   * Makes what is missing, checks the audit log against its checkpoint, and closes what a stopped gateway left open.
   * @throws GatewayError `recording.invalid` - keys or audit log are not those of these recordings.
   * @throws GatewayError `store.locked` - another gateway uses the folder.
   */
  static async open(options: RecordingsOptions): Promise<Recordings> {
    const { folders, clock, random, logger } = options
    for (const folder of [folders.recordings, folders.audit, folders.keys]) await makeFolder(folder)
    await makeFolder(join(folders.recordings, 'open'))
    const unlock = lockFolder(folders.recordings)
    try {
      const recordingsThere = await hasRecordings(folders.recordings)
      const storage = auditStorage(folders.audit)
      const auditThere = !(await storage.isEmpty())
      if (recordingsThere && !auditThere) {
        throw new GatewayError('recording.invalid', 'Recordings are here, but the audit log over them is gone.')
      }
      const create = !recordingsThere && !auditThere
      const keys = await loadRecordingKeys({ folder: folders.keys, installation: options.installation, create, random })
      const unsealed = new Map<string, SessionOpenedEntry>()
      const audit = await AuditLog.open({
        storage,
        signer: keys.signer,
        clock,
        onEntry: (entry) => {
          if (entry.type === 'session_opened') unsealed.set(entry.session, entry)
          if (entry.type === 'recording_sealed') unsealed.delete(entry.session)
        },
      })
      const folder = folders.recordings
      const recovered = await recoverRecordings({ folder, keys, audit, unsealed, clock, random, logger })
      const limits = options.space ?? {}
      const space = new FreeSpaceWatch({ folder, clock, logger, limits })
      await space.start()
      const syncMicros = measureSync(folder)
      return new Recordings(options, { audit, keys, space, recovered, syncMicros, unlock })
    } catch (error) {
      unlock()
      throw error
    }
  }

  /**
   * Begins a session's recording: its file and its entry in the audit log are on the disk when this resolves.
   * `seal` files it and adds its digest to the audit log.
   * @throws GatewayError `recording.failed`
   */
  async create(session: SessionInfo, mode: RecordingMode): Promise<Journal> {
    if (this.space.level === 'refuse' || this.space.level === 'end') {
      throw new GatewayError('recording.failed', 'The disk for recordings is almost full, so no new session may begin.')
    }
    const path = join(this.#options.folders.recordings, openPath(session.id))
    try {
      return await this.#create(session, mode, path)
    } catch (error) {
      throw GatewayError.from(error, 'recording.failed')
    }
  }

  async #create(session: SessionInfo, mode: RecordingMode, path: string): Promise<Journal> {
    const { folders, clock, random, limits } = this.#options
    const sink = new FileSink(path, syncsInline(this.syncMicros))
    let journal: Journal
    try {
      journal = new Journal({
        sessionId: session.id,
        startedAt: session.startedAt,
        mode,
        sink,
        keys: this.keys,
        clock,
        random,
        syncGroup: this.#syncGroup,
        onSealed: (sealed) => fileSealed(folders.recordings, this.audit, sealed),
        ...(limits === undefined ? {} : { limits }),
      })
      await this.#syncGroup.sync(sink, false)
      await syncFolder(dirname(path))
    } catch (error) {
      sink.close()
      await rm(path, { force: true })
      throw error
    }
    await this.#enter(session, journal, sink)
    return journal
  }

  /** When this fails the entry may be on the disk all the same, so the file stays for the next start to judge. */
  async #enter(session: SessionInfo, journal: Journal, sink: FileSink): Promise<void> {
    try {
      await this.audit.append({
        type: 'session_opened',
        session: session.id,
        startedAt: session.startedAt,
        header: journal.headerDigest,
        principal: principalLabel(session.principal),
        target: session.target.name,
      })
    } catch (error) {
      sink.close()
      throw error
    }
  }

  /** Stops watching and lets another gateway use the folder. Seal the journals first. */
  close(): void {
    this.space.stop()
    this.#unlock()
  }
}

async function hasRecordings(folder: string): Promise<boolean> {
  for (const part of ['open', 'sealed']) for await (const _ of filesBelow(join(folder, part))) return true
  return false
}
