import type { OperationKind } from '../../kernel/index.ts'
import { expression } from './expression.ts'
import { createdRelation, isTemporary } from './into.ts'
import { select } from './query.ts'
import { touchRelation, writeRelation } from './relations.ts'
import { baseShape, newScope, type Scope, type Walk } from './scope.ts'
import { asType, type Fields, flag, isObject, list, relationName, strings, struct, text } from './tree.ts'

interface Definition {
  readonly kind: OperationKind
  readonly reason: string
  readonly privileges?: boolean
  readonly secrets?: boolean
  readonly programs?: boolean
  readonly files?: boolean
  readonly opaque?: string
}

const create = (what: string): Definition => ({ kind: 'create', reason: `it creates ${what}` })
const alter = (what: string): Definition => ({ kind: 'alter', reason: `it alters ${what}` })
const drop = (what: string): Definition => ({ kind: 'drop', reason: `it drops ${what}` })
const upkeep = (what: string): Definition => ({ kind: 'maintenance', reason: `it ${what}` })
const roles = (definition: Definition): Definition => ({ ...definition, privileges: true })
const secret = (definition: Definition): Definition => ({ ...definition, secrets: true })
const code = (definition: Definition): Definition => ({ ...definition, programs: true })

/** Statements that define things: all need `admin`, except for what is temporary. */
const DEFINITIONS: Readonly<Record<string, Definition>> = {
  CreateStmt: create('a table'),
  CreateSchemaStmt: create('a schema'),
  CreateSeqStmt: create('a sequence'),
  CreateDomainStmt: create('a domain'),
  CreateEnumStmt: create('a type'),
  CreateRangeStmt: create('a type'),
  CompositeTypeStmt: create('a type'),
  DefineStmt: create('a type, operator or the like'),
  CreateCastStmt: create('a cast'),
  CreateConversionStmt: create('a conversion'),
  CreateTransformStmt: create('a transform'),
  CreateOpClassStmt: create('an operator class'),
  CreateOpFamilyStmt: create('an operator family'),
  CreateStatsStmt: create('statistics'),
  IndexStmt: create('an index'),
  ViewStmt: create('a view'),
  RuleStmt: create('a rule'),
  CreateTrigStmt: { ...create('a trigger'), opaque: 'a trigger runs code that is not inspected' },
  CreateEventTrigStmt: { ...create('an event trigger'), opaque: 'a trigger runs code that is not inspected' },
  CreateFunctionStmt: create('a function'),
  CreatePolicyStmt: roles(create('a row policy')),
  CreateRoleStmt: roles(secret(create('a role'))),
  CreatePublicationStmt: create('a publication'),
  CreateSubscriptionStmt: secret(create('a subscription')),
  CreateFdwStmt: code(secret(create('a foreign-data wrapper'))),
  CreateForeignServerStmt: secret(create('a foreign server')),
  CreateForeignTableStmt: secret({ ...create('a foreign table'), opaque: 'a foreign table reads another server' }),
  CreateUserMappingStmt: roles(secret(create('a user mapping'))),
  ImportForeignSchemaStmt: secret({
    ...create('foreign tables'),
    opaque: 'which tables are imported cannot be seen',
  }),
  CreateExtensionStmt: code({ ...create('an extension'), opaque: 'an extension runs a script that is not inspected' }),
  CreatePLangStmt: code(create('a language')),
  CreateAmStmt: code(create('an access method')),
  CreateTableSpaceStmt: { ...create('a tablespace'), files: true },
  CreatedbStmt: create('a database'),
  AlterTableStmt: alter('a table'),
  AlterTableMoveAllStmt: alter('the tablespace of tables'),
  AlterDomainStmt: alter('a domain'),
  AlterEnumStmt: alter('a type'),
  AlterTypeStmt: alter('a type'),
  AlterCollationStmt: alter('a collation'),
  AlterOpFamilyStmt: alter('an operator family'),
  AlterOperatorStmt: alter('an operator'),
  AlterStatsStmt: alter('statistics'),
  AlterSeqStmt: alter('a sequence'),
  AlterFunctionStmt: alter('a function'),
  AlterPolicyStmt: roles(alter('a row policy')),
  AlterRoleStmt: roles(secret(alter('a role'))),
  AlterRoleSetStmt: roles(secret(alter('settings of a role'))),
  AlterPublicationStmt: alter('a publication'),
  AlterSubscriptionStmt: secret(alter('a subscription')),
  AlterFdwStmt: code(secret(alter('a foreign-data wrapper'))),
  AlterForeignServerStmt: secret(alter('a foreign server')),
  AlterUserMappingStmt: roles(secret(alter('a user mapping'))),
  AlterExtensionStmt: code({ ...alter('an extension'), opaque: 'an extension runs a script that is not inspected' }),
  AlterExtensionContentsStmt: alter('an extension'),
  AlterEventTrigStmt: alter('an event trigger'),
  AlterTableSpaceOptionsStmt: alter('a tablespace'),
  AlterDatabaseStmt: alter('a database'),
  AlterDatabaseRefreshCollStmt: alter('a database'),
  AlterDatabaseSetStmt: secret(alter('settings of a database')),
  AlterTSDictionaryStmt: alter('a text search dictionary'),
  AlterTSConfigurationStmt: alter('a text search configuration'),
  AlterObjectDependsStmt: alter('dependencies'),
  AlterObjectSchemaStmt: alter('the schema of an object'),
  AlterOwnerStmt: roles(alter('an owner')),
  AlterDefaultPrivilegesStmt: roles(alter('default privileges')),
  RenameStmt: alter('a name'),
  ReassignOwnedStmt: roles(alter('owners')),
  SecLabelStmt: roles(alter('a security label')),
  DropStmt: drop('objects'),
  DropOwnedStmt: roles(drop('all that a role owns')),
  DropRoleStmt: roles(drop('roles')),
  DropTableSpaceStmt: drop('a tablespace'),
  DropdbStmt: drop('a database'),
  DropSubscriptionStmt: drop('a subscription'),
  DropUserMappingStmt: roles(drop('a user mapping')),
  CommentStmt: { kind: 'comment', reason: 'it changes a comment' },
  GrantStmt: { kind: 'grant', reason: 'it changes privileges', privileges: true },
  GrantRoleStmt: { kind: 'grant', reason: 'it changes memberships', privileges: true },
  VacuumStmt: upkeep('vacuums or analyzes tables'),
  ReindexStmt: upkeep('rebuilds indexes'),
  ClusterStmt: upkeep('rewrites tables'),
  RefreshMatViewStmt: upkeep('refreshes a materialized view'),
  CheckPointStmt: upkeep('forces a checkpoint'),
  LoadStmt: { kind: 'load', reason: 'it loads a library into the server', programs: true, files: true },
}

