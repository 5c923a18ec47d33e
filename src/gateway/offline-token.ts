import path from 'node:path'
import type { TokenRequest } from '../api/schemas.ts'
import type { OfflineToken, ProfileAddress } from '../cli/toolbox.ts'
import { type Clock, GatewayError, type Logger, type Random } from '../kernel/index.ts'
import type { SecretResolver } from '../secrets/index.ts'
import { makeDataFolder } from '../store/data-folder.ts'
import { openStore } from '../store/index.ts'
import { Recordings, recordingFolders } from '../store/recordings/index.ts'
import { viewToken } from './api-views.ts'
import type { Config } from './config/index.ts'
import { createControlPlane } from './control-plane.ts'
import { controlSettings, findUser } from './settings.ts'

export interface OfflineSurroundings {
  readonly logger: Logger
  readonly secrets: SecretResolver
  readonly clock: Clock
  readonly random: Random
}

/**
 * Makes a token directly in the store, logged in the audit log as any other: for the first administrator, by whoever
 * may read the gateway's own files. The gateway must not be running, since both write the audit log.
 */
export async function issueTokenOffline(
  config: Config,
  request: TokenRequest,
  surroundings: OfflineSurroundings,
): Promise<OfflineToken> {
  try {
    return await issue(config, request, surroundings)
  } catch (error) {
    if (!(error instanceof GatewayError) || error.code !== 'store.locked') throw error
    throw new GatewayError('store.locked', error.message, {
      hint: 'Leave out --config to ask the running gateway, or stop that gateway first.',
      cause: error,
    })
  }
}

async function issue(
  config: Config,
  request: TokenRequest,
  { logger, secrets, clock, random }: OfflineSurroundings,
): Promise<OfflineToken> {
  const identity = findUser(config, request.user)
  if (identity === undefined)
    throw new GatewayError('cli.usage', `The configuration lists no user \`${request.user}\`.`, {
      hint: `Its users: ${config.users.map((user) => user.subject).join(', ') || 'none'}.`,
    })
  await makeDataFolder(config.dataFolder)
  const folders = { ...recordingFolders(config.dataFolder), recordings: config.recording.folder }
  const recordings = await Recordings.open({ folders, installation: config.name, clock, random, logger })
  try {
    const options =
      config.store.kind === 'embedded'
        ? { kind: 'embedded' as const, folder: path.join(config.dataFolder, 'store') }
        : { kind: 'postgres' as const, url: (await secrets(config.store.url)).reveal() }
    const store = await openStore(options, { clock, log: logger })
    try {
      const settings = controlSettings(config, config.api.publicUrl ?? '')
      const audit = (entry: Parameters<typeof recordings.audit.append>[0]) => recordings.audit.append(entry)
      const control = await createControlPlane({
        store,
        clock,
        random,
        log: logger,
        secrets,
        settings,
        audit,
        leftBehind: recordings.recovered,
      })
      try {
        const made = await control.administration.issueToken(
          {
            name: request.name ?? '',
            identity,
            actor: request.actor ?? { kind: 'human', name: identity.subject },
            targets: request.targets,
            levelCap: request.level,
            expiresInMs: request.expiresInMs,
          },
          'command line',
        )
        return {
          token: viewToken(made.token),
          secret: made.secret,
          profile: addressOf(config),
          dataFolder: config.dataFolder,
        }
      } finally {
        await control.close()
      }
    } finally {
      await store.close()
    }
  } finally {
    recordings.close()
  }
}

function addressOf(config: Config): ProfileAddress {
  const { host, port, tls } = config.listeners.postgres
  const scheme = config.api.tls === undefined ? 'http' : 'https'
  return {
    api: config.api.publicUrl ?? `${scheme}://${config.api.host}:${config.api.port}`,
    postgres: { host, port, ...(tls === undefined ? {} : { tls: true }) },
  }
}
