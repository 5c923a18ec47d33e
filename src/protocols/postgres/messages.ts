/**
 * The messages of PostgreSQL's protocol 3 as data.
 * @see https://www.postgresql.org/docs/current/protocol-message-formats.html
 */

/** First bytes of what a client sends after start-up. */
export const FRONTEND = {
  bind: 0x42, // B
  close: 0x43, // C
  copyData: 0x64, // d
  copyDone: 0x63, // c
  copyFail: 0x66, // f
  describe: 0x44, // D
  execute: 0x45, // E
  flush: 0x48, // H
  functionCall: 0x46, // F
  parse: 0x50, // P
  password: 0x70, // p
  query: 0x51, // Q
  sync: 0x53, // S
  terminate: 0x58, // X
} as const

/** First bytes of what a server sends. */
export const BACKEND = {
  authentication: 0x52, // R
  backendKeyData: 0x4b, // K
  bindComplete: 0x32, // 2
  closeComplete: 0x33, // 3
  commandComplete: 0x43, // C
  copyBothResponse: 0x57, // W
  copyData: 0x64, // d
  copyDone: 0x63, // c
  copyInResponse: 0x47, // G
  copyOutResponse: 0x48, // H
  dataRow: 0x44, // D
  emptyQueryResponse: 0x49, // I
  errorResponse: 0x45, // E
  functionCallResponse: 0x56, // V
  negotiateProtocolVersion: 0x76, // v
  noData: 0x6e, // n
  noticeResponse: 0x4e, // N
  notificationResponse: 0x41, // A
  parameterDescription: 0x74, // t
  parameterStatus: 0x53, // S
  parseComplete: 0x31, // 1
  portalSuspended: 0x73, // s
  readyForQuery: 0x5a, // Z
  rowDescription: 0x54, // T
} as const

/** The second word of the untagged packets that open a connection. */
export const CANCEL_REQUEST = 80877102
export const SSL_REQUEST = 80877103
export const GSSENC_REQUEST = 80877104
export const PROTOCOL_MAJOR = 3
export const PROTOCOL_3_0 = 0x0003_0000
export const PROTOCOL_3_2 = 0x0003_0002

/** First words of the bodies of Authentication messages. */
export const AUTHENTICATION = { ok: 0, cleartext: 3, md5: 5, sasl: 10, saslContinue: 11, saslFinal: 12 } as const

/** A tag and a length that counts itself. */
export const HEADER_BYTES = 5

export type Format = 0 | 1
export type TransactionStatus = 'I' | 'T' | 'E'

interface Framed {
  /** The whole frame, header included; owned, so it is safe to keep. All other buffers of the message are views of it. */
  readonly raw: Buffer
}

/** Names are decoded as latin1: they compare as bytes and go out again unchanged. */
export type FrontendMessage = Framed &
  (
    | { readonly kind: 'query' /** Without its final NUL. */; readonly sql: Buffer }
    | {
        readonly kind: 'parse'
        readonly name: string
        /** Without its final NUL. */
        readonly sql: Buffer
        readonly parameterTypes: readonly number[]
      }
    | {
        readonly kind: 'bind'
        readonly portal: string
        readonly statement: string
        readonly parameterFormats: readonly Format[]
        /** undefined is NULL. */
        readonly parameters: readonly (Buffer | undefined)[]
        readonly resultFormats: readonly Format[]
      }
    | { readonly kind: 'describe'; readonly target: 'statement' | 'portal'; readonly name: string }
    | { readonly kind: 'execute'; readonly portal: string /** 0 or less: no limit. */; readonly maxRows: number }
    | { readonly kind: 'close'; readonly target: 'statement' | 'portal'; readonly name: string }
    | { readonly kind: 'sync' }
    | { readonly kind: 'flush' }
    | { readonly kind: 'terminate' }
    | { readonly kind: 'copyData'; readonly data: Buffer }
    | { readonly kind: 'copyDone' }
    | { readonly kind: 'copyFail'; readonly message: Buffer }
    | { readonly kind: 'functionCall' }
    | { readonly kind: 'password'; readonly data: Buffer }
    | { readonly kind: 'opaque'; readonly tag: number }
  )

/** One column of a RowDescription. */
export interface FieldDescription {
  readonly name: string
  /** 0 where the column is not a plain column of a table. */
  readonly tableOid: number
  /** Attribute number within the table, 0 where there is none; negative for system columns. */
  readonly attribute: number
  readonly typeOid: number
  readonly typeSize: number
  readonly typeModifier: number
  readonly format: Format
}

export interface BackendKeyData {
  readonly pid: number
  /** 4 bytes in protocol 3.0, up to 256 in 3.2. */
  readonly secret: Buffer
}

export interface CopyResponse {
  readonly format: Format
  readonly columnFormats: readonly Format[]
}

/** The letters of an ErrorResponse or NoticeResponse and their texts, in the order received. */
export type DiagnosticFields = Map<string, string>
