import path from 'node:path'
import { configFileOf } from '../../config-file.ts'
import type { Context, Register } from '../../context.ts'
import type { FileProblem } from '../../toolbox.ts'

export const registerConfig: Register = (parent, { run }) => {
  const config = parent.command('config').description('check the configuration, or print its JSON Schema')
  config
    .command('check [file]')
    .description('tell everything that is wrong with a configuration and its policies')
    .option('-c, --config <file>', 'the same as the argument')
    .action(
      run((context, file: string | undefined, options: { config?: string }) => check(context, file ?? options.config)),
    )
  config
    .command('schema [which]')
    .description('print the JSON Schema of `config` (default) or `policy` files')
    .action(
      run(async ({ toolbox, terminal }, which: string | undefined) => {
        const schema = await (which === 'policy' ? toolbox.policySchema() : toolbox.configSchema())
        terminal.stdout.write(`${JSON.stringify(schema, null, 2)}\n`)
        return 0
      }),
    )
}

async function check(context: Context, given: string | undefined): Promise<number> {
  const { output, toolbox, terminal } = context
  const file = await configFileOf(context, given)
  const problems = await toolbox.checkConfig(path.resolve(terminal.cwd, file))
  output.answer({ file, ok: problems.length === 0, problems }, () => {
    for (const problem of problems) output.line(problemText(problem, terminal.cwd))
    if (problems.length === 0) output.line(`${file} is fine.`)
    else output.line(`\n${problems.length === 1 ? '1 problem' : `${problems.length} problems`} in ${file}.`)
  })
  return problems.length === 0 ? 0 : 4
}

/** `sallyport.yaml:4:9  store.kind  must be …` */
export function problemText(problem: FileProblem, cwd: string): string {
  const near = path.relative(cwd, problem.source)
  const source = path.isAbsolute(problem.source) && !near.startsWith('..') ? near : problem.source
  const place = problem.line === undefined ? '' : `:${problem.line}:${problem.column ?? 1}`
  return [`${source}${place}`, problem.path, problem.message].filter((part) => part !== '').join('  ')
}
