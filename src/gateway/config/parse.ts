import path from 'node:path'
import { type Document, isScalar, LineCounter, parseDocument, type ScalarTag } from 'yaml'
import { z } from 'zod'
import { type Named, NOTHING_NAMED, namedIn } from './named.ts'
import { describeIssues, type KnownKeys, Locator, type PathPart, type Problem } from './problems.ts'
import { checkReferences } from './references.ts'
import { type ConfigFile, configSchema, type TargetShape } from './schema.ts'

/** No configuration is longer; checked before it is parsed. */
export const MAX_CONFIG_BYTES = 4 * 1_048_576

/** The whole configuration, complete and frozen: every default filled in, every path absolute. */
export interface Config extends Readonly<Omit<ConfigFile, '$schema' | 'policies'>> {
  /** Where it came from, for messages and for reading it again. */
  readonly file: string
  readonly policies: readonly PolicySource[]
}

export type PolicySource =
  | { readonly kind: 'file'; readonly file: string }
  | { readonly kind: 'inline'; readonly source: string; readonly content: unknown }

/** `named` is there also when there are problems, for whoever looks for more of them. */
export type Parsed = { readonly named: Named } & (
  | { readonly config: Config }
  | { readonly problems: readonly Problem[] }
)

/**
 * Parses the text of a configuration file.
 *
 * @param text - YAML 1.2 (JSON is fine too).
 * @param file - Its path; relative paths in it are taken from this file's folder.
 * @param readText - Reads what `!file` names.
 * @returns The configuration, or everything that is wrong with it.
 */
export function parseConfig(
  text: string,
  file: string,
  shapes: readonly TargetShape[],
  readText: ReadText = notRead,
): Parsed {
  const absolute = path.resolve(file)
  const lines = new LineCounter()
  const customTags = [fileTag(path.dirname(absolute), readText)]
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, customTags })
  const locate = new Locator(file, document, lines)
  const whole = (...problems: Problem[]): Parsed => ({ problems, named: NOTHING_NAMED })
  if (Buffer.byteLength(text) > MAX_CONFIG_BYTES) return whole(locate.at(0, `is over ${MAX_CONFIG_BYTES} bytes`))
  const slips = document.errors.map((error) => locate.at(error.pos[0], firstSentence(error.message)))
  if (document.errors.some((error) => !READ_ON.has(error.code))) return whole(...slips)
  let content: unknown
  try {
    content = document.toJS({ maxAliasCount: 100 }) ?? {}
  } catch (error) {
    return whole(locate.at(0, error instanceof Error ? error.message : String(error)))
  }
  const named = namedIn(content, absolute)
  const schema = configSchema(shapes)
  const parsed = schema.safeParse(content, { reportInput: true })
  const misshapen = parsed.success ? [] : describeIssues(parsed.error.issues, knownKeys(schema))
  const found = [...misshapen, ...checkReferences(content)].filter(({ path: where }) => !isUnread(document, where))
  const problems = [...slips, ...found.map(({ path: where, message }) => locate.problem(where, message))]
  if (problems.length > 0 || !parsed.success) return { problems, named }
  return { config: deepFreeze(resolvePaths(parsed.data, absolute)), named }
}

/** Errors of the YAML reader after which the rest still means what it says. */
const READ_ON: ReadonlySet<string> = new Set(['TAG_RESOLVE_FAILED', 'DUPLICATE_KEY'])

/** Whether the value is a `!file` that could not be read, which has been told already. */
function isUnread(document: Document, where: readonly PathPart[]): boolean {
  const node = document.getIn(where, true)
  return isScalar(node) && node.tag === FILE_TAG && node.value === undefined
}

/** The text of a file; throws when it cannot be read. */
export type ReadText = (file: string) => string

const notRead: ReadText = () => {
  throw new Error('files are not read here')
}

const FILE_TAG = '!file'

/** `ca: !file certs/ca.pem` puts the file's text in place: for certificates. Secrets are references instead. */
function fileTag(folder: string, readText: ReadText): ScalarTag {
  return {
    tag: FILE_TAG,
    resolve(name, onError) {
      try {
        return readText(path.resolve(folder, name))
      } catch (error) {
        onError(`\`${name}\` ${error instanceof Error ? error.message : 'cannot be read'}`)
        return undefined
      }
    },
  }
}

function firstSentence(message: string): string {
  return message.split('\n')[0] ?? message
}

/** Looks the keys of a mapping up in the published JSON Schema, which is the one place that has them all. */
function knownKeys(schema: z.ZodType): KnownKeys {
  return (where) => {
    const root: unknown = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' })
    return [...keysAt(root, where)]
  }
}

function keysAt(schema: unknown, where: readonly PathPart[]): Set<string> {
  const keys = new Set<string>()
  if (typeof schema !== 'object' || schema === null) return keys
  const node = schema as Record<string, unknown>
  for (const branch of ['anyOf', 'oneOf', 'allOf'] as const)
    if (Array.isArray(node[branch])) for (const one of node[branch]) for (const key of keysAt(one, where)) keys.add(key)
  const properties = node['properties'] as Record<string, unknown> | undefined
  const [part, ...rest] = where
  if (part === undefined) for (const key of Object.keys(properties ?? {})) keys.add(key)
  else {
    const next = typeof part === 'number' ? node['items'] : properties?.[part]
    for (const key of keysAt(next, rest)) keys.add(key)
  }
  return keys
}

function resolvePaths(parsed: ConfigFile, file: string): Config {
  const { $schema: _, policies, ...rest } = parsed
  const folder = path.dirname(file)
  const at = (relative: string) => path.resolve(folder, relative)
  const reference = (text: string) => (text.startsWith('file:') ? `file:${at(text.slice('file:'.length))}` : text)
  const tls = <T extends { tls?: { certFile: string; keyFile: string } | undefined }>(listener: T): T =>
    listener.tls === undefined
      ? listener
      : { ...listener, tls: { certFile: at(listener.tls.certFile), keyFile: at(listener.tls.keyFile) } }
  const dataFolder = at(rest.dataFolder)
  return {
    ...rest,
    file,
    dataFolder,
    store: rest.store.kind === 'postgres' ? { ...rest.store, url: reference(rest.store.url) } : rest.store,
    listeners: { postgres: tls(rest.listeners.postgres) },
    api: tls(rest.api),
    masking: rest.masking.key === undefined ? {} : { key: reference(rest.masking.key) },
    recording: { ...rest.recording, folder: path.resolve(dataFolder, rest.recording.folder) },
    targets: rest.targets.map((target) => ({
      ...target,
      credential: {
        user: target.credential.user,
        ...(target.credential.password === undefined ? {} : { password: reference(target.credential.password) }),
      },
    })),
    policies: policies.map((source, index) =>
      typeof source === 'string'
        ? { kind: 'file', file: at(source) }
        : { kind: 'inline', source: `${file} policies[${index}]`, content: source },
    ),
  }
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value) && !Buffer.isBuffer(value)) {
    Object.freeze(value)
    for (const child of Object.values(value)) deepFreeze(child)
  }
  return value
}
