import { type Profile, readProfile, saveProfile } from '../../cli/profiles.ts'
import type { Actor } from '../../kernel/index.ts'
import type { RunningGateway } from '../compose.ts'
import type { Config } from '../config/index.ts'
import { findUser } from '../settings.ts'

interface Person {
  readonly profile: string
  readonly subject: string
  readonly actor: Actor
  readonly purpose: string
}

/** `default` is the agent: what it may not do, the demo's commands should not do by accident. */
const PEOPLE: readonly Person[] = [
  {
    profile: 'default',
    subject: 'alice',
    actor: { kind: 'agent', name: 'claude-code' },
    purpose: "demo: alice's coding agent",
  },
  { profile: 'alice', subject: 'alice', actor: { kind: 'human', name: 'alice' }, purpose: 'demo: alice herself' },
  { profile: 'bob', subject: 'bob', actor: { kind: 'human', name: 'bob' }, purpose: 'demo: the reviewer' },
  { profile: 'admin', subject: 'admin', actor: { kind: 'human', name: 'admin' }, purpose: 'demo: the administrator' },
]

const TOKEN_LIFE_MS = 90 * 86_400_000

/** Everybody has a profile with a token that works: kept ones stay, missing, revoked and expired ones are made anew. */
export async function demoProfiles(gateway: RunningGateway, config: Config, dataFolder: string): Promise<Profile> {
  const { host, port } = gateway.postgres
  let agent: Profile | undefined
  for (const person of PEOPLE) {
    const identity = findUser(config, person.subject)
    if (identity === undefined) continue // the user has taken them out of the file
    const kept = await readProfile(dataFolder, person.profile).catch(() => undefined)
    const token =
      kept !== undefined && (await works(gateway, kept))
        ? { tokenId: kept.tokenId, secret: kept.secret }
        : await newToken(gateway, person, identity)
    const profile: Profile = { api: gateway.api.url, ...token, postgres: { host, port } }
    await saveProfile(dataFolder, person.profile, profile)
    if (person.profile === 'default') agent = profile
  }
  return agent ?? { api: gateway.api.url, tokenId: '', secret: '', postgres: { host, port } }
}

function works(gateway: RunningGateway, { tokenId, secret }: Profile): Promise<boolean> {
  return gateway.control.authenticate(tokenId, secret, 'demo').then(
    () => true,
    () => false,
  )
}

async function newToken(
  gateway: RunningGateway,
  { purpose, actor }: Person,
  identity: NonNullable<ReturnType<typeof findUser>>,
) {
  const request = { name: purpose, identity, actor, expiresInMs: TOKEN_LIFE_MS }
  const { token, secret } = await gateway.control.administration.issueToken(request, 'demo')
  return { tokenId: token.id, secret }
}
