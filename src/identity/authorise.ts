import {
  type ActorKind,
  type ErrorCode,
  GatewayError,
  type Principal,
  sameIdentity,
  type TargetInfo,
} from '../kernel/index.ts'
import { isAmong, sameHuman } from '../review/index.ts'
import { type Access, evaluateGrants, type Grant } from './grants.ts'

/** Everything that anyone can ask of the gateway, by any path: native protocols, API, console, replay. */
export type Action = keyof typeof RULES

export type Resource =
  /** Not yet known which one: may the principal do this to anything at all? */
  | { readonly kind: 'any' }
  | { readonly kind: 'target'; readonly target: TargetInfo }
  /** A session, a token, an explanation: something that belongs to somebody. */
  | { readonly kind: 'owned'; readonly owner: Principal }
  | { readonly kind: 'review'; readonly requester: Principal; readonly reviewers: readonly string[] }

export interface AuthorisationContext {
  /** Members administer the gateway. */
  readonly adminGroups: readonly string[]
  readonly grants: readonly Grant[]
  /** Milliseconds since the epoch. */
  readonly now: number
}

/** How far an allowed action reaches, for listings: one's own, also what is addressed to one, or everyone's. */
export type Reach = 'own' | 'addressed' | 'all'

export type Verdict =
  | { readonly allowed: true; readonly reach: Reach; readonly access: Access | undefined }
  | { readonly allowed: false; readonly error: GatewayError }

interface Rule {
  /** Actor kinds that may do it to what is their own. */
  readonly own: readonly ActorKind[]
  /** Actor kinds that may do it to reviews addressed to them. */
  readonly addressed: readonly ActorKind[]
  /** Actor kinds that may do it to everything, as administrators. Never agents. */
  readonly administrator: readonly ActorKind[]
  /** What is said about a thing that one may not see: the same as when there is none. */
  readonly hidden: ErrorCode
}

const ANYONE: readonly ActorKind[] = ['human', 'agent', 'service']
const HUMANS: readonly ActorKind[] = ['human']
const STAFF: readonly ActorKind[] = ['human', 'service']
const NOBODY: readonly ActorKind[] = []

/** The whole of it. `session.open` and `target.read` are decided by grants. */
const RULES = {
  'self.read': { own: ANYONE, addressed: NOBODY, administrator: NOBODY, hidden: 'access.forbidden' },
  'target.read': { own: NOBODY, addressed: NOBODY, administrator: STAFF, hidden: 'access.no_grant' },
  'session.open': { own: NOBODY, addressed: NOBODY, administrator: NOBODY, hidden: 'access.no_grant' },
  'session.read': { own: ANYONE, addressed: NOBODY, administrator: STAFF, hidden: 'recording.not_found' },
  'session.replay': { own: ANYONE, addressed: NOBODY, administrator: STAFF, hidden: 'recording.not_found' },
  'session.export': { own: ANYONE, addressed: NOBODY, administrator: STAFF, hidden: 'recording.not_found' },
  'session.end': { own: ANYONE, addressed: NOBODY, administrator: STAFF, hidden: 'recording.not_found' },
  'review.read': { own: ANYONE, addressed: HUMANS, administrator: STAFF, hidden: 'review.not_found' },
  'review.answer': { own: NOBODY, addressed: HUMANS, administrator: NOBODY, hidden: 'review.not_found' },
  'token.read': { own: STAFF, addressed: NOBODY, administrator: STAFF, hidden: 'api.not_found' },
  'token.create': { own: HUMANS, addressed: NOBODY, administrator: STAFF, hidden: 'access.forbidden' },
  'token.revoke': { own: HUMANS, addressed: NOBODY, administrator: STAFF, hidden: 'api.not_found' },
  'policy.read': { own: NOBODY, addressed: NOBODY, administrator: STAFF, hidden: 'access.forbidden' },
  'policy.explain': { own: ANYONE, addressed: NOBODY, administrator: STAFF, hidden: 'access.forbidden' },
  'policy.reload': { own: NOBODY, addressed: NOBODY, administrator: STAFF, hidden: 'access.forbidden' },
  'audit.read': { own: NOBODY, addressed: NOBODY, administrator: STAFF, hidden: 'access.forbidden' },
} as const satisfies Record<string, Rule>

export const ACTIONS = Object.keys(RULES) as readonly Action[]

/** Whether the principal administers the gateway. Software acting for an administrator does not. */
export function isAdministrator(principal: Principal, adminGroups: readonly string[]): boolean {
  return principal.actor.kind !== 'agent' && principal.identity.groups.some((group) => adminGroups.includes(group))
}

