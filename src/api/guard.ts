import type {
  FastifyBaseLogger,
  FastifyInstance,
  FastifyRequest,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import { type Action, demand, FailureLimiter } from '../identity/index.ts'
import { type Clock, GatewayError } from '../kernel/index.ts'
import { bearerOf } from './bearer.ts'
import type { ApiServices, Caller } from './services.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Who may call the route; a route without it does not start. */
    access?: 'public' | Action
  }
  interface FastifyRequest {
    caller: Caller | undefined
  }
}

export type ApiServer = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  ZodTypeProvider
>

export interface GuardOptions {
  readonly services: ApiServices
  readonly clock: Clock
  readonly maxFailedLoginsPerMinute: number
}

/** Authenticates and authorises before the body is read. */
export function guard({ services, clock, maxFailedLoginsPerMinute }: GuardOptions) {
  const failures = new FailureLimiter(clock, { maxFailuresPerAddress: maxFailedLoginsPerMinute })
  return async (request: FastifyRequest): Promise<void> => {
    const { access } = request.routeOptions.config
    if (access === 'public' || request.is404) return
    if (access === undefined) throw new GatewayError('access.forbidden', 'This route does not say who may call it.')
    request.caller = await authenticate(request, services, failures)
    demand(request.caller.principal, access, { kind: 'any' }, services.authorisation())
  }
}

async function authenticate(request: FastifyRequest, services: ApiServices, failures: FailureLimiter): Promise<Caller> {
  failures.check(request.ip)
  let tokenId: string | undefined
  try {
    const credential = bearerOf(request.headers.authorization)
    tokenId = credential.tokenId
    failures.check(request.ip, tokenId)
    return await services.authenticate(tokenId, credential.secret)
  } catch (error) {
    if (error instanceof GatewayError && error.code === 'auth.failed') failures.failed(request.ip, tokenId)
    throw error
  }
}

/** The caller that the guard has proven. */
export function callerOf(request: FastifyRequest): Caller {
  if (request.caller === undefined) throw new GatewayError('auth.failed', 'The request is not authenticated.')
  return request.caller
}
