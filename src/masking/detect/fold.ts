/** Text with look-alikes folded to ASCII, and where each of its bytes came from. */
export interface Folded {
  readonly bytes: Buffer
  /** `origin[i]` is the offset in the original of folded byte `i`; one more entry than there are bytes. */
  readonly origin: Uint32Array
}

const NOTHING = -1
const UNCHANGED = -2

/** Digits of other scripts that people and phones really type; first code point of each ten. */
const DIGIT_ZEROS = [0x660, 0x6f0, 0x966, 0x9e6, 0xff10, 0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec, 0x1d7f6] as const

/**
 * What a code point passes for: an ASCII code, `NOTHING` when it shows nothing, or `UNCHANGED`.
 * Spaces and dashes of all widths, full-width forms, digits of other scripts, zero-width marks, variation selectors.
 */
function foldCodePoint(point: number): number {
  for (const zero of DIGIT_ZEROS) if (point >= zero && point < zero + 10) return 48 + point - zero
  if (point >= 0xff01 && point <= 0xff5e) return point - 0xfee0
  if (isInvisible(point)) return NOTHING
  if (isSpace(point)) return 32
  if ((point >= 0x2010 && point <= 0x2015) || point === 0x2212 || point === 0xfe58 || point === 0xfe63) return 45
  if (point === 0xb7 || point === 0x2024 || point === 0x2027 || point === 0x2022 || point === 0x3002) return 46
  if (point === 0xfe6b) return 64
  return UNCHANGED
}

function isSpace(point: number): boolean {
  return point === 0xa0 || (point >= 0x2000 && point <= 0x200a) || [0x202f, 0x205f, 0x3000, 0x1680].includes(point)
}

function isInvisible(point: number): boolean {
  if (point === 0xad || point === 0x34f || point === 0x61c || point === 0x180e || point === 0xfeff) return true
  if (point >= 0x200b && point <= 0x200f) return true
  if ((point >= 0x202a && point <= 0x202e) || (point >= 0x2060 && point <= 0x206f)) return true
  return (point >= 0xfe00 && point <= 0xfe0f) || (point >= 0xe0000 && point <= 0xe01ef)
}

/** @returns undefined when nothing folds. Bytes that are not UTF-8 stay as they are, except LATIN1's no-break space. */
export function fold(bytes: Buffer): Folded | undefined {
  let folded: Buffer | undefined
  let origin: Uint32Array | undefined
  let length = 0
  let at = 0
  while (at < bytes.length) {
    const size = sequenceLength(bytes, at)
    const code = size === 1 ? foldSingle(bytes[at]!) : foldCodePoint(codePoint(bytes, at, size))
    if (code !== UNCHANGED && folded === undefined) {
      folded = Buffer.from(bytes)
      origin = new Uint32Array(bytes.length + 1)
      for (let i = 0; i < at; i++) origin[i] = i
      length = at
    }
    if (folded !== undefined && origin !== undefined) {
      const count = code === UNCHANGED ? size : code === NOTHING ? 0 : 1
      for (let i = 0; i < count; i++) {
        folded[length] = code === UNCHANGED ? bytes[at + i]! : code
        origin[length++] = at + i
      }
    }
    at += size
  }
  if (folded === undefined || origin === undefined) return undefined
  origin[length] = bytes.length
  return { bytes: folded.subarray(0, length), origin: origin.subarray(0, length + 1) }
}

function foldSingle(byte: number): number {
  if (byte === 0xa0) return 32
  if (byte === 0xad) return NOTHING
  return byte === 0xb7 ? 46 : UNCHANGED
}

function sequenceLength(bytes: Buffer, at: number): number {
  const lead = bytes[at]!
  const size = lead < 0xc2 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 1
  for (let i = 1; i < size; i++) if (((bytes[at + i] ?? 0) & 0xc0) !== 0x80) return 1
  return size
}

function codePoint(bytes: Buffer, at: number, size: number): number {
  let point = bytes[at]! & (0xff >> (size + 1))
  for (let i = 1; i < size; i++) point = (point << 6) | (bytes[at + i]! & 0x3f)
  return point
}
