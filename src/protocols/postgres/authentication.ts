import { type Clock, type ControlPlane, GatewayError, type Random } from '../../kernel/index.ts'
import { Reader } from '../../wire/reader.ts'
import { ScramServer } from '../../wire/scram.ts'
import { StreamReader } from '../../wire/stream-reader.ts'
import {
  authenticationOk,
  authenticationSasl,
  authenticationSaslContinue,
  authenticationSaslFinal,
  errorResponse,
} from './encode.ts'
import { FRONTEND, HEADER_BYTES } from './messages.ts'
import type { ClientArrival, HandshakeLimits } from './startup.ts'

export interface AuthenticateOptions {
  readonly control: Pick<ControlPlane, 'verifierFor'>
  readonly random: Random
  readonly clock: Clock
  readonly limits: HandshakeLimits
}

/**
 * Proves that the client holds the secret of the token named as user: SCRAM-SHA-256, bound to the channel over TLS
 * where the client can. Ends with AuthenticationOk; ReadyForQuery is the caller's.
 *
 * @returns The token's id and the bytes that the client sent without waiting. The stream is paused.
 * @throws GatewayError after the client got it as a FATAL ErrorResponse and the stream was ended. Unknown ids and wrong
 *   secrets differ in nothing.
 */
export async function authenticateClient(
  arrival: ClientArrival,
  options: AuthenticateOptions,
): Promise<{ readonly tokenId: string; readonly leftover: Buffer }> {
  const { stream } = arrival
  const reader = new StreamReader(stream, {
    maxBufferedBytes: options.limits.maxPasswordBytes,
    initial: arrival.leftover,
    closed: () => new GatewayError('auth.failed', 'The client left before the login was finished.'),
  })
  const cancelDeadline = options.clock.after(options.limits.handshakeTimeoutMs, () =>
    reader.fail(new GatewayError('auth.timeout', 'The login was not finished in time.')),
  )
  try {
    const tokenId = await login(arrival, reader, options)
    return { tokenId, leftover: reader.release() }
  } catch (error) {
    const failure = GatewayError.from(error)
    stream.write([errorResponse(failure, 'FATAL')])
    stream.end()
    throw failure
  } finally {
    cancelDeadline()
  }
}

async function login(arrival: ClientArrival, reader: StreamReader, options: AuthenticateOptions): Promise<string> {
  const { stream } = arrival
  const tokenId = arrival.parameters.get('user') ?? ''
  const { verifier, known } = await options.control.verifierFor(tokenId)
  const scram = new ScramServer({ verifier, random: options.random, serverEndPoint: stream.tls?.serverEndPoint })
  stream.write([authenticationSasl(scram.mechanisms)])
  const { mechanism, data } = readInitialResponse(await readPassword(reader, options.limits))
  stream.write([authenticationSaslContinue(scram.first(mechanism, data))])
  const proof = scram.final(await readPassword(reader, options.limits))
  // Nothing fits a made-up verifier; this holds even if one day something did.
  if (!known) throw new GatewayError('auth.failed', 'The token or its secret is wrong.')
  stream.write([authenticationSaslFinal(proof), authenticationOk()])
  return tokenId
}

/** The body of the next message, which must be a SASLInitialResponse or SASLResponse. */
async function readPassword(reader: StreamReader, limits: HandshakeLimits): Promise<Buffer> {
  const header = await reader.peek(HEADER_BYTES)
  if (header[0] !== FRONTEND.password) {
    throw new GatewayError('pg.unexpected_message', 'Only the login may go on here.')
  }
  const length = header.readInt32BE(1)
  if (length < 4 || length >= limits.maxPasswordBytes) {
    throw new GatewayError('pg.frame_length', `A message of the login is over ${limits.maxPasswordBytes} bytes.`)
  }
  return (await reader.take(1 + length)).subarray(HEADER_BYTES)
}

function readInitialResponse(body: Buffer): { mechanism: string; data: Buffer } {
  const reader = new Reader(body)
  const mechanism = reader.cstring()
  const length = reader.i32()
  // SCRAM's client speaks first, so an absent response (-1) is no beginning.
  const data = reader.bytes(length)
  reader.finish()
  return { mechanism, data }
}
