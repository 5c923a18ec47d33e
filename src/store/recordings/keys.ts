import { generateKeyPairSync } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { GatewayError, type Random } from '../../kernel/index.ts'
import {
  KEY_BYTES,
  makeSigner,
  makeWrappingKey,
  parseVerifier,
  type RecordingKeys,
  type Verifier,
  type WrappingKey,
} from '../../recording/index.ts'
import { isMissing, readIfThere, writeDurably } from './files.ts'

const RECORDING_KEY = 'recording.key'
const AUDIT_KEY = 'audit.key'
const AUDIT_PUBLIC = 'audit.pub'
const INSTALLATION = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/

function invalid(message: string): GatewayError {
  return new GatewayError('recording.invalid', message)
}

/** A key that others can read is no secret. */
async function readSecret(path: string): Promise<Buffer | undefined> {
  try {
    const { mode } = await stat(path)
    if ((mode & 0o077) !== 0) throw invalid(`${path} can be read by others; run: chmod 600 ${path}`)
    return await readFile(path)
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

async function secretOrNew(path: string, create: boolean, make: () => Buffer): Promise<Buffer> {
  const known = await readSecret(path)
  if (known !== undefined) return known
  if (!create) throw invalid(`${path} is missing, and recordings made with it are here. Put the key back.`)
  const made = make()
  await writeDurably(path, made)
  return made
}

/**
 * The installation's keys from its folder: `recording.key` (32 bytes) wraps the sessions' data keys, `audit.key`
 * (Ed25519, PKCS #8 PEM) signs, `audit.pub` is all that verification needs.
 * @param options.create - Nothing was recorded yet, so missing keys may be made.
 */
export async function loadRecordingKeys(options: {
  readonly folder: string
  readonly installation: string
  readonly create: boolean
  readonly random: Random
}): Promise<RecordingKeys> {
  const { folder, installation, create, random } = options
  if (!INSTALLATION.test(installation)) {
    throw new GatewayError('config.invalid', 'An installation name has 1 to 63 letters, digits, dots, _ or -.')
  }
  const wrapping = await secretOrNew(join(folder, RECORDING_KEY), create, () => random.bytes(KEY_BYTES))
  const pem = await secretOrNew(join(folder, AUDIT_KEY), create, () => {
    const { privateKey } = generateKeyPairSync('ed25519')
    return Buffer.from(privateKey.export({ type: 'pkcs8', format: 'pem' }))
  })
  const signer = makeSigner(`sallyport/${installation}`, pem.toString('utf8'))
  const publicPath = join(folder, AUDIT_PUBLIC)
  const known = await readIfThere(publicPath)
  if (known === undefined) await writeDurably(publicPath, Buffer.from(`${signer.vkey}\n`))
  else if (known.toString('utf8').trim() !== signer.vkey) {
    throw invalid(`${publicPath} does not belong to the signing key of the installation ${installation}.`)
  }
  return { wrapping: makeWrappingKey(wrapping), signer }
}

/** For reading recordings without the signing key. */
export async function loadWrappingKey(folder: string): Promise<WrappingKey> {
  const key = await readSecret(join(folder, RECORDING_KEY))
  if (key === undefined) throw invalid(`${join(folder, RECORDING_KEY)} is missing.`)
  return makeWrappingKey(key)
}

/** @param path - A file with a verifier key, such as `keys/audit.pub`. */
export async function loadVerifier(path: string): Promise<Verifier> {
  const text = await readIfThere(path)
  if (text === undefined) throw invalid(`There is no verifier key at ${path}.`)
  return parseVerifier(text.toString('utf8'))
}
