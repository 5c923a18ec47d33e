import { z } from 'zod'
import { ERROR_CODES, type ErrorCode, GatewayError } from '../kernel/index.ts'

const codes = Object.keys(ERROR_CODES) as [ErrorCode, ...ErrorCode[]]

/** RFC 9457. The code is stable; the words may change. */
export const problemSchema = z
  .object({
    type: z.string().describe('`urn:sallyport:error:<code>`.'),
    title: z.string().describe('What the code means, and what to do.'),
    status: z.int(),
    detail: z.string().describe('What happened this time.'),
    code: z.enum(codes),
    rule: z.string().optional().describe('The rule that decided, if one did.'),
    hint: z.string().optional().describe('What to do next.'),
    problems: z
      .array(z.object({ path: z.string(), message: z.string() }))
      .optional()
      .describe('Everything that is wrong with the request.'),
  })
  .meta({ id: 'Problem', description: 'An error (RFC 9457).' })

export type ProblemDocument = z.output<typeof problemSchema>

export interface RequestProblem {
  readonly path: string
  readonly message: string
}

/** A request that does not have the documented shape. */
export class InvalidRequest extends GatewayError {
  readonly problems: readonly RequestProblem[]

  constructor(problems: readonly RequestProblem[]) {
    const shown = problems.map((one) => `${one.path}: ${one.message}`).join('; ')
    super('api.invalid', `The request has problems: ${shown}`)
    this.problems = problems
  }
}

/** What a client is told of an error; the operator's detail stays out. */
export function problemDocument(error: GatewayError): ProblemDocument {
  const { http, help } = error.row
  return {
    type: `urn:sallyport:error:${error.code}`,
    title: help,
    status: http,
    detail: error.message,
    code: error.code,
    ...(error.rule === undefined ? {} : { rule: error.rule }),
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    ...(error instanceof InvalidRequest ? { problems: [...error.problems] } : {}),
  }
}
