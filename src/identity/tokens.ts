import type { Random, ScramVerifier } from '../kernel/index.ts'
import { makeVerifier, SCRAM_ITERATIONS } from '../wire/scram.ts'
import { base62 } from './base.ts'
import { newTokenId } from './ids.ts'

const SECRET_BYTES = 32
const SALT_BYTES = 16 // as mockVerifier makes them: the length must not tell known ids from unknown ones
/** Starts every secret, so that scanners of code and logs can recognise one. */
export const SECRET_PREFIX = 'sps_'

export interface MintedToken {
  readonly id: string
  /** Shown once, kept nowhere. Letters, digits and `_` only, so it fits a connection URL as it is. */
  readonly secret: string
  readonly verifier: ScramVerifier
}

/** Makes a token: an id to name it by, a secret of 256 bits, and what to keep of the secret. */
export function mintToken(random: Random): MintedToken {
  const secret = SECRET_PREFIX + base62(random.bytes(SECRET_BYTES))
  return { id: newTokenId(random), secret, verifier: makeVerifier(secret, random.bytes(SALT_BYTES), SCRAM_ITERATIONS) }
}
