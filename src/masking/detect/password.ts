import { entropy } from '../checksums.ts'
import type { Finder, View } from './detector.ts'
import { TRAIT } from './traits.ts'

const NAME = 'password'
const MAX_VALUE_CHARACTERS = 512
const ASSIGNMENT =
  /(?:(password|passwd|passwort|passphrase|passcode|pwd|(?<![A-Za-z])pass)|(secret|token|api[_-]?key|apikey|access[_-]?key|private[_-]?key|secret[_-]?key|signing[_-]?key|encryption[_-]?key|credential|authorization))s?(?:_?\d)?[\\"'\])]{0,3}[ \t]{0,3}(?:=>|:=|[:=])[ \t]{0,3}/gi
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
    for (const match of view.text.matchAll(ASSIGNMENT)) {
      const start = match.index + match[0].length
      const value = readValue(view.text, start)
      if (value === undefined || isPlaceholder(value.text)) continue
      const fits = match[1] === undefined ? isSecret(value) : isPassword(value, match[0])
      if (fits) report(NAME, value.start, value.start + value.text.length)
    }
  },
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
function isPassword(value: Value, assignment: string): boolean {
  if (value.text.length < MIN_PASSWORD_CHARACTERS) return false
  if (value.quoted || assignment.trimEnd().endsWith('=')) return true
  return !/^[A-Za-z]+$/.test(value.text) || (!/\s$/.test(assignment) && value.text.length >= MIN_SECRET_CHARACTERS)
}

function isSecret(value: Value): boolean {
  const { text } = value
  if (text.length < MIN_SECRET_CHARACTERS || /\s/.test(text) || entropy(text) < MIN_SECRET_ENTROPY) return false
  const kinds = [/[a-z]/, /[A-Z]/, /\d/, /[^A-Za-z0-9]/].filter((kind) => kind.test(text)).length
  return kinds >= 2 && /\d|[A-Z].*[a-z].*[A-Z]/.test(text)
}
