import { z } from 'zod'
import { type ApiServer, callerOf } from '../guard.ts'
import { id, reviewView } from '../schemas.ts'
import type { ApiServices } from '../services.ts'
import { answers, secured } from './answers.ts'

const tags = ['reviews']
const params = z.strictObject({ id })
const listQuery = z.strictObject({
  all: z.stringbool().default(false).describe('Answered ones too. Default: false.'),
  limit: z.coerce.number().int().min(1).max(500).default(100),
})
const answerBody = z.strictObject({ reason: z.string().max(1_000).default('').describe('Goes on the record.') })

export function registerReviews(server: ApiServer, services: ApiServices): void {
  server.get(
    '/api/v1/reviews',
    {
      config: { access: 'review.read' },
      schema: {
        summary: 'Reviews that you may answer or have asked for',
        tags,
        security: secured,
        querystring: listQuery,
        response: answers(z.object({ items: z.array(reviewView) })),
      },
    },
    async (request) => ({ items: [...(await services.reviews.list(callerOf(request), request.query))] }),
  )
  server.get(
    '/api/v1/reviews/:id',
    {
      config: { access: 'review.read' },
      schema: { summary: 'One review', tags, security: secured, params, response: answers(reviewView) },
    },
    (request) => services.reviews.show(callerOf(request), request.params.id),
  )
  for (const verdict of ['approve', 'deny'] as const)
    server.post(
      `/api/v1/reviews/:id/${verdict}`,
      {
        config: { access: 'review.answer' },
        schema: {
          summary: verdict === 'approve' ? 'Let the operation run' : 'Refuse the operation',
          tags,
          security: secured,
          params,
          body: answerBody,
          response: answers(reviewView),
        },
      },
      (request) => services.reviews.answer(callerOf(request), request.params.id, verdict, request.body.reason),
    )
}
