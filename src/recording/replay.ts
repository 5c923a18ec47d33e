import { principalLabel, type SessionInfo } from '../kernel/index.ts'
import { type Row, rowsOf } from './cells.ts'
import type { OperationEvent, RecordedColumn, RecordingEvent, ResultEvent, ReviewEvent } from './events.ts'
import { tableLines } from './table.ts'
import { cut, safeLines, safeText } from './text.ts'

export interface ReplayOptions {
  /** Rows shown of each result. */
  readonly rows?: number
}

const DEFAULT_ROWS = 20
const INDENT = ' '.repeat(15)
const MAX_STATEMENT_LINES = 200
const MAX_LINE_CHARACTERS = 2000
/** Results whose rows are held for their table at one time. */
const MAX_OPEN_RESULTS = 64

interface OpenResult {
  columns: readonly RecordedColumn[]
  readonly rows: Row[]
  released: number
  omitted: number
  copied: number
}

/** A recording as lines of plain text, safe for a terminal. Holds the rows to show of unfinished results, no more. */
export async function* renderReplay(
  events: AsyncIterable<RecordingEvent> | Iterable<RecordingEvent>,
  options: ReplayOptions = {},
): AsyncGenerator<string, void, void> {
  const replay = new Replay(options.rows ?? DEFAULT_ROWS)
  for await (const event of events) {
    yield* replay.lines(event)
    yield* replay.overdue()
  }
  yield* replay.rest()
}

function timeOf(at: number): string {
  return new Date(at).toISOString().slice(11, 23)
}

class Replay {
  readonly #mostRows: number
  readonly #open = new Map<number, OpenResult>()

  constructor(mostRows: number) {
    this.#mostRows = mostRows
  }

