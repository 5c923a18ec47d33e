import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto'
import { GatewayError } from '../kernel/index.ts'
import { sha256 } from './frames.ts'

/** Signed notes with Ed25519. @see https://c2sp.org/signed-note */
const ED25519 = 0x01
const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex')
const SIGNATURE_BYTES = 64
const MAX_NOTE_BYTES = 64 * 1024
const MAX_SIGNATURES = 32

export interface Verifier {
  readonly name: string
  /** `<name>+<8 hex digits>`: names the key without giving it. */
  readonly keyId: string
  /** `<name>+<8 hex digits>+<base64 of algorithm and key>`: all that verification needs. */
  readonly vkey: string
  verify(message: Buffer, signature: Buffer): boolean
}

export interface Signer extends Verifier {
  sign(message: Buffer): Buffer
}

function invalid(message: string): GatewayError {
  return new GatewayError('recording.invalid', message)
}

/** Node's decoder takes anything; two texts must never stand for the same bytes. */
function strictBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64')
  return bytes.toString('base64') === text ? bytes : undefined
}

function checkName(name: string): void {
  if (name.length === 0 || name.length > 200 || /[\s+\p{Z}\p{Cc}]/u.test(name)) {
    throw invalid('A key name has 1 to 200 characters, no spaces and no plus sign.')
  }
}

function makeVerifier(name: string, rawKey: Buffer): Verifier {
  checkName(name)
  const body = Buffer.concat([Buffer.from([ED25519]), rawKey])
  const keyHash = sha256(Buffer.concat([Buffer.from(`${name}\n`), body])).subarray(0, 4)
  const keyId = `${name}+${keyHash.toString('hex')}`
  const key = createPublicKey({ key: Buffer.concat([SPKI_PREFIX, rawKey]), format: 'der', type: 'spki' })
  return {
    name,
    keyId,
    vkey: `${keyId}+${body.toString('base64')}`,
    verify: (message, signature) => signature.length === SIGNATURE_BYTES && verify(null, message, key, signature),
  }
}

/** @throws GatewayError `recording.invalid` - not a verifier key, or its hash does not fit it. */
export function parseVerifier(vkey: string): Verifier {
  const [name, keyHash, encoded, ...rest] = vkey.trim().split('+')
  // Standard base64 has plus signs of its own.
  const body = strictBase64([encoded ?? '', ...rest].join('+'))
  if (name === undefined || keyHash === undefined || body?.length !== 33 || body[0] !== ED25519) {
    throw invalid('The verifier key is not of the form name+hash+key with an Ed25519 key.')
  }
  const verifier = makeVerifier(name, body.subarray(1))
  if (verifier.keyId !== `${name}+${keyHash}`) throw invalid('The verifier key does not fit its own hash.')
  return verifier
}

/** @param privateKey - Ed25519, as a key object or PKCS #8 PEM. */
export function makeSigner(name: string, privateKey: KeyObject | string): Signer {
  const key = typeof privateKey === 'string' ? createPrivateKey(privateKey) : privateKey
  if (key.asymmetricKeyType !== 'ed25519') throw invalid('The signing key is not an Ed25519 key.')
  const spki = createPublicKey(key).export({ format: 'der', type: 'spki' })
  const verifier = makeVerifier(name, spki.subarray(SPKI_PREFIX.length))
  return { ...verifier, sign: (message) => sign(null, message, key) }
}

/** @param text - Ends with a newline; the signature line is put after an empty line. */
export function signNote(text: string, signer: Signer): string {
  if (!text.endsWith('\n')) throw invalid('The text of a note ends with a newline.')
  const keyHash = Buffer.from(signer.keyId.slice(signer.name.length + 1), 'hex')
  const signature = Buffer.concat([keyHash, signer.sign(Buffer.from(text))])
  return `${text}\n— ${signer.name} ${signature.toString('base64')}\n`
}

/**
 * The text of a note that the key signed. Signatures by other keys are left alone.
 * @throws GatewayError `recording.invalid` - malformed, not signed by the key, or signed wrongly.
 */
export function openNote(note: string, verifier: Verifier): string {
  if (note.length > MAX_NOTE_BYTES) throw invalid('The note is too long.')
  const split = note.lastIndexOf('\n\n')
  if (split < 0 || !note.endsWith('\n') || /[^\P{Cc}\n]/u.test(note)) throw invalid('This is not a signed note.')
  const text = note.slice(0, split + 1)
  const lines = note.slice(split + 2, -1).split('\n')
  if (lines.length > MAX_SIGNATURES) throw invalid('The note has too many signatures.')
  let signed = false
  for (const line of lines) {
    const [dash, name, encoded, ...rest] = line.split(' ')
    const bytes = strictBase64(encoded ?? '')
    if (dash !== '—' || name === undefined || rest.length > 0 || bytes === undefined || bytes.length < 5) {
      throw invalid('A signature line of the note is malformed.')
    }
    if (`${name}+${bytes.subarray(0, 4).toString('hex')}` !== verifier.keyId) continue
    if (!verifier.verify(Buffer.from(text), bytes.subarray(4))) throw invalid('The signature of the note is wrong.')
    signed = true
  }
  if (!signed) throw invalid(`The note is not signed by ${verifier.keyId}.`)
  return text
}
