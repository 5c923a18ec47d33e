/** A column name or JSON key, split into words. */
export interface Hint {
  readonly words: string
  /** The name says that its value is a credential. */
  readonly secret: boolean
}

const MAX_CACHED_HINTS = 4096
const MAX_HINT_CHARACTERS = 64
const CAMEL = /([a-z0-9])([A-Z])/g
const NOT_WORD = /[^A-Za-z0-9]+/g
const SECRET_NAME =
  /(?:^| )(?:password|passwd|passwort|passphrase|pass|pwd|secret|api ?key|access key|secret key|private key|encryption key|signing key|access token|auth token|refresh token|bearer token|client secret|credentials?)(?: \d{1,3})?$/

const hints = new Map<string, Hint>()
export const NO_HINT: Hint = { words: '', secret: false }

export function hintFor(name: string): Hint {
  if (name === '') return NO_HINT
  const known = hints.get(name)
  if (known !== undefined) return known
  const words = name.slice(0, MAX_HINT_CHARACTERS).replace(CAMEL, '$1 $2').replace(NOT_WORD, ' ').trim().toLowerCase()
  const hint = { words, secret: SECRET_NAME.test(words) }
  if (hints.size >= MAX_CACHED_HINTS) hints.clear()
  hints.set(name, hint)
  return hint
}
