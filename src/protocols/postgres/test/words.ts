import { BackendFramer, FrontendDecoder, parseDataRow, parseDiagnostic, parseRowDescription } from '../decode.ts'
import * as encode from '../encode.ts'
import { BACKEND, type FieldDescription, type FrontendMessage, type TransactionStatus } from '../messages.ts'
import { OID } from '../types.ts'
import { COLUMNS, PAYMENTS } from './shop.ts'

const LIMITS = { maxMessageBytes: 64 * 1024 }
const NOTHING = '-'

/** `word "quoted text" word`: quoted as in JSON. */
function words(line: string): string[] {
  return [...line.matchAll(/"(?:[^"\\]|\\.)*"|\S+/g)].map(([word]) => (word.startsWith('"') ? JSON.parse(word) : word))
}

function name(word: string | undefined): string {
  return word === undefined || word === NOTHING ? '' : word
}

function value(word: string): string | null {
  return word === 'null' ? null : word
}

function frame(tag: number, body: Buffer = Buffer.alloc(0)): Buffer {
  const bytes = Buffer.alloc(5 + body.length)
  bytes[0] = tag
  bytes.writeUInt32BE(body.length + 4, 1)
  body.copy(bytes, 5)
  return bytes
}

const FROM_CLIENT: Readonly<Record<string, (words: readonly string[]) => Buffer>> = {
  query: ([sql = '']) => encode.query(sql),
  parse: ([statement, sql = '']) => encode.parse(name(statement), sql),
  bind: ([portal, statement, ...values]) => encode.bind(name(portal), name(statement), values.map(value)),
  describe: ([target, which]) => encode.describe(target === 'portal' ? 'portal' : 'statement', name(which)),
  execute: ([portal, rows = '0']) => encode.execute(name(portal), Number(rows)),
  close: ([target, which]) => encode.close(target === 'portal' ? 'portal' : 'statement', name(which)),
  sync: () => encode.sync(),
  flush: () => encode.flush(),
  terminate: () => encode.terminate(),
  copyData: ([data = '']) => encode.copyData(Buffer.from(data)),
  copyDone: () => encode.copyDone(),
  copyFail: ([reason = '']) => encode.copyFail(reason),
  functionCall: () => frame(0x46, Buffer.alloc(10)),
  password: ([text = '']) => encode.password(text),
  hex: (bytes) => Buffer.from(bytes.join(''), 'hex'),
}

const FROM_TARGET: Readonly<Record<string, (words: readonly string[]) => Buffer>> = {
  parsed: () => encode.parseComplete(),
  bound: () => encode.bindComplete(),
  closed: () => encode.closeComplete(),
  noData: () => encode.noData(),
  columns: (columns) => encode.rowDescription(columns.map(fieldOf)),
  types: (oids) => frame(BACKEND.parameterDescription, numbers(oids.map(Number))),
  row: (cells) => encode.dataRow(cells.map(value)),
  complete: ([tag = '']) => encode.commandComplete(tag),
  empty: () => encode.emptyQueryResponse(),
  suspended: () => frame(BACKEND.portalSuspended),
  ready: ([status = 'I']) => encode.readyForQuery(status as TransactionStatus),
  error: (parts) => encode.errorResponse(diagnosticOf(parts, 'ERROR')),
  fatal: (parts) => encode.errorResponse(diagnosticOf(parts, 'FATAL')),
  notice: (parts) => encode.notice(diagnosticOf(parts, 'NOTICE')),
  parameter: ([setting = '', to = '']) => encode.parameterStatus(setting, to),
  notify: ([channel = '', payload = '']) => encode.notificationResponse(7, channel, payload),
  copyIn: () => frame(BACKEND.copyInResponse, Buffer.from([0, 0, 1, 0, 0])),
  copyOut: ([columns = '1']) => frame(BACKEND.copyOutResponse, copyColumns(Number(columns))),
  copyData: ([data = '']) => encode.copyData(Buffer.from(data)),
  copyDone: () => encode.copyDone(),
  hex: (bytes) => Buffer.from(bytes.join(''), 'hex'),
}

function copyColumns(count: number): Buffer {
  return Buffer.concat([Buffer.from([0, 0, count]), Buffer.alloc(count * 2)])
}

function numbers(oids: readonly number[]): Buffer {
  const bytes = Buffer.alloc(2 + oids.length * 4)
  bytes.writeUInt16BE(oids.length)
  for (const [index, oid] of oids.entries()) bytes.writeUInt32BE(oid, 2 + index * 4)
  return bytes
}

/** `c=card_number`: a result column and the column of payments that it copies; without one it is computed. */
function fieldOf(word: string): FieldDescription {
  const [label = '', origin] = word.split('=')
  const attribute = origin === undefined ? 0 : COLUMNS.indexOf(origin) + 1
  return {
    name: label,
    tableOid: attribute === 0 ? 0 : PAYMENTS,
    attribute,
    typeOid: OID.text,
    typeSize: -1,
    typeModifier: -1,
    format: 0,
  }
}

