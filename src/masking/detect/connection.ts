import { type Finder, isLetterOrDigit, type Report } from './detector.ts'
import { isPlaceholder } from './password.ts'
import { TRAIT } from './traits.ts'

const NAME = 'connection_string'
const MAX_AUTHORITY_CHARACTERS = 1024
const END_OF_URL = /[\s"'<>`{}|\\^]/
const DATABASE =
  /^(?:postgres|mysql|mariadb|mongodb|redis|amqp|mssql|sqlserver|oracle|clickhouse|cassandra|jdbc|s?ftp|smtp|ldap)/i
const NOT_SCHEME = /[^a-z0-9+.-]/gi
const SCHEME_CHARACTERS = 24
/** ADO.NET, ODBC and libpq say it in words. */
const NAMED_PARTS =
  /(?:^|[;&?\s"'])(?:host|server|data source|dbname|database|user id|uid|username|user|jdbc:[a-z]{2,16})\s{0,2}[=:]/i
const NAMED_PASSWORD = /(?<=(?:^|[;&?\s"'])(?:password|pwd|passwd)\s?=\s?)(?:[^;&\s"'\\]{1,512})/gi

/** Only the password is replaced: host and database name may matter to the reader. */
export const connectionFinder: Finder = {
  detectors: [
    {
      name: NAME,
      title: 'Password in a connection string',
      description: 'The password part of scheme://user:password@host, and of key=value connection strings.',
      checksum: false,
      secret: true,
    },
  ],
  possible: (traits) =>
    (traits & (TRAIT.scheme | TRAIT.at)) === (TRAIT.scheme | TRAIT.at) ||
    (traits & (TRAIT.letter | TRAIT.equals)) === (TRAIT.letter | TRAIT.equals),
  find({ text }, _wanted, report) {
    for (let at = text.indexOf('://'); at >= 0; at = text.indexOf('://', at + 3)) findPassword(text, at, report)
    if (!NAMED_PARTS.test(text)) return
    for (const match of text.matchAll(NAMED_PASSWORD))
      if (!isPlaceholder(match[0])) report(NAME, match.index, match.index + match[0].length)
  },
}

function findPassword(text: string, colon: number, report: Report): void {
  if (!isLetterOrDigit(text.charCodeAt(colon - 1))) return
  const start = colon + 3
  let rest = text.slice(start, start + MAX_AUTHORITY_CHARACTERS)
  const end = rest.search(END_OF_URL)
  if (end >= 0) rest = rest.slice(0, end)
  const next = rest.indexOf('://')
  if (next >= 0) rest = rest.slice(0, next)
  const authority = rest.search(/[/?#]/)
  let at = (authority < 0 ? rest : rest.slice(0, authority)).lastIndexOf('@')
  // Database passwords are often pasted without percent-encoding.
  if (at < 0 && DATABASE.test(schemeBefore(text, colon))) at = rest.lastIndexOf('@')
  const separator = rest.indexOf(':')
  if (at < 0 || separator < 0 || separator >= at - 1) return
  if (!isPlaceholder(rest.slice(separator + 1, at))) report(NAME, start + separator + 1, start + at)
}

function schemeBefore(text: string, colon: number): string {
  return (
    text
      .slice(Math.max(0, colon - SCHEME_CHARACTERS), colon)
      .split(NOT_SCHEME)
      .at(-1) ?? ''
  )
}
