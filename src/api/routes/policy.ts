import { type ApiServer, callerOf } from '../guard.ts'
import { explainRequest, explanationView, policyStatusView } from '../schemas.ts'
import type { ApiServices } from '../services.ts'
import { answers, secured } from './answers.ts'

const tags = ['policy']

export function registerPolicy(server: ApiServer, services: ApiServices): void {
  server.get(
    '/api/v1/policy',
    {
      config: { access: 'policy.read' },
      schema: { summary: 'The rules in force', tags, security: secured, response: answers(policyStatusView) },
    },
    (request) => services.policy.status(callerOf(request)),
  )
  server.post(
    '/api/v1/policy/explain',
    {
      config: { access: 'policy.explain' },
      schema: {
        summary: 'What would become of a statement? Nothing is run.',
        tags,
        security: secured,
        body: explainRequest,
        response: answers(explanationView),
      },
    },
    (request) => services.policy.explain(callerOf(request), request.body),
  )
  server.post(
    '/api/v1/policy/reload',
    {
      config: { access: 'policy.reload' },
      schema: {
        summary: 'Read the policy files again',
        description: 'Files with problems change nothing: the rules in force stay, and the answer lists the problems.',
        tags,
        security: secured,
        response: answers(policyStatusView),
      },
    },
    (request) => services.policy.reload(callerOf(request)),
  )
}