/** A human owns what is done in their name; software owns only what it did itself. */
export function isOwn(principal: Principal, owner: Principal): boolean {
  if (!sameIdentity(principal.identity, owner.identity)) return false
  if (principal.actor.kind === 'human') return true
  return principal.actor.kind === owner.actor.kind && principal.actor.name === owner.actor.name
}

/**
 * The one decision on who may do what; every path asks it and nothing else decides.
 *
 * @param principal - undefined for nobody: not authenticated.
 */
export function authorise(
  principal: Principal | undefined,
  action: Action,
  resource: Resource,
  context: AuthorisationContext,
): Verdict {
  if (principal === undefined) return no('auth.failed', 'Nobody is logged in.')
  const rule: Rule = RULES[action]
  const kind = principal.actor.kind
  const administers = rule.administrator.includes(kind) && isAdministrator(principal, context.adminGroups)
  switch (resource.kind) {
    case 'any':
      return reachOf(principal, action, rule, administers)
    case 'target':
      return byGrant(principal, action, resource.target, administers, context)
    case 'owned':
      if (administers) return yes('all')
      if (rule.own.includes(kind) && isOwn(principal, resource.owner)) return yes('own')
      return no(rule.hidden)
    case 'review':
      return onReview(principal, action, rule, resource, administers, context)
  }
}

/** Throws what {@link authorise} refuses with. */
export function demand(
  principal: Principal | undefined,
  action: Action,
  resource: Resource,
  context: AuthorisationContext,
): { readonly reach: Reach; readonly access: Access | undefined } {
  const verdict = authorise(principal, action, resource, context)
  if (!verdict.allowed) throw verdict.error
  return verdict
}

function reachOf(principal: Principal, action: Action, rule: Rule, administers: boolean): Verdict {
  const kind = principal.actor.kind
  if (administers) return yes('all')
  if (action === 'session.open' || action === 'target.read') return yes('own') // which ones, grants decide
  if (rule.addressed.includes(kind)) return yes('addressed')
  if (rule.own.includes(kind)) return yes('own')
  return forbidden(principal)
}

function byGrant(
  principal: Principal,
  action: Action,
  target: TargetInfo,
  administers: boolean,
  context: AuthorisationContext,
): Verdict {
  if (action !== 'session.open' && action !== 'target.read') return forbidden(principal)
  const access = evaluateGrants(context.grants, principal, target, context.now)
  if (access !== undefined) return { allowed: true, reach: 'own', access }
  return administers ? yes('all') : no('access.no_grant')
}

function onReview(
  principal: Principal,
  action: Action,
  rule: Rule,
  review: Extract<Resource, { kind: 'review' }>,
  administers: boolean,
  context: AuthorisationContext,
): Verdict {
  const kind = principal.actor.kind
  const addressed = isAmong(principal.identity, review.reviewers)
  if (action !== 'review.answer') {
    if (administers) return yes('all')
    if (rule.own.includes(kind) && isOwn(principal, review.requester)) return yes('own')
    return rule.addressed.includes(kind) && addressed ? yes('addressed') : no(rule.hidden)
  }
  if (!rule.addressed.includes(kind))
    return no('access.forbidden', 'Only a human can answer a review.', 'Ask one of its reviewers.')
  if (sameHuman(principal.identity, review.requester.identity)) return no('review.self_approval')
  if (addressed) return yes('addressed')
  return isAdministrator(principal, context.adminGroups) ? no('review.not_reviewer') : no(rule.hidden)
}

function forbidden(principal: Principal): Verdict {
  if (principal.actor.kind === 'agent')
    return no(
      'access.forbidden',
      'An agent may not do this.',
      'Ask the person you act for to do it with their own token.',
    )
  return no('access.forbidden')
}

function yes(reach: Reach): Verdict {
  return { allowed: true, reach, access: undefined }
}

function no(code: ErrorCode, message?: string, hint = HINTS[code]): Verdict {
  const more = hint === undefined ? {} : { hint }
  const error = new GatewayError(code, message ?? SENTENCES[code] ?? 'Your identity may not do this.', more)
  return { allowed: false, error }
}

const SENTENCES: Partial<Record<ErrorCode, string>> = {
  'access.no_grant': 'No grant lets you open this target, or there is no such target.',
  'recording.not_found': 'There is no such session, or you may not see it.',
  'review.not_found': 'There is no such review, or you may not see it.',
  'review.self_approval': 'The approver must be another human than the requester.',
  'review.not_reviewer': 'You are not among the reviewers that the rule names.',
  'api.not_found': 'There is no such token, or you may not see it.',
}

const HINTS: Partial<Record<ErrorCode, string>> = {
  'access.forbidden': 'Ask an administrator to do it.',
  'review.self_approval': 'Ask another of its reviewers; `sallyport reviews show <id>` lists them.',
  'review.not_reviewer': 'Ask one of its reviewers; `sallyport reviews show <id>` lists them.',
}
