import type { Identity } from '../kernel/index.ts'
import type { Config } from './config/index.ts'
import type { ControlSettings } from './control-plane.ts'

/** Who vouches for the people that the configuration lists. */
export const LOCAL_ISSUER = 'local'

/** What the control plane needs of the configuration; the same after every reload. */
export function controlSettings(config: Config, publicUrl: string): ControlSettings {
  return {
    publicUrl,
    adminGroups: config.adminGroups,
    grants: config.grants,
    targets: config.targets,
    limits: {
      maxSessionsPerPrincipal: config.limits.maxSessionsPerPrincipal,
      maxSessions: config.limits.maxSessions,
    },
    directory: { issuer: LOCAL_ISSUER, identities: config.users.map(identityOf) },
  }
}

export function identityOf(user: Config['users'][number]): Identity {
  return { issuer: LOCAL_ISSUER, subject: user.subject, email: user.email, groups: user.groups }
}

/** The person of that subject, as the configuration has them now. */
export function findUser(config: Config, subject: string): Identity | undefined {
  const user = config.users.find((one) => one.subject === subject)
  return user === undefined ? undefined : identityOf(user)
}
