import { GatewayError } from '../kernel/index.ts'

/** SQLSTATE 23505. */
const UNIQUE_VIOLATION = '23505'

function rootOf(error: unknown): unknown {
  let root = error
  // drizzle wraps the driver's error in one whose text holds the statement and its parameters: never pass that on.
  while (root instanceof Error && root.cause instanceof Error) root = root.cause
  return root
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined
}

export function isUniqueViolation(error: unknown): boolean {
  return codeOf(rootOf(error)) === UNIQUE_VIOLATION
}

/** What the operator may read of a failed call: the driver's message, without parameters or rows. */
export function storeFailure(error: unknown): GatewayError {
  if (error instanceof GatewayError) return error
  const root = rootOf(error)
  const code = codeOf(root)
  return new GatewayError('store.failed', 'The gateway’s store did not answer.', {
    detail: `${code === undefined ? '' : `${code} `}${root instanceof Error ? root.message : 'unknown failure'}`,
  })
}

/** Runs a call of the store; whatever fails becomes `store.failed`. */
export async function guarded<Value>(call: () => Promise<Value>): Promise<Value> {
  try {
    return await call()
  } catch (error) {
    throw storeFailure(error)
  }
}
