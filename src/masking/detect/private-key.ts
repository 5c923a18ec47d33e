import { type Finder, isLetterOrDigit } from './detector.ts'
import { TRAIT } from './traits.ts'

const NAME = 'private_key'
const BEGIN = '-----BEGIN '
const MARK = '-----'
const MAX_LABEL_CHARACTERS = 64
const PRIVATE_LABEL = /(?:PRIVATE|SECRET) KEY/
/** Headers of old encrypted keys and of PGP armour, whose commas a body has not. */
const BODY_EXTRA = new Set([...'+/=\\ \t\r\n:-.'].map((character) => character.charCodeAt(0)))
const HEADER_COMMA = /(?:ENCRYPTED|DEK-Info: [A-Z0-9-]{1,24}|Proc-Type: 4)$/

export const privateKeyFinder: Finder = {
  detectors: [
    {
      name: NAME,
      title: 'Private key',
      description:
        'Whole PEM, OpenSSH and PGP private key blocks, cut off ones and ones with escaped line ends included.',
      checksum: false,
      secret: true,
    },
  ],
  possible: (traits) => (traits & TRAIT.block) !== 0,
  find({ text }, _wanted, report) {
    let start = text.indexOf(BEGIN)
    while (start >= 0) {
      const end = blockEnd(text, start)
      if (end > 0) report(NAME, start, end)
      start = text.indexOf(BEGIN, Math.max(end, start + BEGIN.length))
    }
  },
}

/** The end of the private key block at `start`, or -1 when it is another kind of block. */
function blockEnd(text: string, start: number): number {
  const labelStart = start + BEGIN.length
  const labelEnd = text.slice(labelStart, labelStart + MAX_LABEL_CHARACTERS + MARK.length).indexOf(MARK)
  if (labelEnd < 0) return PRIVATE_LABEL.test(text.slice(labelStart)) ? text.length : -1
  if (!PRIVATE_LABEL.test(text.slice(labelStart, labelStart + labelEnd))) return -1
  const body = labelStart + labelEnd + MARK.length
  const next = text.indexOf(MARK, body)
  if (next >= 0 && text.startsWith('-----END ', next)) {
    const close = text.indexOf(MARK, next + 9)
    if (close >= 0 && close - next <= MAX_LABEL_CHARACTERS + 9) return close + MARK.length
  }
  return cutOffEnd(text, body, next < 0 ? text.length : next)
}

/** A block without its end: all that can belong to a body. */
function cutOffEnd(text: string, body: number, limit: number): number {
  let end = body
  while (end < limit) {
    const code = text.charCodeAt(end)
    const comma = code === 44 && HEADER_COMMA.test(text.slice(Math.max(body, end - 40), end))
    if (!isLetterOrDigit(code) && !BODY_EXTRA.has(code) && !comma) break
    end++
  }
  return end
}
