import type { z } from 'zod'
import type { Path } from './problems.ts'

export interface FlatIssue {
  readonly path: Path
  readonly message: string
}

type Issue = z.core.$ZodIssue

/** Zod's issues as one line each. Of a union only the branch that came closest is told; unknown keys get a suggestion. */
export function flattenIssues(issues: readonly Issue[], knownKeys: readonly string[], prefix: Path = []): FlatIssue[] {
  return issues.flatMap((issue) => flatten(issue, knownKeys, prefix))
}

function flatten(issue: Issue, knownKeys: readonly string[], prefix: Path): FlatIssue[] {
  const path: Path = [...prefix, ...issue.path.map((part) => (typeof part === 'number' ? part : String(part)))]
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ path: [...path, key], message: `Unknown key.${suggestion(key, knownKeys)}` }))
  }
  if (issue.code === 'invalid_union' && issue.errors.length > 0) return closestBranch(issue, knownKeys, path)
  if (issue.code === 'invalid_value') {
    const values = issue.values.map(String)
    return [{ path, message: `Must be one of ${values.join(', ')}.${suggestion(String(issue.input ?? ''), values)}` }]
  }
  return [{ path, message: /[.!?]$/.test(issue.message) ? issue.message : `${issue.message}.` }]
}

function closestBranch(issue: Extract<Issue, { code: 'invalid_union' }>, knownKeys: readonly string[], path: Path) {
  const branches = issue.errors.map((errors) => ({
    // A branch of the wrong type altogether fails at its own root; one that got further was the one meant.
    wrongShape: errors.some(
      (error) => error.path.length === 0 && error.code !== 'unrecognized_keys' && error.code !== 'custom',
    ),
    count: errors.length,
    issues: flattenIssues(errors, knownKeys, path),
  }))
  const meant = branches.filter((branch) => !branch.wrongShape).sort((a, b) => a.count - b.count)[0]
  if (meant !== undefined) return meant.issues
  // "expected array" beside "must be one of" only adds noise; where there is nothing else it is the answer.
  const told = issue.errors.some((errors) => !errors.every(isTypeError))
  const useful = branches.filter((_, index) => !told || !issue.errors[index]?.every(isTypeError))
  const messages = [...new Set(useful.flatMap((branch) => branch.issues.map((flat) => flat.message)))]
  return [{ path, message: messages.join(' Or: ') }]
}

function isTypeError(error: Issue): boolean {
  return error.code === 'invalid_type' && error.path.length === 0
}

function suggestion(given: string, known: readonly string[]): string {
  let best: string | undefined
  let bestDistance = 3
  for (const candidate of known) {
    const distance = editDistance(given.slice(0, 64).toLowerCase(), candidate.toLowerCase())
    if (distance < bestDistance && distance < candidate.length) {
      best = candidate
      bestDistance = distance
    }
  }
  return best === undefined ? '' : ` Did you mean ${best}?`
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, (row[j - 1] ?? 0) + cost))
    }
    row = next
  }
  return row[b.length] ?? 0
}
