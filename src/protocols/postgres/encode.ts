import { GatewayError } from '../../kernel/index.ts'
import { Writer } from '../../wire/writer.ts'
import {
  AUTHENTICATION,
  BACKEND,
  CANCEL_REQUEST,
  type FieldDescription,
  type Format,
  FRONTEND,
  HEADER_BYTES,
  PROTOCOL_3_0,
  SSL_REQUEST,
  type TransactionStatus,
} from './messages.ts'

export type Severity = 'ERROR' | 'FATAL'

/** The gateway's own diagnostic in words; a map of field letters is written as it is. */
export type Diagnostic =
  | ReadonlyMap<string, string>
  | {
      readonly message: string
      readonly severity?: string
      readonly sqlstate?: string
      readonly detail?: string
      readonly hint?: string
    }

function tagged(tag: number, expectedBytes?: number): Writer {
  return new Writer(expectedBytes).u8(tag).i32(0)
}

function sealed(writer: Writer): Buffer {
  return writer.i32At(1, writer.length - 1).finish()
}

function untagged(writer: Writer): Buffer {
  return writer.i32At(0, writer.length).finish()
}

// --- what a server sends ---

/**
 * An ErrorResponse. Of a GatewayError the client sees the message, the rule, the code and the next step; its `detail`
 * is for the operator and never leaves.
 */
export function errorResponse(error: GatewayError | Diagnostic, severity: Severity = 'ERROR'): Buffer {
  if (!(error instanceof GatewayError)) return diagnostic(BACKEND.errorResponse, error, severity, 'XX000')
  const words = {
    message: error.message,
    sqlstate: error.row.sqlstate,
    detail: error.rule === undefined ? `code ${error.code}` : `rule ${error.rule} (code ${error.code})`,
    hint: error.next ?? error.row.help,
  }
  return diagnostic(BACKEND.errorResponse, words, severity, words.sqlstate)
}

/** A NotificationResponse. */
export function notificationResponse(pid: number, channel: string, payload: string): Buffer {
  return sealed(tagged(BACKEND.notificationResponse).i32(pid).cstring(channel).cstring(payload))
}

/** A NoticeResponse. */
export function notice(fields: Diagnostic): Buffer {
  return diagnostic(BACKEND.noticeResponse, fields, 'NOTICE', '00000')
}

function diagnostic(tag: number, fields: Diagnostic, severity: string, sqlstate: string): Buffer {
  const writer = tagged(tag, 256)
  for (const [letter, text] of fields instanceof Map ? fields : lettersOf(fields as Words, severity, sqlstate)) {
    writer.u8(letter.charCodeAt(0)).cstring(text.replaceAll('\0', ''))
  }
  return sealed(writer.u8(0))
}

type Words = Exclude<Diagnostic, ReadonlyMap<string, string>>

function lettersOf(words: Words, severity: string, sqlstate: string): Map<string, string> {
  const level = words.severity ?? severity
  const letters = new Map([
    ['S', level],
    ['V', level],
    ['C', words.sqlstate ?? sqlstate],
    ['M', words.message],
  ])
  if (words.detail !== undefined) letters.set('D', words.detail)
  if (words.hint !== undefined) letters.set('H', words.hint)
  return letters
}

export function readyForQuery(status: TransactionStatus): Buffer {
  return sealed(tagged(BACKEND.readyForQuery, 6).u8(status.charCodeAt(0)))
}

export function parameterStatus(name: string, value: string): Buffer {
  return sealed(tagged(BACKEND.parameterStatus).cstring(name).cstring(value))
}

export function backendKeyData(pid: number, secret: Buffer): Buffer {
  return sealed(tagged(BACKEND.backendKeyData).i32(pid).bytes(secret))
}

export function authenticationOk(): Buffer {
  return sealed(tagged(BACKEND.authentication, 9).i32(AUTHENTICATION.ok))
}

export function authenticationSasl(mechanisms: readonly string[]): Buffer {
  const writer = tagged(BACKEND.authentication).i32(AUTHENTICATION.sasl)
  for (const mechanism of mechanisms) writer.cstring(mechanism)
  return sealed(writer.u8(0))
}

export function authenticationSaslContinue(data: Buffer): Buffer {
  return sealed(tagged(BACKEND.authentication).i32(AUTHENTICATION.saslContinue).bytes(data))
}

export function authenticationSaslFinal(data: Buffer): Buffer {
  return sealed(tagged(BACKEND.authentication).i32(AUTHENTICATION.saslFinal).bytes(data))
}

/** @param version - The whole version number that the server will speak, e.g. 0x00030002. */
export function negotiateProtocolVersion(version: number, unknownOptions: readonly string[]): Buffer {
  const writer = tagged(BACKEND.negotiateProtocolVersion).i32(version).i32(unknownOptions.length)
  for (const option of unknownOptions) writer.cstring(option)
  return sealed(writer)
}

export function rowDescription(fields: readonly FieldDescription[]): Buffer {
  const writer = tagged(BACKEND.rowDescription, 256).i16(fields.length)
  for (const field of fields) {
    writer
      .cstring(field.name)
      .i32(field.tableOid)
      .i16(field.attribute)
      .i32(field.typeOid)
      .i16(field.typeSize)
      .i32(field.typeModifier)
      .i16(field.format)
  }
  return sealed(writer)
}

