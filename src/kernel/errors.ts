/** What a caller should blame, which decides the tone of the message and whether operators are alarmed. */
export type Blame = 'client' | 'policy' | 'target' | 'operator' | 'gateway'

export interface ErrorRow {
  readonly blame: Blame
  /** HTTP status of the API's problem document. */
  readonly http: number
  /** PostgreSQL SQLSTATE sent in an ErrorResponse. */
  readonly sqlstate: string
  /** Exit status of the command line. */
  readonly exit: number
  /** One sentence for docs/errors.md: what happened and what to do. */
  readonly help: string
}

function row(blame: Blame, http: number, sqlstate: string, exit: number, help: string): ErrorRow {
  return { blame, http, sqlstate, exit, help }
}

/** One table feeds the wire, the API, the command line and docs/errors.md. Codes are stable; add, never rename. */
export const ERROR_CODES = {
  'auth.failed': row(
    'client',
    401,
    '28P01',
    5,
    'The token is unknown, revoked or expired, or its secret is wrong. Ask for a new token.',
  ),
  'auth.timeout': row('client', 408, '08006', 5, 'Authentication was not finished in time. Connect again.'),
  'auth.throttled': row('client', 429, '28P01', 5, 'Too many failed attempts from this address. Wait, then try again.'),
  'auth.tls_required': row(
    'client',
    403,
    '28000',
    5,
    'This listener takes TLS only. Connect with sslmode=require or stronger.',
  ),
  'access.no_grant': row(
    'policy',
    403,
    '42501',
    3,
    'No grant lets you open this target, or there is no such target. Ask an administrator for a grant.',
  ),
  'access.level': row('policy', 403, '42501', 3, 'The operation needs a higher access level than the grant gives.'),
  'access.forbidden': row('policy', 403, '42501', 3, 'Your identity may not do this.'),
  'session.revoked': row('policy', 403, '57P01', 3, 'The token, grant or session was revoked; the session has ended.'),
  'session.limit': row(
    'operator',
    429,
    '53300',
    4,
    'A limit on sessions is reached. Close some, or ask the operator to raise it.',
  ),
  'session.expired': row(
    'policy',
    403,
    '57P05',
    3,
    'The session was idle or open for too long and has ended. Connect again.',
  ),
  'policy.denied': row(
    'policy',
    403,
    '42501',
    3,
    'A policy rule refuses this operation. Change the statement, or ask whoever keeps the rule named in the detail.',
  ),
  'policy.failed': row(
    'gateway',
    500,
    '42501',
    3,
    'The policy could not be evaluated, so the operation is refused. Tell the operator.',
  ),
  'policy.invalid': row(
    'operator',
    422,
    '22023',
    4,
    'The policy has problems; all of them are listed with their paths.',
  ),
  'policy.opaque': row(
    'policy',
    403,
    '42501',
    3,
    'What this operation does cannot be seen from outside, and policy refuses such operations.',
  ),
  'review.denied': row('policy', 403, '42501', 3, 'A reviewer denied the operation.'),
  'review.expired': row(
    'policy',
    403,
    '42501',
    3,
    'Nobody answered the review in time. Run the operation again to ask again.',
  ),
  'review.withdrawn': row('client', 409, '57014', 3, 'The review was withdrawn because the client cancelled or left.'),
  'review.not_found': row('client', 404, '22023', 4, 'There is no such review, or you may not see it.'),
  'review.not_pending': row('client', 409, '22023', 4, 'The review was already answered, withdrawn or has expired.'),
  'review.mismatch': row(
    'client',
    409,
    '42501',
    3,
    'The approval was given for another statement, other parameters or another session.',
  ),
  'review.self_approval': row('policy', 403, '42501', 3, 'The approver must be another human than the requester.'),
  'review.not_reviewer': row('policy', 403, '42501', 3, 'You are not among the reviewers that the rule names.'),
  'sql.unparsable': row(
    'client',
    400,
    '42601',
    4,
    "The statement is not valid in PostgreSQL's grammar, so it cannot be judged.",
  ),
  'sql.too_large': row('client', 413, '54000', 4, 'The statement is over the size or depth that the gateway judges.'),
  'sql.encoding': row(
    'client',
    400,
    '22021',
    4,
    'The text is not valid in an encoding that the gateway can judge. Use UTF8.',
  ),
  'sql.setting': row(
    'policy',
    403,
    '42501',
    3,
    'This setting changes how the target reads text and cannot be followed.',
  ),
  'sql.unknown_name': row(
    'client',
    400,
    '26000',
    4,
    'The prepared statement, portal or cursor is not known to the gateway.',
  ),
  'mask.failed': row('gateway', 500, '42501', 3, 'A value could not be masked, so it is withheld. Tell the operator.'),
  'mask.unprovable': row('policy', 403, '42501', 3, 'Protected data would flow where it cannot be masked.'),
  'pg.frame_length': row('client', 400, '08P01', 4, 'A message is over the limit or too short to be one.'),
  'pg.malformed': row('client', 400, '08P01', 4, "A message does not have the protocol's shape."),
  'pg.unknown_message': row('client', 400, '08P01', 4, 'The message type is not known, so it is refused.'),
  'pg.unexpected_message': row(
    'client',
    400,
    '08P01',
    4,
    'The message is not allowed in this state of the connection.',
  ),
  'pg.unsupported': row('client', 501, '0A000', 4, 'The gateway refuses this feature of the protocol.'),
  'pg.version': row('client', 400, '08P01', 4, 'The protocol version is not supported; use 3.0 or 3.2.'),
  'pg.buffered_before_tls': row(
    'client',
    400,
    '08P01',
    4,
    'Bytes arrived before the TLS handshake; they might be injected.',
  ),
  'pg.name_in_use': row('client', 400, '42P05', 4, 'The prepared statement already exists; close it first.'),
  'target.unreachable': row(
    'target',
    502,
    '08001',
    6,
    'The target did not accept a connection. Its operator sees the reason.',
  ),
  'target.auth': row(
    'target',
    502,
    '08001',
    6,
    "The target refused the gateway's credential. Its operator sees the reason.",
  ),
  'target.tls': row('target', 502, '08001', 6, 'The TLS mode asked for towards the target could not be had.'),
  'target.protocol': row(
    'target',
    502,
    '08P01',
    6,
    'The target sent something that is not understood; the session has ended.',
  ),
  'target.lost': row('target', 502, '08006', 6, 'The target closed the connection.'),
  'recording.failed': row('gateway', 503, '58030', 7, 'The recording could not be written, so nothing more may pass.'),
  'recording.invalid': row('operator', 422, '58030', 7, 'The recording or audit log does not verify.'),
  'recording.not_found': row(
    'client',
    404,
    '22023',
    4,
    'There is no such session or recording, or you may not see it.',
  ),
  'gateway.draining': row('operator', 503, '57P03', 7, 'The gateway is shutting down. Connect again shortly.'),
  'gateway.internal': row(
    'gateway',
    500,
    'XX000',
    7,
    'The gateway met an error of its own and refused the operation. Tell the operator.',
  ),
  'gateway.busy': row('operator', 503, '53300', 7, 'Too many connections wait to authenticate. Try again shortly.'),
  'config.invalid': row(
    'operator',
    422,
    'F0000',
    4,
    'The configuration has problems; all of them are listed with their paths.',
  ),
  'store.failed': row('gateway', 503, '58000', 7, "The gateway's store did not answer. Tell the operator."),
  'store.locked': row(
    'operator',
    409,
    '55006',
    7,
    'Another gateway uses this data folder. Stop it, or give this one a data folder of its own.',
  ),
  'secret.unresolved': row(
    'operator',
    502,
    '08001',
    6,
    'The credential reference of the target could not be resolved.',
  ),
  'api.invalid': row('client', 422, '22023', 4, 'The request has problems; all of them are listed.'),
  'api.not_found': row('client', 404, '22023', 4, 'There is nothing at this address.'),
  'cli.usage': row('client', 400, '22023', 2, 'The command line is not complete or not understood; see --help.'),
  'cli.unreachable': row('operator', 503, '08001', 6, 'The gateway does not answer at the API address.'),
} as const satisfies Record<string, ErrorRow>

