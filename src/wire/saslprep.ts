/** RFC 3454 tables as Unicode properties, close to version 3.2 for what people type into a password. */
const NON_ASCII_SPACES = /[\u00a0\u1680\u2000-\u200b\u202f\u205f\u3000]/gu
const MAPPED_TO_NOTHING = /\u034f|[\u180b-\u180d]|[\ufe00-\ufe0f]|\u200d|[\u00ad\u1806\u200c\u2060\ufeff]/gu
/** Tables C.2 to C.9 and unassigned code points. */
const PROHIBITED =
  /[\u0340\u0341]|[\p{Cc}\p{Co}\p{Cs}\p{Cn}\u06dd\u070f\u180e\u200e\u200f\u2028-\u202e\u2061-\u2063\u206a-\u206f\u2ff0-\u2ffb\ufff9-\ufffd\u{1d173}-\u{1d17a}\u{e0001}\u{e0020}-\u{e007f}]/u
const RIGHT_TO_LEFT =
  /[\u05be\u05c0\u05c3\u05d0-\u05f4\u061b-\u06dc\u06e5\u06e6\u06ee-\u0710\u0712-\u072c\ufb1d-\ufdfc\ufe70-\ufefc]/u
const LEFT_TO_RIGHT = /[A-Za-z\u00aa\u00b5\u00ba\u00c0-\u02b8\u0370-\u0589\u0900-\u1fff\u3040-\ud7ff]/u

/**
 * Prepares a password as RFC 4013 says. A password that it prohibits is used as it is, which is what PostgreSQL does,
 * so both sides come to the same key.
 */
export function saslprep(password: string): string {
  if (/^[\x20-\x7e]*$/.test(password)) return password
  const prepared = password.replace(NON_ASCII_SPACES, ' ').replace(MAPPED_TO_NOTHING, '').normalize('NFKC')
  if (prepared === '' || PROHIBITED.test(prepared) || mixesDirections(prepared)) return password
  return prepared
}

/** RFC 3454 section 6. */
function mixesDirections(text: string): boolean {
  if (!RIGHT_TO_LEFT.test(text)) return false
  const characters = [...text]
  const ends = [characters[0] ?? '', characters.at(-1) ?? '']
  return LEFT_TO_RIGHT.test(text) || !ends.every((character) => RIGHT_TO_LEFT.test(character))
}
