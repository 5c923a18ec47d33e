import path from 'node:path'
import type { ExplainRequest, ExplanationView } from '../api/schemas.ts'
import type { Toolbox } from '../cli/toolbox.ts'
import { systemClock } from '../edge/clock.ts'
import { systemRandom } from '../edge/random.ts'
import { GatewayError } from '../kernel/index.ts'
import { policyJsonSchema } from '../policy/index.ts'
import { createSecretResolver } from '../secrets/index.ts'
import { loadParser } from '../sql/index.ts'
import { targetNamed } from './api-services.ts'
import { type Config, configJsonSchema, loadConfig, readConfig } from './config/index.ts'
import { explainSql } from './explain.ts'
import { createLogger } from './logger.ts'
import { issueTokenOffline } from './offline-token.ts'
import { checkPolicies, invalidPolicy, readPolicyDocuments } from './policy-keeper.ts'
import { PROTOCOLS } from './protocols.ts'
import { findUser } from './settings.ts'

/** What the command line does with a configuration file alone; no gateway runs. */
export const offline: Omit<Toolbox, 'version' | 'runGateway' | 'runDemo'> = {
  checkConfig: async (file) => {
    const parsed = await readConfig(file, PROTOCOLS)
    const compiled = await checkPolicies(parsed.named.policies)
    return ['problems' in parsed ? parsed.problems : [], 'problems' in compiled ? compiled.problems : []].flat()
  },
  policyDocuments: async (file) => {
    const { policies } = await loadConfig(file, PROTOCOLS)
    const { documents, problems } = await readPolicyDocuments(policies)
    if (problems.length > 0) throw invalidPolicy(problems)
    return documents
  },
  configSchema: async () => configJsonSchema(PROTOCOLS),
  policySchema: async () => policyJsonSchema(),
  explain: async (file, request) => explainOffline(await loadConfig(file, PROTOCOLS), request),
  createToken: async (file, request) => {
    const config = await loadConfig(file, PROTOCOLS)
    const logger = createLogger('warn')
    const secrets = createSecretResolver({ environment: process.env, log: logger })
    return issueTokenOffline(config, request, { logger, secrets, clock: systemClock, random: systemRandom })
  },
}

async function explainOffline(config: Config, request: ExplainRequest): Promise<ExplanationView> {
  const subject = request.user
  if (subject === undefined)
    throw new GatewayError('cli.usage', 'Whose statement is it?', { hint: 'Say so with --as <subject>.' })
  const identity = findUser(config, subject)
  if (identity === undefined)
    throw new GatewayError('cli.usage', `${path.basename(config.file)} lists no user \`${subject}\`.`, {
      hint: `Its users: ${config.users.map((user) => user.subject).join(', ') || 'none'}.`,
    })
  const compiled = await checkPolicies(config.policies)
  if ('problems' in compiled) throw invalidPolicy(compiled.problems)
  await loadParser()
  return explainSql({
    sql: request.sql,
    principal: { identity, actor: request.actor ?? { kind: 'human', name: subject } },
    target: targetNamed(config, request.target),
    grants: config.grants,
    snapshot: compiled.snapshot,
    now: systemClock.now(),
  })
}