/** `42P01 "message" detail="…"` */
function diagnosticOf([code = '', message = '', ...more]: readonly string[], severity: string): Map<string, string> {
  const letters = new Map([
    ['S', severity],
    ['V', severity],
    ['C', code],
    ['M', message],
  ])
  if (more[0] !== undefined) letters.set('D', more[0])
  return letters
}

/** The bytes that a line of a transcript stands for. */
export function bytesOf(side: 'client' | 'target', line: string): Buffer {
  const [word = '', ...rest] = words(line)
  const make = (side === 'client' ? FROM_CLIENT : FROM_TARGET)[word]
  if (make === undefined) throw new Error(`a transcript cannot say ${JSON.stringify(line)}`)
  return make(rest)
}

const shown = (text: string) => JSON.stringify(text)
const named = (text: string) => (text === '' ? NOTHING : text)

/** What reached the target, a message a line. */
export function linesToTarget(bytes: Buffer): string[] {
  const decoder = new FrontendDecoder(LIMITS)
  decoder.push(bytes)
  return [...decoder.messages()].map(fromClient)
}

function fromClient(message: FrontendMessage): string {
  switch (message.kind) {
    case 'query':
      return `query ${shown(message.sql.toString())}`
    case 'parse':
      return `parse ${named(message.name)} ${shown(message.sql.toString())}`
    case 'bind': {
      const values = message.parameters.map((each) => ` ${each === undefined ? 'null' : shown(each.toString())}`)
      return `bind ${named(message.portal)} ${named(message.statement)}${values.join('')}`
    }
    case 'describe':
    case 'close':
      return `${message.kind} ${message.target} ${named(message.name)}`
    case 'execute':
      return `execute ${named(message.portal)}${message.maxRows === 0 ? '' : ` ${message.maxRows}`}`
    case 'copyData':
      return `copyData ${shown(message.data.toString())}`
    case 'copyFail':
      return `copyFail ${shown(message.message.toString())}`
    default:
      return message.kind
  }
}

const PLAIN: Readonly<Record<number, string>> = {
  [BACKEND.parseComplete]: 'parsed',
  [BACKEND.bindComplete]: 'bound',
  [BACKEND.closeComplete]: 'closed',
  [BACKEND.noData]: 'noData',
  [BACKEND.portalSuspended]: 'suspended',
  [BACKEND.emptyQueryResponse]: 'empty',
  [BACKEND.copyInResponse]: 'copyIn',
  [BACKEND.copyOutResponse]: 'copyOut',
  [BACKEND.copyDone]: 'copyDone',
  [BACKEND.parameterDescription]: 'types',
}

/** What the client got, a message a line. */
export function linesToClient(bytes: Buffer): string[] {
  const lines: string[] = []
  const framer = new BackendFramer(LIMITS)
  framer.push(bytes, (tag, buffer, start, end) => lines.push(fromTarget(tag, buffer.subarray(start, end))))
  return lines
}

function fromTarget(tag: number, bytes: Buffer): string {
  const strings = bytes.subarray(5).toString('utf8').split('\0')
  switch (tag) {
    case BACKEND.rowDescription:
      return `columns ${parseRowDescription(bytes, 0, bytes.length)
        .map((field) => field.name)
        .join(' ')}`
    case BACKEND.dataRow:
      return `row ${parseDataRow(bytes, 0, bytes.length)
        .map((cell) => (cell === undefined ? 'null' : shown(cell.toString())))
        .join(' ')}`
    case BACKEND.commandComplete:
      return `complete ${shown(strings[0] ?? '')}`
    case BACKEND.readyForQuery:
      return `ready ${String.fromCharCode(bytes[5] ?? 0)}`
    case BACKEND.parameterStatus:
      return `parameter ${strings[0]} ${shown(strings[1] ?? '')}`
    case BACKEND.copyData:
      return `copyData ${shown(bytes.subarray(5).toString())}`
    case BACKEND.notificationResponse: {
      const [channel = '', payload = ''] = bytes.subarray(9).toString('utf8').split('\0')
      return `notify ${channel} ${shown(payload)}`
    }
    case BACKEND.errorResponse:
    case BACKEND.noticeResponse:
      return diagnostic(parseDiagnostic(bytes, 0, bytes.length))
    default:
      return PLAIN[tag] ?? `unknown ${String.fromCharCode(tag)}`
  }
}

function diagnostic(letters: ReadonlyMap<string, string>): string {
  const detail = letters.get('D')
  const severity = (letters.get('S') ?? '').toLowerCase()
  const told = detail === undefined ? '' : ` ${shown(detail)}`
  return `${severity} ${letters.get('C')} ${shown(letters.get('M') ?? '')}${told}`
}
