/** Array and composite values in PostgreSQL's text form, cell by cell. Bytes travel as latin1, so none is changed. */

/** What may be done to one value: undefined leaves it, null makes it NULL. */
export type CellChange = (cell: Buffer) => Buffer | null | undefined

/** How a changed value is written: quoted where `needsQuotes`, quotes and backslashes as `escaped`, as the server does. */
interface Spelling {
  readonly brackets: '{}' | '()'
  readonly needsQuotes: RegExp
  readonly escaped: string
}

const IN_ARRAY: Spelling = { brackets: '{}', needsQuotes: /^$|^null$|[ \t\n\r\v\f{}",\\]/i, escaped: '\\$&' }
const IN_COMPOSITE: Spelling = { brackets: '()', needsQuotes: /^$|[ \t\n\r\v\f()",\\]/, escaped: '$&$&' }
/** ASCII only: `\s` would take a byte of a UTF-8 letter for a space. */
const SPACE = /[ \t\n\r\v\f]/

/**
 * Changes the elements of an array literal such as `[0:1]={a,"b c",NULL}`; elements that stay keep their spelling.
 * @returns null when the literal is not well formed: nobody knows then what it holds.
 */
export function changeArrayLiteral(cell: Buffer, change: CellChange): Buffer | null | undefined {
  const text = cell.toString('latin1')
  const open = text.indexOf('{')
  if (open === -1 || (open > 0 && !/^(?:\[[+-]?\d+:[+-]?\d+\])+=$/.test(text.slice(0, open)))) return null
  return rebuild(text, open, IN_ARRAY, (raw, quoted) => {
    if (!quoted && raw.toUpperCase() === 'NULL') return undefined
    const answer = change(Buffer.from(raw, 'latin1'))
    return answer === null ? 'NULL' : answer
  })
}

/** Changes the fields of a composite literal such as `(1,"a ""b""",)`; an empty field is NULL. */
export function changeCompositeLiteral(cell: Buffer, change: CellChange): Buffer | null | undefined {
  const text = cell.toString('latin1')
  if (!text.startsWith('(')) return null
  return rebuild(text, 0, IN_COMPOSITE, (raw, quoted) => {
    if (!quoted && raw === '') return undefined
    const answer = change(Buffer.from(raw, 'latin1'))
    return answer === null ? '' : answer
  })
}

/** Answers undefined: as it was; a string: these bare letters; bytes: a new value, quoted where it must be. */
type Visit = (raw: string, quoted: boolean) => string | Buffer | undefined

function rebuild(text: string, start: number, spelling: Spelling, visit: Visit): Buffer | null | undefined {
  const { brackets } = spelling
  const pieces: string[] = []
  const nests = brackets === '{}'
  let [at, kept, depth, changed] = [start, 0, 0, false]
  while (at < text.length) {
    const character = text[at]!
    if (character === brackets[0] && (nests || depth === 0)) {
      depth++
      at++
      if (nests && text[at] === brackets[1]) continue // `{}` has no element
      if (nests && text[at] === brackets[0]) continue
    } else if (character === brackets[1]) {
      if (--depth === 0) return at + 1 === text.length ? finish(text, pieces, kept, changed) : null
      at++
      continue
    } else if (character === ',' && depth > 0) {
      at++
      if (nests && text[at] === brackets[0]) continue
    } else return null
    const element = readElement(text, at, brackets[1]!)
    if (element === undefined) return null
    const answer = visit(element.value, element.quoted)
    if (answer !== undefined) {
      pieces.push(text.slice(kept, at), typeof answer === 'string' ? answer : spell(answer, spelling))
      kept = element.end
      changed = true
    }
    at = element.end
  }
  return null
}

function finish(text: string, pieces: string[], kept: number, changed: boolean): Buffer | undefined {
  return changed ? Buffer.from(pieces.join('') + text.slice(kept), 'latin1') : undefined
}

function readElement(text: string, start: number, close: string) {
  let [at, value, quoted, inside] = [start, '', false, false]
  for (; at < text.length; at++) {
    const character = text[at]!
    if (character === '\\') {
      if (++at === text.length) return undefined
      value += text[at]
    } else if (character === '"') {
      if (inside && text[at + 1] === '"') {
        value += '"' // doubled, as composites spell it; in an array two elements never touch
        at++
      } else inside = !inside
      quoted = true
    } else if (!inside && (character === ',' || character === close)) break
    else if (!inside && SPACE.test(character) && close === '}')
      return undefined // never printed by the server
    else value += character
  }
  return inside || at === text.length ? undefined : { value, quoted, end: at }
}

function spell(value: Buffer, { needsQuotes, escaped }: Spelling): string {
  const text = value.toString('latin1')
  return needsQuotes.test(text) ? `"${text.replace(/["\\]/g, escaped)}"` : text
}
