import type { ColumnUse } from '../../kernel/index.ts'
import { restricts } from './bounds.ts'
import { expression, expressions, nested } from './expression.ts'
import { rangeItem } from './from.ts'
import { select, targetList } from './query.ts'
import { writeRelation } from './relations.ts'
import { baseShape, NOTHING, newScope, type Scope, type Shape, type Walk } from './scope.ts'
import { asType, type Fields, list, relationName, struct, text } from './tree.ts'
import { withClause } from './with.ts'

const DATA_CHANGES = { InsertStmt: 'insert', UpdateStmt: 'update', DeleteStmt: 'delete', MergeStmt: 'merge' } as const

export function isDataChange(type: string): type is keyof typeof DATA_CHANGES {
  return Object.hasOwn(DATA_CHANGES, type)
}

/** Walks a data-modifying statement; the shape is that of its RETURNING list. */
export function dataChange(walk: Walk, outer: Scope, type: string, fields: Fields, use: ColumnUse): Shape {
  if (isDataChange(type)) walk.facts.does(DATA_CHANGES[type])
  const clauses = withClause(walk, newScope(outer), struct(fields, 'withClause'))
  switch (type) {
    case 'InsertStmt':
      return insert(walk, clauses, fields, use)
    case 'UpdateStmt':
      return update(walk, clauses, fields, use)
    case 'DeleteStmt':
      return remove(walk, clauses, fields, use)
    default:
      return merge(walk, clauses, fields, use)
  }
}

/** The table that is changed; a common table of the same name never hides it. */
function target(walk: Walk, scope: Scope, fields: Fields, reason: string): string {
  const range = struct(fields, 'relation') ?? {}
  const name = relationName(range)
  writeRelation(walk.facts, name, reason)
  const alias = text(struct(range, 'alias') ?? {}, 'aliasname')
  const schema = alias === undefined ? text(range, 'schemaname') : undefined
  scope.relations.push({ ...baseShape(name), name: alias ?? text(range, 'relname') ?? '', schema, aside: false })
  return name
}

function insert(walk: Walk, clauses: Scope, fields: Fields, use: ColumnUse): Shape {
  const scope = newScope(clauses)
  const table = target(walk, scope, fields, 'it inserts rows')
  const source = asType(fields['selectStmt'], 'SelectStmt')
  if (source !== undefined)
    nested(walk, () => {
      // VALUES is part of INSERT; only a real query is one more effect.
      const values = list(source, 'valuesLists').length > 0
      if (values && source['withClause'] === undefined) return insertValues(walk, clauses, source)
      if (select(walk, clauses, source, 'write').unbounded) walk.facts.unbounded = true
    })
  for (const column of list(fields, 'cols')) expression(walk, clauses, column, 'write')
  const conflict = struct(fields, 'onConflictClause')
  if (conflict !== undefined) {
    const inner = newScope(scope)
    inner.relations.push({ ...baseShape(table), direct: false, name: 'excluded', schema: undefined, aside: true })
    if (text(conflict, 'action') === 'ONCONFLICT_UPDATE') walk.facts.does('update')
    expression(walk, inner, conflict['infer'], 'predicate')
    expression(walk, inner, conflict['whereClause'], 'predicate')
    expressions(walk, inner, list(conflict, 'targetList'), 'write')
  }
  return returning(walk, scope, table, fields, use)
}

function insertValues(walk: Walk, scope: Scope, source: Fields): void {
  expressions(walk, scope, list(source, 'valuesLists'), 'write')
  for (const clause of ['sortClause', 'limitCount', 'limitOffset']) expression(walk, scope, source[clause], 'predicate')
}

function update(walk: Walk, clauses: Scope, fields: Fields, use: ColumnUse): Shape {
  const scope = newScope(clauses)
  const table = target(walk, scope, fields, 'it updates rows')
  for (const item of list(fields, 'fromClause')) rangeItem(walk, scope, item, 'write')
  expressions(walk, scope, list(fields, 'targetList'), 'write')
  expression(walk, scope, fields['whereClause'], 'predicate')
  if (!restricts(walk.facts, fields['whereClause'])) walk.facts.unbounded = true
  return returning(walk, scope, table, fields, use)
}

function remove(walk: Walk, clauses: Scope, fields: Fields, use: ColumnUse): Shape {
  const scope = newScope(clauses)
  const table = target(walk, scope, fields, 'it deletes rows')
  for (const item of list(fields, 'usingClause')) rangeItem(walk, scope, item, 'expression')
  expression(walk, scope, fields['whereClause'], 'predicate')
  if (!restricts(walk.facts, fields['whereClause'])) walk.facts.unbounded = true
  return returning(walk, scope, table, fields, use)
}

function merge(walk: Walk, clauses: Scope, fields: Fields, use: ColumnUse): Shape {
  const { facts } = walk
  const scope = newScope(clauses)
  const table = target(walk, scope, fields, 'it merges rows')
  rangeItem(walk, scope, fields['sourceRelation'], 'write')
  expression(walk, scope, fields['joinCondition'], 'predicate')
  const joined = restricts(facts, fields['joinCondition'])
  for (const item of list(fields, 'mergeWhenClauses')) {
    const clause = asType(item, 'MergeWhenClause') ?? {}
    expression(walk, scope, clause['condition'], 'predicate')
    expressions(walk, scope, [...list(clause, 'targetList'), ...list(clause, 'values')], 'write')
    const command = MERGE_COMMANDS[text(clause, 'commandType') ?? '']
    if (command === undefined) continue
    facts.does(command)
    const all = !joined || text(clause, 'matchKind') === 'MERGE_WHEN_NOT_MATCHED_BY_SOURCE'
    if (command !== 'insert' && all && !restricts(facts, clause['condition'])) facts.unbounded = true
  }
  return returning(walk, scope, table, fields, use)
}

const MERGE_COMMANDS: Readonly<Record<string, 'insert' | 'update' | 'delete'>> = {
  CMD_INSERT: 'insert',
  CMD_UPDATE: 'update',
  CMD_DELETE: 'delete',
}

/** RETURNING, whose `old` and `new` rows (or the names given to them) are the table's too. */
function returning(walk: Walk, scope: Scope, table: string, fields: Fields, use: ColumnUse): Shape {
  const clause = struct(fields, 'returningClause')
  if (clause === undefined) return NOTHING
  const names = list(clause, 'options').map((option) => text(asType(option, 'ReturningOption') ?? {}, 'value'))
  // Placed outside, so that a table of the same name in FROM is found first.
  const around = newScope(scope.parent)
  for (const name of new Set(['old', 'new', ...names.filter((name) => name !== undefined)]))
    around.relations.push({ ...baseShape(table), direct: false, name, schema: undefined, aside: true })
  const inner: Scope = { ...scope, parent: around }
  return targetList(walk, inner, list(clause, 'exprs'), use)
}
