import type { Register } from '../context.ts'
import type { Profile } from '../profiles.ts'

export const registerConnect: Register = (parent, { run }) => {
  parent
    .command('connect <target>')
    .description("print the current profile's connection string for a target; it holds the token's secret")
    .option('--env', 'as PG* variables for a shell: eval "$(sallyport connect shop --env)"')
    .action(
      run(async (context, target: string, options: { env?: boolean }) => {
        const { output } = context
        const profile = await context.profile()
        const variables = connectVariables(profile, target)
        output.answer({ url: connectUrl(profile, target), env: variables }, () => {
          if (options.env !== true) output.line(connectUrl(profile, target))
          else for (const [name, value] of Object.entries(variables)) output.line(`export ${name}=${shellQuote(value)}`)
        })
        return undefined
      }),
    )
}

/** `postgres://id:secret@127.0.0.1:15432/shop` */
export function connectUrl({ tokenId, secret, postgres }: Profile, target: string): string {
  const host = postgres.host.includes(':') ? `[${postgres.host}]` : postgres.host
  const [user, password, database] = [tokenId, secret, target].map(encodeURIComponent)
  return `postgres://${user}:${password}@${host}:${postgres.port}/${database}${postgres.tls === true ? '?sslmode=verify-full' : ''}`
}

function connectVariables({ tokenId, secret, postgres }: Profile, target: string): Record<string, string> {
  return {
    PGHOST: postgres.host,
    PGPORT: String(postgres.port),
    PGUSER: tokenId,
    PGPASSWORD: secret,
    PGDATABASE: target,
    ...(postgres.tls === true ? { PGSSLMODE: 'verify-full' } : {}),
  }
}

function shellQuote(text: string): string {
  return /^[A-Za-z0-9_.:-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}
