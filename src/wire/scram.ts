import { createHash, createHmac, pbkdf2, pbkdf2Sync, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'
import { GatewayError, type Random, type ScramVerifier } from '../kernel/index.ts'
import { saslprep } from './saslprep.ts'

/** SCRAM as RFC 5802 has it, with SHA-256 (RFC 7677) and `tls-server-end-point` channel binding (RFC 5929). */
export const SCRAM_SHA_256 = 'SCRAM-SHA-256'
export const SCRAM_SHA_256_PLUS = 'SCRAM-SHA-256-PLUS'
/** RFC 7677 section 4 asks for at least this many; our secrets are random and need no more. */
export const SCRAM_ITERATIONS = 4096
/** A server names the count, so a hostile one could keep us computing. */
const MAX_ITERATIONS = 1_000_000
const MAX_MESSAGE_BYTES = 4096
const NONCE_BYTES = 18
const DIGEST_BYTES = 32
const BINDING_TYPE = 'tls-server-end-point'

const derive = promisify(pbkdf2)

/** Computes what may be kept of a secret. The work is `iterations` HMACs, done on the caller's thread. */
export function makeVerifier(secret: string, salt: Buffer, iterations: number = SCRAM_ITERATIONS): ScramVerifier {
  const salted = pbkdf2Sync(saslprep(secret), salt, iterations, DIGEST_BYTES, 'sha256')
  return { salt, iterations, ...keysOf(salted) }
}

/** Whether this is the verifier's secret, in a time that does not depend on where they differ. */
export function verifySecret(verifier: ScramVerifier, secret: string): boolean {
  const given = makeVerifier(secret, verifier.salt, verifier.iterations)
  return equal(given.storedKey, verifier.storedKey)
}

/** A verifier that nothing fits, always the same one for a name, so that unknown names look like known ones. */
export function mockVerifier(serverSecret: Buffer, name: string, iterations: number = SCRAM_ITERATIONS): ScramVerifier {
  const made = (purpose: string) => hmac(serverSecret, latin1(`scram ${purpose}\0${name}`))
  return { salt: made('salt').subarray(0, 16), iterations, storedKey: made('stored'), serverKey: made('server') }
}

function keysOf(salted: Buffer): { clientKey: Buffer; storedKey: Buffer; serverKey: Buffer } {
  const clientKey = hmac(salted, 'Client Key')
  return { clientKey, storedKey: sha256(clientKey), serverKey: hmac(salted, 'Server Key') }
}

export interface ScramServerOptions {
  readonly verifier: ScramVerifier
  readonly random: Random
  /** Data of the channel binding; undefined without TLS. It decides whether -PLUS is offered. */
  readonly serverEndPoint: Buffer | undefined
}

/**
 * The server's side of one exchange: `first`, then `final`, each once.
 * Both throw GatewayError `pg.malformed` for what is not SCRAM and `auth.failed` for a wrong proof or a downgrade.
 */
export class ScramServer {
  readonly #options: ScramServerOptions
  #expected: { readonly binding: Buffer; readonly nonce: string; readonly transcript: string } | undefined

  constructor(options: ScramServerOptions) {
    this.#options = options
  }

  /** To be offered, strongest first. */
  get mechanisms(): readonly string[] {
    return this.#options.serverEndPoint === undefined ? [SCRAM_SHA_256] : [SCRAM_SHA_256_PLUS, SCRAM_SHA_256]
  }

  /** Answers a client-first-message with the server-first-message. */
  first(mechanism: string, clientFirst: Buffer): Buffer {
    if (!this.mechanisms.includes(mechanism)) throw malformed('the mechanism was not offered')
    const parts = /^(([^,]*),([^,]*),)(n=[^,]*,r=([\x21-\x2b\x2d-\x7e]+)(?:,[a-ln-z]=[^,]*)*)$/i.exec(
      asText(clientFirst),
    )
    if (parts === null) throw malformed('the first message is not SCRAM')
    const [, header = '', flag = '', authorisation = '', bare = '', clientNonce = ''] = parts
    if (authorisation !== '') throw malformed('an authorisation identity is not supported')
    const binding = this.#bindingFor(mechanism, flag)
    const { salt, iterations } = this.#options.verifier
    const nonce = clientNonce + freshNonce(this.#options.random)
    const serverFirst = `r=${nonce},s=${salt.toString('base64')},i=${iterations}`
    this.#expected = {
      binding: Buffer.concat([Buffer.from(header, 'latin1'), binding]),
      nonce,
      transcript: `${bare},${serverFirst}`,
    }
    return Buffer.from(serverFirst, 'latin1')
  }

  /** Checks the client-final-message; answers the server-final-message, which proves that we know the verifier. */
  final(clientFinal: Buffer): Buffer {
    const expected = this.#expected
    this.#expected = undefined
    if (expected === undefined) throw malformed('a final message came before a first one')
    const parts = /^(c=([A-Za-z0-9+/=]+),r=([^,]+)(?:,[^,=]=[^,]*)*),p=([A-Za-z0-9+/=]+)$/.exec(asText(clientFinal))
    if (parts === null) throw malformed('the final message is not SCRAM')
    const [, withoutProof = '', binding = '', nonce = '', proof64 = ''] = parts
    if (nonce !== expected.nonce) throw malformed('the nonce is not the one of this exchange')
    if (binding !== expected.binding.toString('base64')) throw failed('channel binding does not match')
    const proof = fromBase64(proof64)
    if (proof?.length !== DIGEST_BYTES) throw malformed('the proof is not one')
    const transcript = `${expected.transcript},${withoutProof}`
    const { storedKey, serverKey } = this.#options.verifier
    const clientKey = xor(proof, hmac(storedKey, transcript))
    if (!equal(sha256(clientKey), storedKey)) throw failed('wrong proof')
    return Buffer.from(`v=${hmac(serverKey, transcript).toString('base64')}`, 'latin1')
  }

  /** RFC 5802 section 6: the flag must agree with the mechanism, and `y` with what was offered. */
  #bindingFor(mechanism: string, flag: string): Buffer {
    const { serverEndPoint } = this.#options
    if (mechanism === SCRAM_SHA_256_PLUS) {
      if (flag !== `p=${BINDING_TYPE}` || serverEndPoint === undefined) {
        throw malformed(`only the channel binding ${BINDING_TYPE} is supported`)
      }
      return serverEndPoint
    }
    // The client could bind and believes that we cannot: somebody between us cut -PLUS from the list.
    if (flag === 'y' && serverEndPoint !== undefined) throw failed('channel binding was negotiated away')
    if (flag !== 'n' && flag !== 'y') throw malformed('channel binding needs the mechanism for it')
    return Buffer.alloc(0)
  }
}

