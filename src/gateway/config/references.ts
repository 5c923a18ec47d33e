import { listAt, valueAt } from './named.ts'
import type { Found, PathPart } from './problems.ts'
import { nearest } from './problems.ts'

/**
 * What the schema cannot see: names used twice, and names of nothing. Looks at whatever is well formed, so that a slip
 * elsewhere in the file hides nothing.
 *
 * @param content - The file as YAML has it, checked by nobody.
 */
export function checkReferences(content: unknown): Found[] {
  const users = namesOf(content, 'users', 'subject')
  const targets = namesOf(content, 'targets', 'name')
  const found = [...users.repeated, ...targets.repeated]
  listAt(content, ['grants']).forEach((_, index) => {
    found.push(
      ...dangling(content, ['grants', index, 'users'], 'user', users),
      ...dangling(content, ['grants', index, 'targets'], 'target', targets),
    )
  })
  const listener: PathPart[] = ['listeners', 'postgres']
  if (valueAt(content, [...listener, 'requireTls']) === true && valueAt(content, [...listener, 'tls']) === undefined)
    found.push({ path: [...listener, 'requireTls'], message: 'needs `tls` with a certificate and a key' })
  return found
}

interface Names {
  readonly known: readonly string[]
  /** Whether every entry has a name; if not, nobody can tell which names there should be. */
  readonly complete: boolean
  readonly repeated: readonly Found[]
}

function namesOf(content: unknown, list: string, key: string): Names {
  const entries = listAt(content, [list])
  const names = entries.map((entry) => valueAt(entry, [key]))
  const known = names.filter((name) => typeof name === 'string')
  const given = valueAt(content, [list])
  return {
    known,
    complete: known.length === names.length && (given === undefined || Array.isArray(given)),
    repeated: names.flatMap((name, index) =>
      typeof name === 'string' && names.indexOf(name) < index
        ? [{ path: [list, index, key], message: `\`${name}\` is used twice` }]
        : [],
    ),
  }
}

function dangling(content: unknown, list: readonly PathPart[], what: string, { known, complete }: Names): Found[] {
  if (!complete) return []
  return listAt(content, list).flatMap((name, place) => {
    if (typeof name !== 'string' || known.includes(name)) return []
    const near = nearest(name, known)
    const meant = near === undefined ? '' : `; did you mean \`${near}\`?`
    return [{ path: [...list, place], message: `there is no ${what} \`${name}\`${meant}` }]
  })
}
