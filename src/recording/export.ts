import type { OperationKind, SessionInfo } from '../kernel/index.ts'
import { rowsOf } from './cells.ts'
import type { OperationEvent, RecordedColumn, RecordingEvent, ResultEvent, ReviewEvent } from './events.ts'

type Events = AsyncIterable<RecordingEvent> | Iterable<RecordingEvent>

/** Operations held at one time; a client that keeps more unfinished gets the oldest exported as they stand. */
const MAX_OPEN = 1000
const utf8 = new TextDecoder('utf-8', { fatal: true })

function keepFew<Value>(map: Map<number, Value>): void {
  const oldest = map.keys().next().value
  if (map.size > MAX_OPEN && oldest !== undefined) map.delete(oldest)
}

function textOrHex(bytes: Buffer, format: 'text' | 'binary'): string {
  if (format === 'text') {
    try {
      return utf8.decode(bytes)
    } catch {
      // not text in any encoding that we know
    }
  }
  return `\\x${bytes.toString('hex')}`
}

/** One JSON object a line, one line an event. Cells are strings: text as it is, binary as `\x…`, NULL as null. */
export async function* exportJsonLines(events: Events): AsyncGenerator<string, void, void> {
  const columns = new Map<number, readonly RecordedColumn[]>()
  for await (const event of events) {
    if (event.type === 'columns') {
      columns.set(event.operation, event.columns)
      keepFew(columns)
    }
    if (event.type === 'result' && event.status !== 'suspended') columns.delete(event.operation)
    if (event.type === 'rows') {
      const { type, at, operation, count } = event
      const formats = columns.get(operation)
      const rows = [...rowsOf(event.cells, event.rowHeaderBytes)].map((row) =>
        row.map((cell, index) => (cell === undefined ? null : textOrHex(cell, formats?.[index]?.format ?? 'text'))),
      )
      yield JSON.stringify({ type, at, operation, count, rows })
    } else if (event.type === 'copy_data') {
      yield JSON.stringify({ ...event, data: textOrHex(event.data, 'text') })
    } else yield JSON.stringify(event)
  }
}

/** OCSF 6005 Datastore Activity. @see https://schema.ocsf.io/1.5.0/classes/datastore_activity */
const CLASS_UID = 6005
const OCSF_VERSION = '1.5.0'
const ACTIVITY = { read: 1, update: 2, query: 4, write: 5, create: 6, delete: 7, other: 99 } as const
const ACTIVITIES: Partial<Record<OperationKind, keyof typeof ACTIVITY>> = {
  select: 'query',
  fetch: 'read',
  show: 'read',
  copy_out: 'read',
  explain: 'query',
  insert: 'write',
  copy_in: 'write',
  update: 'update',
  merge: 'update',
  alter: 'update',
  grant: 'update',
  revoke: 'update',
  comment: 'update',
  create: 'create',
  delete: 'delete',
  drop: 'delete',
  truncate: 'delete',
}

interface OpenOperation {
  readonly operation: OperationEvent
  result: ResultEvent | undefined
  review: ReviewEvent | undefined
}

/** One JSON object a line, one line an operation. */
export async function* exportOcsf(events: Events): AsyncGenerator<string, void, void> {
  const open = new Map<number, OpenOperation>()
  let session: SessionInfo | undefined
  for await (const event of events) {
    if (event.type === 'session_started') session = event.session
    if (event.type === 'operation')
      open.set(event.operation, { operation: event, result: undefined, review: undefined })
    if (event.type !== 'operation' && event.type !== 'review' && event.type !== 'result') continue
    const known = open.get(event.operation)
    if (known === undefined) continue
    if (event.type === 'review') known.review = event
    if (event.type === 'result') known.result = event
    const ended = event.type === 'result' && event.status !== 'suspended'
    const finished = ended || (event.type === 'operation' && event.decision.kind === 'deny')
    const oldest = open.keys().next().value
    const over = open.size > MAX_OPEN ? oldest : undefined
    for (const done of finished ? [event.operation] : over === undefined ? [] : [over]) {
      yield JSON.stringify(ocsf(open.get(done)!, session))
      open.delete(done)
    }
  }
  for (const rest of open.values()) yield JSON.stringify(ocsf(rest, session))
}

function ocsf({ operation, result, review }: OpenOperation, session: SessionInfo | undefined) {
  const activity = ACTIVITIES[operation.facts.kind] ?? 'other'
  const held = operation.decision.kind === 'hold'
  const approved = review?.state === 'approved' || review?.state === 'spent'
  const refused = operation.decision.kind === 'deny' || (held && !approved)
  const succeeded = !refused && (result?.status === 'completed' || result?.status === 'suspended')
  return {
    class_uid: CLASS_UID,
    class_name: 'Datastore Activity',
    category_uid: 6,
    category_name: 'Application Activity',
    activity_id: ACTIVITY[activity],
    activity_name: operation.facts.kind,
    type_uid: CLASS_UID * 100 + ACTIVITY[activity],
    type_id: 1,
    time: operation.at,
    severity_id: refused ? 3 : 1,
    status_id: succeeded ? 1 : refused || result !== undefined ? 2 : 0,
    ...(result?.error === undefined ? {} : { status_code: result.error.code, status_detail: result.error.message }),
    ...(result === undefined ? {} : { duration: Math.round(result.durationMicros / 1000) }),
    action_id: refused ? 2 : 1,
    disposition_id: refused ? 2 : 1,
    policy: { name: operation.decision.rule, desc: operation.decision.reason },
    query_info: { query_string: operation.text, uid: String(operation.operation), ...bytesOf(result) },
    metadata: {
      version: OCSF_VERSION,
      product: { name: 'Sallyport', vendor_name: 'Sallyport' },
      profiles: ['security_control'],
      uid: `${session?.id ?? ''}/${operation.operation}`,
      correlation_uid: session?.id ?? '',
    },
    ...whoAndWhere(session),
    unmapped: {
      decision: operation.decision,
      facts: operation.facts,
      ...(review === undefined ? {} : { review: { id: review.review, state: review.state, by: review.by } }),
      ...(result === undefined ? {} : { rows: result.rows, masked_values: result.maskedValues }),
    },
  }
}

function bytesOf(result: ResultEvent | undefined) {
  return result === undefined ? {} : { bytes: result.bytes }
}

function whoAndWhere(session: SessionInfo | undefined) {
  if (session === undefined) return { actor: {}, src_endpoint: {}, database: { name: '', type_id: 0 } }
  const { identity, actor } = session.principal
  const groups = identity.groups.map((name) => ({ name }))
  return {
    actor: {
      user: {
        name: identity.subject,
        uid: identity.subject,
        domain: identity.issuer,
        email_addr: identity.email,
        groups,
      },
      session: { uid: session.id, created_time: session.startedAt, issuer: identity.issuer },
      ...(actor.kind === 'human' ? {} : { app_name: actor.name }),
    },
    src_endpoint: { ip: session.client.address, name: session.client.application },
    database: { name: session.target.name, type: session.target.type, type_id: 99 },
  }
}
