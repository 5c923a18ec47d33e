import { GatewayError } from '../kernel/index.ts'

/** No chain of causes is longer; it might be a ring. */
const MAX_CAUSES = 8

interface Reason {
  readonly said: string
  readonly next: string
}

const UNKNOWN_AUTHORITY: Reason = {
  said: 'its certificate is not from an authority that is trusted here',
  next: "Set NODE_EXTRA_CA_CERTS to a file with the certificate of the gateway's authority (PEM), and try again.",
}

/** By the code of node's error: what is wrong with the TLS of whoever answers, and what to do. */
const TLS_REASONS: Readonly<Record<string, Reason>> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: UNKNOWN_AUTHORITY,
  SELF_SIGNED_CERT_IN_CHAIN: UNKNOWN_AUTHORITY,
  UNABLE_TO_GET_ISSUER_CERT: UNKNOWN_AUTHORITY,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: UNKNOWN_AUTHORITY,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: UNKNOWN_AUTHORITY,
  CERT_UNTRUSTED: UNKNOWN_AUTHORITY,
  CERT_HAS_EXPIRED: { said: 'its certificate has expired', next: 'Its operator renews it.' },
  CERT_NOT_YET_VALID: { said: 'its certificate is not valid yet', next: "Check this machine's clock." },
  ERR_TLS_CERT_ALTNAME_INVALID: {
    said: 'its certificate is for another name',
    next: 'Use a name that the certificate holds, in a profile made with `sallyport profile add`.',
  },
  ERR_SSL_WRONG_VERSION_NUMBER: { said: 'it does not speak TLS there', next: 'Check the address: http or https?' },
  ERR_SSL_PACKET_LENGTH_TOO_LONG: { said: 'it does not speak TLS there', next: 'Check the address: http or https?' },
}

/**
 * Why nobody could be spoken to.
 *
 * @param address - As the person knows it.
 * @param otherwise - What to do when it is not TLS.
 */
export function unreachable(error: unknown, address: string, otherwise: string): GatewayError {
  const detail = error instanceof Error ? error.message : String(error)
  const reason = tlsReason(error)
  if (reason === undefined)
    return new GatewayError('cli.unreachable', `The gateway does not answer at ${address}.`, {
      hint: otherwise,
      detail,
      cause: error,
    })
  return new GatewayError('cli.unreachable', `The gateway at ${address} cannot be trusted: ${reason.said}.`, {
    hint: reason.next,
    detail,
    cause: error,
  })
}

function tlsReason(error: unknown): Reason | undefined {
  let cause = error
  for (let depth = 0; cause instanceof Error && depth < MAX_CAUSES; depth++) {
    const code = 'code' in cause ? String(cause.code) : ''
    if (Object.hasOwn(TLS_REASONS, code)) return TLS_REASONS[code]
    cause = cause.cause
  }
  return undefined
}
