/**
 * Recorded text comes from clients and targets; none of it may drive the viewer's terminal or disguise itself: C0, DEL
 * and C1 controls, line and paragraph separators, and the marks that reorder or hide text.
 */
const UNSAFE =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]|[\ud800-\udfff]/gu

const SHORT: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }

function escapeOne(character: string): string {
  const code = character.codePointAt(0)!
  return SHORT[character] ?? (code > 0xff ? `\\u{${code.toString(16)}}` : `\\x${code.toString(16).padStart(2, '0')}`)
}

/** One line, safe to print. */
export function safeText(text: string): string {
  return text.replace(UNSAFE, escapeOne)
}

/** Keeps line breaks, for statements; everything else as in `safeText`. */
export function safeLines(text: string): string[] {
  return text.split(/\r?\n/).map(safeText)
}

export function cut(text: string, most: number): string {
  const characters = [...text]
  return characters.length <= most ? text : `${characters.slice(0, most - 1).join('')}…`
}
