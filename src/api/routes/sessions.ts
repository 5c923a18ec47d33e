import { Readable } from 'node:stream'
import { z } from 'zod'
import { type ApiServer, callerOf } from '../guard.ts'
import { EXPORT_FORMATS, id, pageQuery, sessionView } from '../schemas.ts'
import type { ApiServices } from '../services.ts'
import { answers, secured } from './answers.ts'

const tags = ['sessions']
const params = z.strictObject({ id })
const listQuery = pageQuery.extend({ open: z.stringbool().optional().describe('Only open ones, or only ended ones.') })
const replayQuery = z.strictObject({
  format: z.enum(['text', 'json']).default('text').describe('`json`: an event a line.'),
})
const exportQuery = z.strictObject({ format: z.enum(EXPORT_FORMATS).default('recording') })
const endBody = z.strictObject({ reason: z.string().max(1_000).default('') })

export function registerSessions(server: ApiServer, services: ApiServices): void {
  server.get(
    '/api/v1/sessions',
    {
      config: { access: 'session.read' },
      schema: {
        summary: 'Sessions, newest first',
        tags,
        security: secured,
        querystring: listQuery,
        response: answers(z.object({ items: z.array(sessionView), next: z.string().nullable() })),
      },
    },
    async (request) => {
      const { cursor, limit, open } = request.query
      const page = await services.sessions.list(callerOf(request), { cursor, limit, open })
      return { items: [...page.items], next: page.next ?? null }
    },
  )
  server.get(
    '/api/v1/sessions/:id',
    {
      config: { access: 'session.read' },
      schema: { summary: 'One session', tags, security: secured, params, response: answers(sessionView) },
    },
    (request) => services.sessions.show(callerOf(request), request.params.id),
  )
  server.post(
    '/api/v1/sessions/:id/end',
    {
      config: { access: 'session.end' },
      schema: {
        summary: 'End a live session now',
        tags,
        security: secured,
        params,
        body: endBody,
        response: answers(z.object({ ended: z.literal(true) })),
      },
    },
    async (request) => {
      await services.sessions.end(callerOf(request), request.params.id, request.body.reason)
      return { ended: true as const }
    },
  )
  registerStreams(server, services)
}

/** What is too long to hold in memory: it is streamed, and a slow reader slows the reading of the file. */
function registerStreams(server: ApiServer, services: ApiServices): void {
  server.get(
    '/api/v1/sessions/:id/replay',
    {
      config: { access: 'session.replay' },
      schema: {
        summary: 'What happened in the session, as it was released',
        description: 'Looking at a replay is itself an event of the audit log.',
        tags,
        security: secured,
        params,
        querystring: replayQuery,
        produces: ['text/plain', 'application/x-ndjson'],
      },
    },
    async (request, reply) => {
      const { format } = request.query
      const lines = await services.sessions.replay(callerOf(request), request.params.id, format)
      reply.type(format === 'json' ? 'application/x-ndjson' : 'text/plain; charset=utf-8')
      return reply.send(Readable.from(lines, { objectMode: false }))
    },
  )
  server.get(
    '/api/v1/sessions/:id/export',
    {
      config: { access: 'session.export' },
      schema: {
        summary: 'The session for elsewhere',
        description:
          '`recording`: the file itself, for verification; `jsonl`: its events; `ocsf`: Open Cybersecurity Schema.',
        tags,
        security: secured,
        params,
        querystring: exportQuery,
        produces: ['application/octet-stream', 'application/x-ndjson'],
      },
    },
    async (request, reply) => {
      const { format } = request.query
      const chunks = await services.sessions.export(callerOf(request), request.params.id, format)
      reply.type(format === 'recording' ? 'application/octet-stream' : 'application/x-ndjson')
      return reply.send(Readable.from(chunks, { objectMode: false }))
    },
  )
}
