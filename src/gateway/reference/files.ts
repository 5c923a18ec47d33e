import { commandReference } from '../../cli/reference.ts'
import { policyCasesJsonSchema, policyJsonSchema } from '../../policy/index.ts'
import { configJsonSchema } from '../config/index.ts'
import { PROTOCOLS } from '../protocols.ts'
import { configReference, errorReference } from './markdown.ts'

/** Every file that is made from the code: path in the repository, and what must stand in it. */
export function referenceFiles(): ReadonlyMap<string, string> {
  const json = (schema: unknown) => `${JSON.stringify(schema, null, 2)}\n`
  const config = configJsonSchema(PROTOCOLS)
  return new Map([
    ['schema/config.schema.json', json(config)],
    ['schema/policy.schema.json', json(policyJsonSchema())],
    ['schema/policy-cases.schema.json', json(policyCasesJsonSchema())],
    ['docs/reference/config.md', configReference(config)],
    ['docs/reference/errors.md', errorReference()],
    ['docs/reference/cli.md', commandReference()],
  ])
}
