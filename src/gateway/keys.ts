import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { GatewayError, type Random } from '../kernel/index.ts'
import type { SecretResolver } from '../secrets/index.ts'
import type { Config } from './config/index.ts'

const KEY_BYTES = 32
const MIN_KEY_CHARACTERS = 16

/** The masking key: what the configuration refers to, or one that is made once and kept in the data folder. */
export async function maskingKey(config: Config, secrets: SecretResolver, random: Random): Promise<Buffer> {
  const { key } = config.masking
  if (key === undefined) return ownKey(path.join(config.dataFolder, 'keys', 'masking.key'), random)
  const value = (await secrets(key)).reveal()
  if (value.length >= MIN_KEY_CHARACTERS) return Buffer.from(value, 'utf8')
  throw new GatewayError('config.invalid', `The masking key has fewer than ${MIN_KEY_CHARACTERS} characters.`, {
    hint: 'Use a longer one, such as the output of: openssl rand -hex 32',
  })
}

async function ownKey(file: string, random: Random): Promise<Buffer> {
  const kept = await readFile(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw GatewayError.from(error, 'store.failed')
  })
  if (kept !== undefined) {
    if (kept.length === KEY_BYTES) return kept
    throw new GatewayError('store.failed', 'The masking key in the data folder is damaged.', {
      hint: 'Put it back from a backup: with another key the same values get other tokens.',
    })
  }
  await mkdir(path.dirname(file), { recursive: true, mode: 0o700 })
  const made = random.bytes(KEY_BYTES)
  await writeFile(file, made, { mode: 0o600, flag: 'wx' })
  await chmod(file, 0o600)
  return made
}
