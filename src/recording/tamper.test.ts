import fc from 'fast-check'
import { expect, test } from 'vitest'
import { GatewayError } from '../kernel/index.ts'
import { FRAME, FrameDraft } from './frames.ts'
import { closeInterrupted, scanForRecovery, sha256, verifyRecording } from './index.ts'
import { frameOffsets, readAll, sealedRecording, seededRandom, testKeys } from './test/support.ts'

const keys = testKeys()
const verify = (bytes: Buffer, open = false) => verifyRecording([bytes], keys.signer, { open })

async function expectDetected(bytes: Buffer, from?: number): Promise<void> {
  const report = await verify(bytes)
  expect(report.ok).toBe(false)
  expect(report.problems[0]?.message).toMatch(/\w+ \w+/)
  if (from !== undefined) expect(report.problems[0]?.offset).toBe(from)
}

test('a changed byte is found, whichever it is, and said where', async () => {
  const bytes = await sealedRecording()
  const offsets = frameOffsets(bytes)
  for (let at = 0; at < bytes.length; at++) {
    for (const bit of [0x01, 0x80]) {
      const changed = Buffer.from(bytes)
      changed[at]! ^= bit
      const frame = offsets.findLast((offset) => offset <= at) ?? 0
      const report = await verify(changed)
      expect(report.ok, `byte ${at}`).toBe(false)
      expect(report.problems[0]!.offset, `byte ${at}`).toBe(frame)
    }
  }
})

test('a recording that is cut is found, wherever it is cut', async () => {
  const bytes = await sealedRecording()
  for (let length = 0; length < bytes.length; length++) await expectDetected(bytes.subarray(0, length))
})

test('frames that are dropped, doubled or swapped are found', async () => {
  const bytes = await sealedRecording()
  const offsets = frameOffsets(bytes)
  const magic = bytes.subarray(0, offsets[0])
  const frames = offsets.slice(0, -1).map((offset, index) => bytes.subarray(offset, offsets[index + 1]))
  expect(frames.length).toBeGreaterThan(7)
  for (let index = 0; index < frames.length; index++) {
    await expectDetected(Buffer.concat([magic, ...frames.toSpliced(index, 1)]))
    await expectDetected(Buffer.concat([magic, ...frames.toSpliced(index, 0, frames[index]!)]))
    if (index === 0) continue
    const swapped = frames.with(index, frames[index - 1]!).with(index - 1, frames[index]!)
    await expectDetected(Buffer.concat([magic, ...swapped]))
  }
})

test('bytes after the seal are found', async () => {
  const bytes = await sealedRecording()
  await expectDetected(Buffer.concat([bytes, Buffer.from([0])]), bytes.length)
  const report = await verifyRecording([bytes, Buffer.from([0])], keys.signer)
  expect(report.problems[0]?.offset).toBe(bytes.length)
})

test('frames of another session are found', async () => {
  const [one, two] = [await sealedRecording('session-1'), await sealedRecording('session-2')]
  const [oneAt, twoAt] = [frameOffsets(one), frameOffsets(two)]
  for (let index = 0; index + 1 < oneAt.length; index++) {
    const frame = two.subarray(twoAt[index], twoAt[index + 1])
    const replaced = [one.subarray(0, oneAt[index]), frame, one.subarray(oneAt[index + 1])]
    // A header is whole by itself; what follows it then does not fit.
    await expectDetected(Buffer.concat(replaced), index === 0 ? oneAt[1] : oneAt[index])
    if (index === 0) continue
    const tail = [one.subarray(0, oneAt[index]), two.subarray(twoAt[index])]
    await expectDetected(Buffer.concat(tail), oneAt[index])
  }
})

/** Writes the chain anew over other frames, as someone can who has the files but no key. */
function rechain(bytes: Buffer, keep: (index: number) => boolean): Buffer {
  const offsets = frameOffsets(bytes)
  const pieces = [bytes.subarray(0, offsets[0])]
  let chain = sha256(pieces[0]!)
  for (let index = 0; index + 1 < offsets.length; index++) {
    if (!keep(index)) continue
    const frame = bytes.subarray(offsets[index], offsets[index + 1])
    const payload = frame.subarray(5, frame.length - 32)
    const draft = new FrameDraft(frame[4] as 1, payload.length, chain)
    payload.copy(draft.payload)
    const done = draft.finish()
    chain = done.chain
    pieces.push(done.bytes)
  }
  return Buffer.concat(pieces)
}

