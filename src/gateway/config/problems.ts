import { type Document, isMap, isNode, isScalar, type LineCounter, type Pair } from 'yaml'
import type { core } from 'zod'

/** One thing wrong with a file, said so that a person finds the place. */
export interface Problem {
  readonly source: string
  /** `targets[0].credential.password`; empty for the file as a whole. */
  readonly path: string
  readonly message: string
  /** Both count from 1; undefined where the place is not known. */
  readonly line: number | undefined
  readonly column: number | undefined
}

export type PathPart = string | number

export function pathText(path: readonly PathPart[]): string {
  let text = ''
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`
    else text += text === '' ? part : `.${part}`
  }
  return text
}

/** Finds the places of problems in one parsed YAML text. */
export class Locator {
  readonly #source: string
  readonly #document: Document
  readonly #lines: LineCounter

  constructor(source: string, document: Document, lines: LineCounter) {
    this.#source = source
    this.#document = document
    this.#lines = lines
  }

  problem(path: readonly PathPart[], message: string): Problem {
    return { source: this.#source, path: pathText(path), message, ...this.#place(this.#offset(path)) }
  }

  at(offset: number, message: string): Problem {
    return { source: this.#source, path: '', message, ...this.#place(offset) }
  }

  #place(offset: number | undefined): { line: number | undefined; column: number | undefined } {
    if (offset === undefined) return { line: undefined, column: undefined }
    const { line, col } = this.#lines.linePos(offset)
    return { line, column: col }
  }

  /** The key of the longest part of the path that exists: a missing field points at its parent. */
  #offset(path: readonly PathPart[]): number | undefined {
    for (let length = path.length; length > 0; length--) {
      const part = path[length - 1]
      const parent = length === 1 ? this.#document.contents : this.#document.getIn(path.slice(0, length - 1), true)
      if (isMap(parent)) {
        const pair = parent.items.find((item: Pair) => isScalar(item.key) && String(item.key.value) === String(part))
        if (pair !== undefined && isNode(pair.key) && pair.key.range) return pair.key.range[0]
      }
      const node = this.#document.getIn(path.slice(0, length), true)
      if (isNode(node) && node.range) return node.range[0]
    }
    return this.#document.contents?.range?.[0]
  }
}

type Issue = core.$ZodIssue

/** Flattens zod's issues: one problem for each unknown key, and the best branch of a union. */
export function describeIssues(issues: readonly Issue[], known: KnownKeys, prefix: readonly PathPart[] = []): Found[] {
  return issues.flatMap((issue) => describeIssue(issue, known, prefix))
}

/** The keys that the schema knows at a path; used to suggest one for a misspelt key. */
export type KnownKeys = (path: readonly PathPart[]) => readonly string[]

export interface Found {
  readonly path: readonly PathPart[]
  readonly message: string
}

function describeIssue(issue: Issue, known: KnownKeys, prefix: readonly PathPart[]): Found[] {
  const path = [...prefix, ...issue.path.map((part) => (typeof part === 'symbol' ? String(part) : part))]
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => {
        const near = nearest(key, known(path))
        return {
          path: [...path, key],
          message: `is not a known key${near === undefined ? '' : `; did you mean \`${near}\`?`}`,
        }
      })
    case 'invalid_type':
      return [{ path, message: issue.input === undefined ? 'is required' : mustBe(issue.expected) }]
    case 'invalid_union':
      return describeUnion(issue, known, path)
    case 'invalid_key':
      return [{ path, message: issue.issues[0]?.message ?? issue.message }]
    case 'invalid_value':
      return [{ path, message: `must be ${issue.values.map((value) => `\`${String(value)}\``).join(' or ')}` }]
    case 'too_small':
      return [{ path, message: tooSmall(issue) }]
    case 'too_big':
      return [{ path, message: `must be at most ${issue.maximum}${lengthUnit(issue.origin)}` }]
    case 'invalid_format':
      return [{ path, message: formats[issue.format] ?? issue.message }]
    default:
      return [{ path, message: issue.message }]
  }
}

const formats: Readonly<Record<string, string>> = { email: 'must be an e-mail address', url: 'must be a URL' }

function mustBe(expected: string): string {
  const words: Record<string, string> = {
    int: 'a whole number',
    object: 'a mapping',
    record: 'a mapping',
    array: 'a list',
  }
  return `must be ${words[expected] ?? `a ${expected}`}`
}

function lengthUnit(origin: string): string {
  if (origin === 'string') return ' characters'
  return origin === 'array' ? ' entries' : ''
}

function tooSmall(issue: core.$ZodIssueTooSmall): string {
  if (Number(issue.minimum) === 1 && (issue.origin === 'array' || issue.origin === 'string')) return 'must not be empty'
  return `must be at least ${issue.minimum}${lengthUnit(issue.origin)}`
}

/** Of a union's branches, tells the one that got furthest into the value: that is what was meant. */
function describeUnion(issue: core.$ZodIssueInvalidUnion, known: KnownKeys, path: readonly PathPart[]): Found[] {
  if (issue.errors.length === 0) return [{ path, message: issue.message.replace(/^.*Expected /, 'must be ') }]
  const branches = issue.errors.map((branch) => describeIssues(branch, known, path))
  const deeper = branches.filter((branch) => branch.some((found) => found.path.length > path.length))
  if (deeper.length > 0) return deeper.reduce((best, branch) => (branch.length < best.length ? branch : best))
  const messages = new Set(branches.flat().map((found) => found.message))
  return [{ path, message: [...messages].join(', or ') }]
}

/** The closest of some names by edit distance, when close enough to be a slip. */
export function nearest(word: string, names: readonly string[]): string | undefined {
  let best: string | undefined
  let least = Math.max(2, Math.floor(word.length / 3)) + 1
  for (const name of names) {
    const distance = editDistance(word.toLowerCase(), name.toLowerCase())
    if (distance < least) {
      least = distance
      best = name
    }
  }
  return best
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}
