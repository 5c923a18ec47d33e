import { isUtf8 } from 'node:buffer'
import { type ByteStream, type Clock, GatewayError } from '../../kernel/index.ts'
import { Reader } from '../../wire/reader.ts'
import { StreamReader } from '../../wire/stream-reader.ts'
import { errorResponse, negotiateProtocolVersion } from './encode.ts'
import { CANCEL_REQUEST, GSSENC_REQUEST, PROTOCOL_3_0, PROTOCOL_3_2, PROTOCOL_MAJOR, SSL_REQUEST } from './messages.ts'

/** What an unknown peer may cost before it has proven who it is. */
export interface HandshakeLimits {
  /** For the start-up, and again for the login. */
  readonly handshakeTimeoutMs: number
  /** Of one start-up packet; PostgreSQL's own limit is 10,000. */
  readonly maxStartupBytes: number
  /** Of one message of the login. */
  readonly maxPasswordBytes: number
}

export const DEFAULT_HANDSHAKE_LIMITS: HandshakeLimits = {
  handshakeTimeoutMs: 30_000,
  maxStartupBytes: 10_000,
  maxPasswordBytes: 8192,
}

export interface ClientArrival {
  readonly kind: 'client'
  /** Paused; the one to use from now on, with TLS if the client asked for it. */
  readonly stream: ByteStream
  /** `user` is always there; options of the protocol itself (`_pq_.`) are not. */
  readonly parameters: ReadonlyMap<string, string>
  readonly minor: 0 | 2
  /** Bytes that the client sent without waiting for the login. */
  readonly leftover: Buffer
}

export type Arrival = ClientArrival | { readonly kind: 'cancel'; readonly pid: number; readonly secret: Buffer }

export interface GreetOptions {
  readonly clock: Clock
  readonly limits: HandshakeLimits
  readonly tlsAvailable: boolean
  /** Cancel requests are taken without TLS all the same: old clients know no other way, and their key is the proof. */
  readonly requireTls: boolean
}

/**
 * Takes a new connection through everything before the login: SSLRequest, GSSENCRequest, TLS without being asked,
 * version negotiation. A cancel request's connection is closed before this resolves.
 *
 * @throws GatewayError after the client got it as a FATAL ErrorResponse and the stream was ended.
 */
export async function greet(stream: ByteStream, options: GreetOptions): Promise<Arrival> {
  const greeting = new Greeting(stream, options)
  const cancelDeadline = options.clock.after(options.limits.handshakeTimeoutMs, () => greeting.expire())
  try {
    return await greeting.arrive()
  } catch (error) {
    throw greeting.refuse(GatewayError.from(error))
  } finally {
    cancelDeadline()
  }
}

const TLS_HANDSHAKE_RECORD = 0x16
const ALPN = 'postgresql'
const ANSWER_YES = Buffer.from('S')
const ANSWER_NO = Buffer.from('N')
const CANCEL_HEADER_BYTES = 12
const CANCEL_SECRET_BYTES = { min: 4, max: 256 } as const

class Greeting {
  readonly #options: GreetOptions
  #stream: ByteStream
  #reader: StreamReader
  #sslAsked = false
  #gssAsked = false
  #shakingHands = false
  #expired: GatewayError | undefined

  constructor(stream: ByteStream, options: GreetOptions) {
    this.#options = options
    this.#stream = stream
    this.#reader = this.#readerOf(stream)
  }

