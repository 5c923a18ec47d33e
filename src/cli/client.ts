import { z } from 'zod'
import { ERROR_CODES, type ErrorCode, GatewayError } from '../kernel/index.ts'
import type { Profile } from './profiles.ts'
import { unreachable } from './unreachable.ts'

const REQUEST_TIMEOUT_MS = 30_000

const problem = z.object({
  code: z.string(),
  detail: z.string(),
  rule: z.string().optional(),
  hint: z.string().optional(),
})

/** Speaks to the gateway's API as the profile's token. */
export class ApiClient {
  readonly #profile: Profile

  constructor(profile: Profile) {
    this.#profile = profile
  }

  async get<Schema extends z.ZodType>(path: string, schema: Schema): Promise<z.output<Schema>> {
    return this.#parse(await this.#fetch('GET', path, undefined), schema)
  }

  async post<Schema extends z.ZodType>(path: string, body: unknown, schema: Schema): Promise<z.output<Schema>> {
    return this.#parse(await this.#fetch('POST', path, body), schema)
  }

  /** The body as it arrives, however long. */
  async *stream(path: string): AsyncGenerator<Uint8Array> {
    const response = await this.#fetch('GET', path, undefined, false)
    if (response.body !== null) yield* response.body
  }

  async #parse<Schema extends z.ZodType>(response: Response, schema: Schema): Promise<z.output<Schema>> {
    const parsed = schema.safeParse(await response.json().catch(() => undefined))
    if (parsed.success) return parsed.data
    throw new GatewayError(
      'cli.unreachable',
      `What answers at ${this.#profile.api} does not speak this version's API.`,
      {
        hint: 'Check the address, and that gateway and command line are of the same version.',
        detail: parsed.error.message,
      },
    )
  }

  async #fetch(method: string, path: string, body: unknown, bounded = true): Promise<Response> {
    const { api, tokenId, secret } = this.#profile
    let response: Response
    try {
      response = await fetch(new URL(path, api), {
        method,
        redirect: 'error', // a redirect would carry the token elsewhere
        headers: {
          authorization: `Bearer ${tokenId}:${secret}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        ...(bounded ? { signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) } : {}),
      })
    } catch (error) {
      throw unreachable(error, api, 'Is it running? Choose another address with --profile or SALLYPORT_API.')
    }
    if (response.ok) return response
    throw refusal(await response.json().catch(() => undefined), response.status, api)
  }
}

/** Turns the API's problem document back into the error it was made of. */
function refusal(document: unknown, status: number, api: string): GatewayError {
  const parsed = problem.safeParse(document)
  if (!parsed.success || !isCode(parsed.data.code))
    return new GatewayError('cli.unreachable', `What answers at ${api} is not a Sallyport gateway (HTTP ${status}).`)
  const { code, detail, rule, hint } = parsed.data
  return new GatewayError(code, detail, {
    ...(rule === undefined ? {} : { rule }),
    ...(hint === undefined ? {} : { hint }),
  })
}

export function isCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERROR_CODES, code)
}
