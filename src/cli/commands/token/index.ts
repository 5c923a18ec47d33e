import path from 'node:path'
import { Option } from 'commander'
import { z } from 'zod'
import { type NewToken, newTokenView, type TokenRequest, tokenView } from '../../../api/schemas.ts'
import { ACCESS_LEVELS, type AccessLevel, type ActorKind } from '../../../kernel/index.ts'
import type { Context, Register } from '../../context.ts'
import { durationOf } from '../../duration.ts'
import { shortTime } from '../../output.ts'
import { saveProfile } from '../../profiles.ts'
import type { ProfileAddress } from '../../toolbox.ts'

interface CreateOptions {
  readonly user: string
  readonly name?: string
  readonly target?: readonly string[]
  readonly level?: string
  readonly agent?: string
  readonly service?: string
  readonly expires?: string
  readonly save?: string
  readonly config?: string
}

export const registerToken: Register = (parent, { run }) => {
  const token = parent.command('token').alias('tokens').description('make, list and revoke tokens')
  token
    .command('create')
    .description('make a token; its secret is shown this once')
    .requiredOption('--user <subject>', 'whom it is for')
    .option('--agent <name>', 'the AI agent that will act with it, such as claude-code')
    .option('--service <name>', 'the program that will act with it')
    .option('--name <text>', 'what it is for, for people')
    .option('--target <name...>', 'targets that it may open (default: all that the grants allow)')
    .addOption(new Option('--level <level>', 'cap on what the grants give').choices([...ACCESS_LEVELS]))
    .option('--expires <time>', 'such as 8h or 30d (default: 30d)')
    .option('--save <profile>', 'keep it as a profile, in the data folder, instead of printing the secret')
    .option('-c, --config <file>', "offline: write to this configuration's store; for the first administrator")
    .action(run((context, options: CreateOptions) => create(context, options)))
  token
    .command('list')
    .description('your tokens; all of them for administrators')
    .action(run((context) => list(context)))
  token
    .command('revoke <id>')
    .description('end a token and its live sessions')
    .action(run((context, id: string) => revoke(context, id)))
}

async function create(context: Context, options: CreateOptions): Promise<undefined> {
  const { output } = context
  const request: TokenRequest = {
    user: options.user,
    ...(options.name === undefined ? {} : { name: options.name }),
    ...(options.target === undefined ? {} : { targets: [...options.target] }),
    ...(isLevel(options.level) ? { level: options.level } : {}),
    ...actorOf(options),
    ...(options.expires === undefined ? {} : { expiresInMs: durationOf(options.expires, '--expires') }),
  }
  const { made, address, folder } = await make(context, request, options.config)
  if (options.save !== undefined) {
    const profile = options.save
    const file = await saveProfile(folder, profile, { ...address, tokenId: made.token.id, secret: made.secret })
    output.answer({ token: made.token, profile, file }, () => {
      output.line(`Token ${made.token.id} for ${made.token.principal} is kept in the profile \`${profile}\`: ${file}`)
      if (folder !== context.dataFolder) output.line(`Use it with --data ${folder} --profile ${profile}.`)
    })
    return
  }
  output.answer(made, () => {
    output.fields([
      ['token', `${made.token.id}:${made.secret}`],
      ['for', made.token.principal],
      ['expires', `${shortTime(made.token.expiresAt)} UTC`],
    ])
    output.line('\nThe part after the colon is shown this once and kept nowhere.')
  })
}

interface Made {
  readonly made: NewToken
  readonly address: ProfileAddress
  /** Where its profile belongs. */
  readonly folder: string
}

/** By the running gateway, or by the configuration's store. */
async function make(context: Context, request: TokenRequest, config: string | undefined): Promise<Made> {
  const { terminal, toolbox } = context
  if (config === undefined) {
    const { api, postgres } = await context.profile()
    const made = await (await context.client()).post('/api/v1/tokens', request, newTokenView)
    return { made, address: { api, postgres }, folder: context.dataFolder }
  }
  const { token, secret, profile, dataFolder } = await toolbox.createToken(path.resolve(terminal.cwd, config), request)
  const folder = context.dataFolderChosen ? context.dataFolder : dataFolder
  return { made: { token, secret }, address: profile, folder }
}

function isLevel(level: string | undefined): level is AccessLevel {
  return ACCESS_LEVELS.some((one) => one === level)
}

function actorOf(options: CreateOptions): { actor?: { kind: ActorKind; name: string } } {
  if (options.agent !== undefined) return { actor: { kind: 'agent', name: options.agent } }
  if (options.service !== undefined) return { actor: { kind: 'service', name: options.service } }
  return {}
}

async function list(context: Context): Promise<undefined> {
  const { output } = context
  const page = await (await context.client()).get('/api/v1/tokens', z.object({ items: z.array(tokenView) }))
  output.answer(page, () =>
    output.table(
      ['ID', 'FOR', 'CREATED (UTC)', 'EXPIRES', 'STATE'],
      page.items.map((one) => [
        one.id,
        one.principal,
        shortTime(one.createdAt),
        shortTime(one.expiresAt),
        one.revokedAt === null ? 'in force' : `revoked ${shortTime(one.revokedAt)}`,
      ]),
      'There are no tokens that you may see.',
    ),
  )
}

async function revoke(context: Context, id: string): Promise<undefined> {
  const { output } = context
  const token = await (await context.client()).post(`/api/v1/tokens/${encodeURIComponent(id)}/revoke`, {}, tokenView)
  output.answer(token, () => output.line(`Token ${token.id} of ${token.principal} is revoked; its sessions end now.`))
}
