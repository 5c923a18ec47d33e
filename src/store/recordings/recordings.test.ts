import { execFileSync, spawn } from 'node:child_process'
import { chmodSync, cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, expect, test } from 'vitest'
import type { Logger } from '../../kernel/index.ts'
import { parseVerifier, type RecordingEvent, rowsOf, verifyAudit } from '../../recording/index.ts'
import { ManualClock, operationEvent, rowsBlock, seededRandom, testSession } from '../../recording/test/support.ts'
import { filesBelow } from './files.ts'
import {
  FreeSpaceWatch,
  folderReader,
  loadRecordingKeys,
  loadVerifier,
  loadWrappingKey,
  RecordingReader,
  Recordings,
  recordingFolders,
} from './index.ts'

const folders: string[] = []
const opened: Recordings[] = []
const silent = () => {}
const logger: Logger = { debug: silent, info: silent, warn: silent, error: silent }

afterEach(() => {
  for (const recordings of opened.splice(0)) recordings.close()
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-recordings-'))
  folders.push(folder)
  return folder
}

async function openRecordings(folder: string, clock = new ManualClock()): Promise<Recordings> {
  const random = seededRandom(folder)
  const options = { folders: recordingFolders(folder), installation: 'test', clock, random, logger }
  const recordings = await Recordings.open(options)
  opened.push(recordings)
  return recordings
}

async function all<Value>(values: AsyncIterable<Value>): Promise<Value[]> {
  const list: Value[] = []
  for await (const value of values) list.push(value)
  return list
}

/** As an auditor does: on a copy, with the public key alone. */
async function verifyCopy(folder: string) {
  const copy = newFolder()
  for (const name of ['recordings', 'audit']) cpSync(join(folder, name), join(copy, name), { recursive: true })
  const verifier = parseVerifier(readFileSync(join(folder, 'keys', 'audit.pub'), 'utf8'))
  const reader = (name: string) => folderReader(join(copy, name))
  return verifyAudit({ audit: reader('audit'), recordings: reader('recordings'), verifier })
}

async function recordOne(recordings: Recordings, id: string, mode: 'buffered' | 'strict' = 'buffered') {
  const journal = await recordings.create(testSession(id), mode)
  journal.append({ type: 'session_started', at: 1, session: testSession(id) })
  journal.append(operationEvent(2))
  await journal.commit()
  journal.appendRows(1, 1, rowsBlock([['value']]))
  await journal.commit()
  return journal
}

test.each(['buffered', 'strict'] as const)(
  '%s: recorded, filed by day, read back and verified offline',
  async (mode) => {
    const folder = newFolder()
    const recordings = await openRecordings(folder)
    const journal = await recordOne(recordings, 'one', mode)
    expect((await all(recordings.reader.events('one'))).map(({ type }) => type)).toHaveLength(3)
    expect(await verifyCopy(folder)).toMatchObject({ ok: true, sessions: { open: 1 } })
    await journal.seal()
    const path = 'sealed/2026/11/23/one.journal'
    expect(await all(recordings.reader.list())).toEqual([{ session: 'one', path, open: false }])
    expect(statSync(join(folder, 'recordings', path)).mode & 0o777).toBe(0o600)
    for (const name of ['recordings', 'recordings/sealed', 'recordings/sealed/2026', 'audit', 'keys']) {
      expect(statSync(join(folder, name)).mode & 0o777, name).toBe(0o700)
    }
    expect(await all(recordings.reader.events('one', testSession().startedAt))).toHaveLength(3)
    await expect(all(recordings.reader.events('two'))).rejects.toMatchObject({ code: 'recording.not_found' })
    await expect(all(recordings.reader.events('../keys'))).rejects.toMatchObject({ code: 'recording.invalid' })
    expect(await verifyCopy(folder)).toMatchObject({ ok: true, sessions: { sealed: 1, open: 0 } })
    const keys = join(folder, 'keys')
    const reader = new RecordingReader(join(folder, 'recordings'), {
      wrapping: [await loadWrappingKey(keys)],
      verifier: await loadVerifier(join(keys, 'audit.pub')),
    })
    expect(await all(reader.events('one'))).toHaveLength(3)
  },
)

test('a session id is used once, and never as a path', async () => {
  const recordings = await openRecordings(newFolder())
  await recordOne(recordings, 'one')
  await expect(recordings.create(testSession('one'), 'buffered')).rejects.toMatchObject({ code: 'recording.failed' })
  expect(await all(recordings.reader.events('one'))).toHaveLength(3)
  await expect(recordings.create(testSession('../one'), 'buffered')).rejects.toThrow()
})

test('a stopped gateway’s recordings are closed by the next one; torn bytes are kept aside', async () => {
  const folder = newFolder()
  const first = await openRecordings(folder)
  for (const id of ['clean', 'torn', 'sealed-late']) await recordOne(first, id)
  await first.audit.append({ type: 'gateway_stopped', by: 'gateway', details: {} })
  first.close()
  const open = join(folder, 'recordings', 'open')
  await writeFile(join(open, 'torn.journal'), Buffer.alloc(77, 1), { flag: 'a' })
  await writeFile(join(open, 'begun.journal'), 'sallyport jou')
  const second = await openRecordings(folder)
  expect(second.recovered.map(({ session, outcome, tornBytes }) => ({ session, outcome, tornBytes }))).toEqual([
    { session: 'begun', outcome: 'discarded', tornBytes: 0 },
    { session: 'clean', outcome: 'interrupted', tornBytes: 0 },
    { session: 'sealed-late', outcome: 'interrupted', tornBytes: 0 },
    { session: 'torn', outcome: 'interrupted', tornBytes: 77 },
  ])
  expect(second.recovered.find(({ session }) => session === 'torn')?.totals).toMatchObject({
    operations: 1,
    rowsReturned: 1,
  })
  const events = await all(second.reader.events('torn'))
  expect(events.slice(0, 3)).toHaveLength(3)
  expect(events.at(-1)).toMatchObject({ type: 'interrupted', tornBytes: 77 })
  const kept = await readFile(join(folder, 'recordings/sealed/2026/11/23/torn.torn-1'))
  expect(kept).toEqual(Buffer.alloc(77, 1))
  expect(await verifyCopy(folder)).toMatchObject({ ok: true, problems: [], sessions: { interrupted: 3, open: 0 } })
})

test('a stop between seal, entry and move is finished by the next start, once', async () => {
  const folder = newFolder()
  const first = await openRecordings(folder)
  const journal = await recordOne(first, 'one')
  await journal.seal()
  first.close()
  const open = join(folder, 'recordings/open/one.journal')
  const sealed = join(folder, 'recordings/sealed/2026/11/23/one.journal')
  await rename(sealed, open)
  const second = await openRecordings(folder)
  expect(second.recovered).toMatchObject([
    { session: 'one', outcome: 'sealed', totals: { operations: 1, rowsReturned: 1 } },
  ])
  expect(await verifyCopy(folder)).toMatchObject({ ok: true, sessions: { sealed: 1 } })
  second.close()
  expect((await openRecordings(folder)).recovered).toEqual([])
})

test('recovery leaves alone what was tampered with, and says so; the others are closed', async () => {
  const folder = newFolder()
  const first = await openRecordings(folder)
  for (const id of ['good', 'gone', 'replaced']) await recordOne(first, id)
  const other = newFolder()
  const stranger = await openRecordings(other)
  await recordOne(stranger, 'replaced')
  first.close()
  const open = join(folder, 'recordings', 'open')
  rmSync(join(open, 'gone.journal'))
  cpSync(join(other, 'recordings/open/replaced.journal'), join(open, 'replaced.journal'))
  cpSync(join(open, 'good.journal'), join(open, 'unknown.journal'))
  const second = await openRecordings(folder)
  const outcomes = Object.fromEntries(second.recovered.map(({ session, outcome }) => [session, outcome]))
  expect(outcomes).toEqual({ good: 'interrupted', gone: 'missing', replaced: 'damaged', unknown: 'damaged' })
  const report = await verifyCopy(folder)
  expect(new Set(report.problems.map(({ session }) => session))).toEqual(new Set(['gone', 'replaced', 'unknown']))
})

test('without its audit log or its keys a folder of recordings is refused', async () => {
  const folder = newFolder()
  const first = await openRecordings(folder)
  await (await recordOne(first, 'one')).seal()
  first.close()
  for (const name of ['audit', 'keys/recording.key', 'keys/audit.key']) {
    const aside = `${folder}-aside`
    await rename(join(folder, name), aside)
    await expect(openRecordings(folder), name).rejects.toMatchObject({ code: 'recording.invalid' })
    rmSync(join(folder, name), { recursive: true, force: true })
    await rename(aside, join(folder, name))
  }
  chmodSync(join(folder, 'keys/recording.key'), 0o644)
  await expect(openRecordings(folder)).rejects.toThrow('chmod 600')
  chmodSync(join(folder, 'keys/recording.key'), 0o600)
  await openRecordings(folder)
})

test('keys are made once, are private, and the public one fits', async () => {
  const folder = join(newFolder(), 'keys')
  await mkdir(folder)
  const load = (installation: string, create = true) =>
    loadRecordingKeys({ folder, installation, create, random: seededRandom('keys') })
  const keys = await load('test')
  expect((await load('test', false)).wrapping).toEqual(keys.wrapping)
  expect((await loadVerifier(join(folder, 'audit.pub'))).vkey).toBe(keys.signer.vkey)
  expect(keys.signer.name).toBe('sallyport/test')
  for (const name of readdirSync(folder)) expect(statSync(join(folder, name)).mode & 0o077, name).toBe(0)
  await expect(load('other')).rejects.toMatchObject({ code: 'recording.invalid' })
  await expect(load('two words')).rejects.toMatchObject({ code: 'config.invalid' })
})

test('a second gateway is kept off; the lock of a dead one is not', async () => {
  const folder = newFolder()
  const first = await openRecordings(folder)
  await expect(openRecordings(folder)).rejects.toMatchObject({ code: 'store.locked' })
  first.close()
  const lock = join(folder, 'recordings', 'lock')
  const identity = `${process.ppid}`
  writeFileSync(lock, process.platform === 'linux' ? `${identity} ${startOf(process.ppid)}` : identity)
  await expect(openRecordings(folder)).rejects.toThrow('Another gateway')
  if (process.platform === 'linux') {
    writeFileSync(lock, `${identity} 1`) // the number is in use again, by another process
    await openRecordings(folder)
  }
})

function startOf(pid: number): string {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]!
}

