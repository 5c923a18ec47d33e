import { constants } from 'node:fs'
import { type FileHandle, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type Clock, GatewayError, type Logger, type Random, type SessionTotals } from '../../kernel/index.ts'
import {
  type AuditLog,
  closeInterrupted,
  openPath,
  type RecordingKeys,
  type RecoveryScan,
  type SealedRecording,
  type SessionOpenedEntry,
  scanForRecovery,
  sealedPath,
  sessionAt,
  sha256,
  tornPath,
} from '../../recording/index.ts'
import { filesBelow, moveDurably, readIfThere, streamIfThere, writeDurably } from './files.ts'

export interface RecoveryOutcome {
  readonly session: string
  /**
   * - `sealed`: only its paperwork was missing
   * - `interrupted`: closed now; everything released before the stop is in it
   * - `discarded`: nothing had been recorded yet
   * - `damaged`: left as it is for a person to look at
   * - `missing`: the audit log opened it, and there is no file
   */
  readonly outcome: 'sealed' | 'interrupted' | 'discarded' | 'damaged' | 'missing'
  /** Bytes of a write that was cut off, kept aside. */
  readonly tornBytes: number
  readonly message: string
  /** What the session had done; undefined where its recording does not tell. */
  readonly totals?: Readonly<SessionTotals> | undefined
}

export interface RecoveryOptions {
  readonly folder: string
  readonly keys: RecordingKeys
  readonly audit: AuditLog
  /** Sessions that the audit log opened and did not seal. */
  readonly unsealed: ReadonlyMap<string, SessionOpenedEntry>
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
}

/** A torn tail is at most what was not yet synced; more than this is damage for a person to look at. */
const MAX_TORN_BYTES = 256 * 1024 * 1024

/** Adds the seal to the audit log, then gives the file its final place; a stop in between is finished by the next start. */
export async function fileSealed(folder: string, audit: AuditLog, sealed: SealedRecording): Promise<void> {
  await appendSealed(audit, sealed)
  await moveSealed(folder, sealed)
}

async function appendSealed(audit: AuditLog, sealed: SealedRecording): Promise<void> {
  const { sessionId: session, startedAt, digest, bytes, batches, events, rows, interrupted } = sealed
  const path = sealedPath(session, startedAt)
  const totals = { digest, bytes, batches, events, rows, interrupted }
  await audit.append({ type: 'recording_sealed', session, path, ...totals })
}

function moveSealed(folder: string, sealed: SealedRecording): Promise<void> {
  const { sessionId, startedAt } = sealed
  return moveDurably(join(folder, openPath(sessionId)), join(folder, sealedPath(sessionId, startedAt)))
}

/** Closes what a stopped gateway left open. One bad recording does not keep the others from being closed. */
export async function recoverRecordings(options: RecoveryOptions): Promise<RecoveryOutcome[]> {
  const outcomes: RecoveryOutcome[] = []
  const seen = new Set<string>()
  for await (const name of filesBelow(join(options.folder, 'open'))) {
    const session = sessionAt(`open/${name}`)
    if (session === undefined) continue
    seen.add(session)
    const outcome = await recoverOne(options, session).catch((error: unknown): RecoveryOutcome => {
      const { message, detail } = GatewayError.from(error, 'recording.failed')
      options.logger.error('a recording could not be recovered', { session, message, detail })
      return { session, outcome: 'damaged', tornBytes: 0, message }
    })
    outcomes.push(outcome)
  }
  for (const session of options.unsealed.keys()) {
    if (seen.has(session)) continue
    outcomes.push({ session, outcome: 'missing', tornBytes: 0, message: 'The audit log opened it; its file is gone.' })
  }
  for (const { session, outcome, tornBytes, message } of outcomes) {
    const level = outcome === 'damaged' || outcome === 'missing' ? 'error' : 'warn'
    options.logger[level]('recording recovered', { session, outcome, tornBytes, message })
  }
  return outcomes
}

