import { type Identity, type Principal, sameIdentity } from '../kernel/index.ts'

/** Whether a person is `group:<name>` or `user:<subject or e-mail>` of any entry. */
export function isAmong(identity: Identity, reviewers: readonly string[]): boolean {
  return reviewers.some((reviewer) => {
    if (reviewer.startsWith('group:')) return identity.groups.includes(reviewer.slice('group:'.length))
    if (!reviewer.startsWith('user:')) return false
    const name = reviewer.slice('user:'.length)
    return name === identity.subject || (identity.email !== '' && name.toLowerCase() === identity.email.toLowerCase())
  })
}

/**
 * The same person as far as anyone can tell. A person known to two issuers has two identities: the same e-mail address
 * in both must not let them approve themselves.
 */
export function sameHuman(a: Identity, b: Identity): boolean {
  return sameIdentity(a, b) || (a.email !== '' && a.email.toLowerCase() === b.email.toLowerCase())
}

/** An agent or a service with somebody's token is not that somebody. */
export function isHumanActor(principal: Principal): boolean {
  return principal.actor.kind === 'human'
}
