import { GatewayError } from '../kernel/index.ts'

const MAX_CREDENTIAL_BYTES = 1_024

/** Takes `Bearer tokenId:secret` apart. @throws GatewayError `auth.failed` */
export function bearerOf(header: string | undefined): { readonly tokenId: string; readonly secret: string } {
  const refused = () =>
    new GatewayError('auth.failed', 'A token is needed to call this.', {
      hint: 'Send `Authorization: Bearer <token id>:<token secret>`.',
    })
  if (header === undefined || header.length > MAX_CREDENTIAL_BYTES) throw refused()
  const match = /^Bearer +([^\s:]+):([^\s:]+) *$/i.exec(header)
  if (match?.[1] === undefined || match[2] === undefined) throw refused()
  return { tokenId: match[1], secret: match[2] }
}
