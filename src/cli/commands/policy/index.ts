import path from 'node:path'
import type { z } from 'zod'
import { type ExplainRequest, type ExplanationView, explanationView, policyStatusView } from '../../../api/schemas.ts'
import type { Actor } from '../../../kernel/index.ts'
import { configFileOf } from '../../config-file.ts'
import type { Context, Register } from '../../context.ts'
import { printable, shortTime } from '../../output.ts'
import { problemText } from '../config/index.ts'

interface ExplainOptions {
  readonly target: string
  readonly as?: string
  readonly actor?: string
  readonly config?: string
  readonly online?: boolean
}

export const registerPolicy: Register = (parent, { run }) => {
  const policy = parent.command('policy').description('test and explain the rules')
  policy
    .command('test <files...>')
    .description(
      'run cases against policies: files with `cases`, and files with `rules` (default: the configured ones)',
    )
    .option('-c, --config <file>', 'configuration whose policies are tested when no file has `rules`')
    .action(
      run(async (context, files: string[], options: { config?: string }) => {
        const { testPolicies } = await import('./test.ts') // with the grammar, which is slow to load
        return testPolicies(context, files, options.config)
      }),
    )
  policy
    .command('explain <sql>')
    .description('what would become of a statement, and why; nothing is run')
    .requiredOption('--target <name>', 'where it would run')
    .option('--as <subject>', 'who would run it')
    .option(
      '--actor <name>',
      'the AI agent that would run it for them, such as claude-code; `service:<name>` for a program',
    )
    .option('-c, --config <file>', 'configuration (default: $SALLYPORT_CONFIG, then ./sallyport.yaml)')
    .option('--online', 'ask the running gateway instead of the configuration file')
    .action(run((context, sql: string, options: ExplainOptions) => explain(context, sql, options)))
  policy
    .command('status')
    .description('the rules in force at the gateway, and what is wrong with newer files')
    .action(
      run(async (context) =>
        tellStatus(context, await (await context.client()).get('/api/v1/policy', policyStatusView)),
      ),
    )
  policy
    .command('reload')
    .description('make the gateway read its policy files now')
    .action(
      run(async (context) =>
        tellStatus(context, await (await context.client()).post('/api/v1/policy/reload', {}, policyStatusView)),
      ),
    )
}

async function explain(context: Context, sql: string, options: ExplainOptions): Promise<undefined> {
  const { terminal, toolbox, output } = context
  const request: ExplainRequest = {
    sql,
    target: options.target,
    ...(options.as === undefined ? {} : { user: options.as }),
    ...(options.actor === undefined ? {} : { actor: actorNamed(options.actor) }),
  }
  const explanation =
    options.online === true
      ? await (await context.client()).post('/api/v1/policy/explain', request, explanationView)
      : await toolbox.explain(path.resolve(terminal.cwd, await configFileOf(context, options.config)), request)
  output.answer(explanation, () => tellExplanation(context, explanation))
}

function actorNamed(text: string): Actor {
  return text.startsWith('service:')
    ? { kind: 'service', name: text.slice('service:'.length) }
    : { kind: 'agent', name: text }
}

function tellExplanation({ output }: Context, explanation: ExplanationView): void {
  if (explanation.level === null)
    output.line(`${explanation.principal} has no grant for ${explanation.target}: the session would not open.`)
  for (const { text, words } of explanation.statements) {
    output.line(output.colors.bold(text))
    for (const line of words.split('\n')) output.line(`  ${printable(line)}`)
  }
  if (explanation.statements.length === 0) output.line('There is no statement in the text.')
}

function tellStatus({ output, terminal }: Context, status: z.output<typeof policyStatusView>): number {
  output.answer(status, () => {
    output.fields([
      [
        'rules',
        status.rules
          .map((rule) => `${rule.name} (${rule.effect}${rule.mode === 'observe' ? ', observe' : ''})`)
          .join('\n'),
      ],
      ['digest', status.digest],
      ['loaded', `${shortTime(status.loadedAt)} UTC`],
      ['files', status.sources.join('\n')],
    ])
    if (status.problems.length === 0) return
    output.line(`\n${output.colors.red('The newest files have problems, so these older rules stay in force:')}`)
    for (const problem of status.problems) output.line(problemText(problem, terminal.cwd))
  })
  return status.problems.length === 0 ? 0 : 4
}