  *lines(event: RecordingEvent): Generator<string, void, void> {
    const say = (words: string) => `${timeOf(event.at)}  ${words}`
    switch (event.type) {
      case 'session_started':
        yield* sessionLines(event.session)
        return
      case 'operation':
        yield* operationLines(event)
        return
      case 'review':
        yield say(reviewWords(event))
        return
      case 'inquiry':
        yield say(
          `#${event.operation} the gateway asks the target (${safeText(event.purpose)}): ${oneLine(event.text)}`,
        )
        return
      case 'columns':
        yield* this.#columns(event.operation, event.columns)
        return
      case 'rows': {
        const result = this.#result(event.operation)
        result.released += event.count
        for (const row of rowsOf(event.cells, event.rowHeaderBytes)) {
          if (result.rows.length >= this.#mostRows) break
          result.rows.push(row.map((cell) => cell && Buffer.from(cell)))
        }
        return
      }
      case 'rows_omitted': {
        const result = this.#result(event.operation)
        result.released += event.count
        result.omitted += event.count
        return
      }
      case 'copy_data':
        this.#result(event.operation).copied += event.data.length
        return
      case 'copy_omitted':
        this.#result(event.operation).copied += event.bytes
        return
      case 'result':
        yield* this.#table(event.operation)
        yield say(resultWords(event))
        return
      case 'notice':
        yield say(
          `${about(event.operation)}${safeText(event.severity)} ${safeText(event.code)}: ${oneLine(event.message)}`,
        )
        return
      case 'setting_changed':
        yield say(`setting ${safeText(event.name)} is now ${oneLine(event.value)}`)
        return
      case 'refused':
        yield say(`${about(event.operation)}refused (${safeText(event.code)}): ${oneLine(event.message)}`)
        return
      case 'cancel':
        yield say(`${about(event.operation)}cancelled by ${safeText(event.by)}`)
        return
      case 'interrupted':
        yield say(interruptedWords(event.tornBytes))
        return
      case 'session_ended': {
        const { operations, denied, rowsReturned, bytesReturned } = event.totals
        const totals = `${operations} operations, ${denied} denied, ${rowsReturned} rows, ${bytesReturned} bytes`
        yield say(`session ended (${oneLine(event.reason)}): ${totals}`)
        return
      }
    }
  }

  /** Too many unfinished results: the oldest is shown as it is. */
  *overdue(): Generator<string, void, void> {
    const oldest = this.#open.keys().next().value
    if (this.#open.size > MAX_OPEN_RESULTS && oldest !== undefined) yield* this.#table(oldest)
  }

  /** Results that never finished. */
  *rest(): Generator<string, void, void> {
    for (const operation of [...this.#open.keys()]) yield* this.#table(operation)
  }

  #result(operation: number): OpenResult {
    const known = this.#open.get(operation)
    if (known !== undefined) return known
    const result: OpenResult = { columns: [], rows: [], released: 0, omitted: 0, copied: 0 }
    this.#open.set(operation, result)
    return result
  }

  *#columns(operation: number, columns: readonly RecordedColumn[]): Generator<string, void, void> {
    if (this.#open.has(operation)) yield* this.#table(operation)
    this.#result(operation).columns = columns
  }

  *#table(operation: number): Generator<string, void, void> {
    const result = this.#open.get(operation)
    if (result === undefined) return
    this.#open.delete(operation)
    if (result.columns.length > 0 || result.rows.length > 0) {
      for (const line of tableLines(result.columns, result.rows)) yield INDENT + line
    }
    const more = result.released - result.rows.length
    if (more > 0) {
      const kept = result.omitted > 0 ? `, ${result.omitted} of them counted and hashed but not kept` : ''
      yield `${INDENT} … and ${more} more rows${kept}`
    }
    if (result.copied > 0) yield `${INDENT} ${result.copied} bytes of COPY data`
  }
}

function about(operation: number | undefined): string {
  return operation === undefined ? '' : `#${operation} `
}

function oneLine(text: string): string {
  return cut(safeText(text), MAX_LINE_CHARACTERS)
}

function* sessionLines(session: SessionInfo): Generator<string, void, void> {
  const { identity } = session.principal
  const started = new Date(session.startedAt).toISOString()
  yield `Session ${safeText(session.id)}, started ${started}`
  yield `  who     ${oneLine(principalLabel(session.principal))} <${oneLine(identity.email)}>, from ${oneLine(session.client.address)}`
  yield `  target  ${oneLine(session.target.name)} (${oneLine(session.target.type)}), access level ${session.level}`
  yield ''
}

function* operationLines(event: OperationEvent): Generator<string, void, void> {
  const [first = '', ...rest] = safeLines(event.text)
  yield `${timeOf(event.at)}  #${event.operation} ${cut(first, MAX_LINE_CHARACTERS)}`
  for (const line of rest.slice(0, MAX_STATEMENT_LINES)) yield `${INDENT}  ${cut(line, MAX_LINE_CHARACTERS)}`
  if (rest.length > MAX_STATEMENT_LINES) yield `${INDENT}  … and ${rest.length - MAX_STATEMENT_LINES} more lines`
  for (const [index, { type, value }] of event.parameters.entries()) {
    yield `${INDENT}$${index + 1} ${safeText(type)} = ${value === null ? 'NULL' : oneLine(value)}`
  }
  const { kind, rule, reason, masks, observed } = event.decision
  const words = { allow: 'allowed', mask: 'allowed with masks', hold: 'held for review', deny: 'DENIED' }[kind]
  yield `${INDENT}${words} by ${oneLine(rule)}${reason === '' ? '' : `: ${oneLine(reason)}`}`
  if (masks.length > 0) yield `${INDENT}masks: ${masks.map(safeText).join(', ')}`
  for (const one of observed) yield `${INDENT}observed: ${safeText(one.rule)} would have said ${one.wouldHave}`
}

function reviewWords(event: ReviewEvent): string {
  const by = event.by.length === 0 ? '' : ` by ${event.by.map(safeText).join(', ')}`
  const reason = event.reason === '' ? '' : `: ${oneLine(event.reason)}`
  return `#${event.operation} review ${safeText(event.review)} ${event.state}${by}${reason}`
}

function resultWords(event: ResultEvent): string {
  const milliseconds = (event.durationMicros / 1000).toFixed(1)
  const tag = event.tag === '' ? '' : ` ${safeText(event.tag)}`
  const error = event.error === undefined ? '' : ` ${safeText(event.error.code)} ${oneLine(event.error.message)}`
  const masked = Object.entries(event.maskedValues).map(([rule, count]) => `${count} by ${safeText(rule)}`)
  const masks = masked.length === 0 ? '' : `; values masked: ${masked.join(', ')}`
  return `#${event.operation} ${event.status}${tag}${error} (${event.rows} rows, ${milliseconds} ms${masks})`
}

function interruptedWords(tornBytes: number): string {
  const torn = tornBytes === 0 ? '' : ` A write of ${tornBytes} bytes was cut off; nothing in it was released.`
  return `the gateway stopped here; the recording was closed when it started again.${torn}`
}
