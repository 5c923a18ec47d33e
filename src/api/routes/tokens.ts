import { z } from 'zod'
import { type ApiServer, callerOf } from '../guard.ts'
import { id, newTokenView, tokenRequest, tokenView } from '../schemas.ts'
import type { ApiServices } from '../services.ts'
import { answers, secured } from './answers.ts'

const tags = ['tokens']

export function registerTokens(server: ApiServer, services: ApiServices): void {
  server.get(
    '/api/v1/tokens',
    {
      config: { access: 'token.read' },
      schema: {
        summary: 'Tokens: your own, or all of them for administrators',
        tags,
        security: secured,
        response: answers(z.object({ items: z.array(tokenView) })),
      },
    },
    async (request) => ({ items: [...(await services.tokens.list(callerOf(request)))] }),
  )
  server.post(
    '/api/v1/tokens',
    {
      config: { access: 'token.create' },
      schema: {
        summary: 'Make a token; the answer has its secret, this once',
        tags,
        security: secured,
        body: tokenRequest,
        response: answers(newTokenView),
      },
    },
    (request) => services.tokens.create(callerOf(request), request.body),
  )
  server.post(
    '/api/v1/tokens/:id/revoke',
    {
      config: { access: 'token.revoke' },
      schema: {
        summary: 'Revoke a token; its live sessions end within two seconds',
        tags,
        security: secured,
        params: z.strictObject({ id }),
        response: answers(tokenView),
      },
    },
    (request) => services.tokens.revoke(callerOf(request), request.params.id),
  )
}