export interface ScramClientOptions {
  /** PostgreSQL ignores the name inside SCRAM and takes the one of the start-up, so it may be empty. */
  readonly user: string
  readonly password: string
  readonly random: Random
  /** What the server offered. */
  readonly mechanisms: readonly string[]
  /** Data of the channel binding; undefined without TLS. */
  readonly serverEndPoint: Buffer | undefined
}

/**
 * The client's side of one exchange: `first`, `respond`, `verify`, each once.
 * They throw GatewayError `target.protocol` for what is not SCRAM and `target.auth` for a server that cannot prove itself.
 */
export class ScramClient {
  readonly #options: ScramClientOptions
  readonly #plus: boolean
  readonly #header: string
  readonly #nonce: string
  #expectedSignature: Buffer | undefined
  #verified = false

  constructor(options: ScramClientOptions) {
    this.#options = options
    const canBind = options.serverEndPoint !== undefined
    this.#plus = canBind && options.mechanisms.includes(SCRAM_SHA_256_PLUS)
    if (!this.#plus && !options.mechanisms.includes(SCRAM_SHA_256)) {
      throw new GatewayError('target.auth', 'The target offers no login mechanism that the gateway speaks.', {
        detail: `offered: ${options.mechanisms.join(' ')}`,
      })
    }
    this.#header = this.#plus ? `p=${BINDING_TYPE},,` : canBind ? 'y,,' : 'n,,'
    this.#nonce = freshNonce(options.random)
  }

  get mechanism(): string {
    return this.#plus ? SCRAM_SHA_256_PLUS : SCRAM_SHA_256
  }

  /** Whether the server proved that it knows the password. Before that its AuthenticationOk is worth nothing. */
  get verified(): boolean {
    return this.#verified
  }