test('free space: warn, refuse new sessions, end running ones, and back', async () => {
  const clock = new ManualClock()
  let free: number | undefined = 100
  const watch = new FreeSpaceWatch({
    folder: '/',
    clock,
    logger,
    limits: { warnBelowBytes: 50, refuseBelowBytes: 20, endBelowBytes: 10, intervalMs: 1000 },
    measure: async () => {
      if (free === undefined) throw new Error('EIO')
      return free
    },
  })
  const levels: string[] = []
  watch.onLevel((level) => levels.push(level))
  await watch.start()
  for (const next of [49, 19, 19, 9, undefined, 100]) {
    free = next
    await clock.advance(1000)
  }
  expect(levels).toEqual(['warn', 'refuse', 'end', 'refuse', 'ok'])
  watch.stop()
  free = 1
  await clock.advance(1000)
  expect(watch.level).toBe('ok')
})

test('a full disk refuses new sessions, while running ones are still closed in order', async () => {
  const folder = newFolder()
  const random = seededRandom(folder)
  const options = { folders: recordingFolders(folder), installation: 'test', clock: new ManualClock(), random, logger }
  const recordings = await Recordings.open({ ...options, space: { refuseBelowBytes: Number.MAX_SAFE_INTEGER } })
  opened.push(recordings)
  await expect(recordings.create(testSession('one'), 'buffered')).rejects.toMatchObject({ code: 'recording.failed' })
  expect(await all(filesBelow(join(folder, 'recordings', 'open')))).toEqual([])
})