/** Strings are written as UTF-8; undefined and null are NULL. */
export function dataRow(cells: readonly (Buffer | string | undefined | null)[]): Buffer {
  return sealed(writeValues(tagged(BACKEND.dataRow, 256), cells))
}

function writeValues(writer: Writer, values: readonly (Buffer | string | undefined | null)[]): Writer {
  writer.i16(values.length)
  for (const value of values) {
    if (value === undefined || value === null) writer.i32(-1)
    else if (typeof value === 'string') writer.i32(Buffer.byteLength(value)).text(value)
    else writer.i32(value.length).bytes(value)
  }
  return writer
}

export function commandComplete(tag: string): Buffer {
  return sealed(tagged(BACKEND.commandComplete).cstring(tag))
}

function empty(tag: number): Buffer {
  return sealed(tagged(tag, 5))
}

export function emptyQueryResponse(): Buffer {
  return empty(BACKEND.emptyQueryResponse)
}

export function parseComplete(): Buffer {
  return empty(BACKEND.parseComplete)
}

export function bindComplete(): Buffer {
  return empty(BACKEND.bindComplete)
}

export function closeComplete(): Buffer {
  return empty(BACKEND.closeComplete)
}

export function noData(): Buffer {
  return empty(BACKEND.noData)
}

// --- what a client sends ---

export function startup(parameters: ReadonlyMap<string, string>, version: number = PROTOCOL_3_0): Buffer {
  const writer = new Writer(256).i32(0).i32(version)
  for (const [name, value] of parameters) writer.cstring(name).cstring(value)
  return untagged(writer.u8(0))
}

export function sslRequest(): Buffer {
  return untagged(new Writer(8).i32(0).i32(SSL_REQUEST))
}

export function cancelRequest(pid: number, secret: Buffer): Buffer {
  return untagged(new Writer(16).i32(0).i32(CANCEL_REQUEST).i32(pid).bytes(secret))
}

export function query(sql: string): Buffer {
  return sealed(tagged(FRONTEND.query, sql.length + 8).cstring(sql))
}

export function parse(name: string, sql: string, parameterTypes: readonly number[] = []): Buffer {
  const writer = tagged(FRONTEND.parse, sql.length + 16)
    .cstring(name, 'latin1')
    .cstring(sql)
  writer.i16(parameterTypes.length)
  for (const oid of parameterTypes) writer.i32(oid)
  return sealed(writer)
}

/** Parameters given as strings are text; all results are asked for in `resultFormats` (none: text). */
export function bind(
  portal: string,
  statement: string,
  parameters: readonly (Buffer | string | undefined | null)[],
  parameterFormats: readonly Format[] = [],
  resultFormats: readonly Format[] = [],
): Buffer {
  const writer = tagged(FRONTEND.bind).cstring(portal, 'latin1').cstring(statement, 'latin1')
  writeFormats(writer, parameterFormats)
  writeValues(writer, parameters)
  writeFormats(writer, resultFormats)
  return sealed(writer)
}

function writeFormats(writer: Writer, formats: readonly Format[]): void {
  writer.i16(formats.length)
  for (const format of formats) writer.i16(format)
}

export function describe(target: 'statement' | 'portal', name: string): Buffer {
  return sealed(tagged(FRONTEND.describe).u8(letterOf(target)).cstring(name, 'latin1'))
}

export function close(target: 'statement' | 'portal', name: string): Buffer {
  return sealed(tagged(FRONTEND.close).u8(letterOf(target)).cstring(name, 'latin1'))
}

function letterOf(target: 'statement' | 'portal'): number {
  return target === 'statement' ? 0x53 : 0x50
}

export function execute(portal: string, maxRows = 0): Buffer {
  return sealed(tagged(FRONTEND.execute).cstring(portal, 'latin1').i32(maxRows))
}

export function sync(): Buffer {
  return empty(FRONTEND.sync)
}

export function flush(): Buffer {
  return empty(FRONTEND.flush)
}

export function terminate(): Buffer {
  return empty(FRONTEND.terminate)
}

export function copyData(data: Buffer): Buffer {
  return sealed(tagged(FRONTEND.copyData, data.length + 5).bytes(data))
}

/** One message for each body, in one buffer. */
export function copyDataMessages(bodies: readonly Buffer[]): Buffer {
  let size = 0
  for (const body of bodies) size += HEADER_BYTES + body.length
  const bytes = Buffer.allocUnsafe(size)
  let at = 0
  for (const body of bodies) {
    bytes[at] = FRONTEND.copyData
    bytes.writeUInt32BE(4 + body.length, at + 1)
    at += HEADER_BYTES
    at += body.copy(bytes, at)
  }
  return bytes
}

export function copyDone(): Buffer {
  return empty(FRONTEND.copyDone)
}

export function copyFail(reason: string): Buffer {
  return sealed(tagged(FRONTEND.copyFail).cstring(reason))
}

export function password(text: string): Buffer {
  return sealed(tagged(FRONTEND.password).cstring(text))
}

export function saslInitialResponse(mechanism: string, data: Buffer): Buffer {
  return sealed(tagged(FRONTEND.password).cstring(mechanism).i32(data.length).bytes(data))
}

export function saslResponse(data: Buffer): Buffer {
  return sealed(tagged(FRONTEND.password).bytes(data))
}
