import { createInterface } from 'node:readline'
import { whoamiView } from '../../../api/schemas.ts'
import { ApiClient } from '../../client.ts'
import type { Context, Register } from '../../context.ts'
import { usageError } from '../../failure.ts'
import { listProfiles, saveProfile, splitToken } from '../../profiles.ts'

interface AddOptions {
  readonly api: string
  readonly postgres: string
  readonly tls?: boolean
}

export const registerProfile: Register = (parent, { run }) => {
  const profile = parent.command('profile').alias('profiles').description('tokens kept on this machine')
  profile
    .command('list')
    .description('names of the profiles')
    .action(
      run(async ({ output, dataFolder }) => {
        const names = await listProfiles(dataFolder)
        output.answer({ items: names }, () =>
          output.table(
            ['PROFILE'],
            names.map((name) => [name]),
            'There are no profiles.',
          ),
        )
        return undefined
      }),
    )
  profile
    .command('add <name>')
    .description('keep a token, read from $SALLYPORT_TOKEN or standard input, never from the command line')
    .option('--api <url>', "the gateway's API", 'http://127.0.0.1:15480')
    .option('--postgres <host:port>', "the gateway's PostgreSQL listener", '127.0.0.1:15432')
    .option('--tls', 'the listener takes TLS: use it, and verify its certificate')
    .action(run((context, name: string, options: AddOptions) => add(context, name, options)))
}

async function add(context: Context, name: string, options: AddOptions): Promise<undefined> {
  const { output, terminal } = context
  const place = /^(.+):(\d{1,5})$/.exec(options.postgres)
  if (place?.[1] === undefined || place[2] === undefined)
    throw usageError('--postgres is not an address.', 'Write it like 127.0.0.1:15432.')
  const token = terminal.env['SALLYPORT_TOKEN'] ?? (await firstLine(context))
  const { tokenId, secret } = splitToken(token, 'What was read')
  const postgres = { host: place[1], port: Number(place[2]), ...(options.tls === true ? { tls: true } : {}) }
  const profile = { api: options.api, tokenId, secret, postgres }
  const who = await new ApiClient(profile).get('/api/v1/whoami', whoamiView)
  const file = await saveProfile(context.dataFolder, name, profile)
  output.answer({ profile: name, file, principal: who.principal.label }, () =>
    output.line(`Profile \`${name}\` acts as ${who.principal.label}.`),
  )
}

async function firstLine({ terminal }: Context): Promise<string> {
  if (terminal.stdin.isTTY === true) terminal.stderr.write('Token (id:secret): ')
  for await (const line of createInterface({ input: terminal.stdin })) return line
  return ''
}
