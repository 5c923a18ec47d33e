import { GatewayError } from '../../kernel/index.ts'
import type { TransactionStep } from '../analysis.ts'
import { FactsBuilder } from './builder.ts'
import { copyStatement } from './copy.ts'
import { definition, isDefinition } from './definitions.ts'
import { expression, expressions } from './expression.ts'
import { noteFunction } from './functions.ts'
import { createdRelation } from './into.ts'
import { dataChange, isDataChange } from './modify.ts'
import { select } from './query.ts'
import { touchRelation, writeRelation } from './relations.ts'
import type { Scope, Walk } from './scope.ts'
import { alterSystem, resetStatement, setStatement } from './set.ts'
import { asType, type Fields, flag, list, number, relationName, strings, struct, tagged, text } from './tree.ts'

type Handler = (walk: Walk, scope: Scope, fields: Fields) => void

export function isStatement(type: string): boolean {
  return Object.hasOwn(HANDLERS, type) || isDefinition(type) || isDataChange(type)
}

/** Walks one statement, also one that stands inside another. */
export function statement(walk: Walk, scope: Scope, type: string, fields: Fields): void {
  const handler = Object.hasOwn(HANDLERS, type) ? HANDLERS[type] : undefined
  if (handler !== undefined) return handler(walk, scope, fields)
  if (isDataChange(type)) return void dataChange(walk, scope, type, fields, 'output')
  if (isDefinition(type)) return definition(walk, scope, type, fields)
  throw new GatewayError('sql.unparsable', `The gateway does not know the statement ${type}, so it cannot judge it.`)
}

const HANDLERS: Readonly<Record<string, Handler>> = {
  SelectStmt: (walk, scope, fields) => {
    if (select(walk, scope, fields, 'output', { top: walk.depth === 0 }).unbounded) walk.facts.unbounded = true
  },
  CopyStmt: copyStatement,
  ExplainStmt: explain,
  PrepareStmt: ({ facts }) => void facts.does('prepare'),
  DeclareCursorStmt: ({ facts }) => void facts.does('declare'),
  ExecuteStmt: (walk, scope, fields) => {
    walk.facts.does('execute')
    walk.facts.effects.push({ kind: 'execute', name: text(fields, 'name') ?? '' })
    expressions(walk, scope, list(fields, 'params'), 'expression')
  },
  DeallocateStmt: ({ facts }, _scope, fields) => {
    facts.does('deallocate')
    facts.effects.push({ kind: 'deallocate', name: flag(fields, 'isall') ? undefined : text(fields, 'name') })
  },
  FetchStmt: ({ facts }, _scope, fields) => {
    facts.does('fetch')
    facts.effects.push({ kind: 'fetch', name: text(fields, 'portalname') ?? '', move: flag(fields, 'ismove') })
  },
  ClosePortalStmt: ({ facts }, _scope, fields) => {
    facts.does('close')
    facts.effects.push({ kind: 'close', name: text(fields, 'portalname') })
  },
  TransactionStmt: transaction,
  VariableSetStmt: setStatement,
  VariableShowStmt: ({ facts }) => void facts.does('show'),
  AlterSystemStmt: alterSystem,
  DiscardStmt: ({ facts }, _scope, fields) => {
    facts.does('discard')
    const what = DISCARDS[text(fields, 'target') ?? ''] ?? 'all'
    facts.effects.push({ kind: 'discard', what })
    if (what === 'all') resetStatement(facts, undefined)
  },
  CreateTableAsStmt: createTableAs,
  CallStmt: call,
  DoStmt: doBlock,
  LockStmt: lock,
  TruncateStmt: (walk, _scope, fields) => {
    walk.facts.does('truncate')
    walk.facts.unbounded = true
    for (const item of list(fields, 'relations'))
      writeRelation(walk.facts, relationName(asType(item, 'RangeVar') ?? {}), 'it empties tables')
  },
  NotifyStmt: ({ facts }) => {
    facts.does('notify')
    facts.needs('write', 'it notifies other sessions')
  },
  ListenStmt: ({ facts }, _scope, fields) => {
    facts.does('listen')
    facts.effects.push({ kind: 'listen', channel: text(fields, 'conditionname') ?? '' })
  },
  UnlistenStmt: ({ facts }, _scope, fields) => {
    facts.does('listen')
    facts.effects.push({ kind: 'unlisten', channel: text(fields, 'conditionname') })
  },
  ConstraintsSetStmt: ({ facts }) => {
    facts.does('set')
    facts.setting('constraints')
  },
}

const DISCARDS: Readonly<Record<string, 'all' | 'plans' | 'sequences' | 'temp'>> = {
  DISCARD_ALL: 'all',
  DISCARD_PLANS: 'plans',
  DISCARD_SEQUENCES: 'sequences',
  DISCARD_TEMP: 'temp',
}

/** Options that take a boolean: without a value they mean true. */
function optionIsOn(option: Fields): boolean {
  if (option['arg'] === undefined) return true
  const node = tagged(option['arg'])
  if (node?.type === 'Integer') return number(node.fields, 'ival') !== 0
  if (node?.type === 'Boolean') return flag(node.fields, 'boolval')
  const word = text(node?.fields ?? {}, 'sval')?.toLowerCase()
  return word !== 'false' && word !== 'off'
}

/**
 * EXPLAIN ANALYZE runs the statement; plain EXPLAIN only plans it. Neither hands out a row, but a plan and its row
 * counts tell something of what its conditions match.
 */
