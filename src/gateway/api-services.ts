import type { ApiServices, Caller } from '../api/services.ts'
import { GatewayError, type Identity, type Principal, principalLabel, type TargetInfo } from '../kernel/index.ts'
import { exportJsonLines, exportOcsf, type RecordingEvent, renderReplay, verifyAudit } from '../recording/index.ts'
import type { ReviewState } from '../review/index.ts'
import { folderReader, type RecordingFolders, type Recordings } from '../store/recordings/index.ts'
import { viewPolicy, viewReview, viewSession, viewToken } from './api-views.ts'
import type { Config } from './config/index.ts'
import type { GatewayControl } from './control-plane.ts'
import { explainSql } from './explain.ts'
import type { PolicyKeeper } from './policy-keeper.ts'
import { findUser } from './settings.ts'

export interface ApiServicesParts {
  readonly version: string
  /** The configuration in force; a reload swaps it. */
  readonly config: () => Config
  readonly control: GatewayControl
  readonly policy: PolicyKeeper
  readonly recordings: Recordings
  readonly folders: RecordingFolders
  readonly draining: () => boolean
  readonly now: () => number
}

const WAITING: readonly ReviewState[] = ['pending']

/** Joins the API to the house. Who may do what is decided in `control.administration`, which asks identity. */
export function createApiServices(parts: ApiServicesParts): ApiServices {
  const { control, policy, config } = parts
  const { administration } = control
  return {
    get name() {
      return config().name
    },
    version: parts.version,
    authenticate: (tokenId, secret, address) => control.authenticate(tokenId, secret, address),
    authorisation: () => administration.context,
    health: () => health(parts),
    reviews: {
      list: async ({ principal }, { all, limit }) => {
        const found = await administration.listReviews(principal, { states: all ? undefined : WAITING, limit })
        return found.map(viewReview)
      },
      show: async ({ principal }, id) => viewReview(await administration.getReview(principal, id)),
      answer: async ({ principal }, id, verdict, reason) =>
        viewReview(await administration.answerReview(principal, id, verdict, reason)),
    },
    sessions: sessionServices(parts),
    tokens: {
      create: async ({ principal }, request) => {
        const identity = identityFor(config(), principal, request.user)
        const actor = request.actor ?? { kind: 'human' as const, name: identity.subject }
        const made = await administration.createToken(principal, {
          name: request.name ?? '',
          identity,
          actor,
          targets: request.targets,
          levelCap: request.level,
          expiresInMs: request.expiresInMs,
        })
        return { token: viewToken(made.token), secret: made.secret }
      },
      list: async ({ principal }) => (await administration.listTokens(principal)).map(viewToken),
      revoke: async ({ principal }, id) => viewToken(await administration.revokeToken(principal, id)),
    },
    policy: {
      status: async ({ principal }) => {
        administration.demand(principal, 'policy.read')
        return viewPolicy(policy)
      },
      reload: async ({ principal }) => {
        administration.demand(principal, 'policy.reload')
        await policy.reload()
        return viewPolicy(policy)
      },
      explain: async ({ principal }, request) => {
        const of = explainedPrincipal(config(), principal, request)
        administration.demand(principal, 'policy.explain', { kind: 'owned', owner: of })
        const target = targetNamed(config(), request.target)
        administration.demand(of, 'target.read', { kind: 'target', target })
        const { grants } = administration.context
        const input = { sql: request.sql, target, grants, now: parts.now() }
        return explainSql({ ...input, principal: of, snapshot: policy.snapshot() })
      },
    },
    audit: auditServices(parts),
  }
}

async function health({ control, policy, recordings, draining, version }: ApiServicesParts) {
  const reasons = [...(await control.health())]
  if (policy.state.problems.length > 0) reasons.push('The newest policy files have problems; older rules are in force.')
  if (recordings.space.level !== 'ok') reasons.push(`The disk for recordings: ${recordings.space.level}.`)
  const status = draining() ? ('draining' as const) : reasons.length === 0 ? ('ok' as const) : ('degraded' as const)
  return { status, version, reasons }
}

