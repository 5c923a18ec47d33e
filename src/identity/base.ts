const BASE32 = '0123456789abcdefghjkmnpqrstvwxyz' // Crockford's: no i, l, o, u, so it can be read out
const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

function digits(value: bigint, alphabet: string, length: number): string {
  const base = BigInt(alphabet.length)
  let text = ''
  let rest = value
  for (let place = 0; place < length; place++) {
    text = alphabet[Number(rest % base)] + text
    rest /= base
  }
  return text
}

/** Lower-case letters and digits that are easy to read, type and sort; five bits a character. */
export function base32(bytes: Buffer): string {
  const length = Math.floor((bytes.length * 8) / 5)
  return digits(BigInt(`0x${bytes.toString('hex')}`), BASE32, length)
}

/** 48 bits of milliseconds in ten characters that sort by time. */
export function base32Time(ms: number): string {
  return digits(BigInt(Math.max(0, Math.floor(ms))), BASE32, 10)
}

/** Letters and digits alone, which no URL, shell or configuration file has to quote. */
export function base62(bytes: Buffer): string {
  const length = Math.ceil((bytes.length * 8) / Math.log2(62))
  return digits(BigInt(`0x${bytes.toString('hex')}`), BASE62, length)
}
