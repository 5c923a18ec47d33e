import { type ApiServer, callerOf } from '../guard.ts'
import { auditReportView, checkpointView } from '../schemas.ts'
import type { ApiServices } from '../services.ts'
import { answers, secured } from './answers.ts'

const tags = ['audit']

export function registerAudit(server: ApiServer, services: ApiServices): void {
  server.get(
    '/api/v1/audit/checkpoint',
    {
      config: { access: 'audit.read' },
      schema: {
        summary: 'The signed head of the audit log',
        tags,
        security: secured,
        response: answers(checkpointView),
      },
    },
    (request) => services.audit.checkpoint(callerOf(request)),
  )
  server.post(
    '/api/v1/audit/verify',
    {
      config: { access: 'audit.read' },
      schema: {
        summary: 'Check the audit log and every recording on this gateway',
        description: 'The same check runs offline, with a public key only: `sallyport audit verify`.',
        tags,
        security: secured,
        response: answers(auditReportView),
      },
    },
    (request) => services.audit.verify(callerOf(request)),
  )
}