/** Compiles the writer and what it imports, so that a real process can run it. */
function compiledWriter(): string {
  const out = newFolder()
  const root = fileURLToPath(new URL('../../..', import.meta.url))
  const config = {
    extends: join(root, 'tsconfig.json'),
    compilerOptions: {
      noEmit: false,
      outDir: join(out, 'js'),
      rootDir: join(root, 'src'),
      typeRoots: [join(root, 'node_modules/@types')],
    },
    files: [fileURLToPath(new URL('test/writer.ts', import.meta.url))],
    include: [],
  }
  writeFileSync(join(out, 'tsconfig.json'), JSON.stringify(config))
  writeFileSync(join(out, 'package.json'), '{"type":"module"}')
  execFileSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', join(out, 'tsconfig.json')])
  return join(out, 'js/store/recordings/test/writer.js')
}

/** Starts the writer, lets it release so many results, then kills it as the kernel does. */
async function writeAndKill(writer: string, folder: string, mode: string, sessions: string[], results: number) {
  const child = spawn(process.execPath, [writer, folder, mode, ...sessions], { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString('latin1')
    if (output.split('\n').length > results) child.kill('SIGKILL')
  })
  await new Promise((resolve) => child.once('close', resolve))
  return output.split('\n').slice(0, -1)
}

function releasedIn(session: string, events: readonly RecordingEvent[]): string[] {
  return events.flatMap((event) => {
    if (event.type !== 'rows') return []
    return [...rowsOf(event.cells, 0)].map((row) => `${session} ${event.operation} ${row[0]?.length}`)
  })
}

test('kill -9 in mid-write, again and again: everything that was released is in the recording', {
  timeout: 120_000,
}, async () => {
  const writer = compiledWriter()
  const folder = newFolder()
  const released: string[] = []
  const runs = [
    { mode: 'buffered', results: 40 },
    { mode: 'strict', results: 40 },
    { mode: 'buffered', results: 333 },
    { mode: 'strict', results: 150 },
  ]
  for (const [run, { mode, results }] of runs.entries()) {
    const lines = await writeAndKill(writer, folder, mode, [`a${run}`, `b${run}`], results)
    expect(lines.length).toBeGreaterThanOrEqual(results)
    released.push(...lines)
  }
  const recordings = await openRecordings(folder)
  expect(recordings.recovered).toHaveLength(2)
  const recorded = new Set<string>()
  let interrupted = 0
  for (const { session, open } of await all(recordings.reader.list())) {
    expect(open).toBe(false)
    const events = await all(recordings.reader.events(session))
    expect(events.at(-1)?.type).toBe('interrupted')
    for (const line of releasedIn(session, events)) recorded.add(line)
    interrupted++
  }
  expect(released.filter((line) => !recorded.has(line))).toEqual([])
  expect(await verifyCopy(folder)).toMatchObject({ ok: true, problems: [], sessions: { interrupted, open: 0 } })
})
