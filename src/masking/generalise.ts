const ISO_DATE = /^(\d{4})-(\d{2})-\d{2}(?!\d)/
const OTHER_DATE = /^\d{1,2}[./-]\d{1,2}[./-](\d{4})$/
const NUMBER = /^[+-]?\d{1,7}(?:\.\d{1,20})?$/
const IPV4 = /^(\d{1,3}\.\d{1,3}\.\d{1,3})\.\d{1,3}$/
const EMAIL = /^[^@\s]{1,256}@([A-Za-z0-9.-]{1,253})$/
const POSTCODE_COLUMN = /zip|post_?code|postal|plz/i
const LETTER_OR_DIGIT = /[\p{L}\p{N}]/u

/**
 * A coarser truth: dates become a month, numbers a bucket, postcodes their first half, addresses their network, other
 * text its first letter.
 *
 * @returns undefined when nothing can be said without saying nearly all; the caller redacts.
 */
export function generalise(value: string, column: string): string | undefined {
  const text = value.trim()
  if (POSTCODE_COLUMN.test(column)) return postcode(text)
  const iso = ISO_DATE.exec(text)
  if (iso !== null) return `${iso[1]}-${iso[2]}`
  const date = OTHER_DATE.exec(text)
  if (date !== null) return date[1]!
  if (NUMBER.test(text)) return bucket(Number(text))
  const address = IPV4.exec(text)
  if (address !== null) return `${address[1]}.*`
  const email = EMAIL.exec(text)
  if (email !== null) return `***@${email[1]}`
  return firstLetter(text)
}

function postcode(text: string): string | undefined {
  const space = text.indexOf(' ')
  const kept = space > 1 && space <= 4 ? text.slice(0, space) : text.slice(0, Math.min(3, Math.floor(text.length / 2)))
  return /^[A-Za-z0-9]+$/.test(kept) ? `${kept}***` : undefined
}

/** Below a hundred the decade, above it the leading digit: 37 is 30..39, 1234 is 1000..1999. */
function bucket(value: number): string {
  const size = 10 ** Math.max(1, Math.floor(Math.log10(Math.max(1, Math.abs(value)))))
  const low = Math.floor(value / size) * size
  return `${low}..${low + size - 1}`
}

function firstLetter(text: string): string | undefined {
  const letters = [...text].filter((character) => LETTER_OR_DIGIT.test(character))
  return letters.length < 3 ? undefined : `${letters[0]}***`
}
