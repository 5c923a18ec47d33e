import path from 'node:path'
import { pino } from 'pino'
import { connectUrl } from '../../cli/commands/connect.ts'
import { Output } from '../../cli/output.ts'
import type { Profile } from '../../cli/profiles.ts'
import type { DemoOptions, Terminal } from '../../cli/toolbox.ts'
import { systemClock } from '../../edge/clock.ts'
import type { GatewayError, Logger } from '../../kernel/index.ts'
import { type RunningGateway, startGateway } from '../compose.ts'
import { type Config, loadConfig } from '../config/index.ts'
import { createLogger } from '../logger.ts'
import { PROTOCOLS } from '../protocols.ts'
import { Signals } from '../signals.ts'
import { VERSION } from '../version.ts'
import { demoPlaces, rememberedPort, rememberPort, writeDemoFiles } from './files.ts'
import { freePort } from './ports.ts'
import { demoProfiles } from './profiles.ts'
import { type Shop, startShop } from './shop.ts'
import { tellDemo } from './words.ts'

/** Runs the gateway with a shop behind it until Ctrl-C. @returns the exit status */
export async function runDemo(options: DemoOptions, terminal: Terminal): Promise<number> {
  const output = new Output(terminal, options.json)
  const dataFolder = path.resolve(options.dataFolder)
  const places = demoPlaces(dataFolder)
  await writeDemoFiles(dataFolder)
  const logger = createLogger('info', pino.destination({ dest: places.log, mkdir: true, sync: true, mode: 0o600 }))
  const signals = new Signals()
  let shop: Shop | undefined
  try {
    output.line('Starting the demo ...')
    shop = await startDemoShop(dataFolder, logger, (error) => signals.fail(error))
    if (shop.filled) output.line('Made a shop: 500 customers, 2000 payments, orders, support tickets, API keys.')
    const config = await freePorts(await loadConfig(places.config, PROTOCOLS))
    const gateway = await startGateway(config, {
      version: VERSION,
      logger,
      environment: terminal.env,
      onFatal: (error) => signals.fail(error),
    })
    const agent = await prepared(gateway, config, dataFolder)
    signals.onReload(() => void gateway.policy.reload())
    const { api, postgres } = gateway
    const url = connectUrl(agent, 'shop')
    const serverFolder = shop.folder === places.shop ? undefined : path.dirname(shop.folder)
    const facts = { ready: true, url, api: api.url, postgres, dataFolder, log: places.log }
    output.answer(facts, () => tellDemo(output, { url, api: api.url, dataFolder, serverFolder, terminal }))
    return await signals.untilEnd({
      stop: () => gateway.stop(),
      hurry: () => gateway.hurry(),
      tell: (text) => output.aside(text),
    })
  } finally {
    await shop?.stop()
    signals.close()
  }
}

/** A gateway that runs but whose demo cannot be prepared is stopped again. */
async function prepared(gateway: RunningGateway, config: Config, dataFolder: string): Promise<Profile> {
  try {
    return await demoProfiles(gateway, config, dataFolder)
  } catch (error) {
    await gateway.stop()
    throw error
  }
}

async function startDemoShop(dataFolder: string, logger: Logger, onLost: (error: GatewayError) => void): Promise<Shop> {
  const places = demoPlaces(dataFolder)
  const remembered = await rememberedPort(places.config)
  const port = await freePort('127.0.0.1', remembered, [])
  const shop = await startShop({
    folder: places.shop,
    passwordFile: places.shopPassword,
    port,
    clock: systemClock,
    logger,
    onLost,
  })
  await rememberPort(places.config, shop.port)
  return shop
}

/** The configured ports, or the next free ones for this run: a demo should start beside whatever else runs. */
async function freePorts(config: Config): Promise<Config> {
  const { postgres } = config.listeners
  const postgresPort = await freePort(postgres.host, postgres.port, [])
  const apiPort = await freePort(config.api.host, config.api.port, [postgresPort])
  return {
    ...config,
    listeners: { ...config.listeners, postgres: { ...postgres, port: postgresPort } },
    api: { ...config.api, port: apiPort },
  }
}
