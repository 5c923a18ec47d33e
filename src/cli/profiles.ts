import { chmod, mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { z } from 'zod'
import { GatewayError } from '../kernel/index.ts'
import { makeDataFolder } from '../store/data-folder.ts'
import type { Terminal } from './toolbox.ts'

const profileSchema = z.strictObject({
  api: z.url({ protocol: /^https?$/ }),
  tokenId: z.string().min(1),
  secret: z.string().min(1),
  postgres: z.strictObject({ host: z.string().min(1), port: z.int().min(1).max(65535), tls: z.boolean().optional() }),
})

/** How a person, or their agent, reaches a gateway. Kept in a file that only its owner may read. */
export type Profile = z.output<typeof profileSchema>

const PROFILE_NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/
const DEFAULT_API = 'http://127.0.0.1:15480'
const DEFAULT_POSTGRES = { host: '127.0.0.1', port: 15432 }

export interface ProfileChoice {
  readonly name: string | undefined
  readonly dataFolder: string | undefined
}

/** `--data`, `SALLYPORT_DATA`, or `.sallyport` here. */
export function dataFolderOf(choice: ProfileChoice, terminal: Terminal): string {
  return path.resolve(terminal.cwd, choice.dataFolder ?? terminal.env['SALLYPORT_DATA'] ?? '.sallyport')
}

/** The profile in use; `SALLYPORT_TOKEN` (`id:secret`) and `SALLYPORT_API` override what is in its file. */
export async function currentProfile(choice: ProfileChoice, terminal: Terminal): Promise<Profile> {
  const { SALLYPORT_TOKEN: token, SALLYPORT_API: api, SALLYPORT_PROFILE: named } = terminal.env
  const name = choice.name ?? named ?? 'default'
  const folder = dataFolderOf(choice, terminal)
  const kept = await readProfile(folder, name)
  if (token !== undefined && token !== '') {
    const { tokenId, secret } = splitToken(token, 'SALLYPORT_TOKEN')
    return { api: api ?? kept?.api ?? DEFAULT_API, tokenId, secret, postgres: kept?.postgres ?? DEFAULT_POSTGRES }
  }
  if (kept !== undefined) return api === undefined ? kept : { ...kept, api }
  const others = await listProfiles(folder)
  throw new GatewayError('cli.usage', `There is no profile \`${name}\` in ${path.join(folder, 'profiles')}.`, {
    hint:
      others.length > 0
        ? `Choose one of: ${others.join(', ')} (--profile <name>).`
        : 'Start the demo (`sallyport demo`), add a profile (`sallyport profile add <name>`), or set SALLYPORT_TOKEN and SALLYPORT_API.',
  })
}

export function splitToken(token: string, where: string): { tokenId: string; secret: string } {
  const match = /^([^\s:]+):([^\s:]+)$/.exec(token.trim())
  if (match?.[1] === undefined || match[2] === undefined)
    throw new GatewayError('cli.usage', `${where} does not hold a token.`, { hint: 'A token looks like `id:secret`.' })
  return { tokenId: match[1], secret: match[2] }
}

function profileFile(folder: string, name: string): string {
  if (!PROFILE_NAME.test(name))
    throw new GatewayError('cli.usage', 'The name of the profile has characters that it may not have.')
  return path.join(folder, 'profiles', `${name}.json`)
}

export async function readProfile(folder: string, name: string): Promise<Profile | undefined> {
  const file = profileFile(folder, name)
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw new GatewayError('cli.usage', `The profile \`${name}\` cannot be read.`, {
      hint: `Look at the owner and the mode of ${file}.`,
      cause: error,
    })
  }
  const parsed = profileSchema.safeParse(parseJson(text))
  if (parsed.success) return parsed.data
  throw new GatewayError('cli.usage', `The profile \`${name}\` is damaged.`, {
    hint: `Add it again: sallyport profile add ${name}`,
  })
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Written whole or not at all, mode 0600 from its first byte. */
export async function saveProfile(folder: string, name: string, profile: Profile): Promise<string> {
  const file = profileFile(folder, name)
  await makeDataFolder(folder)
  await mkdir(path.dirname(file), { recursive: true, mode: 0o700 })
  const draft = `${file}.${process.pid}`
  await writeFile(draft, `${JSON.stringify(profile, null, 2)}\n`, { mode: 0o600 })
  await chmod(draft, 0o600)
  await rename(draft, file)
  return file
}

export async function listProfiles(folder: string): Promise<string[]> {
  const names = await readdir(path.join(folder, 'profiles')).catch(() => [] as string[])
  return names.flatMap((name) => (name.endsWith('.json') ? [name.slice(0, -'.json'.length)] : [])).sort()
}
