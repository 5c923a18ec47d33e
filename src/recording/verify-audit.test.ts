import { beforeAll, expect, test } from 'vitest'
import { type AuditEntry, AuditLog, openPath, sealedPath, sha256, signNote, verifyAudit } from './index.ts'
import { frameOffsets, ManualClock, MemoryFolder, operationEvent, testJournal, testKeys } from './test/support.ts'

const keys = testKeys()
const { signer } = keys
const clock = new ManualClock()
const SESSIONS = ['alpha', 'beta', 'gamma']
const pathOf = (session: string) => sealedPath(session, clock.now())

let audit: MemoryFolder
let recordings: MemoryFolder
let log: AuditLog
/** Taken after the first session, as somebody would who keeps checkpoints elsewhere. */
let earlier: { readonly checkpoint: string; readonly audit: MemoryFolder }

async function record(session: string, end: 'sealed' | 'open'): Promise<void> {
  const { journal, sink } = testJournal({ id: session, clock })
  const opened = { session, startedAt: clock.now(), header: journal.headerDigest, principal: 'alice', target: 'shop' }
  await log.append({ type: 'session_opened', ...opened })
  journal.append(operationEvent(clock.now()))
  void journal.commit()
  if (end === 'open') {
    recordings.files.set(openPath(session), sink.bytes)
    return
  }
  const { sessionId: _, startedAt: __, ...sealed } = await journal.seal()
  await log.append({ type: 'recording_sealed', session, path: pathOf(session), ...sealed })
  recordings.files.set(pathOf(session), sink.bytes)
}

beforeAll(async () => {
  audit = new MemoryFolder()
  recordings = new MemoryFolder()
  log = await AuditLog.open({ storage: audit, signer, clock })
  await log.append({ type: 'gateway_started', by: 'gateway', details: { version: '0.1.0' } })
  await record('alpha', 'sealed')
  earlier = { checkpoint: log.checkpoint(), audit: audit.copy() }
  await record('beta', 'sealed')
  await record('gamma', 'sealed')
  await record('delta', 'open')
  const torn = Buffer.from('torn')
  recordings.files.set('sealed/2026/11/23/gamma.torn-1', torn)
  const entry = { tornBytes: 4, tornDigest: sha256(torn).toString('hex'), tornPath: 'sealed/2026/11/23/gamma.torn-1' }
  await log.append({ type: 'recording_interrupted', session: 'gamma', ...entry })
})

const verify = (folders: { audit?: MemoryFolder; recordings?: MemoryFolder; earlierCheckpoint?: string } = {}) =>
  verifyAudit({ audit, recordings, verifier: signer, ...folders })

async function afterChange(change: (recordings: MemoryFolder, audit: MemoryFolder) => void, checkpoint?: string) {
  const changed = { recordings: recordings.copy(), audit: audit.copy() }
  change(changed.recordings, changed.audit)
  const report = await verify(checkpoint === undefined ? changed : { ...changed, earlierCheckpoint: checkpoint })
  expect(report.ok).toBe(false)
  return report.problems
}

test('what was not touched verifies, and an open session is told as open', async () => {
  const report = await verify({ earlierCheckpoint: earlier.checkpoint })
  expect(report.problems).toEqual([])
  expect(report).toMatchObject({ ok: true, sessions: { sealed: 3, open: 1 }, checkpoint: { size: log.size } })
  expect(report.notes).toEqual([expect.stringContaining('delta is open: 1 batches')])
})

test('a dropped recording is told by its session', async () => {
  for (const session of SESSIONS) {
    const problems = await afterChange((files) => files.files.delete(pathOf(session)))
    expect(problems).toEqual([expect.objectContaining({ session, message: expect.stringContaining('gone') })])
  }
  const problems = await afterChange((files) => files.files.delete(openPath('delta')))
  expect(problems).toMatchObject([{ session: 'delta', message: expect.stringContaining('gone') }])
})

test('any changed byte of any recording is told by its session', async () => {
  const bytes = recordings.files.get(pathOf('beta'))!
  for (let at = 0; at < bytes.length; at += 5) {
    const problems = await afterChange((files) => {
      files.files.get(pathOf('beta'))![at]! ^= 0x10
    })
    expect(problems).toMatchObject([{ session: 'beta', path: pathOf('beta'), offset: expect.any(Number) }])
  }
})

test('a recording cut at any frame is told, though its chain holds', async () => {
  const bytes = recordings.files.get(pathOf('beta'))!
  for (const offset of frameOffsets(bytes).slice(0, -1)) {
    const problems = await afterChange((files) => files.files.set(pathOf('beta'), bytes.subarray(0, offset)))
    expect(problems).toMatchObject([{ session: 'beta' }])
  }
})

