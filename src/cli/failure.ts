import { problemDocument } from '../api/problem.ts'
import { GatewayError } from '../kernel/index.ts'
import { type Output, printable } from './output.ts'

/** Tells what happened, why, and what to do next. @returns the exit status */
export function tellFailure(error: unknown, output: Output, debug: boolean): number {
  const known = GatewayError.from(error)
  const { colors } = output
  if (output.json) output.aside(JSON.stringify(problemDocument(known), null, 2))
  else {
    output.aside(`${colors.red('sallyport:')} ${printable(known.message)}`)
    if (known.rule !== undefined) output.aside(`  rule  ${printable(known.rule)}`)
    if (known.next !== undefined) output.aside(`  next  ${printable(known.next)}`)
    output.aside(`  code  ${known.code}`)
  }
  if (debug && known.detail !== undefined) output.aside(printable(known.detail))
  return known.row.exit
}

/** For a command that cannot go on with what it was given. */
export function usageError(message: string, hint: string): GatewayError {
  return new GatewayError('cli.usage', message, { hint })
}