function explain(walk: Walk, scope: Scope, fields: Fields): void {
  const { facts } = walk
  facts.does('explain')
  facts.literalSensitive = true
  const options = list(fields, 'options').map((item) => asType(item, 'DefElem') ?? {})
  const runs = options.some((option) => text(option, 'defname')?.toLowerCase() === 'analyze' && optionIsOn(option))
  for (const option of options) expression(walk, scope, option['arg'], 'predicate')
  const inner = new FactsBuilder()
  const query = explained(inner, fields['query'])
  if (query === undefined) return
  const within: Walk = { ...walk, facts: inner, sink: undefined }
  if (query.type === 'SelectStmt') {
    const { unbounded } = select(within, scope, query.fields, 'predicate')
    inner.unbounded ||= unbounded
  } else if (isDataChange(query.type)) dataChange(within, scope, query.type, query.fields, 'predicate')
  else statement(within, scope, query.type, query.fields)
  if (runs) {
    facts.absorb(inner)
    facts.effects.push(...inner.effects)
  } else facts.plans(inner)
}

/** EXPLAIN of DECLARE plans, and with ANALYZE runs, the cursor's query; it makes no cursor. */
function explained(facts: FactsBuilder, value: unknown): ReturnType<typeof tagged> {
  const query = tagged(value)
  if (query?.type !== 'DeclareCursorStmt') return query
  facts.does('declare')
  return tagged(query.fields['query'])
}

function transaction({ facts }: Walk, _scope: Scope, fields: Fields): void {
  facts.does('transaction')
  const kind = text(fields, 'kind') ?? ''
  const what = STEPS[kind]
  if (what === undefined) throw new GatewayError('sql.unparsable', 'The transaction statement is not known.')
  const readOnly = readOnlyOption(list(fields, 'options'))
  const name = text(fields, 'savepoint_name') ?? text(fields, 'gid')
  facts.effects.push({
    kind: 'transaction',
    what,
    ...(readOnly === undefined ? {} : { readOnly }),
    ...(name === undefined ? {} : { name }),
    ...(flag(fields, 'chain') ? { chain: true } : {}),
  })
  if (readOnly === false) facts.needs('write', 'it opens a transaction for writing')
  if (what.includes('prepare')) facts.needs('write', 'it leaves or ends a prepared transaction')
}

const STEPS: Readonly<Record<string, TransactionStep>> = {
  TRANS_STMT_BEGIN: 'begin',
  TRANS_STMT_START: 'begin',
  TRANS_STMT_COMMIT: 'commit',
  TRANS_STMT_ROLLBACK: 'rollback',
  TRANS_STMT_SAVEPOINT: 'savepoint',
  TRANS_STMT_RELEASE: 'release',
  TRANS_STMT_ROLLBACK_TO: 'rollback_to',
  TRANS_STMT_PREPARE: 'prepare',
  TRANS_STMT_COMMIT_PREPARED: 'commit_prepared',
  TRANS_STMT_ROLLBACK_PREPARED: 'rollback_prepared',
}

/** READ ONLY or READ WRITE among the options of BEGIN and SET TRANSACTION; any READ WRITE counts. */
export function readOnlyOption(options: readonly unknown[]): boolean | undefined {
  const values = options
    .map((item) => asType(item, 'DefElem') ?? {})
    .filter((option) => text(option, 'defname') === 'transaction_read_only')
    .map((option) => number(struct(asType(option['arg'], 'A_Const') ?? {}, 'ival') ?? {}, 'ival') !== 0)
  return values.length === 0 ? undefined : values.every(Boolean)
}

/** CREATE TABLE AS and CREATE MATERIALIZED VIEW. */
function createTableAs(walk: Walk, scope: Scope, fields: Fields): void {
  const { facts } = walk
  facts.does('create')
  const into = struct(fields, 'into') ?? {}
  const view = text(fields, 'objtype') === 'OBJECT_MATVIEW'
  createdRelation(walk, struct(into, 'rel') ?? {}, view ? 'a materialized view is created' : 'a table is created')
  expressions(walk, scope, list(into, 'options'), 'expression')
  const query = tagged(fields['query'])
  if (query === undefined) return
  if (query.type === 'SelectStmt') {
    if (select(walk, scope, query.fields, 'write').unbounded) facts.unbounded = true
    return
  }
  statement(walk, scope, query.type, query.fields)
  if (query.type === 'ExecuteStmt') facts.hides('the rows of a prepared statement flow into a table')
}

function call(walk: Walk, scope: Scope, fields: Fields): void {
  const { facts } = walk
  facts.does('call')
  const inner = struct(fields, 'funccall') ?? {}
  const name = strings(list(inner, 'funcname'))
  facts.needs('write', `procedure ${name.join('.')} may change something`)
  facts.effects.push({ kind: 'ddl', temporary: false })
  noteFunction(walk, name, list(inner, 'args'), false)
  expressions(walk, scope, list(inner, 'args'), 'expression')
}

function doBlock({ facts }: Walk, _scope: Scope, fields: Fields): void {
  facts.does('do')
  facts.dynamicSql = true
  facts.hides('the body of a DO block is not inspected')
  facts.needs('admin', 'it runs a block of code')
  facts.effects.push({ kind: 'ddl', temporary: false })
  const options = list(fields, 'args').map((item) => asType(item, 'DefElem') ?? {})
  const language = options.find((option) => text(option, 'defname') === 'language')
  if (language !== undefined && text(asType(language['arg'], 'String') ?? {}, 'sval') !== 'plpgsql')
    facts.serverPrograms = true
}

const ACCESS_SHARE = 1

function lock({ facts }: Walk, _scope: Scope, fields: Fields): void {
  facts.does('lock')
  if (number(fields, 'mode') !== ACCESS_SHARE) facts.needs('write', 'it locks tables')
  for (const item of list(fields, 'relations')) {
    const name = relationName(asType(item, 'RangeVar') ?? {})
    facts.read(name)
    touchRelation(facts, name)
  }
}
