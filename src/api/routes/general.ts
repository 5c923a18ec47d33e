import { z } from 'zod'
import { principalLabel } from '../../kernel/index.ts'
import { type ApiServer, callerOf } from '../guard.ts'
import { healthView, whoamiView } from '../schemas.ts'
import type { ApiServices, Caller } from '../services.ts'
import { answers, secured } from './answers.ts'

export function registerGeneral(server: ApiServer, services: ApiServices): void {
  server.get(
    '/api/v1/health',
    {
      config: { access: 'public' },
      schema: { summary: 'Is the gateway well?', tags: ['general'], response: { 200: healthView, 503: healthView } },
    },
    async (_, reply) => {
      const health = await services.health()
      // Why it is not well is for those who are known; `policy status` and the log have the words.
      return reply.code(health.status === 'ok' ? 200 : 503).send({ ...health, reasons: [] })
    },
  )
  server.get(
    '/api/v1/whoami',
    {
      config: { access: 'self.read' },
      schema: {
        summary: 'Who does this token speak for?',
        tags: ['general'],
        security: secured,
        response: answers(whoamiView),
      },
    },
    (request) => whoami(callerOf(request)),
  )
  server.get(
    '/api/openapi.json',
    { config: { access: 'public' }, schema: { hide: true, response: { 200: z.unknown() } } },
    () => server.swagger(),
  )
}

function whoami({ principal, tokenId, administrator }: Caller) {
  const { identity, actor } = principal
  return {
    principal: {
      label: principalLabel(principal),
      subject: identity.subject,
      email: identity.email,
      groups: [...identity.groups],
      actor: { kind: actor.kind, name: actor.name },
    },
    tokenId,
    administrator,
  }
}
