import type { Found, PathPart } from './problems.ts'
import { nearest } from './problems.ts'
import type { ConfigFile } from './schema.ts'

/** What the schema cannot see: names used twice, and names of nothing. */
export function checkReferences(config: ConfigFile): Found[] {
  const found: Found[] = []
  const subjects = config.users.map((user) => user.subject)
  const targets = config.targets.map((target) => target.name)
  found.push(...repeated(subjects, 'users', 'subject'), ...repeated(targets, 'targets', 'name'))
  config.grants.forEach((grant, index) => {
    const at = (...rest: PathPart[]): PathPart[] => ['grants', index, ...rest]
    grant.users.forEach((user, place) => {
      if (!subjects.includes(user)) found.push({ path: at('users', place), message: unknown('user', user, subjects) })
    })
    if (Array.isArray(grant.targets))
      grant.targets.forEach((target, place) => {
        if (!targets.includes(target))
          found.push({ path: at('targets', place), message: unknown('target', target, targets) })
      })
  })
  const { tls, requireTls } = config.listeners.postgres
  if (requireTls && tls === undefined)
    found.push({ path: ['listeners', 'postgres', 'requireTls'], message: 'needs `tls` with a certificate and a key' })
  return found
}

function repeated(names: readonly string[], list: string, key: string): Found[] {
  return names.flatMap((name, index) =>
    names.indexOf(name) < index ? [{ path: [list, index, key], message: `\`${name}\` is used twice` }] : [],
  )
}

function unknown(what: string, name: string, names: readonly string[]): string {
  const near = nearest(name, names)
  return `there is no ${what} \`${name}\`${near === undefined ? '' : `; did you mean \`${near}\`?`}`
}
