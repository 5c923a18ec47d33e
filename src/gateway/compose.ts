import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { createApi } from '../api/server.ts'
import { systemClock } from '../edge/clock.ts'
import { makeDial } from '../edge/dial.ts'
import { type Listener, listen } from '../edge/listen.ts'
import { systemRandom } from '../edge/random.ts'
import type { EngineServices, Protocol } from '../engine/index.ts'
import { type ByteStream, GatewayError, type Logger } from '../kernel/index.ts'
import { Masker } from '../masking/index.ts'
import { createSecretResolver, type SecretResolver } from '../secrets/index.ts'
import { loadParser } from '../sql/index.ts'
import { makeDataFolder } from '../store/data-folder.ts'
import { openStore, type Store } from '../store/index.ts'
import { type RecordingFolders, Recordings, recordingFolders } from '../store/recordings/index.ts'
import { createApiServices } from './api-services.ts'
import type { Config } from './config/index.ts'
import { createControlPlane, type GatewayControl } from './control-plane.ts'
import { maskingKey } from './keys.ts'
import { PolicyKeeper } from './policy-keeper.ts'
import { PROTOCOLS } from './protocols.ts'
import { controlSettings } from './settings.ts'

export interface GatewaySurroundings {
  readonly version: string
  readonly logger: Logger
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Something that the gateway cannot go on without is gone. It is stopping; the process should end. */
  readonly onFatal: (error: GatewayError) => void
}

export interface RunningGateway {
  readonly api: { readonly url: string; readonly host: string; readonly port: number }
  readonly postgres: { readonly host: string; readonly port: number }
  readonly control: GatewayControl
  readonly policy: PolicyKeeper
  /** Puts another configuration in force: people, grants, targets and policies. The rest needs a restart. */
  reconfigure(config: Config): Promise<void>
  /** Takes no new sessions, gives running operations their time, and stops. Idempotent. */
  stop(): Promise<void>
  /** Ends what `stop` still waits for. */
  hurry(): void
}

/** Undoes what was started, the last thing first. */
class Closers {
  readonly #stack: (() => Promise<void> | void)[] = []
  readonly #logger: Logger

  constructor(logger: Logger) {
    this.#logger = logger
  }

  add(close: () => Promise<void> | void): void {
    this.#stack.push(close)
  }

