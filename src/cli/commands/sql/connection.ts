import { createConnection } from 'node:net'
import pg from 'pg'
import { type ErrorCode, GatewayError } from '../../../kernel/index.ts'
import { isCode } from '../../client.ts'
import type { Profile } from '../../profiles.ts'
import { unreachable } from '../../unreachable.ts'
import type { ShownResult } from './result.ts'

const CANCEL_REQUEST = 80_877_102
const CONNECT_TIMEOUT_MS = 15_000

/** What the driver knows and does not type. */
interface Backend {
  readonly processID: number | null
  readonly secretKey: number | null
}

/** A client of the gateway's PostgreSQL listener; values stay the text that the wire carries. */
export class SqlConnection {
  readonly #client: pg.Client
  readonly #profile: Profile
  #ended = false
  #closing = false

  /**
   * @param notice - Called at once for every notice, such as the one of a held statement.
   * @param ended - Called once when the gateway ends the session by itself, with its last words if it had any.
   */
  constructor(
    profile: Profile,
    target: string,
    notice: (fields: pg.DatabaseError) => void,
    ended: (last: pg.DatabaseError | undefined) => void,
  ) {
    this.#profile = profile
    this.#client = new pg.Client({
      host: profile.postgres.host,
      port: profile.postgres.port,
      user: profile.tokenId,
      password: profile.secret,
      database: target,
      application_name: 'sallyport sql',
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      // The driver names no host to verify when it is an address.
      ssl: profile.postgres.tls === true ? { rejectUnauthorized: true, host: profile.postgres.host } : false,
      types: { getTypeParser: () => (text: string) => text },
    })
    this.#client.on('notice', (message) => notice(message as unknown as pg.DatabaseError))
    this.#client.on('error', (error) => {
      if (this.#ended || this.#closing) return
      this.#ended = true
      ended(error instanceof pg.DatabaseError ? error : undefined)
    })
  }

  async open(): Promise<void> {
    try {
      await this.#client.connect()
    } catch (error) {
      throw connectFailure(error, this.#profile)
    }
  }

  get ended(): boolean {
    return this.#ended
  }

  async query(text: string): Promise<ShownResult> {
    const result = await this.#client.query<(string | null)[]>({ text, rowMode: 'array' })
    const last = Array.isArray(result) ? (result.at(-1) as typeof result) : result
    const count = last.rowCount === null ? '' : ` ${last.rowCount}`
    return {
      columns: last.fields.map((field) => ({ name: field.name, typeOid: field.dataTypeID })),
      rows: last.rows,
      tag: `${last.command}${last.command === 'INSERT' ? ' 0' : ''}${count}`,
    }
  }

  /** Asks the gateway to cancel what runs, on a connection of its own as the protocol wants it. */
  cancel(): void {
    const { processID, secretKey } = this.#client as unknown as Backend
    if (processID === null || secretKey === null) return
    const request = Buffer.alloc(16)
    request.writeInt32BE(16, 0)
    request.writeInt32BE(CANCEL_REQUEST, 4)
    request.writeInt32BE(processID, 8)
    request.writeInt32BE(secretKey, 12)
    const { host, port } = this.#profile.postgres
    const socket = createConnection({ host, port }, () => socket.end(request))
    socket.on('error', () => socket.destroy())
  }

  async close(): Promise<void> {
    this.#closing = true
    await this.#client.end().catch(() => undefined)
  }
}

/** The driver's words, in which it has no code. */
const NO_TLS_THERE = 'The server does not support SSL connections'

function connectFailure(error: unknown, profile: Profile): GatewayError {
  if (error instanceof pg.DatabaseError)
    return new GatewayError(codeOf(error), error.message, error.hint === undefined ? {} : { hint: error.hint })
  const { host, port } = profile.postgres
  if (error instanceof Error && error.message === NO_TLS_THERE)
    return new GatewayError(
      'cli.unreachable',
      `The listener at ${host}:${port} takes no TLS, which the profile asks for.`,
      {
        hint: 'Its operator gives it a certificate, or add the profile again without --tls.',
        cause: error,
      },
    )
  return unreachable(error, `${host}:${port}`, 'Is it running? Choose another profile with --profile.')
}

/** The gateway's own code stands at the end of its DETAIL. */
function codeOf({ detail }: pg.DatabaseError): ErrorCode {
  const code = /(?:^|\()code ([a-z_.]+)\)?$/.exec(detail ?? '')?.[1]
  return code !== undefined && isCode(code) ? code : 'cli.unreachable'
}
