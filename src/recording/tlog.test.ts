import { expect, test } from 'vitest'
import { AuditLog, type AuditRecord, makeSigner, openNote, parseVerifier, signNote } from './index.ts'
import { leafHash, MerkleFrontier } from './merkle.ts'
import { ManualClock, MemoryFolder, testKeys } from './test/support.ts'
import { decodeBundle, encodeBundle, parseCheckpointText, tilePath } from './tiles.ts'

const { signer } = testKeys()
const clock = new ManualClock()

// The vectors of the Certificate Transparency project.
const LEAVES = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657', '606162636465666768696a6b6c6d6e6f']
const ROOTS = [
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
  '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
  'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
  '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
]

test('RFC 6962 roots', () => {
  const tree = new MerkleFrontier()
  expect(tree.root().toString('hex')).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855')
  for (const [index, leaf] of LEAVES.entries()) {
    tree.add(leafHash(Buffer.from(leaf, 'hex')))
    expect(tree.root().toString('hex')).toBe(ROOTS[index])
  }
})

// The example of golang.org/x/mod/sumdb/note.
const VKEY = 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW'
const TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
const SIGNATURE = 'x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM='

test('a note signed by another implementation', () => {
  const verifier = parseVerifier(VKEY)
  expect(verifier.keyId).toBe('PeterNeumann+c74f20a3')
  const note = `${TEXT}\n— PeterNeumann ${SIGNATURE}\n`
  expect(openNote(note, verifier)).toBe(TEXT)
  // The key of sum.golang.org has a plus sign in its base64.
  expect(parseVerifier('sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8').name).toBe(
    'sum.golang.org',
  )
  expect(() => parseVerifier(VKEY.replace('c74f20a3', 'c74f20a4'))).toThrow('hash')
})

test.each([
  ['a changed text', (note: string) => note.replace('answer', 'anwser')],
  ['another spelling of the same base64', (note: string) => note.replace('nAM=', 'nAN=')],
  ['no signature', () => `${TEXT}\n`],
  ['no empty line', (note: string) => note.replace('\n\n', '\n')],
  ['no end', (note: string) => note.slice(0, -1)],
  ['another key', (note: string) => note.replace('PeterNeumann', 'PeterNewman')],
  ['a control character', (note: string) => note.replace('answer', 'ans\u0007wer')],
])('a note with %s is refused', (_, change) => {
  expect(() => openNote(change(`${TEXT}\n— PeterNeumann ${SIGNATURE}\n`), parseVerifier(VKEY))).toThrow()
})

test('our own notes open with the verifier key alone, also among other signatures', () => {
  const note = signNote('hello\n', signer)
  expect(openNote(note, parseVerifier(signer.vkey))).toBe('hello\n')
  const both = `${note}— PeterNeumann ${SIGNATURE}\n`
  expect(openNote(both, signer)).toBe('hello\n')
  expect(() => makeSigner('two words', '')).toThrow()
})

test('paths, bundles and checkpoints of tlog-tiles', () => {
  expect(tilePath(0, 1234067, 256)).toBe('tile/0/x001/x234/067')
  expect(tilePath('entries', 5, 17)).toBe('tile/entries/005.p/17')
  expect(tilePath(2, 1000, 1)).toBe('tile/2/x001/000.p/1')
  const entries = [Buffer.from('a'), Buffer.alloc(0), Buffer.alloc(65535, 1)]
  expect(decodeBundle(encodeBundle(entries), 3)).toEqual(entries)
  for (const count of [2, 4]) expect(() => decodeBundle(encodeBundle(entries), count)).toThrow()
  expect(() => decodeBundle(encodeBundle(entries).subarray(0, -1), 3)).toThrow()
  for (const bad of ['x\n01\nAAAA\n', 'x\n1\nAAAA\n', '\n1\n', '']) expect(() => parseCheckpointText(bad)).toThrow()
})

async function openLog(folder: MemoryFolder, entries: AuditRecord[] = []): Promise<AuditLog> {
  return AuditLog.open({ storage: folder, signer, clock, onEntry: (entry) => entries.push(entry) })
}

const note = (number: number) => ({ type: 'token_created', by: 'alice', details: { number } }) as const

