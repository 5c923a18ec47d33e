import { entropy } from '../checksums.ts'
import { type Finder, isDigit, type View } from './detector.ts'
import { TRAIT } from './traits.ts'

const NAME = 'password'
const MAX_VALUE_CHARACTERS = 512
const ASSIGNS = /=>|:=|[:=]/g
const PASSWORD_NAMES = 'password passwd passwort passphrase passcode pwd'.split(' ')
const SECRET_NAMES =
  'secret token api_key api-key apikey access_key access-key accesskey private_key private-key secret_key secret-key signing_key signing-key encryption_key encryption-key credential authorization'.split(
    ' ',
  )
const MAX_NAME_CHARACTERS = 16
const NAME_ENDS = new Set([...PASSWORD_NAMES, ...SECRET_NAMES, 's'].map((name) => name.charCodeAt(name.length - 1)))
const LONE_PASS = /(?:^|[^a-z])pass$/
const BLANK = /[ \t]/
const CLOSING = new Set([...'\\"\'])'])
const MAX_CLOSING_CHARACTERS = 3
const SCHEME = /^(?:bearer|basic|token|digest|apikey) +/i
const QUOTE = /^\\?["'`]/
const UNQUOTED_END = /[\s,;&"'`<>(){}[\]|\\]/
const PLACEHOLDER_WORDS = new Set(
  'null nil none undefined true false required optional string text changeme change_me placeholder n/a unset not_set not-set'.split(
    ' ',
  ),
)
/** Variables, templates, references to a secret's place, and what masks leave behind. */
const PLACEHOLDERS: readonly RegExp[] = [
  /^[*xX.-]+$/,
  /^\[redacted\]$/,
  /^hash-[a-z2-7]{20}$/,
  /^\*{4,}[A-Za-z0-9]{4}$/,
  /^\$\{[A-Za-z_][^}]*\}$/,
  /^\$[A-Z_]+$/,
  /^\{\{[^}]*\}\}$/,
  /^<[^>]*>$/,
  /^%(?:\([a-z_]+\))?s$/,
  /^your[_-](?:password|secret|token|api|key)[a-z_-]*$/i,
  /^(?:process\.env|os\.environ)[[.(][\w"'.()-]*\]?$/,
  /^(?:vault|env|file):[\w./#:-]+$/,
]
const MAX_PLACEHOLDER_CHARACTERS = 80
const MIN_PASSWORD_CHARACTERS = 4
const MIN_SECRET_CHARACTERS = 8
const MIN_SECRET_ENTROPY = 2.5

/** Stands for a value, or was masked already. */
export function isPlaceholder(value: string): boolean {
  return (
    PLACEHOLDER_WORDS.has(value.toLowerCase()) ||
    (value.length <= MAX_PLACEHOLDER_CHARACTERS && PLACEHOLDERS.some((shape) => shape.test(value)))
  )
}

export const passwordFinder: Finder = {
  detectors: [
    {
      name: NAME,
      title: 'Assigned password or secret',
      description: 'The value in password=…, "secret": "…", api_key: …, and of a column or JSON key so named.',
      checksum: false,
      secret: true,
    },
  ],
  possible: (traits, hint) =>
    hint.secret || ((traits & TRAIT.letter) !== 0 && (traits & (TRAIT.equals | TRAIT.colon)) !== 0),
  find(view, _wanted, report) {
    if (findNamed(view)) report(NAME, 0, view.text.length)
    for (const match of view.text.matchAll(ASSIGNS)) {
      const kind = assignedKind(view.text, match.index)
      if (kind === undefined) continue
      const after = match.index + match[0].length
      const start = skipBlanks(view.text, after)
      const value = readValue(view.text, start)
      if (value === undefined || isPlaceholder(value.text)) continue
      const equals = match[0] !== ':'
      const fits = kind === 'secret' ? isSecret(value) : isPassword(value, equals, start > after)
      if (fits) report(NAME, value.start, value.start + value.text.length)
    }
  },
}

/** What the name that ends before a `=` or `:` says: quotes, brackets, a plural s and a number may follow it. */
function assignedKind(text: string, at: number): 'password' | 'secret' | undefined {
  let end = at
  for (let i = 0; i < MAX_CLOSING_CHARACTERS && BLANK.test(text[end - 1] ?? ''); i++) end--
  for (let i = 0; i < MAX_CLOSING_CHARACTERS && CLOSING.has(text[end - 1] ?? ''); i++) end--
  if (isDigit(text.charCodeAt(end - 1))) end -= text[end - 2] === '_' ? 2 : 1
  const name = text.slice(Math.max(0, end - MAX_NAME_CHARACTERS), Math.max(0, end)).toLowerCase()
  if (name === '' || !NAME_ENDS.has(name.charCodeAt(name.length - 1))) return undefined
  for (const candidate of name.endsWith('s') ? [name, name.slice(0, -1)] : [name]) {
    if (PASSWORD_NAMES.some((each) => candidate.endsWith(each)) || LONE_PASS.test(candidate)) return 'password'
    if (SECRET_NAMES.some((each) => candidate.endsWith(each))) return 'secret'
  }
  return undefined
}

function skipBlanks(text: string, from: number): number {
  let at = from
  while (at < from + MAX_CLOSING_CHARACTERS && BLANK.test(text[at] ?? '')) at++
  return at
}

/** The whole value, when its column or key says so. */
function findNamed({ text, hint }: View): boolean {
  if (!hint.secret || text.length > MAX_VALUE_CHARACTERS || /\s/.test(text) || isPlaceholder(text)) return false
  return /pass|pwd/.test(hint.words)
    ? text.length >= MIN_PASSWORD_CHARACTERS
    : isSecret({ text, start: 0, quoted: false })
}

interface Value {
  readonly text: string
  readonly start: number
  readonly quoted: boolean
}

function readValue(text: string, from: number): Value | undefined {
  const window = text.slice(from, from + MAX_VALUE_CHARACTERS)
  const quote = QUOTE.exec(window)?.[0] ?? ''
  if (quote !== '') {
    const end = window.indexOf(quote, quote.length)
    return { text: window.slice(quote.length, end < 0 ? undefined : end), start: from + quote.length, quoted: true }
  }
  const scheme = SCHEME.exec(window)?.[0] ?? ''
  const rest = window.slice(scheme.length)
  const end = rest.search(UNQUOTED_END)
  const value = (end < 0 ? rest : rest.slice(0, end)).replace(/[.!?:]$/, '')
  return value === '' ? undefined : { text: value, start: from + scheme.length, quoted: false }
}

/** Prose says "password: must be …"; a bare word after a colon and a space is not taken for one. */
function isPassword(value: Value, equals: boolean, spaced: boolean): boolean {
  if (value.text.length < MIN_PASSWORD_CHARACTERS) return false
  if (value.quoted || equals) return true
  return !/^[A-Za-z]+$/.test(value.text) || (!spaced && value.text.length >= MIN_SECRET_CHARACTERS)
}

function isSecret(value: Value): boolean {
  const { text } = value
  if (text.length < MIN_SECRET_CHARACTERS || /\s/.test(text) || entropy(text) < MIN_SECRET_ENTROPY) return false
  const kinds = [/[a-z]/, /[A-Z]/, /\d/, /[^A-Za-z0-9]/].filter((kind) => kind.test(text)).length
  return kinds >= 2 && /\d|[A-Z].*[a-z].*[A-Z]/.test(text)
}
