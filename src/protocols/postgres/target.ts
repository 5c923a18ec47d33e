import { createHash } from 'node:crypto'
import { type ByteStream, type Clock, type Dial, GatewayError, type Random } from '../../kernel/index.ts'
import { Reader } from '../../wire/reader.ts'
import { ScramClient } from '../../wire/scram.ts'
import { StreamReader } from '../../wire/stream-reader.ts'
import type { PostgresConnection } from './config.ts'
import {
  type CodecLimits,
  parseBackendKeyData,
  parseDiagnostic,
  parseParameterStatus,
  parseReadyForQuery,
} from './decode.ts'
import { cancelRequest, password, saslInitialResponse, saslResponse, sslRequest, startup, terminate } from './encode.ts'
import { AUTHENTICATION, BACKEND, type BackendKeyData, HEADER_BYTES } from './messages.ts'

/** A target may say this much before it is ready. */
const MAX_HANDSHAKE_MESSAGES = 1000
const MAX_HANDSHAKE_MESSAGE_BYTES = 64 * 1024
const ALPN = 'postgresql'

/** A connection that is logged in and idle. */
export interface TargetLink {
  /** Paused until the next reader. */
  readonly stream: ByteStream
  readonly pid: number
  /** For a cancel request; empty when the target gave none. */
  readonly secret: Buffer
  /** What the target reported of its settings. */
  readonly parameterStatus: Map<string, string>
  /** Bytes that came after the ReadyForQuery. */
  readonly leftover: Buffer
  readonly transactionStatus: 'I'
}

export interface ConnectTargetOptions {
  readonly dial: Dial
  readonly connection: PostgresConnection
  readonly credential: { readonly user: string; readonly password: string | undefined }
  /** `user` and `database` in it are replaced by the credential's and the connection's. */
  readonly startupParameters: ReadonlyMap<string, string>
  readonly random: Random
  readonly clock: Clock
  readonly limits: CodecLimits
}

/**
 * Dials a target, negotiates TLS and logs in.
 *
 * @throws GatewayError `target.unreachable`, `target.tls`, `target.auth`, `target.protocol` or `target.lost`. Its message
 *   is fit for the client; what the target said, and where it is, stands in the operator's detail. The stream is gone then.
 */
export async function connectTarget(options: ConnectTargetOptions): Promise<TargetLink> {
  const attempt = new Attempt(options)
  const { clock, connection } = options
  const cancelDeadline = clock.after(connection.connectTimeoutMs, () => attempt.expire())
  try {
    return await attempt.connect()
  } catch (error) {
    attempt.abandon()
    throw attempt.expired ?? GatewayError.from(error, 'target.protocol')
  } finally {
    cancelDeadline()
  }
}

export interface CancelTargetOptions {
  readonly dial: Dial
  readonly connection: PostgresConnection
  readonly pid: number
  readonly secret: Buffer
  /** With it the attempt ends after the connection's `connectTimeoutMs`. */
  readonly clock?: Clock
}

/** Asks a target to cancel what a connection of ours is doing; resolves when the target has taken note. */
export async function cancelTarget(options: CancelTargetOptions): Promise<void> {
  const plain = await options.dial(options.connection.address)
  let stream = plain
  const cancelDeadline = options.clock?.after(options.connection.connectTimeoutMs, () => plain.destroy())
  try {
    stream = await negotiateTls(plain, options.connection)
    stream.write([cancelRequest(options.pid, options.secret)])
    const closed = new Promise<void>((resolve) => stream.read({ data: () => undefined, closed: () => resolve() }))
    stream.end()
    await closed
  } finally {
    cancelDeadline?.()
    stream.destroy()
  }
}

class Attempt {
  readonly #options: ConnectTargetOptions
  readonly #parameterStatus = new Map<string, string>()
  readonly #deadline: Promise<never>
  #stream: ByteStream | undefined
  #reader: StreamReader | undefined
  #scram: ScramClient | undefined
  #loggedIn = false
  #key: BackendKeyData = { pid: 0, secret: Buffer.alloc(0) }
  #expire: (error: GatewayError) => void = () => undefined
  expired: GatewayError | undefined

