import { type EngineServices, EngineSession } from '../../engine/index.ts'
import { type ByteStream, GatewayError, type MaskInstruction, type OpenedSession } from '../../kernel/index.ts'
import { authenticateClient } from './authentication.ts'
import type { CancelKeys } from './cancel.ts'
import { Companion } from './companion.ts'
import type { PostgresConnection } from './config.ts'
import * as encode from './encode.ts'
import { QueryClient } from './query-client.ts'
import { Relay } from './relay.ts'
import { targetStartupParameters } from './settings.ts'
import { type ClientArrival, greet, type HandshakeLimits } from './startup.ts'
import { cancelTarget, connectTarget, type TargetLink } from './target.ts'
import type { TargetKnowledge } from './target-knowledge.ts'

export interface ConnectionContext {
  readonly services: EngineServices
  readonly keys: CancelKeys
  readonly handshake: HandshakeLimits
  readonly draining: () => boolean
  /** What is known of a target, shared by its sessions. */
  readonly knowledge: (opened: OpenedSession) => TargetKnowledge
  readonly atRest: () => readonly MaskInstruction[]
  readonly opened: (relay: Relay) => void
  readonly closed: (relay: Relay) => void
}

/**
 * Takes one accepted connection from its first byte to an open session: who is asking, may they, is it recorded, is the
 * target there. Each step that fails is told to the client; nothing of a later step has happened then.
 */
export async function openConnection(stream: ByteStream, context: ConnectionContext): Promise<void> {
  const { services, handshake } = context
  const arrival = await greet(stream, {
    clock: services.clock,
    limits: handshake,
    tlsAvailable: services.tls.available,
    requireTls: services.tls.required,
  })
  if (arrival.kind === 'cancel') {
    context.keys.cancel(arrival.pid, arrival.secret)
    return
  }
  const { tokenId, leftover } = await logIn(arrival, context)
  try {
    await openSession(arrival, tokenId, leftover, context)
  } catch (error) {
    const failure = GatewayError.from(error)
    arrival.stream.write([encode.errorResponse(failure, 'FATAL')])
    arrival.stream.end()
    throw failure
  }
}

/** @throws GatewayError after the client has been told. */
async function logIn(arrival: ClientArrival, { services, handshake }: ConnectionContext) {
  const { clock, random, control } = services
  const { stream, parameters } = arrival
  const user = parameters.get('user') ?? ''
  try {
    control.admitLogin(stream.remoteAddress, user)
  } catch (error) {
    const failure = GatewayError.from(error)
    stream.write([encode.errorResponse(failure, 'FATAL')])
    stream.end()
    throw failure
  }
  try {
    return await authenticateClient(arrival, { control, random, clock, limits: handshake })
  } catch (error) {
    if (GatewayError.from(error).code === 'auth.failed') control.loginFailed(stream.remoteAddress, user)
    throw error
  }
}

async function openSession(
  arrival: ClientArrival,
  tokenId: string,
  leftover: Buffer,
  context: ConnectionContext,
): Promise<void> {
  const { services } = context
  if (context.draining()) throw new GatewayError('gateway.draining', 'The gateway is shutting down.')
  const { parameters, stream } = arrival
  const opened = await services.control.openSession({
    tokenId,
    targetName: parameters.get('database') ?? parameters.get('user') ?? '',
    protocol: 'postgres',
    client: { address: stream.remoteAddress, application: printable(parameters.get('application_name') ?? '') },
  })
  let session: EngineSession | undefined
  try {
    session = new EngineSession(opened, await services.openJournal(opened.info, opened.target.recording), services)
    await session.journal.commit()
    await startRelay(arrival, leftover, opened, session, context)
  } catch (error) {
    const failure = GatewayError.from(error)
    if (session === undefined)
      await services.control.closeSession(opened.info.id, failedSummary(services, failure)).catch(() => undefined)
    else {
      session.refused(failure)
      await session.end(`not opened: ${failure.code}`)
    }
    throw failure
  }
}

function failedSummary(services: EngineServices, failure: GatewayError) {
  return {
    endedAt: services.clock.now(),
    reason: `not opened: ${failure.code}`,
    operations: 0,
    denied: 0,
    rowsReturned: 0,
    bytesReturned: 0,
  }
}

async function startRelay(
  arrival: ClientArrival,
  leftover: Buffer,
  opened: OpenedSession,
  session: EngineSession,
  context: ConnectionContext,
): Promise<void> {
  const { services, keys } = context
  const startupParameters = targetStartupParameters(arrival.parameters, opened.info)
  const knowledge = context.knowledge(opened)
  await knowledge.catalog.acquire()
  let link: TargetLink
  try {
    link = await connect(opened, startupParameters, services)
  } catch (error) {
    knowledge.catalog.release()
    throw error
  }
  const connection = opened.target.connection as PostgresConnection
  const companion = new Companion({
    open: () => openGatewaySession(opened, 'review', services),
    timeoutMs: services.limits.evidenceTimeoutMs,
  })
  let pid = 0
  let stopRevocations = () => {}
  const relay = new Relay({
    client: arrival.stream,
    leftover,
    link,
    session,
    analyzer: knowledge.analyzer,
    catalog: knowledge.catalog,
    companion,
    atRest: context.atRest,
    cancelTarget: () =>
      cancelTarget({ dial: services.dial, connection, pid: link.pid, secret: link.secret, clock: services.clock }),
    ended: () => {
      keys.withdraw(pid)
      stopRevocations()
      knowledge.catalog.release()
      context.closed(relay)
    },
  })
  const key = keys.issue(relay, arrival.minor)
  pid = key.pid
  arrival.stream.write([
    ...[...link.parameterStatus].map(([name, value]) => encode.parameterStatus(name, value)),
    encode.backendKeyData(key.pid, key.secret),
    encode.readyForQuery('I'),
  ])
  context.opened(relay)
  relay.start()
  stopRevocations = services.control.onRevoked(opened.info.id, (reason) => relay.end(reason, reason.message))
}

async function connect(
  opened: OpenedSession,
  startupParameters: ReadonlyMap<string, string>,
  services: EngineServices,
): Promise<TargetLink> {
  return await connectTarget({
    dial: services.dial,
    connection: opened.target.connection as PostgresConnection,
    credential: opened.target.credential,
    startupParameters,
    random: services.random,
    clock: services.clock,
    limits: services.limits,
  })
}

/** A session of the gateway's own at the target: it cannot write, and its name says what it is. */
function gatewayParameters(purpose: string): ReadonlyMap<string, string> {
  return new Map([
    ['application_name', `sallyport (${purpose})`],
    ['client_encoding', 'UTF8'],
    ['default_transaction_read_only', 'on'],
    ['standard_conforming_strings', 'on'],
  ])
}

/** A session of the gateway's own, opened with the credential of the session that first needed it. */
export async function openGatewaySession(
  opened: OpenedSession,
  purpose: string,
  services: EngineServices,
): Promise<QueryClient> {
  return new QueryClient(await connect(opened, gatewayParameters(purpose), services))
}

const MAX_APPLICATION_CHARS = 64

function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?').slice(0, MAX_APPLICATION_CHARS)
}