test('a chain written anew without the signing key is found', async () => {
  const bytes = await sealedRecording()
  const kinds = frameOffsets(bytes)
    .slice(0, -1)
    .map((offset) => bytes[offset + 4])
  expect((await verify(rechain(bytes, () => true))).ok).toBe(true)
  for (const [index, kind] of kinds.entries()) {
    if (kind !== FRAME.header) await expectDetected(rechain(bytes, (one) => one !== index))
  }
})

test('recovery takes nothing that does not decrypt, though it fits the chain', async () => {
  const bytes = await sealedRecording()
  const offsets = frameOffsets(bytes)
  const kinds = offsets.slice(0, -1).map((offset) => bytes[offset + 4])
  const lastBatch = kinds.lastIndexOf(FRAME.batch)
  // Without the heads and the seal, one batch less: the numbers of the later ones do not fit.
  const forged = rechain(bytes, (index) => kinds[index] !== FRAME.head && kinds[index] !== FRAME.seal && index !== 2)
  const report = await verify(forged, true)
  expect(report.ok).toBe(true)
  const scan = await scanForRecovery([forged], keys)
  expect(scan).toMatchObject({ kind: 'interrupted', good: { batches: 1 }, damage: expect.stringContaining('decrypt') })
  expect(lastBatch).toBeGreaterThan(2)
})

test('an open recording that stops anywhere recovers all its whole batches', async () => {
  const bytes = await sealedRecording()
  const offsets = frameOffsets(bytes)
  const events = await readAll(bytes)
  for (let length = 0; length < bytes.length; length += 1) {
    const cut = bytes.subarray(0, length)
    const scan = await scanForRecovery([cut], keys)
    const wholeFrames = offsets.filter((offset) => offset <= length).length - 1
    if (wholeFrames < 1) {
      expect(scan.kind).toBe('empty')
      continue
    }
    if (scan.kind !== 'interrupted') throw new Error(`${scan.kind} at ${length}`)
    expect(scan.good.offset).toBe(offsets[wholeFrames])
    if (length % 16 !== 0) continue
    const torn = { bytes: length - scan.good.offset, digest: 'x' }
    const closing = closeInterrupted(scan, { keys, random: seededRandom('recovery'), at: 7, torn })
    const closed = Buffer.concat([cut.subarray(0, scan.good.offset), closing.bytes])
    expect(await verify(closed)).toMatchObject({ ok: true, interrupted: true, digest: closing.sealed.digest })
    const recovered = await readAll(closed)
    expect(recovered.slice(0, -1)).toEqual(events.slice(0, recovered.length - 1))
    expect(recovered.at(-1)).toEqual({ type: 'interrupted', at: 7, tornBytes: torn.bytes, tornDigest: 'x' })
    expect(closing.sealed).toMatchObject({ events: recovered.length, bytes: closed.length, interrupted: true })
  }
})

test('a length of nearly four gigabytes is refused before anything is held', async () => {
  const bytes = await sealedRecording()
  const changed = Buffer.from(bytes)
  changed.writeUInt32BE(0xffffffff, frameOffsets(bytes)[1]!)
  await expectDetected(changed, frameOffsets(bytes)[1])
})

test('any bytes: a report and a GatewayError, never anything else', async () => {
  const bytes = await sealedRecording()
  const header = bytes.subarray(0, frameOffsets(bytes)[1])
  const property = fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), fc.boolean(), async (noise, whole) => {
    const input = Buffer.concat([whole ? header : bytes.subarray(0, 20), Buffer.from(noise)])
    expect((await verify(input)).ok).toBe(false)
    await expect(readAll(input)).rejects.toBeInstanceOf(GatewayError)
    await expect(scanForRecovery([input], keys)).resolves.toBeDefined()
  })
  await fc.assert(property, { numRuns: 300 })
})