function sessionServices({ control, recordings }: ApiServicesParts): ApiServices['sessions'] {
  const { administration } = control
  const viewed = async (caller: Caller, id: string, action: 'session.replay' | 'session.export', format: string) => {
    const row = await administration.getSession(caller.principal, id, action)
    const type = action === 'session.replay' ? 'replay_viewed' : 'recording_exported'
    await recordings.audit.append({ type, by: principalLabel(caller.principal), details: { session: id, format } })
    return row
  }
  return {
    list: async ({ principal }, { cursor, limit, open }) => {
      const page = await administration.listSessions(principal, { cursor, limit, open })
      return { items: page.items.map(viewSession), next: page.next }
    },
    show: async ({ principal }, id) => viewSession(await administration.getSession(principal, id)),
    end: async ({ principal }, id, reason) => {
      await administration.endSession(principal, id, reason)
    },
    replay: async (caller, id, format) => {
      const row = await viewed(caller, id, 'session.replay', format)
      const events = await begun(recordings.reader.events(id, row.startedAt))
      return terminated(format === 'json' ? exportJsonLines(events) : renderReplay(events))
    },
    export: async (caller, id, format) => {
      const row = await viewed(caller, id, 'session.export', format)
      if (format === 'recording') {
        const found = await recordings.reader.find(id, row.startedAt)
        if (found === undefined) throw new GatewayError('recording.not_found', 'This session has no recording.')
        return found.bytes
      }
      const events = await begun(recordings.reader.events(id, row.startedAt))
      return terminated(format === 'jsonl' ? exportJsonLines(events) : exportOcsf(events))
    },
  }
}

/** Reads the first event before anything is answered, so that a missing recording is a clean error. */
async function begun(events: AsyncGenerator<RecordingEvent, void, void>): Promise<AsyncIterable<RecordingEvent>> {
  const first = await events.next()
  return (async function* () {
    if (first.done !== true) yield first.value
    yield* events
  })()
}

async function* terminated(lines: AsyncIterable<string>): AsyncGenerator<string> {
  for await (const line of lines) yield `${line}\n`
}

function auditServices({ control, recordings, folders }: ApiServicesParts): ApiServices['audit'] {
  return {
    checkpoint: async ({ principal }) => {
      control.administration.demand(principal, 'audit.read')
      return { checkpoint: recordings.audit.checkpoint(), publicKey: recordings.keys.signer.vkey }
    },
    verify: async ({ principal }) => {
      control.administration.demand(principal, 'audit.read')
      const report = await verifyAudit({
        audit: folderReader(folders.audit),
        recordings: folderReader(folders.recordings),
        verifier: recordings.keys.signer,
      })
      return {
        ok: report.ok,
        checkpoint: report.checkpoint ?? null,
        sessions: report.sessions,
        problems: report.problems.map((problem) => ({ ...problem })),
        notes: [...report.notes],
      }
    },
  }
}

/** One's own verified identity, or for administrators anybody's that the configuration lists. */
function identityFor(config: Config, principal: Principal, subject: string): Identity {
  if (subject === principal.identity.subject) return principal.identity
  const found = findUser(config, subject)
  if (found !== undefined) return found
  // Nobody of that name: refused as any stranger's would be, unless an administrator asks.
  return { issuer: principal.identity.issuer, subject, email: '', groups: [] }
}

function explainedPrincipal(
  config: Config,
  principal: Principal,
  request: Parameters<ApiServices['policy']['explain']>[1],
): Principal {
  if (request.user === undefined && request.actor === undefined) return principal
  const identity = identityFor(config, principal, request.user ?? principal.identity.subject)
  return { identity, actor: request.actor ?? { kind: 'human', name: identity.subject } }
}

export function targetNamed(config: Config, name: string): TargetInfo {
  const found = config.targets.find((target) => target.name === name)
  if (found === undefined)
    throw new GatewayError('access.no_grant', 'No grant lets you open this target, or there is no such target.')
  return { name: found.name, type: found.type, labels: found.labels }
}
