import { expression } from './expression.ts'
import { writeRelation } from './relations.ts'
import { newScope, type Walk } from './scope.ts'
import { type Fields, list, relationName, struct, text } from './tree.ts'

/** The new table of SELECT INTO and CREATE TABLE AS. */
export function selectInto(walk: Walk, into: Fields): void {
  const { facts } = walk
  const relation = struct(into, 'rel') ?? {}
  facts.does('create')
  createdRelation(walk, relation, 'a table is created')
  for (const option of list(into, 'options')) expression(walk, newScope(undefined), option, 'expression')
}

/** Temporary relations need `write`, all others `admin`. */
export function createdRelation(walk: Walk, relation: Fields, reason: string): void {
  const { facts } = walk
  const temporary = isTemporary(relation)
  writeRelation(facts, relationName(relation), reason)
  if (!temporary) facts.needs('admin', reason)
  facts.effects.push({ kind: 'ddl', temporary })
}

export function isTemporary(relation: Fields): boolean {
  const schema = text(relation, 'schemaname')
  return text(relation, 'relpersistence') === 't' || schema === 'pg_temp'
}
