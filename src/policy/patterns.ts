/**
 * How sure a match must be. Rules that restrict match what is *possible*: a name whose schema is not known may be the one
 * meant. Whatever loosens (`then: allow`, `unless`) needs a *certain* match: every name, with its schema, in the list.
 */
export type Certainty = 'possible' | 'certain'

/** A test for a glob in which `*` stands for any run of characters. Linear: no pattern can make it backtrack badly. */
export function globTest(pattern: string): (value: string) => boolean {
  if (!pattern.includes('*')) return (value) => value === pattern
  const pieces = pattern.split(/\*+/)
  const first = pieces[0] ?? ''
  const last = pieces.at(-1) ?? ''
  const middle = pieces.slice(1, -1)
  return (value) => {
    if (value.length < first.length + last.length || !value.startsWith(first) || !value.endsWith(last)) return false
    let from = first.length
    const end = value.length - last.length
    for (const piece of middle) {
      const at = value.indexOf(piece, from)
      if (at < 0 || at + piece.length > end) return false
      from = at + piece.length
    }
    return from <= end
  }
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
 * A possible match folds case, so that `Customers` in a rule still protects the table `customers`.
 */
export function relationTest(pattern: string, certainty: Certainty): (relation: string) => boolean {
  const text = certainty === 'possible' ? pattern.toLowerCase() : pattern
  const dot = text.indexOf('.')
  const whole = globTest(text)
  const schema = dot < 0 ? undefined : globTest(text.slice(0, dot))
  const name = globTest(text.slice(dot + 1))
  if (certainty === 'certain') {
    return (relation) => {
      const at = relation.indexOf('.')
      // More than one dot has several readings, so nothing about it is certain.
      if (at !== relation.lastIndexOf('.')) return false
      if (schema === undefined) return name(at < 0 ? relation : relation.slice(at + 1))
      return at >= 0 && schema(relation.slice(0, at)) && name(relation.slice(at + 1))
    }
  }
  return (relation) => {
    for (const reading of readings(relation.toLowerCase())) {
      if (whole(reading.name)) return true
      if (
        schema === undefined
          ? name(reading.name)
          : name(reading.name) && (reading.schema === undefined || schema(reading.schema))
      )
        return true
    }
    return false
  }
}

/** A column as a fact or a pattern: `table` undefined is one that the statement alone does not tell. */
export interface ColumnName {
  readonly table: string | undefined
  readonly column: string
}

/** `card_number` is short for `*.card_number`: any table. */
export function normalizeColumnPattern(pattern: string): string {
  return pattern.includes('.') ? pattern : `*.${pattern}`
}

/**
 * A test for `schema.table.column`, `table.column` or `*.column` against a column that an operation uses.
 *
 * @param relations - The relations of the same operation: a column without a table may belong to any of them.
 */
export function columnTest(
  pattern: string,
  certainty: Certainty,
): (column: ColumnName, relations: readonly string[]) => boolean {
  const full = normalizeColumnPattern(pattern)
  const dot = full.lastIndexOf('.')
  const tablePattern = full.slice(0, dot)
  const anyTable = /^\*(\.\*)?$/.test(tablePattern)
  const table = relationTest(tablePattern, certainty)
  const columnPattern = full.slice(dot + 1)
  if (certainty === 'certain') {
    const name = globTest(columnPattern)
    return (column) => name(column.column) && (anyTable || (column.table !== undefined && table(column.table)))
  }
  const name = globTest(columnPattern.toLowerCase())
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
