import type {
  FastifyBaseLogger,
  FastifyInstance,
  FastifyRequest,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import { type Action, demand } from '../identity/index.ts'
import { GatewayError } from '../kernel/index.ts'
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

/** Authenticates and authorises before the body is read. */
export function guard(services: ApiServices) {
  return async (request: FastifyRequest): Promise<void> => {
    const { access } = request.routeOptions.config
    if (access === 'public' || request.is404) return
    if (access === undefined) throw new GatewayError('access.forbidden', 'This route does not say who may call it.')
    const { tokenId, secret } = bearerOf(request.headers.authorization)
    request.caller = await services.authenticate(tokenId, secret, request.ip)
    demand(request.caller.principal, access, { kind: 'any' }, services.authorisation())
  }
}

/** The caller that the guard has proven. */
export function callerOf(request: FastifyRequest): Caller {
  if (request.caller === undefined) throw new GatewayError('auth.failed', 'The request is not authenticated.')
  return request.caller
}