async function recoverOne(options: RecoveryOptions, session: string): Promise<RecoveryOutcome> {
  const { folder, keys, audit, unsealed } = options
  const path = join(folder, openPath(session))
  const bytes = await streamIfThere(path)
  if (bytes === undefined) throw new GatewayError('recording.invalid', 'The file went away while it was recovered.')
  const scan = await scanForRecovery(bytes, keys)
  const opened = unsealed.get(session)
  const done = (outcome: RecoveryOutcome['outcome'], message: string, tornBytes = 0) => ({
    session,
    outcome,
    tornBytes,
    message,
    totals: scan.kind === 'empty' ? undefined : scan.totals,
  })
  // Nothing is released before the audit log has opened the session.
  const neverBegun = scan.kind === 'empty' || (scan.kind === 'interrupted' && scan.good.batches === 0)
  if (opened === undefined && neverBegun) {
    await rm(path)
    return done('discarded', 'It was created and never begun.')
  }
  if (scan.kind === 'sealed') {
    if (opened !== undefined) {
      checkHeader(opened, scan.headerDigest)
      await appendSealed(audit, scan.sealed)
    }
    await moveSealed(folder, scan.sealed)
    return done('sealed', 'It was sealed and is filed now.')
  }
  if (scan.kind === 'empty') return done('damaged', 'Its header is gone, though the audit log opened it.')
  if (opened === undefined) return done('damaged', 'The audit log never opened it, or has sealed it already.')
  checkHeader(opened, scan.headerChain.toString('hex'))
  const tornBytes = await closeOne(options, scan, path)
  return done('interrupted', scan.damage ?? 'It was closed after its last whole batch.', tornBytes)
}

function checkHeader(opened: SessionOpenedEntry, headerDigest: string): void {
  if (opened.header === headerDigest) return
  throw new GatewayError('recording.invalid', 'Another recording was put in the place of this one.')
}

/** The torn bytes are safe, and in the audit log, before the file is cut. */
async function closeOne(
  options: RecoveryOptions,
  scan: Extract<RecoveryScan, { kind: 'interrupted' }>,
  path: string,
): Promise<number> {
  const { folder, keys, audit, clock, random } = options
  const { session, startedAt } = scan.header
  const handle = await open(path, constants.O_RDWR)
  try {
    const torn = await readFrom(handle, scan.good.offset)
    const tornDigest = sha256(torn).toString('hex')
    const kept = torn.length === 0 ? null : await keepTorn(folder, session, startedAt, torn)
    const entry = { session, tornBytes: torn.length, tornDigest, tornPath: kept }
    await audit.append({ type: 'recording_interrupted', ...entry })
    const at = clock.now()
    const closing = closeInterrupted(scan, { keys, random, at, torn: { bytes: torn.length, digest: tornDigest } })
    await handle.truncate(scan.good.offset)
    await handle.write(closing.bytes, 0, closing.bytes.length, scan.good.offset)
    await handle.sync()
    await fileSealed(folder, audit, closing.sealed)
    return torn.length
  } finally {
    await handle.close()
  }
}

async function readFrom(handle: FileHandle, offset: number): Promise<Buffer> {
  const { size } = await handle.stat()
  if (size - offset > MAX_TORN_BYTES) {
    const message = `The recording is damaged at byte ${offset} of ${size}: too much to have been one torn write.`
    throw new GatewayError('recording.invalid', message)
  }
  const bytes = Buffer.alloc(size - offset)
  for (let filled = 0; filled < bytes.length; ) {
    const { bytesRead } = await handle.read(bytes, filled, bytes.length - filled, offset + filled)
    if (bytesRead === 0) throw new GatewayError('recording.invalid', 'The recording shrank while it was recovered.')
    filled += bytesRead
  }
  return bytes
}

/** A recovery that was cut off itself finds the same bytes kept already, or other ones beside them. */
async function keepTorn(folder: string, session: string, startedAt: number, torn: Buffer): Promise<string> {
  for (let number = 1; ; number++) {
    const path = tornPath(session, startedAt, number)
    const known = await readIfThere(join(folder, path))
    if (known?.equals(torn)) return path
    if (known !== undefined) continue
    await writeDurably(join(folder, path), torn)
    return path
  }
}
