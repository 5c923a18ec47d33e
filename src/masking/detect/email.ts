import { type Finder, isLetterOrDigit, type Report, type View } from './detector.ts'
import { TRAIT } from './traits.ts'

const MAX_LOCAL_CHARACTERS = 64
const MAX_DOMAIN_CHARACTERS = 253
const MAX_USER_CHARACTERS = 96
const NOT_USER = /[\s/?#@"'<>]/
const LOCAL_EXTRA = new Set([...'._%+-!#$&^~'].map((character) => character.charCodeAt(0)))
/** What ends `logo@2x.png`, which is no address. */
const FILE_ENDINGS = new Set(
  'png jpg jpeg gif svg webp avif ico bmp pdf css js mjs cjs ts tsx jsx json html xml txt'.split(' '),
)
const TOP_LEVEL = /^(?:[A-Za-z\x80-\xff]{2,63}|[Xx][Nn]--[A-Za-z0-9-]{1,59})$/

export const emailFinder: Finder = {
  detectors: [
    {
      name: 'email',
      title: 'E-mail address',
      description: 'Addresses with a dotted domain, internationalised ones included; not quoted local parts.',
      checksum: false,
      secret: false,
    },
  ],
  possible: (traits) => (traits & (TRAIT.at | TRAIT.dot)) === (TRAIT.at | TRAIT.dot),
  find,
}

function find({ text }: View, wanted: ReadonlySet<string>, report: Report): void {
  const connections = wanted.has('connection_string')
  for (let at = text.indexOf('@'); at >= 0; at = text.indexOf('@', at + 1)) {
    const start = localStart(text, at)
    const end = domainEnd(text, at + 1)
    if (start === at || end === at + 1 || isGitAddress(text, start, at, end)) continue
    if (!connections || !isUserInfo(text, start)) report('email', start, end)
  }
}

function localStart(text: string, at: number): number {
  let start = at
  while (start > 0 && at - start < MAX_LOCAL_CHARACTERS && isLocal(text.charCodeAt(start - 1))) start--
  while (start < at && !isWord(text.charCodeAt(start))) start++ // leading dots and dashes belong to the sentence
  return start
}

function isLocal(code: number): boolean {
  return isWord(code) || LOCAL_EXTRA.has(code)
}

function isWord(code: number): boolean {
  return isLetterOrDigit(code) || code >= 0x80 || code === 95
}

/** The end of the longest dotted name whose last label can be a top-level domain; `from` when there is none. */
function domainEnd(text: string, from: number): number {
  let end = from
  while (end - from < MAX_DOMAIN_CHARACTERS && isDomain(text.charCodeAt(end))) end++
  while (end > from && !isLetterOrDigit(text.charCodeAt(end - 1)) && text.charCodeAt(end - 1) < 0x80) end--
  const labels = text.slice(from, end).split('.')
  while (labels.length > 1) {
    const last = labels[labels.length - 1]!
    if (TOP_LEVEL.test(last)) return FILE_ENDINGS.has(last.toLowerCase()) ? from : from + labels.join('.').length
    labels.pop()
  }
  return from
}

function isDomain(code: number): boolean {
  return isLetterOrDigit(code) || code === 45 || code === 46 || code >= 0x80
}

/** `git@github.com:org/repository` names a repository. */
function isGitAddress(text: string, start: number, at: number, end: number): boolean {
  return text.slice(start, at) === 'git' && text.charCodeAt(end) === 58
}

/** In `scheme://user:password@host` the password is the connection detector's, and the host no part of an address. */
function isUserInfo(text: string, start: number): boolean {
  if (text.charCodeAt(start - 1) !== 58) return false
  const before = text.slice(Math.max(0, start - MAX_USER_CHARACTERS), start - 1)
  const scheme = before.lastIndexOf('://')
  return scheme >= 0 && !NOT_USER.test(before.slice(scheme + 3))
}
