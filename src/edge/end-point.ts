import { createHash, X509Certificate } from 'node:crypto'

/** Object identifiers of signature algorithms (DER, hex) and the hash each uses. MD5 and SHA-1 count as SHA-256. */
const SIGNATURE_HASHES: Readonly<Record<string, string>> = {
  '2a864886f70d010104': 'sha256', // md5WithRSAEncryption
  '2a864886f70d010105': 'sha256', // sha1WithRSAEncryption
  '2a864886f70d01010b': 'sha256',
  '2a864886f70d01010c': 'sha384',
  '2a864886f70d01010d': 'sha512',
  '2a864886f70d01010e': 'sha224',
  '2a8648ce3d0401': 'sha256', // ecdsa-with-SHA1
  '2a8648ce3d040301': 'sha224',
  '2a8648ce3d040302': 'sha256',
  '2a8648ce3d040303': 'sha384',
  '2a8648ce3d040304': 'sha512',
}
const RSASSA_PSS = '2a864886f70d01010a'
const PSS_HASHES: Readonly<Record<string, string>> = {
  '608648016503040201': 'sha256',
  '608648016503040202': 'sha384',
  '608648016503040203': 'sha512',
  '608648016503040204': 'sha224',
}

/**
 * The `tls-server-end-point` data of a certificate.
 * @returns undefined for a signature without one hash (Ed25519): there is no channel binding then.
 * @see https://www.rfc-editor.org/rfc/rfc5929#section-4.1
 */
export function serverEndPointOf(certificate: Buffer): Buffer | undefined {
  const hash = signatureHash(certificate)
  return hash === undefined ? undefined : createHash(hash).update(certificate).digest()
}

/** The same of the first certificate in a PEM text. */
export function serverEndPointOfPem(pem: string): Buffer | undefined {
  return serverEndPointOf(new X509Certificate(pem).raw)
}

/** Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm SEQUENCE { OID, parameters }, signature } */
function signatureHash(certificate: Buffer): string | undefined {
  const whole = element(certificate, 0)
  const signed = element(certificate, whole.start)
  const algorithm = element(certificate, signed.end)
  const name = element(certificate, algorithm.start)
  const identifier = certificate.toString('hex', name.start, name.end)
  if (identifier !== RSASSA_PSS) return SIGNATURE_HASHES[identifier]
  return pssHash(certificate.subarray(name.end, algorithm.end))
}

/** RSASSA-PSS-params ::= SEQUENCE { [0] hashAlgorithm DEFAULT sha1, ... } */
function pssHash(parameters: Buffer): string | undefined {
  if (parameters.length === 0) return 'sha256'
  const fields = element(parameters, 0)
  if (fields.start === fields.end || parameters[fields.start] !== 0xa0) return 'sha256'
  const algorithm = element(parameters, element(parameters, fields.start).start)
  const name = element(parameters, algorithm.start)
  return PSS_HASHES[parameters.toString('hex', name.start, name.end)]
}

/** Where the content of the DER element at an offset lies. The certificate was parsed by OpenSSL before, so it is sound. */
function element(der: Buffer, offset: number): { readonly start: number; readonly end: number } {
  const first = der.readUInt8(offset + 1)
  if (first < 0x80) return { start: offset + 2, end: offset + 2 + first }
  const lengthBytes = first & 0x7f
  const start = offset + 2 + lengthBytes
  return { start, end: start + der.readUIntBE(offset + 2, lengthBytes) }
}
