import { GatewayError } from '../../kernel/index.ts'
import { expression, nested } from './expression.ts'
import { dataChange, isDataChange } from './modify.ts'
import { select } from './query.ts'
import {
  type CommonTable,
  distinct,
  everything,
  NOTHING,
  newScope,
  renamed,
  type Scope,
  type Shape,
  type Walk,
} from './scope.ts'
import { asType, type Fields, list, strings, struct, tagged, text } from './tree.ts'

/** Names are looked up among these, so their number bounds the work. */
const MAX_COMMON_TABLES = 500

/** Makes the common tables of WITH visible; each is walked once, when first read from or at the end. */
export function withClause(walk: Walk, scope: Scope, clause: Fields | undefined): Scope {
  if (clause === undefined) return scope
  const recursive = clause['recursive'] === true
  const tables: CommonTable[] = []
  let visible = scope
  walk.commonTables = (walk.commonTables ?? 0) + list(clause, 'ctes').length
  if (walk.commonTables > MAX_COMMON_TABLES)
    throw new GatewayError('sql.too_large', `The statement has over ${MAX_COMMON_TABLES} common tables.`)
  for (const item of list(clause, 'ctes')) {
    const fields = asType(item, 'CommonTableExpr') ?? {}
    const name = text(fields, 'ctename') ?? ''
    const table = { name, query: fields['ctequery'], scope: visible, fields, recursive, shape: undefined, busy: false }
    tables.push(table)
    if (!recursive) visible = newScope(visible)
    visible.commonTables.set(name, table)
  }
  for (const table of tables) commonTableShape(walk, table)
  return recursive ? scope : newScope(visible)
}

/** What a common table offers; walks it when that is not known yet. */
export function commonTableShape(walk: Walk, table: CommonTable): Shape {
  if (table.shape !== undefined) return table.shape
  table.busy = true
  const shape = noteless(walk, () => commonTableQuery(walk, table))
  const named = renamed(shape, strings(list(table.fields, 'aliascolnames')))
  table.shape = searchColumns(table.fields, named)
  table.busy = false
  return table.shape
}

/** What a common table notes belongs to those who read from it, not to the value being walked just now. */
function noteless<T>(walk: Walk, call: () => T): T {
  const sink = walk.sink
  walk.sink = undefined
  try {
    return call()
  } finally {
    walk.sink = sink
  }
}

function commonTableQuery(walk: Walk, table: CommonTable): Shape {
  const node = tagged(table.query)
  if (node === undefined) return NOTHING
  let shape = NOTHING
  nested(walk, () => {
    if (isDataChange(node.type)) shape = dataChange(walk, table.scope, node.type, node.fields, 'output')
    else if (node.type !== 'SelectStmt') expression(walk, table.scope, table.query, 'expression')
    else {
      const names = strings(list(table.fields, 'aliascolnames'))
      // The recursive term reads what the first term yields; inside it the table stands for that.
      const afterLeft = (left: Shape) => {
        if (table.recursive) table.shape = searchColumns(table.fields, renamed({ ...left, direct: false }, names))
      }
      const whole = select(walk, table.scope, node.fields, 'output', { afterLeft })
      table.shape = undefined
      shape = whole
    }
  })
  return shape
}

/** SEARCH and CYCLE add columns that are computed from the others. */
function searchColumns(fields: Fields, shape: Shape): Shape {
  const added = [text(struct(fields, 'search_clause') ?? {}, 'search_seq_column')]
  const cycle = struct(fields, 'cycle_clause') ?? {}
  added.push(text(cycle, 'cycle_mark_column'), text(cycle, 'cycle_path_column'))
  const names = added.filter((name) => name !== undefined)
  if (names.length === 0) return shape
  const columns = new Map(shape.columns)
  for (const name of names) columns.set(name, distinct(everything(shape)))
  return { ...shape, columns, ordered: undefined }
}
