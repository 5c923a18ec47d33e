import {
  ACCESS_LEVELS,
  type AccessLevel,
  type Actor,
  type ActorKind,
  type Principal,
  type TargetInfo,
} from '../kernel/index.ts'

const ACTOR_KINDS: readonly ActorKind[] = ['human', 'agent', 'service']

/** Who may open which target, and how far that goes. */
export interface Grant {
  /** Subjects. */
  readonly users: readonly string[]
  readonly groups: readonly string[]
  /** `human`, `agent`, `service`, or names such as `claude-code`; undefined: any. */
  readonly actors?: readonly string[] | undefined
  /** Names, or labels that the target must all have. */
  readonly targets: readonly string[] | { readonly labels: Readonly<Record<string, string>> }
  readonly level: AccessLevel
  /** A date or an RFC 3339 time; undefined: no end. */
  readonly until?: string | undefined
}

/** What the grants together give a principal at a target. */
export interface Access {
  readonly level: AccessLevel
  /** Milliseconds since the epoch; undefined: no end. */
  readonly until: number | undefined
}

function covers(targets: Grant['targets'], target: TargetInfo): boolean {
  if (!('labels' in targets)) return targets.includes(target.name)
  return Object.entries(targets.labels).every(([label, value]) => target.labels[label] === value)
}

function isGivenTo(grant: Grant, principal: Principal): boolean {
  const { identity, actor } = principal
  const named = grant.users.includes(identity.subject) || grant.groups.some((group) => identity.groups.includes(group))
  return named && (grant.actors === undefined || grant.actors.some((entry) => isActor(entry, actor)))
}

/** A kind means the kind alone: an agent that calls itself `human` is none, and a person's name is no software. */
function isActor(entry: string, actor: Actor): boolean {
  if ((ACTOR_KINDS as readonly string[]).includes(entry)) return actor.kind === entry
  return actor.kind !== 'human' && actor.name === entry
}

/** When the grant ends. An unreadable time ends at once: what is not understood gives nothing. */
function endOf(grant: Grant): number {
  if (grant.until === undefined) return Number.POSITIVE_INFINITY
  const end = Date.parse(grant.until)
  return Number.isNaN(end) ? Number.NEGATIVE_INFINITY : end
}

/** The highest level that a grant gives now, for as long as one of that level lasts; undefined: no grant, no access. */
export function evaluateGrants(
  grants: readonly Grant[],
  principal: Principal,
  target: TargetInfo,
  now: number,
): Access | undefined {
  let best: { rank: number; end: number } | undefined
  for (const grant of grants) {
    const end = endOf(grant)
    if (end <= now || !isGivenTo(grant, principal) || !covers(grant.targets, target)) continue
    const rank = ACCESS_LEVELS.indexOf(grant.level)
    if (best === undefined || rank > best.rank || (rank === best.rank && end > best.end)) best = { rank, end }
  }
  if (best === undefined) return undefined
  return { level: ACCESS_LEVELS[best.rank]!, until: Number.isFinite(best.end) ? best.end : undefined }
}

/** The lower of two levels: a token's cap never raises what a grant gives. */
export function lowerLevel(a: AccessLevel, b: AccessLevel): AccessLevel {
  return ACCESS_LEVELS.indexOf(a) <= ACCESS_LEVELS.indexOf(b) ? a : b
}