export function isDefinition(type: string): boolean {
  return Object.hasOwn(DEFINITIONS, type)
}

/** Where a statement names the relation that it is about. */
const SUBJECTS = ['relation', 'view', 'sequence', 'typevar', 'table'] as const

/** Walks a defining statement: its flags come from the table, its names and expressions from the tree. */
export function definition(walk: Walk, scope: Scope, type: string, fields: Fields): void {
  const { facts } = walk
  const known = DEFINITIONS[type]!
  const revokes = (type === 'GrantStmt' || type === 'GrantRoleStmt') && !flag(fields, 'is_grant')
  facts.does(revokes ? 'revoke' : known.kind)
  if (known.privileges === true) facts.changesPrivileges = true
  if (known.secrets === true) facts.secretLiterals = true
  if (known.programs === true) facts.serverPrograms = true
  if (known.files === true) facts.serverFiles = true
  if (known.opaque !== undefined) facts.hides(known.opaque)
  facts.literalSensitive = true
  const subjects = subjectsOf(fields)
  const temporary =
    known.kind === 'create' &&
    !known.programs &&
    subjects.length > 0 &&
    subjects.every((subject) => isTemporary(subject))
  if (!temporary) facts.needs('admin', known.reason)
  const inner = newScope(scope)
  for (const subject of subjects) {
    const name = relationName(subject)
    if (known.kind === 'create' && MAKES_RELATION.has(type)) createdRelation(walk, subject, known.reason)
    else writeRelation(facts, name, known.reason)
    const schema = text(subject, 'schemaname')
    inner.relations.push({
      ...baseShape(name),
      name: text(subject, 'relname') ?? '',
      schema,
      aside: type === 'RuleStmt',
    })
  }
  if (known.kind !== 'maintenance' && !MAKES_RELATION.has(type)) facts.effects.push({ kind: 'ddl', temporary })
  const { unbounded } = facts
  SPECIAL[type]?.(walk, inner, fields)
  children(walk, inner, type, fields)
  facts.unbounded = unbounded // what is defined does not run yet
}

