type Scan = (text: Buffer, key: string) => Buffer | undefined

const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
const OPEN_ARRAY = 0x5b
const CLOSE_ARRAY = 0x5d
const COLON = 0x3a
const COMMA = 0x2c
const MINUS = 0x2d
/** Fewer digits than any numeric detector needs. */
const MIN_NUMBER_BYTES = 8
const MAX_KEY_BYTES = 64

interface Scope {
  readonly array: boolean
  /** The key whose value comes next, or that the array belongs to. */
  key: string
  /** In an object: a key comes next, not a value. */
  expectsKey: boolean
}

/**
 * Walks the tokens of a JSON document without building it, so that an unchanged part keeps its exact bytes.
 *
 * @returns undefined when nothing changed, `malformed` when a string does not end or does not decode.
 */
export function scanJsonText(bytes: Buffer, name: string, scan: Scan): Buffer | undefined | 'malformed' {
  const pieces: Buffer[] = []
  const scopes: Scope[] = [{ array: true, key: name, expectsKey: false }]
  let kept = 0
  let at = 0
  while (at < bytes.length) {
    const byte = bytes[at]!
    const scope = scopes[scopes.length - 1]!
    if (byte === QUOTE) {
      const end = stringEnd(bytes, at)
      if (end < 0) return 'malformed'
      const text = decode(bytes, at, end)
      if (text === undefined) return 'malformed'
      const key = scope.expectsKey ? '' : scope.key
      if (scope.expectsKey) scope.key = text.length <= MAX_KEY_BYTES ? text.toString('latin1') : ''
      const changed = text.length === 0 ? undefined : scan(text, key)
      if (changed !== undefined) {
        pieces.push(bytes.subarray(kept, at), encode(changed))
        kept = end
      }
      at = end
    } else if (byte === MINUS || (byte >= 0x30 && byte <= 0x39)) {
      const end = numberEnd(bytes, at)
      const changed = end - at < MIN_NUMBER_BYTES ? undefined : scan(bytes.subarray(at, end), scope.key)
      if (changed !== undefined) {
        pieces.push(bytes.subarray(kept, at), encode(changed))
        kept = end
      }
      at = end
    } else {
      step(scopes, scope, byte)
      at++
    }
  }
  if (pieces.length === 0) return undefined
  pieces.push(bytes.subarray(kept))
  return Buffer.concat(pieces)
}

function step(scopes: Scope[], scope: Scope, byte: number): void {
  if (byte === OPEN_OBJECT) scopes.push({ array: false, key: '', expectsKey: true })
  else if (byte === OPEN_ARRAY) scopes.push({ array: true, key: scope.key, expectsKey: false })
  else if ((byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) && scopes.length > 1) scopes.pop()
  else if (byte === COLON) scope.expectsKey = false
  else if (byte === COMMA) scope.expectsKey = !scope.array
}

function stringEnd(bytes: Buffer, start: number): number {
  for (let i = start + 1; i < bytes.length; i++) {
    const byte = bytes[i]!
    if (byte === BACKSLASH) i++
    else if (byte === QUOTE) return i + 1
  }
  return -1
}

function numberEnd(bytes: Buffer, start: number): number {
  let end = start + 1
  while (end < bytes.length && !isDelimiter(bytes[end]!)) end++
  return end
}

function isDelimiter(byte: number): boolean {
  return byte === COMMA || byte === CLOSE_ARRAY || byte === CLOSE_OBJECT || byte <= 0x20
}

/** Without a backslash the bytes are the text, in whatever encoding they are. */
function decode(bytes: Buffer, start: number, end: number): Buffer | undefined {
  const content = bytes.subarray(start + 1, end - 1)
  if (!content.includes(BACKSLASH)) return content
  try {
    return Buffer.from(JSON.parse(bytes.toString('utf8', start, end)) as string)
  } catch {
    return undefined
  }
}

/** Byte for byte, so that the text may be in any encoding that keeps ASCII. */
function encode(text: Buffer): Buffer {
  return Buffer.from(JSON.stringify(text.toString('latin1')), 'latin1')
}