  async run(): Promise<void> {
    for (let close = this.#stack.pop(); close !== undefined; close = this.#stack.pop())
      try {
        await close()
      } catch (error) {
        const { code, detail } = GatewayError.from(error)
        this.#logger.error('a part could not be stopped in order', { code, detail })
      }
  }
}

/**
 * Opens every part, introduces them to each other, and listens.
 *
 * @throws GatewayError when a part cannot start; what was started has been stopped again.
 */
export async function startGateway(config: Config, surroundings: GatewaySurroundings): Promise<RunningGateway> {
  const closers = new Closers(surroundings.logger)
  try {
    return await start(config, surroundings, closers)
  } catch (error) {
    await closers.run()
    throw GatewayError.from(error)
  }
}

/** The parts below the listeners. */
interface Parts {
  readonly secrets: SecretResolver
  readonly store: Store
  readonly folders: RecordingFolders
  readonly recordings: Recordings
  readonly policy: PolicyKeeper
  readonly control: GatewayControl
}

async function start(given: Config, surroundings: GatewaySurroundings, closers: Closers): Promise<RunningGateway> {
  const { logger, version } = surroundings
  let config = given
  let publicUrl = config.api.publicUrl ?? localUrl(config, config.api.port)
  let draining = false
  const parts = await openParts(config, publicUrl, surroundings, closers)
  const { control, policy, recordings, folders } = parts
  const doors = await openDoors(config, parts, logger, closers)
  const services = createApiServices({
    version,
    config: () => config,
    control,
    policy,
    recordings,
    folders,
    draining: () => draining,
    now: () => systemClock.now(),
  })
  const tls = await tlsOf(config.api.tls)
  const api = await createApi({
    services,
    logger,
    maxBodyBytes: config.api.maxBodyBytes,
    ...(tls === undefined ? {} : { tls }),
  })
  closers.add(() => api.close())
  const apiPort = await listenApi(
    () => api.listen({ host: config.api.host, port: config.api.port }),
    () => api.server.address(),
  )
  if (config.api.publicUrl === undefined && apiPort !== config.api.port) {
    publicUrl = localUrl(config, apiPort)
    control.reconfigure(controlSettings(config, publicUrl))
  }
  await recordings.audit.append({
    type: 'gateway_started',
    by: 'gateway',
    details: { version, instance: control.instance },
  })
  policy.watch()
  recordings.space.onLevel((level) => {
    if (level === 'end') void endSessions(parts, logger)
  })
  const [postgres] = doors
  if (postgres === undefined) throw new GatewayError('config.invalid', 'No listener is configured.')
  logger.info('gateway started', {
    api: publicUrl,
    postgres: `${postgres.listener.address.host}:${postgres.listener.address.port}`,
  })
  let stopping: Promise<void> | undefined
  const stop = async () => {
    const drainMs = config.limits.drainTimeoutMs
    draining = true
    control.drain()
    await Promise.all(doors.map(({ listener }) => listener.close()))
    await Promise.all(doors.map(({ protocol }) => protocol.drain(drainMs)))
    for (const { listener } of doors) listener.destroyStreams()
    await recordings.audit.append({ type: 'gateway_stopped', by: 'gateway', details: { instance: control.instance } })
    await closers.run()
    logger.info('gateway stopped')
  }
  return {
    api: { url: publicUrl, host: config.api.host, port: apiPort },
    postgres: postgres.listener.address,
    control,
    policy,
    reconfigure: async (next) => {
      config = next
      control.reconfigure(controlSettings(next, next.api.publicUrl ?? publicUrl))
      await policy.reload(next.policies)
    },
    stop: () => {
      stopping ??= stop().finally(() => closers.run())
      return stopping
    },
    hurry: () => {
      for (const { listener } of doors) listener.destroyStreams()
    },
  }
}

async function openParts(
  config: Config,
  publicUrl: string,
  { logger, environment, onFatal }: GatewaySurroundings,
  closers: Closers,
): Promise<Parts> {
  const clock = systemClock
  const random = systemRandom
  await loadParser()
  await makeDataFolder(config.dataFolder)
  const secrets = createSecretResolver({ environment, log: logger })
  const store = await openStore(await storeOptions(config, secrets), {
    clock,
    log: logger,
    onLost: (error) => onFatal(GatewayError.from(error, 'store.failed')),
  })
  closers.add(() => store.close())
  const folders = { ...recordingFolders(config.dataFolder), recordings: config.recording.folder }
  const recordings = await Recordings.open({
    folders,
    installation: config.name,
    clock,
    random,
    logger,
    limits: {
      maxRowsPerOperation: config.recording.maxRecordedRows,
      maxBytesPerOperation: config.recording.maxRecordedBytes,
      syncIntervalMs: config.recording.syncIntervalMs,
      maxLagMs: config.recording.maxUnsyncedMs,
    },
  })
  closers.add(() => recordings.close())
  const policy = await PolicyKeeper.open({
    sources: config.policies,
    clock,
    logger,
    changed: ({ snapshot, problems }) => {
      const details = { digest: snapshot.digest, rules: snapshot.rules.length, problems: problems.length }
      const type = problems.length > 0 ? ('policy_rejected' as const) : ('policy_loaded' as const)
      recordings.audit
        .append({ type, by: 'gateway', details })
        .catch((error: unknown) => logger.error('a policy change could not be logged', { reason: String(error) }))
    },
  })
  closers.add(() => policy.close())
  const control = await createControlPlane({
    store,
    clock,
    random,
    log: logger,
    secrets,
    settings: controlSettings(config, publicUrl),
    audit: (entry) => recordings.audit.append(entry),
    leftBehind: recordings.recovered,
  })
  closers.add(() => control.close())
  return { secrets, store, folders, recordings, policy, control }
}

/** The disk for recordings is full: sessions end while their recordings can still be closed. */
async function endSessions({ control, store }: Parts, logger: Logger): Promise<void> {
  for (const session of control.liveSessions)
    try {
      await store.sessions.kill(session.id, 'gateway', 'The disk for recordings is full.')
    } catch (error) {
      logger.error('a session could not be told to end', { session: session.id, code: GatewayError.from(error).code })
    }
}

interface Door {
  readonly protocol: Protocol
  readonly listener: Listener
}

async function openDoors(config: Config, parts: Parts, logger: Logger, closers: Closers): Promise<readonly Door[]> {
  const masker = new Masker({ key: await maskingKey(config, parts.secrets, systemRandom) })
  const doors: Door[] = []
  for (const { type, create } of PROTOCOLS) {
    const { host, port, tls: files, requireTls } = config.listeners[type]
    const tls = await tlsOf(files)
    const services: EngineServices = {
      control: parts.control,
      policy: parts.policy.snapshot,
      openJournal: (session, mode) => parts.recordings.create(session, mode),
      masker,
      clock: systemClock,
      random: systemRandom,
      logger,
      dial: makeDial({ connectTimeoutMs: config.limits.connectTimeoutMs }),
      limits: {
        ...config.limits,
        maxRecordedRows: config.recording.maxRecordedRows,
        maxRecordedBytes: config.recording.maxRecordedBytes,
      },
      tls: { available: tls !== undefined, required: requireTls },
    }
    const protocol = create(services)
    const { maxConnections, maxUnauthenticatedConnections } = config.limits
    const listener: Listener = await listen({
      host,
      port,
      tls,
      setting: `listeners.${type}`,
      limits: { maxConnections },
      onStream: (stream) => {
        // Whoever has no session yet is a stranger; too many of them are turned away before they cost anything.
        const strangers = listener.connections - protocol.sessionCount
        if (strangers <= maxUnauthenticatedConnections) protocol.serve(stream)
        else if (strangers <= 2 * maxUnauthenticatedConnections) turnAway(protocol, stream)
        else stream.destroy() // a flood is not even told: whoever is told stays until they have read it
      },
    })
    closers.add(() => {
      listener.destroyStreams()
      return listener.close()
    })
    doors.push({ protocol, listener })
  }
  return doors
}

function turnAway(protocol: Protocol, stream: ByteStream): void {
  if (protocol.refuse === undefined) stream.destroy()
  else protocol.refuse(stream)
}

async function storeOptions(config: Config, secrets: SecretResolver) {
  if (config.store.kind === 'embedded')
    return { kind: 'embedded' as const, folder: path.join(config.dataFolder, 'store') }
  return { kind: 'postgres' as const, url: (await secrets(config.store.url)).reveal() }
}

async function tlsOf(files: { readonly certFile: string; readonly keyFile: string } | undefined) {
  if (files === undefined) return undefined
  try {
    const [cert, key] = await Promise.all([readFile(files.certFile, 'utf8'), readFile(files.keyFile, 'utf8')])
    return { cert, key }
  } catch (error) {
    throw new GatewayError('config.invalid', 'The certificate or the key of a listener cannot be read.', {
      cause: error,
    })
  }
}

async function listenApi(start: () => Promise<unknown>, address: () => unknown): Promise<number> {
  try {
    await start()
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown failure'
    throw new GatewayError('config.invalid', `The API cannot listen at its address (${code}).`, {
      hint:
        code === 'EADDRINUSE'
          ? 'Something else uses the port: choose another one as api.port.'
          : 'Check api.host and api.port.',
      cause: error,
    })
  }
  const bound = address()
  return typeof bound === 'object' && bound !== null && 'port' in bound ? Number(bound.port) : 0
}

function localUrl(config: Config, port: number): string {
  const { host, tls } = config.api
  const named = host === '0.0.0.0' || host === '::' ? 'localhost' : host.includes(':') ? `[${host}]` : host
  return `${tls === undefined ? 'http' : 'https'}://${named}:${port}`
}
