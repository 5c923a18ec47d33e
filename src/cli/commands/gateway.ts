import path from 'node:path'
import { configFileOf } from '../config-file.ts'
import type { Register } from '../context.ts'

export const registerGateway: Register = (parent, { run }) => {
  parent
    .command('gateway')
    .description('run the gateway until Ctrl-C')
    .option('-c, --config <file>', 'configuration (default: $SALLYPORT_CONFIG, then ./sallyport.yaml)')
    .action(
      run(async (context, options: { config?: string }) => {
        const config = path.resolve(context.terminal.cwd, await configFileOf(context, options.config))
        return context.toolbox.runGateway({ config, json: context.output.json }, context.terminal)
      }),
    )
}