export type ErrorCode = keyof typeof ERROR_CODES

const SENTENCE_ENDS = /(?<=\.)\s+/

/** The only error that crosses a layer on purpose. Everything else that is thrown is a slip and becomes `gateway.internal`. */
export class GatewayError extends Error {
  override readonly name = 'GatewayError'
  readonly code: ErrorCode
  /** For the operator's log, never for a client. */
  readonly detail: string | undefined
  /** For the person: the rule that decided, if one did. */
  readonly rule: string | undefined
  /** For the person: what to do next, where the thrower knows better than the table; see `next`. */
  readonly hint: string | undefined

  /** @param message - What happened, and why. Safe for anyone: no secrets, addresses or row values. */
  constructor(
    code: ErrorCode,
    message: string,
    more: { readonly detail?: string; readonly rule?: string; readonly hint?: string; readonly cause?: unknown } = {},
  ) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause })
    this.code = code
    this.detail = more.detail
    this.rule = more.rule
    this.hint = more.hint
  }

  get row(): ErrorRow {
    return ERROR_CODES[this.code]
  }

  /** What to do next: the hint, or what the table's sentences add to the message; undefined when that is nothing. */
  get next(): string | undefined {
    if (this.hint !== undefined) return this.hint
    const added = this.row.help.split(SENTENCE_ENDS).filter((sentence) => !this.message.includes(sentence))
    return added.length === 0 ? undefined : added.join(' ')
  }

  /** Wraps anything thrown; a foreign error's own text goes to the operator only. */
  static from(error: unknown, code: ErrorCode = 'gateway.internal'): GatewayError {
    if (error instanceof GatewayError) return error
    return new GatewayError(code, ERROR_CODES[code].help, {
      detail: error instanceof Error ? (error.stack ?? error.message) : String(error),
      cause: error,
    })
  }
}

/** Marks a branch that the types say cannot happen. */
export function assertNever(value: never): never {
  throw new Error(`unexpected value: ${JSON.stringify(value)}`)
}