  constructor(options: ConnectTargetOptions) {
    this.#options = options
    this.#deadline = new Promise((_resolve, reject) => {
      this.#expire = reject
    })
    this.#deadline.catch(() => undefined)
  }

  expire(): void {
    this.expired = new GatewayError('target.unreachable', 'The target did not answer in time.', {
      detail: `not ready after ${this.#options.connection.connectTimeoutMs} ms`,
    })
    this.#expire(this.expired)
    this.abandon()
  }

  abandon(): void {
    this.#stream?.destroy()
  }

  async connect(): Promise<TargetLink> {
    const { dial, connection } = this.#options
    const dialled = dial(connection.address).then((stream) => {
      this.#stream = stream
      if (this.expired !== undefined) stream.destroy()
      return stream
    })
    const plain = await Promise.race([dialled, this.#deadline])
    this.#stream = await negotiateTls(plain, connection)
    this.#reader = readerOf(this.#stream, this.#options.limits)
    this.#stream.write([startup(this.#startupParameters())])
    for (let count = 0; count < MAX_HANDSHAKE_MESSAGES; count++) {
      if (await this.#step(await this.#frame())) return this.#link(this.#stream)
    }
    throw new GatewayError('target.protocol', 'The target sends too much before it is ready.')
  }

  #startupParameters(): Map<string, string> {
    const { credential, connection, startupParameters } = this.#options
    const parameters = new Map(startupParameters)
    parameters.set('user', credential.user).set('database', connection.database)
    // The client must not reach the target's replication or protocol options through us.
    for (const name of parameters.keys()) {
      if (name === 'replication' || name.startsWith('_pq_.')) parameters.delete(name)
    }
    return parameters
  }

  async #frame(): Promise<Buffer> {
    const reader = this.#reader!
    const length = (await reader.peek(HEADER_BYTES)).readInt32BE(1)
    const limit = Math.min(this.#options.limits.maxMessageBytes, MAX_HANDSHAKE_MESSAGE_BYTES)
    if (length < 4 || length >= limit) {
      throw new GatewayError('target.protocol', 'The target sent a message of an impossible length.')
    }
    return reader.take(1 + length)
  }

  /** Answers true when the target is ready. */
  async #step(frame: Buffer): Promise<boolean> {
    switch (frame[0]) {
      case BACKEND.errorResponse:
        throw refusal(parseDiagnostic(frame, 0, frame.length))
      case BACKEND.noticeResponse:
        return false
      case BACKEND.authentication:
        await this.#authenticate(frame)
        return false
    }
    if (!this.#loggedIn) throw unexpected(frame)
    switch (frame[0]) {
      case BACKEND.parameterStatus: {
        const { name, value } = parseParameterStatus(frame, 0, frame.length)
        this.#parameterStatus.set(name, value)
        return false
      }
      case BACKEND.backendKeyData:
        this.#key = parseBackendKeyData(frame, 0, frame.length)
        return false
      case BACKEND.readyForQuery:
        if (parseReadyForQuery(frame, 0, frame.length) !== 'I') throw unexpected(frame)
        return true
      default:
        throw unexpected(frame)
    }
  }

  async #authenticate(frame: Buffer): Promise<void> {
    if (this.#loggedIn) throw unexpected(frame)
    const reader = new Reader(frame, HEADER_BYTES, frame.length, 'target.protocol')
    const request = reader.i32()
    switch (request) {
      case AUTHENTICATION.ok:
        if (this.#scram !== undefined && !this.#scram.verified) {
          throw new GatewayError('target.auth', 'The target did not prove that it knows the credential.')
        }
        this.#loggedIn = true
        break
      case AUTHENTICATION.cleartext:
        this.#sendCleartext()
        break
      case AUTHENTICATION.md5:
        this.#send(password(this.#md5(reader.bytes(4))))
        break
      case AUTHENTICATION.sasl:
        this.#startScram(reader)
        break
      case AUTHENTICATION.saslContinue:
        if (this.#scram === undefined) throw unexpected(frame)
        this.#send(saslResponse(await this.#scram.respond(reader.rest())))
        break
      case AUTHENTICATION.saslFinal:
        if (this.#scram === undefined) throw unexpected(frame)
        this.#scram.verify(reader.rest())
        break
      default:
        throw new GatewayError('target.auth', 'The target asks for a login that the gateway does not speak.', {
          detail: `authentication request ${request}`,
        })
    }
    reader.finish()
  }

  #sendCleartext(): void {
    if (this.#stream?.tls === undefined) {
      throw new GatewayError('target.auth', 'The target asks for the password in clear text without TLS.')
    }
    this.#send(password(this.#password()))
  }

  #startScram(reader: Reader): void {
    if (this.#scram !== undefined) reader.fail('the login starts twice')
    const mechanisms: string[] = []
    for (let name = reader.cstring(); name !== ''; name = reader.cstring()) mechanisms.push(name)
    const { random } = this.#options
    const serverEndPoint = this.#stream?.tls?.serverEndPoint
    this.#scram = new ScramClient({ user: '', password: this.#password(), random, mechanisms, serverEndPoint })
    this.#send(saslInitialResponse(this.#scram.mechanism, this.#scram.first()))
  }

  #md5(salt: Buffer): string {
    const inner = md5(Buffer.from(this.#password() + this.#options.credential.user))
    return `md5${md5(Buffer.concat([Buffer.from(inner), salt]))}`
  }

  #password(): string {
    const { password: secret } = this.#options.credential
    if (secret === undefined)
      throw new GatewayError('target.auth', 'The target asks for a password; none is configured.')
    return secret
  }

  #send(message: Buffer): void {
    this.#stream?.write([message])
  }

  #link(stream: ByteStream): TargetLink {
    const leftover = this.#reader!.release()
    return { stream, ...this.#key, parameterStatus: this.#parameterStatus, leftover, transactionStatus: 'I' }
  }
}

/** Asks for TLS as the mode says; the answer is the stream to go on with. */
async function negotiateTls(stream: ByteStream, connection: PostgresConnection): Promise<ByteStream> {
  const { address, tls } = connection
  if (tls.mode === 'disable' || 'path' in address) return stream
  const reader = readerOf(stream, { maxMessageBytes: MAX_HANDSHAKE_MESSAGE_BYTES })
  stream.write([sslRequest()])
  const answer = (await reader.take(1)).toString('latin1')
  // Bytes after the answer would be read as if they had come through TLS (CVE-2021-23222).
  if (reader.release().length > 0)
    throw new GatewayError('target.tls', 'The target sent bytes before the TLS handshake.')
  if (answer === 'N' && tls.mode === 'prefer') return stream
  if (answer !== 'S') {
    throw new GatewayError('target.tls', 'The target does not speak TLS, which its configuration asks for.')
  }
  const verify = tls.mode === 'verify-full' ? 'full' : verifiesChain(connection) ? 'ca' : 'none'
  return stream.startTls({ role: 'client', alpn: [ALPN], verify, serverName: address.host, ca: tls.ca })
}

/** As libpq: `require` becomes `verify-ca` when there is something to verify with. */
function verifiesChain({ tls }: PostgresConnection): boolean {
  return tls.mode === 'verify-ca' || (tls.mode === 'require' && tls.ca !== undefined)
}

function readerOf(stream: ByteStream, limits: CodecLimits): StreamReader {
  return new StreamReader(stream, {
    maxBufferedBytes: Math.min(limits.maxMessageBytes, MAX_HANDSHAKE_MESSAGE_BYTES),
    closed: (error) =>
      new GatewayError('target.lost', 'The target closed the connection before it was ready.', {
        detail: error?.message ?? 'closed without an error',
      }),
  })
}

/** Invalid value, unknown setting, cannot be set now: what such an error quotes is the client's own start-up packet. */
const ABOUT_SETTINGS: ReadonlySet<string> = new Set(['22023', '42704', '55P02'])

function refusal(fields: ReadonlyMap<string, string>): GatewayError {
  const sqlstate = fields.get('C') ?? ''
  const text = fields.get('M') ?? ''
  const more = { detail: `${sqlstate}: ${text}` }
  if (ABOUT_SETTINGS.has(sqlstate))
    return new GatewayError('sql.setting', `The target refuses a start-up setting: ${text}`, {
      ...more,
      hint: 'Look at the connection settings of the client: PGOPTIONS, PGTZ, its URL.',
    })
  return sqlstate.startsWith('28')
    ? new GatewayError('target.auth', "The target refused the gateway's credential.", more)
    : new GatewayError('target.unreachable', 'The target refused the connection.', more)
}

function unexpected(frame: Buffer): GatewayError {
  return new GatewayError('target.protocol', 'The target sent something that does not belong there.', {
    detail: `message ${String.fromCharCode(frame[0] ?? 0)} during the start-up`,
  })
}

function md5(bytes: Buffer): string {
  return createHash('md5').update(bytes).digest('hex')
}

/** Says goodbye and closes. */
export function closeTarget(stream: ByteStream): void {
  stream.write([terminate()])
  stream.end()
}