test('appends that arrive together share a write; reopened, the log is the same', async () => {
  const folder = new MemoryFolder()
  const log = await openLog(folder)
  const before = folder.writes
  const indexes = await Promise.all(Array.from({ length: 600 }, (_, number) => log.append(note(number))))
  expect(indexes.map(({ index }) => index)).toEqual(Array.from({ length: 600 }, (_, index) => index))
  // Two whole and one partial bundle with their tiles, the tile of tiles, one checkpoint.
  expect(folder.writes - before).toBe(8)
  for (let number = 600; number < 800; number++) await log.append(note(number))
  const entries: AuditRecord[] = []
  const again = await openLog(folder, entries)
  expect(again.size).toBe(800)
  expect(again.checkpoint()).toBe(log.checkpoint())
  expect(entries.map((entry) => 'details' in entry && entry.details['number'])).toEqual(
    indexes.concat(Array.from({ length: 200 }, (_, at) => ({ index: 600 + at }))).map(({ index }) => index),
  )
  await again.append(note(800))
  expect((await openLog(folder)).size).toBe(801)
  expect([...folder.files.keys()].filter((path) => path.startsWith('tile/0/002.p'))).toEqual([])
})

test('killed at any write, nothing that was acknowledged is lost', async () => {
  for (let writes = 1; writes < 40; writes++) {
    const folder = new MemoryFolder()
    const log = await openLog(folder)
    await Promise.all(Array.from({ length: 250 }, (_, number) => log.append(note(number))))
    folder.writesLeft = writes
    let acknowledged = 250
    try {
      for (; ; acknowledged++) await log.append(note(acknowledged))
    } catch (error) {
      expect(error).toMatchObject({ code: 'recording.failed' })
    }
    await expect(log.append(note(0))).rejects.toMatchObject({ code: 'recording.failed' })
    folder.writesLeft = Number.POSITIVE_INFINITY
    const again = await openLog(folder)
    // The checkpoint may be on the disk though its writer did not live to say so.
    expect([acknowledged, acknowledged + 1]).toContain(again.size)
    await Promise.all(Array.from({ length: 20 }, (_, number) => again.append(note(number))))
    expect((await openLog(folder)).size).toBe(again.size)
  }
})

test('a log that does not fit its checkpoint is refused', async () => {
  const folder = new MemoryFolder()
  const log = await openLog(folder)
  const early = folder.copy()
  for (let number = 0; number < 5; number++) await log.append(note(number))
  const bundlePath = 'tile/entries/000.p/5'
  const bundle = folder.files.get(bundlePath)!
  const changed = (path: string, bytes: Buffer | undefined) => {
    const copy = folder.copy()
    if (bytes === undefined) copy.files.delete(path)
    else copy.files.set(path, bytes)
    return openLog(copy)
  }
  const edited = Buffer.from(bundle.toString('latin1').replace('"number":3', '"number":7'), 'latin1')
  await expect(changed(bundlePath, edited)).rejects.toMatchObject({ code: 'recording.invalid' })
  await expect(changed(bundlePath, bundle.subarray(0, -1))).rejects.toMatchObject({ code: 'recording.invalid' })
  await expect(changed(bundlePath, undefined)).rejects.toMatchObject({ code: 'recording.invalid' })
  await expect(changed('checkpoint', undefined)).rejects.toMatchObject({ code: 'recording.invalid' })
  const signedByOther = signNote(
    `${signer.name}\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n`,
    testKeys('x').signer,
  )
  await expect(changed('checkpoint', Buffer.from(signedByOther))).rejects.toMatchObject({ code: 'recording.invalid' })
  expect((await changed('checkpoint', early.files.get('checkpoint')!)).size).toBe(0)
})

test('an entry that is too large is refused, and does no harm', async () => {
  const folder = new MemoryFolder()
  const log = await openLog(folder)
  const entry = { type: 'policy_loaded', by: 'gateway', details: { text: 'x'.repeat(70_000) } } as const
  await expect(log.append(entry)).rejects.toMatchObject({ code: 'recording.failed' })
  expect(await log.append(note(1))).toEqual({ index: 0 })
})