  /** The client-first-message. */
  first(): Buffer {
    return Buffer.from(this.#header + this.#firstBare(), 'latin1')
  }

  /** Answers a server-first-message with the client-final-message. */
  async respond(serverFirst: Buffer): Promise<Buffer> {
    const text = asText(serverFirst, 'target.protocol')
    const parts = /^r=([\x21-\x2b\x2d-\x7e]+),s=([A-Za-z0-9+/=]+),i=([1-9]\d{0,8})(?:,[^,=]=[^,]*)*$/.exec(text)
    if (parts === null) throw badServer('its first message is not SCRAM')
    const [, nonce = '', salt64 = '', count = ''] = parts
    if (!nonce.startsWith(this.#nonce) || nonce.length === this.#nonce.length) throw badServer('its nonce is not fresh')
    const salt = fromBase64(salt64)
    if (salt === undefined || Number(count) > MAX_ITERATIONS) throw badServer('its salt or iteration count is unusable')
    const salted = await derive(saslprep(this.#options.password), salt, Number(count), DIGEST_BYTES, 'sha256')
    return this.#final(keysOf(salted), nonce, text)
  }

  /** Checks the server-final-message. */
  verify(serverFinal: Buffer): void {
    const signature = /^v=([A-Za-z0-9+/=]+)(?:,|$)/.exec(asText(serverFinal, 'target.protocol'))?.[1]
    const given = signature === undefined ? undefined : fromBase64(signature)
    const expected = this.#expectedSignature
    this.#expectedSignature = undefined
    if (expected === undefined || given === undefined || !equal(given, expected)) {
      throw new GatewayError('target.auth', 'The target could not prove that it knows the credential.')
    }
    this.#verified = true
  }

  #final(
    keys: { clientKey: Buffer; storedKey: Buffer; serverKey: Buffer },
    nonce: string,
    serverFirst: string,
  ): Buffer {
    const bound = this.#plus ? (this.#options.serverEndPoint ?? Buffer.alloc(0)) : Buffer.alloc(0)
    const binding = Buffer.concat([Buffer.from(this.#header), bound]).toString('base64')
    const withoutProof = `c=${binding},r=${nonce}`
    const transcript = `${this.#firstBare()},${serverFirst},${withoutProof}`
    this.#expectedSignature = hmac(keys.serverKey, transcript)
    const proof = xor(keys.clientKey, hmac(keys.storedKey, transcript))
    return Buffer.from(`${withoutProof},p=${proof.toString('base64')}`)
  }

  #firstBare(): string {
    return latin1(`n=${saslprep(this.#options.user).replaceAll('=', '=3D').replaceAll(',', '=2C')},r=${this.#nonce}`)
  }
}

/** Messages are compared and hashed as the bytes that came, so they are read as latin1. */
function asText(message: Buffer, code: 'pg.malformed' | 'target.protocol' = 'pg.malformed'): string {
  if (message.length > MAX_MESSAGE_BYTES) {
    throw new GatewayError(code, `A SCRAM message is over the limit of ${MAX_MESSAGE_BYTES} bytes.`)
  }
  return message.toString('latin1')
}

/** UTF-8 bytes in the form that messages are kept in. */
function latin1(text: string): string {
  return Buffer.from(text).toString('latin1')
}

function freshNonce(random: Random): string {
  return random.bytes(NONCE_BYTES).toString('base64')
}

function fromBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64')
  return bytes.toString('base64') === text ? bytes : undefined
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text, 'latin1').digest()
}

function sha256(bytes: Buffer): Buffer {
  return createHash('sha256').update(bytes).digest()
}

function xor(a: Buffer, b: Buffer): Buffer {
  return Buffer.from(a.map((byte, i) => byte ^ b[i]!))
}

function equal(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b)
}

function malformed(reason: string): GatewayError {
  return new GatewayError('pg.malformed', `The login cannot be read: ${reason}.`)
}

/** One text for every failure, so that nothing tells an unknown name from a wrong secret. */
function failed(detail: string): GatewayError {
  return new GatewayError('auth.failed', 'The token or its secret is wrong.', { detail })
}

function badServer(reason: string): GatewayError {
  return new GatewayError('target.protocol', "The target's login exchange cannot be used.", { detail: reason })
}
