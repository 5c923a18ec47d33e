import { type Finder, isLetterOrDigit } from './detector.ts'
import { TRAIT } from './traits.ts'

const NAME = 'jwt'
const MAX_HEADER_CHARACTERS = 4096
const MIN_PART_CHARACTERS = 10
const MAX_PARTS = 5
const DOT = 46

export const jwtFinder: Finder = {
  detectors: [
    {
      name: NAME,
      title: 'JSON Web Token',
      description:
        'Base64url parts of which the first decodes to a JSON header with "alg" (signed, unsigned or encrypted).',
      checksum: true,
      secret: true,
    },
  ],
  possible: (traits) => (traits & (TRAIT.dot | TRAIT.long | TRAIT.letter)) === (TRAIT.dot | TRAIT.long | TRAIT.letter),
  find({ text }, _wanted, report) {
    // A header is an object, so its base64url begins with "e"; a dot ends it.
    let from = 0
    for (let dot = text.indexOf('.'); dot >= 0; dot = text.indexOf('.', from)) {
      const start = headerStart(text, dot, from)
      const end = start < 0 ? -1 : tokenEnd(text, dot)
      if (end > 0) report(NAME, start, end)
      from = Math.max(end, dot + 1)
    }
  },
}

/** Where a header that ends at `dot` starts: the run's beginning, or a later `ey` when something was glued before it. */
function headerStart(text: string, dot: number, from: number): number {
  let start = dot
  while (start > from && dot - start < MAX_HEADER_CHARACTERS && isBase64Url(text.charCodeAt(start - 1))) start--
  if (dot - start < MIN_PART_CHARACTERS) return -1
  const run = text.slice(start, dot)
  if (isHeader(run)) return start
  const inner = run.lastIndexOf('eyJ')
  return inner > 0 && isHeader(run.slice(inner)) ? start + inner : -1
}

function isHeader(part: string): boolean {
  if (part[0] !== 'e') return false
  try {
    const header: unknown = JSON.parse(Buffer.from(part, 'base64url').toString('latin1'))
    return typeof header === 'object' && header !== null && 'alg' in header
  } catch {
    return false
  }
}

/** Takes the payload and what follows it; -1 when there is no payload. */
function tokenEnd(text: string, dot: number): number {
  let end = dot
  for (let part = 1; part < MAX_PARTS && text.charCodeAt(end) === DOT; part++) {
    let next = end + 1
    while (isBase64Url(text.charCodeAt(next))) next++
    if (part === 1 && next - end <= 2) return -1
    if (part > 2 && next === end + 1) break
    end = next
  }
  return end
}

function isBase64Url(code: number): boolean {
  return isLetterOrDigit(code) || code === 45 || code === 95
}
