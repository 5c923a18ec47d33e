/** Longest name that the target keeps: NAMEDATALEN - 1 bytes. */
const MAX_NAME_BYTES = 63

/** Reads a name as the target reads one from a string, e.g. `nextval('Public."My Seq"')`: folds what is not quoted. */
export function foldName(written: string): string {
  const parts: string[] = []
  const pattern = /\s*(?:"((?:[^"]|"")*)"|([^.\s"]+))\s*(?:\.|$)/gy
  for (let match = pattern.exec(written); match !== null && match[0] !== ''; match = pattern.exec(written)) {
    const part = match[1] === undefined ? asciiLower(match[2] ?? '') : match[1].replaceAll('""', '"')
    parts.push(cutName(part))
  }
  return parts.slice(-2).join('.')
}

/** The target folds ASCII only in multi-byte encodings. */
function asciiLower(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => letter.toLowerCase())
}

/** Cuts a name at 63 bytes, never inside a character. */
export function cutName(name: string): string {
  if (Buffer.byteLength(name) <= MAX_NAME_BYTES) return name
  let kept = ''
  let bytes = 0
  for (const character of name) {
    bytes += Buffer.byteLength(character)
    if (bytes > MAX_NAME_BYTES) break
    kept += character
  }
  return kept
}

/** As the target's quote_identifier does for anything that is not plainly a lower-case word. */
export function quoteName(name: string): string {
  return /^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`
}
