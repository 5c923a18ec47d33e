import { constants, open } from 'node:fs/promises'
import { GatewayError, type Logger } from '../kernel/index.ts'
import { Secret } from './secret.ts'

/** No credential is longer; it keeps a reference to /dev/zero or a log from filling the memory. */
const MAX_SECRET_BYTES = 65_536
/** Anybody else's permission bits. */
const OTHERS = 0o077

export type SecretResolver = (reference: string) => Promise<Secret>

export interface SecretSources {
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly log: Logger
}

/**
 * Turns references into secrets: `env:NAME`, `file:/path`, and `plain:value` where a value must be written in place.
 * Each call looks again, so a rotated secret is seen by the next session.
 *
 * The resolver rejects with GatewayError `secret.unresolved`, whose text and detail hold neither value nor contents.
 */
export function createSecretResolver(sources: SecretSources): SecretResolver {
  const warned = new Set<string>()
  return async (reference) => {
    const colon = reference.indexOf(':')
    const scheme = reference.slice(0, Math.max(0, colon))
    const rest = reference.slice(colon + 1)
    switch (scheme) {
      case 'env':
        return fromEnvironment(sources.environment, rest)
      case 'file':
        return fromFile(rest, (detail) => {
          if (warned.has(rest)) return
          warned.add(rest)
          sources.log.warn('other users of this machine can read a file with a secret', { file: rest, mode: detail })
        })
      case 'plain':
        return new Secret(rest)
      default:
        // What was written here may itself be the secret, so it is not repeated.
        throw unresolved('it is no reference; write env:NAME or file:/path')
    }
  }
}

function fromEnvironment(environment: SecretSources['environment'], name: string): Secret {
  const value = environment[name]
  if (value === undefined || value === '') throw unresolved(`the environment variable ${name} is not set`)
  return new Secret(value)
}

/** The file's text without the line break that editors put at its end. */
async function fromFile(path: string, readableByOthers: (mode: string) => void): Promise<Secret> {
  let text: string
  try {
    // Not blocking, or a pipe without a writer would keep the session waiting for ever.
    const file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0))
    try {
      const stat = await file.stat()
      if (!stat.isFile()) throw unresolved(`${path} is not a file`)
      if (stat.size > MAX_SECRET_BYTES) throw unresolved(`${path} is over ${MAX_SECRET_BYTES} bytes`)
      if (process.platform !== 'win32' && (stat.mode & OTHERS) !== 0) readableByOthers((stat.mode & 0o777).toString(8))
      text = await file.readFile('utf8')
    } finally {
      await file.close()
    }
  } catch (error) {
    if (error instanceof GatewayError) throw error
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown failure'
    throw unresolved(`${path} cannot be read (${code})`)
  }
  const value = text.replace(/\r?\n$/, '')
  if (value === '') throw unresolved(`${path} is empty`)
  return new Secret(value)
}

function unresolved(detail: string): GatewayError {
  return new GatewayError('secret.unresolved', 'A credential that the gateway needs could not be resolved.', { detail })
}
