import { expect, test } from 'vitest'
import { ERROR_CODES, type ErrorCode, GatewayError } from './errors.ts'

test.each([
  {
    code: 'auth.tls_required',
    message: 'This listener takes TLS only.',
    next: 'Connect with sslmode=require or stronger.',
  },
  { code: 'access.forbidden', message: 'Your identity may not do this.', next: undefined },
  { code: 'store.failed', message: 'It is gone.', next: "The gateway's store did not answer. Tell the operator." },
] as const)('after "$message" comes next: $next', ({ code, message, next }) => {
  expect(new GatewayError(code, message).next).toBe(next)
  expect(new GatewayError(code, message, { hint: 'Try this.' }).next).toBe('Try this.')
})

test('every code has a sentence, an exit status and an HTTP status that fit', () => {
  for (const [code, row] of Object.entries(ERROR_CODES)) {
    expect(row.help, code).toMatch(/^[A-Z].*\.$/)
    expect(row.sqlstate, code).toMatch(/^[0-9A-Z]{5}$/)
    expect(row.http, code).toBeGreaterThanOrEqual(400)
    expect(row.exit, code).toBeGreaterThan(0)
    expect(new GatewayError(code as ErrorCode, row.help).next, code).toBeUndefined()
  }
})
