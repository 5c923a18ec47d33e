import type { Register } from '../context.ts'

export const registerDemo: Register = (parent, { run }) => {
  parent
    .command('demo')
    .description('run the gateway with a demo shop behind it, until Ctrl-C')
    .action(
      run((context) =>
        context.toolbox.runDemo({ dataFolder: context.dataFolder, json: context.output.json }, context.terminal),
      ),
    )
}
