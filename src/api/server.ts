import swagger from '@fastify/swagger'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import {
  hasZodFastifySchemaValidationErrors,
  jsonSchemaTransform,
  jsonSchemaTransformObject,
  serializerCompiler,
  validatorCompiler,
  type ZodTypeProvider,
} from 'fastify-type-provider-zod'
import { GatewayError, type Logger } from '../kernel/index.ts'
import { type ApiServer, guard } from './guard.ts'
import { InvalidRequest, problemDocument } from './problem.ts'
import { registerAudit } from './routes/audit.ts'
import { registerGeneral } from './routes/general.ts'
import { registerPages } from './routes/pages.ts'
import { registerPolicy } from './routes/policy.ts'
import { registerReviews } from './routes/reviews.ts'
import { registerSessions } from './routes/sessions.ts'
import { registerTokens } from './routes/tokens.ts'
import type { ApiServices } from './services.ts'

export interface ApiOptions {
  readonly services: ApiServices
  readonly logger: Logger
  readonly maxBodyBytes: number
  readonly tls?: { readonly cert: string; readonly key: string } | undefined
}

const HEADERS: Readonly<Record<string, string>> = {
  'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  'cache-control': 'no-store',
}

/** Builds the API; it listens when its `listen` is called. */
export async function createApi(options: ApiOptions): Promise<ApiServer> {
  const { services, tls } = options
  const bare = Fastify({
    bodyLimit: options.maxBodyBytes,
    requestTimeout: 30_000,
    keepAliveTimeout: 10_000,
    routerOptions: { maxParamLength: 200 },
    exposeHeadRoutes: false,
    forceCloseConnections: true,
    ...(tls === undefined ? {} : { https: { cert: tls.cert, key: tls.key, minVersion: 'TLSv1.2' as const } }),
  }) as unknown as FastifyInstance
  const server: ApiServer = bare.withTypeProvider<ZodTypeProvider>()
  server.setValidatorCompiler(validatorCompiler)
  server.setSerializerCompiler(serializerCompiler)
  await server.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Sallyport',
        version: services.version,
        description: 'Reviews, sessions, tokens, policy, audit log.',
      },
      components: { securitySchemes: { token: { type: 'http', scheme: 'bearer', bearerFormat: 'tokenId:secret' } } },
    },
    transform: jsonSchemaTransform,
    transformObject: jsonSchemaTransformObject,
  })
  server.decorateRequest('caller', undefined)
  server.addHook('onRoute', (route) => {
    if (route.config?.access === undefined)
      throw new Error(`${String(route.method)} ${route.url} does not say who may call it`)
  })
  server.addHook('onRequest', guard(services))
  server.addHook('onSend', async (_, reply) => {
    for (const [name, value] of Object.entries(HEADERS)) if (!reply.hasHeader(name)) reply.header(name, value)
    if (tls !== undefined) reply.header('strict-transport-security', 'max-age=31536000')
  })
  server.setErrorHandler((error, request, reply) => answerError(error, request, reply, options.logger))
  server.setNotFoundHandler((request, reply) =>
    answerError(
      new GatewayError('api.not_found', `There is no ${request.method} ${pathOf(request)}.`),
      request,
      reply,
      options.logger,
    ),
  )
  for (const register of [
    registerGeneral,
    registerReviews,
    registerSessions,
    registerTokens,
    registerPolicy,
    registerAudit,
    registerPages,
  ])
    register(server, services)
  return server
}

function pathOf(request: FastifyRequest): string {
  return request.url.split('?')[0] ?? ''
}

function answerError(error: unknown, request: FastifyRequest, reply: FastifyReply, logger: Logger): FastifyReply {
  const known = recognise(error)
  const { http } = known.row
  if (http >= 500)
    logger.error('API request failed', {
      method: request.method,
      path: pathOf(request),
      code: known.code,
      detail: known.detail,
    })
  if (known.code === 'auth.failed') reply.header('www-authenticate', 'Bearer realm="sallyport"')
  if (known.code === 'auth.throttled') reply.header('retry-after', '60')
  return reply
    .code(http)
    .header('content-type', 'application/problem+json; charset=utf-8')
    .serializer(JSON.stringify)
    .send(problemDocument(known))
}

function recognise(error: unknown): GatewayError {
  if (error instanceof GatewayError) return error
  if (hasZodFastifySchemaValidationErrors(error))
    return new InvalidRequest(
      error.validation.map((one) => ({
        path: `${error.validationContext ?? 'request'}${one.instancePath.replace(/\/+$/, '').replaceAll('/', '.')}`,
        message: one.message ?? 'is not valid',
      })),
    )
  const status = error instanceof Error && 'statusCode' in error ? error.statusCode : undefined
  if (typeof status === 'number' && status >= 400 && status < 500)
    return new InvalidRequest([{ path: 'request', message: error instanceof Error ? error.message : 'is not valid' }])
  return GatewayError.from(error)
}