/** A temporary one of these can be created with `write`. */
const MAKES_RELATION = new Set(['CreateStmt', 'ViewStmt', 'CreateSeqStmt'])

function subjectsOf(fields: Fields): Fields[] {
  const found = SUBJECTS.map((name) => struct(fields, name) ?? {})
  return found.filter((subject) => typeof subject['relname'] === 'string')
}

/** Everything below a definition flows into what is defined. */
function children(walk: Walk, scope: Scope, type: string, fields: Fields): void {
  for (const field in fields) {
    const value = fields[field]
    if ((SUBJECTS as readonly string[]).includes(field) && isObject(value) && typeof value['relname'] === 'string')
      continue
    if (HANDLED[type] === field) continue
    const single = EMBEDDED[type]?.[field]
    expression(walk, scope, single !== undefined && isObject(value) ? { [single]: value } : value, 'write')
  }
}

/** Fields that the special handling below has already read. */
const HANDLED: Readonly<Record<string, string>> = { ViewStmt: 'query', GrantStmt: 'objects', VacuumStmt: 'rels' }

const EMBEDDED: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  AlterDefaultPrivilegesStmt: { action: 'GrantStmt' },
  CreateForeignTableStmt: { base: 'CreateStmt' },
  CreateTrigStmt: { constrrel: 'RangeVar' },
}

type Special = (walk: Walk, scope: Scope, fields: Fields) => void

const SPECIAL: Readonly<Record<string, Special>> = {
  ViewStmt: (walk, scope, fields) => {
    const query = asType(fields['query'], 'SelectStmt')
    const outside = newScope(scope.parent)
    if (query === undefined) expression(walk, outside, fields['query'], 'write')
    else select(walk, outside, query, 'write')
  },
  RuleStmt: (_walk, scope, fields) => {
    const relation = struct(fields, 'relation') ?? {}
    for (const name of ['old', 'new'])
      scope.relations.push({
        ...baseShape(relationName(relation)),
        direct: false,
        name,
        schema: undefined,
        aside: true,
      })
  },
  CreateFunctionStmt: functionBody,
  DropStmt: dropped,
  CommentStmt: commented,
  SecLabelStmt: commented,
  RenameStmt: (walk, _scope, fields) => {
    const relation = struct(fields, 'relation')
    // A renamed column or table may slip out of a mask that knows it by its name.
    if (relation !== undefined) walk.facts.column(relationName(relation), text(fields, 'subname') ?? '*', 'write')
  },
  AlterObjectSchemaStmt: (walk, _scope, fields) => {
    const relation = struct(fields, 'relation')
    if (relation !== undefined) walk.facts.column(relationName(relation), '*', 'write')
  },
  AlterTableStmt: alterTable,
  AlterDefaultPrivilegesStmt: (walk) => void walk.facts.hides('future objects get these privileges'),
  GrantStmt: (walk, _scope, fields) => {
    if (text(fields, 'objtype') !== 'OBJECT_TABLE' && text(fields, 'objtype') !== 'OBJECT_SEQUENCE') return
    for (const item of list(fields, 'objects')) {
      const range = asType(item, 'RangeVar')
      if (range !== undefined) walk.facts.write(relationName(range))
    }
  },
  VacuumStmt: (walk, _scope, fields) => {
    for (const item of list(fields, 'rels')) {
      const range = struct(asType(item, 'VacuumRelation') ?? {}, 'relation')
      if (range !== undefined) walk.facts.write(relationName(range))
    }
  },
}