test('a recording in the place of another one is told, and so is an added one', async () => {
  const alpha = recordings.files.get(pathOf('alpha'))!
  const swapped = await afterChange((files) => files.files.set(pathOf('beta'), alpha))
  expect(swapped).toMatchObject([{ session: 'beta', message: expect.stringContaining('another one') }])
  // Made with the right keys and the right name, but not the one that was recorded.
  const { journal, sink } = testJournal({ id: 'beta', clock })
  journal.append(operationEvent(clock.now(), 1, 'select 1'))
  await journal.seal()
  const remade = await afterChange((files) => files.files.set(pathOf('beta'), sink.bytes))
  expect(remade).toMatchObject([{ session: 'beta', message: expect.stringContaining('not the one') }])
  for (const path of [
    pathOf('omega'),
    openPath('omega'),
    openPath('alpha'),
    'sealed/x',
    'sealed/2026/11/23/a.torn-1',
  ]) {
    const added = await afterChange((files) => files.files.set(path, alpha))
    expect(added).toMatchObject([{ path }])
  }
})

test('an open recording that lost signed frames, or was replaced, is told', async () => {
  const bytes = recordings.files.get(openPath('delta'))!
  const changed = await afterChange((files) => {
    files.files.get(openPath('delta'))![bytes.length - 40]! ^= 1
  })
  expect(changed).toMatchObject([{ session: 'delta' }])
  const { sink } = testJournal({ id: 'delta', clock: new ManualClock(), keys: testKeys('other') })
  const replaced = await afterChange((files) => files.files.set(openPath('delta'), sink.bytes))
  expect(replaced).toMatchObject([{ session: 'delta' }])
})

test('torn bytes that were kept aside are watched, too', async () => {
  const path = 'sealed/2026/11/23/gamma.torn-1'
  expect(await afterChange((files) => files.files.delete(path))).toMatchObject([{ session: 'gamma', path }])
  expect(await afterChange((files) => files.files.set(path, Buffer.from('tora')))).toMatchObject([{ path }])
})

test('an edited entry is told, with its number', async () => {
  const bundlePath = [...audit.files.keys()].filter((path) => path.startsWith('tile/entries')).at(-1)!
  const problems = await afterChange((_, files) => {
    const text = files.files.get(bundlePath)!.toString('latin1')
    files.files.set(bundlePath, Buffer.from(text.replace('"session":"beta"', '"session":"bets"'), 'latin1'))
  })
  expect(problems.map(({ message }) => message).join('\n')).toMatch(/entry 3/)
  expect(problems.map(({ message }) => message).join('\n')).toMatch(/do not add up/)
})

test('every changed byte of the log is told', async () => {
  const needed = [...audit.files].filter(([path]) => path.endsWith(`/${log.size}`) || path === 'checkpoint')
  expect(needed).toHaveLength(3)
  for (const [path, bytes] of needed) {
    for (let at = 0; at < bytes.length; at += 3) {
      await afterChange((_, files) => {
        files.files.get(path)![at]! ^= 0x04
      })
    }
    await afterChange((_, files) => files.files.delete(path))
  }
})

test('a log that was rolled back shows by its recordings, and by an earlier checkpoint if those went with it', async () => {
  const extra = await afterChange((_, files) => files.files.set('checkpoint', Buffer.from(earlier.checkpoint)))
  expect(new Set(extra.map(({ session }) => session))).toEqual(new Set(['beta', 'gamma', 'delta', undefined]))
  const rolledBack = { audit: earlier.audit.copy(), recordings: new MemoryFolder() }
  rolledBack.recordings.files.set(pathOf('alpha'), recordings.files.get(pathOf('alpha'))!)
  expect((await verify(rolledBack)).ok).toBe(true)
  const report = await verify({ ...rolledBack, earlierCheckpoint: log.checkpoint() })
  expect(report.problems).toMatchObject([{ message: expect.stringContaining('rolled back') }])
})

test('a history that was written anew, even with the signing key, does not fit an earlier checkpoint', async () => {
  const fresh = new MemoryFolder()
  const forged = await AuditLog.open({ storage: fresh, signer, clock })
  const entry: AuditEntry = { type: 'gateway_started', by: 'gateway', details: { version: '0.2.0' } }
  for (let index = 0; index < 20; index++) await forged.append(entry)
  const report = await verify({
    audit: fresh,
    recordings: new MemoryFolder(),
    earlierCheckpoint: earlier.checkpoint,
  })
  expect(report.problems).toMatchObject([{ message: expect.stringContaining('rewritten') }])
})

test('a checkpoint of another log or key is refused', async () => {
  const text = log.checkpoint().split('\n\n')[0]!
  const otherKey = signNote(`${text}\n`, testKeys('other').signer)
  const otherLog = signNote(`${text}\n`.replace('sallyport/test', 'sallyport/tost'), signer)
  for (const note of [otherKey, otherLog, 'nonsense']) {
    const problems = await afterChange((_, files) => files.files.set('checkpoint', Buffer.from(note)))
    expect(problems[0]).toMatchObject({ path: 'checkpoint' })
    expect((await verify({ earlierCheckpoint: note })).ok).toBe(false)
  }
})
