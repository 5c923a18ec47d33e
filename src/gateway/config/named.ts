import path from 'node:path'
import type { PolicySource } from './parse.ts'
import { type PathPart, pathText } from './problems.ts'

/** What a configuration names outside of itself, as far as it is well formed: looked at even when the rest is not. */
export interface Named {
  readonly files: readonly { readonly path: string; readonly file: string }[]
  readonly policies: readonly PolicySource[]
}

export const NOTHING_NAMED: Named = { files: [], policies: [] }

const FILE_SETTINGS: readonly (readonly string[])[] = [
  ['listeners', 'postgres', 'tls', 'certFile'],
  ['listeners', 'postgres', 'tls', 'keyFile'],
  ['api', 'tls', 'certFile'],
  ['api', 'tls', 'keyFile'],
]

/** What stands at that place of parsed YAML; undefined when nothing does. */
export function valueAt(content: unknown, where: readonly PathPart[]): unknown {
  let value = content
  for (const part of where) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined
    value = (value as Record<PathPart, unknown>)[part]
  }
  return value
}

export function listAt(content: unknown, where: readonly PathPart[]): readonly unknown[] {
  const value = valueAt(content, where)
  return Array.isArray(value) ? value : []
}

/** @param file - Absolute; relative paths are taken from its folder. */
export function namedIn(content: unknown, file: string): Named {
  const at = (relative: string) => path.resolve(path.dirname(file), relative)
  const policies = listAt(content, ['policies']).flatMap((source, index): (PolicySource & { index: number })[] => {
    if (typeof source === 'string' && source !== '') return [{ kind: 'file', file: at(source), index }]
    if (typeof source !== 'object' || source === null || Array.isArray(source)) return []
    return [{ kind: 'inline', source: `${file} policies[${index}]`, content: source, index }]
  })
  const settings = FILE_SETTINGS.map((where) => [where, valueAt(content, where)] as const)
  return {
    files: [
      ...settings.flatMap(([where, name]) =>
        typeof name === 'string' && name !== '' ? [{ path: pathText(where), file: at(name) }] : [],
      ),
      ...policies.flatMap((one) => (one.kind === 'file' ? [{ path: `policies[${one.index}]`, file: one.file }] : [])),
    ],
    policies: policies.map(({ index: _, ...source }) => source),
  }
}