/** SQL-standard bodies are walked with the rest; a body in a string is not read. */
function functionBody({ facts }: Walk, _scope: Scope, fields: Fields): void {
  const options = list(fields, 'options').map((item) => asType(item, 'DefElem') ?? {})
  const named = (name: string) => options.find((option) => text(option, 'defname') === name)?.['arg']
  const name = strings(list(fields, 'funcname')).join('.')
  const language = text(asType(named('language'), 'String') ?? {}, 'sval')?.toLowerCase() ?? 'sql'
  if (language !== 'sql' && language !== 'plpgsql') facts.serverPrograms = true
  if (named('as') === undefined) return
  facts.dynamicSql = true
  facts.hides(`the body of function ${name} is not inspected`)
}

const DROPPED_RELATIONS = new Set([
  'OBJECT_TABLE',
  'OBJECT_VIEW',
  'OBJECT_MATVIEW',
  'OBJECT_SEQUENCE',
  'OBJECT_INDEX',
  'OBJECT_FOREIGN_TABLE',
])

function dropped({ facts }: Walk, _scope: Scope, fields: Fields): void {
  const type = text(fields, 'removeType') ?? ''
  for (const item of list(fields, 'objects')) {
    const names = strings(list(asType(item, 'List') ?? {}, 'items'))
    const bare = text(asType(item, 'String') ?? {}, 'sval')
    if (DROPPED_RELATIONS.has(type)) writeRelation(facts, names.slice(-2).join('.'), 'it drops objects')
    else if (type === 'OBJECT_SCHEMA' && bare !== undefined) facts.write(`${bare}.*`)
    // Triggers, rules and policies are named behind their table.
    else if (names.length > 1 && ['OBJECT_TRIGGER', 'OBJECT_RULE', 'OBJECT_POLICY'].includes(type))
      writeRelation(facts, names.slice(0, -1).slice(-2).join('.'), 'it drops objects')
  }
}

function commented({ facts }: Walk, _scope: Scope, fields: Fields): void {
  const type = text(fields, 'objtype') ?? ''
  const names = strings(list(asType(fields['object'], 'List') ?? {}, 'items'))
  if (DROPPED_RELATIONS.has(type)) facts.write(names.slice(-2).join('.'))
  if (type === 'OBJECT_COLUMN') facts.write(names.slice(0, -1).slice(-2).join('.'))
}

/** Commands that make one table's rows show up under another one, or hand over rights. */
function alterTable(walk: Walk, _scope: Scope, fields: Fields): void {
  const subject = relationName(struct(fields, 'relation') ?? {})
  for (const item of list(fields, 'cmds')) {
    const command = asType(item, 'AlterTableCmd') ?? {}
    const subtype = text(command, 'subtype') ?? ''
    if (subtype === 'AT_ChangeOwner' || subtype.includes('RowSecurity')) walk.facts.changesPrivileges = true
    if (subtype === 'AT_AddInherit') walk.facts.column(subject, '*', 'write')
    const attached = struct(asType(command['def'], 'PartitionCmd') ?? {}, 'name')
    if (attached === undefined) continue
    walk.facts.column(relationName(attached), '*', 'write')
    touchRelation(walk.facts, relationName(attached))
  }
}