  async arrive(): Promise<Arrival> {
    if ((await this.#reader.peek(1))[0] === TLS_HANDSHAKE_RECORD) await this.#directTls()
    for (;;) {
      const packet = await this.#packet()
      const code = packet.readInt32BE(4)
      if (code === SSL_REQUEST) await this.#answerSsl(packet)
      else if (code === GSSENC_REQUEST) this.#answerGss(packet)
      else if (code === CANCEL_REQUEST) return this.#cancel(packet)
      else return this.#start(code, packet)
    }
  }

  expire(): void {
    this.#expired = new GatewayError('auth.timeout', 'The start-up was not finished in time.')
    if (this.#shakingHands) this.#stream.destroy()
    this.#reader.fail(this.#expired)
  }

  refuse(error: GatewayError): GatewayError {
    const failure = this.#expired ?? error
    this.#stream.write([errorResponse(failure, 'FATAL')])
    this.#stream.end()
    return failure
  }

  /** PostgreSQL 17's way to save a round trip. ALPN is what keeps other protocols' bytes from being taken for ours. */
  async #directTls(): Promise<void> {
    if (!this.#options.tlsAvailable) {
      this.#stream.destroy()
      throw new GatewayError('pg.unsupported', 'This listener has no TLS.')
    }
    this.#sslAsked = true
    this.#gssAsked = true
    await this.#secure(this.#reader.release())
    if (this.#stream.tls?.alpn !== ALPN) {
      throw new GatewayError('pg.unsupported', `TLS without an SSLRequest needs the ALPN protocol ${ALPN}.`)
    }
  }

  async #answerSsl(packet: Buffer): Promise<void> {
    if (packet.length !== 8 || this.#sslAsked) throw malformed('TLS was asked for twice or not in its own packet')
    this.#sslAsked = true
    if (!this.#options.tlsAvailable) {
      this.#stream.write([ANSWER_NO])
      return
    }
    // GSSAPI makes sense only as the other choice.
    this.#gssAsked = true
    // What came along would be read as if it had come through TLS (CVE-2021-23214).
    if (this.#reader.release().length > 0) {
      throw new GatewayError('pg.buffered_before_tls', 'Bytes arrived before the TLS handshake.')
    }
    this.#stream.write([ANSWER_YES])
    await this.#secure(undefined)
  }

  #answerGss(packet: Buffer): void {
    if (packet.length !== 8 || this.#gssAsked) throw malformed('GSSAPI was asked for twice or not in its own packet')
    this.#gssAsked = true
    this.#stream.write([ANSWER_NO])
  }

  async #secure(received: Buffer | undefined): Promise<void> {
    const handshake = { role: 'server', alpn: [ALPN], ...(received === undefined ? {} : { received }) } as const
    this.#shakingHands = true
    this.#stream = await this.#stream.startTls(handshake)
    this.#shakingHands = false
    this.#reader = this.#readerOf(this.#stream)
  }

  #cancel(packet: Buffer): Arrival {
    const secret = packet.subarray(CANCEL_HEADER_BYTES)
    if (secret.length < CANCEL_SECRET_BYTES.min || secret.length > CANCEL_SECRET_BYTES.max) {
      throw malformed('a cancel key has 4 to 256 bytes')
    }
    this.#reader.release()
    this.#stream.end()
    return { kind: 'cancel', pid: packet.readInt32BE(8), secret }
  }

  #start(version: number, packet: Buffer): ClientArrival {
    if (version >>> 16 !== PROTOCOL_MAJOR) {
      throw new GatewayError('pg.version', `Protocol ${version >>> 16}.${version & 0xffff} is not supported.`)
    }
    if (this.#options.requireTls && this.#stream.tls === undefined) {
      throw new GatewayError('auth.tls_required', 'This listener takes TLS only.')
    }
    const { parameters, protocolOptions } = readParameters(packet)
    refuseReplication(parameters)
    const minor = (version & 0xffff) >= 2 ? 2 : 0
    const spoken = minor === 2 ? PROTOCOL_3_2 : PROTOCOL_3_0
    if (spoken !== version || protocolOptions.length > 0) {
      this.#stream.write([negotiateProtocolVersion(spoken, protocolOptions)])
    }
    return { kind: 'client', stream: this.#stream, parameters, minor, leftover: this.#reader.release() }
  }

  async #packet(): Promise<Buffer> {
    const length = (await this.#reader.peek(4)).readInt32BE(0)
    if (length < 8 || length > this.#options.limits.maxStartupBytes) {
      throw new GatewayError('pg.frame_length', 'The length of the start-up packet is impossible.')
    }
    return this.#reader.take(length)
  }

  #readerOf(stream: ByteStream): StreamReader {
    return new StreamReader(stream, {
      maxBufferedBytes: this.#options.limits.maxStartupBytes,
      closed: () => malformed('the client left before the start-up was finished'),
    })
  }
}

function readParameters(packet: Buffer): { parameters: Map<string, string>; protocolOptions: string[] } {
  const reader = new Reader(packet, 8)
  const parameters = new Map<string, string>()
  const protocolOptions: string[] = []
  for (let name = readText(reader); name !== ''; name = readText(reader)) {
    const value = readText(reader)
    // Which of two the target would take is not for us to guess.
    if (parameters.has(name)) throw malformed('a start-up parameter is given twice')
    if (name.startsWith('_pq_.')) protocolOptions.push(name)
    else parameters.set(name, value)
  }
  reader.finish()
  if ((parameters.get('user') ?? '') === '') {
    throw new GatewayError('auth.failed', 'The start-up names no user; give the id of a token.')
  }
  return { parameters, protocolOptions }
}

function readText(reader: Reader): string {
  const bytes = reader.cbytes()
  if (!isUtf8(bytes)) throw malformed('a start-up parameter is not UTF-8')
  return bytes.toString('utf8')
}

/** The values that PostgreSQL reads as false; everything else asks for a replication connection, or for an error. */
const NO_REPLICATION = /^(f|fa|fal|fals|false|n|no|of|off|0)$/i

function refuseReplication(parameters: Map<string, string>): void {
  const value = parameters.get('replication')
  if (value !== undefined && !NO_REPLICATION.test(value)) {
    throw new GatewayError('pg.unsupported', 'Replication connections are not supported.')
  }
  parameters.delete('replication')
}

function malformed(reason: string): GatewayError {
  return new GatewayError('pg.malformed', `The start-up cannot be read: ${reason}.`)
}
