import { Output } from '../cli/output.ts'
import type { GatewayOptions, Terminal } from '../cli/toolbox.ts'
import { GatewayError } from '../kernel/index.ts'
import { type RunningGateway, startGateway } from './compose.ts'
import { loadConfig } from './config/index.ts'
import { createLogger } from './logger.ts'
import { PROTOCOLS } from './protocols.ts'
import { Signals } from './signals.ts'
import { VERSION } from './version.ts'

/** Runs the gateway until a signal or until something it needs is gone. @returns the exit status */
export async function runGateway(options: GatewayOptions, terminal: Terminal): Promise<number> {
  const config = await loadConfig(options.config, PROTOCOLS)
  const logger = createLogger(config.logLevel)
  const signals = new Signals()
  try {
    const gateway = await startGateway(config, {
      version: VERSION,
      logger,
      environment: terminal.env,
      onFatal: (error) => signals.fail(error),
    })
    signals.onReload(() => void reload(gateway, options.config, logger))
    const output = new Output(terminal, options.json)
    const { api, postgres } = gateway
    output.answer({ ready: true, api: api.url, postgres }, () => {
      output.line(`Sallyport is ready. PostgreSQL: ${postgres.host}:${postgres.port}  API: ${api.url}`)
    })
    return await signals.untilEnd({
      stop: () => gateway.stop(),
      hurry: () => gateway.hurry(),
      tell: (text) => output.aside(text),
    })
  } finally {
    signals.close()
  }
}

/** People, grants, targets and policies of a file that is fine; a broken file changes nothing and says so. */
async function reload(gateway: RunningGateway, file: string, logger: ReturnType<typeof createLogger>): Promise<void> {
  try {
    await gateway.reconfigure(await loadConfig(file, PROTOCOLS))
    logger.info('configuration loaded again')
  } catch (error) {
    logger.error('CONFIGURATION NOT LOADED: the file has problems, so what was loaded before stays in force', {
      problems: GatewayError.from(error).message,
    })
  }
}
