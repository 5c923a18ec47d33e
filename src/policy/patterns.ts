/**
 * How sure a match must be. Rules that restrict match what is *possible*: a name whose schema is not known may be the one
 * meant. Whatever loosens (`then: allow`, `unless`) needs a *certain* match: every name, with its schema, in the list.
 */
export type Certainty = 'possible' | 'certain'

/** A test for a glob in which `*` stands for any run of characters. Linear: no pattern can make it backtrack badly. */
export function globTest(pattern: string): (value: string) => boolean {
  return piecesTest(pattern.split(/\*+/))
}

/** @param pieces - The texts between the wildcards; the first and the last are anchored. */
function piecesTest(pieces: readonly string[]): (value: string) => boolean {
  const first = pieces[0] ?? ''
  if (pieces.length <= 1) return (value) => value === first
  const last = pieces.at(-1) ?? ''
  const middle = pieces.slice(1, -1)
  return (value) => {
    if (value.length < first.length + last.length || !value.startsWith(first) || !value.endsWith(last)) return false
    let from = first.length
    for (const piece of middle) {
      const at = value.indexOf(piece, from)
      if (at < 0) return false
      from = at + piece.length
    }
    return from <= value.length - last.length
  }
}

/** One part of a name pattern: the texts between its wildcards. */
type Part = readonly string[]

/**
 * Splits `schema.name` at its dots. As in the target, what is not in double quotes folds to lower case, and dots and stars
 * in quotes are themselves.
 *
 * @returns undefined when a quote is not closed or a part is empty.
 */
export function nameParts(pattern: string): readonly Part[] | undefined {
  const parts: string[][] = [['']]
  const add = (text: string) => {
    const part = parts.at(-1) ?? []
    part[part.length - 1] += text
  }
  for (const [token] of pattern.matchAll(/"(?:[^"]|"")*"|\*+|\.|"|[^"*.]+/g)) {
    if (token === '"') return undefined
    if (token === '.') parts.push([''])
    else if (token.startsWith('*')) parts.at(-1)?.push('')
    else if (token.startsWith('"')) add(token.slice(1, -1).replaceAll('""', '"'))
    else add(token.toLowerCase())
  }
  return parts.some((part) => part.length === 1 && part[0] === '') ? undefined : parts
}

type NameTest = (value: string) => boolean

function partTest(part: Part | undefined, certainty: Certainty): NameTest {
  if (part === undefined) return () => false
  return piecesTest(certainty === 'possible' ? part.map((piece) => piece.toLowerCase()) : part)
}

/** Every way to read `a.b.c` as schema and name: a quoted name may hold dots itself. */
function readings(relation: string): readonly { readonly schema: string | undefined; readonly name: string }[] {
  const found: { schema: string | undefined; name: string }[] = [{ schema: undefined, name: relation }]
  for (let dot = relation.indexOf('.'); dot >= 0; dot = relation.indexOf('.', dot + 1)) {
    found.push({ schema: relation.slice(0, dot), name: relation.slice(dot + 1) })
  }
  return found
}

/**
 * A test for a relation or function pattern: `customers` in any schema, `public.customers`, globs within each part.
 * A possible match ignores case, so that no spelling of a rule leaves a table unprotected.
 */
export function relationTest(pattern: string, certainty: Certainty): NameTest {
  const parts = nameParts(pattern) ?? []
  const name = partTest(parts.at(-1), certainty)
  const schema = parts.length > 1 ? partTest(parts.at(-2), certainty) : undefined
  if (certainty === 'certain') {
    return (relation) => {
      const at = relation.indexOf('.')
      // More than one dot has several readings, so nothing about it is certain.
      if (at !== relation.lastIndexOf('.')) return false
      if (schema === undefined) return name(at < 0 ? relation : relation.slice(at + 1))
      return at >= 0 && schema(relation.slice(0, at)) && name(relation.slice(at + 1))
    }
  }
  // `a.b` as one name of an unknown schema is worth thinking of only for a pattern whose name holds a dot itself;
  // else `sales.*` would match every table there is.
  const dotted = parts.at(-1)?.some((piece) => piece.includes('.')) ?? false
  return (relation) =>
    readings(relation.toLowerCase()).some((reading) => {
      if (!name(reading.name)) return false
      if (schema === undefined) return true
      if (reading.schema === undefined) return dotted || !relation.includes('.')
      return schema(reading.schema)
    })
}

/** A column as a fact states it: `table` undefined is one that the statement alone does not tell. */
export interface ColumnName {
  readonly table: string | undefined
  readonly column: string
}

/**
 * A test for `schema.table.column`, `table.column`, `*.column` or `column` against a column that an operation uses.
 * The second argument holds the relations of the same operation: a column without a table may belong to any of them.
 */
export function columnTest(
  pattern: string,
  certainty: Certainty,
): (column: ColumnName, relations: readonly string[]) => boolean {
  const parts = nameParts(pattern) ?? []
  const name = partTest(parts.at(-1), certainty)
  const anyTable = parts.slice(0, -1).every((part) => part.every((piece) => piece === ''))
  const table = tableTest(parts.slice(0, -1), certainty)
  if (certainty === 'certain') {
    return (column) => name(column.column) && (anyTable || (column.table !== undefined && table(column.table)))
  }
  return (column, relations) => {
    if (column.column !== '*' && !name(column.column.toLowerCase())) return false
    if (anyTable) return true
    const written = column.table
    if (written !== undefined && table(written)) return true
    // A qualifier that is none of the operation's relations names a CTE or an alias: any relation may be behind it.
    const known = relations.some((relation) => relation === written || relation.endsWith(`.${written}`))
    return !known && (relations.length === 0 || relations.some(table))
  }
}

function tableTest(parts: readonly Part[], certainty: Certainty): NameTest {
  const quoted = parts.map((part) =>
    part.map((piece) => (piece === '' ? '' : `"${piece.replaceAll('"', '""')}"`)).join('*'),
  )
  return relationTest(quoted.join('.'), certainty)
}
