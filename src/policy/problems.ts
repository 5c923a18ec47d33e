/** One thing that is wrong with a policy, where it is, and what to do. All problems of all documents come together. */
export interface Problem {
  /** The file, or the name under which the API keeps the document. */
  readonly source: string
  /** `rules[2].when`; empty for the document as a whole. */
  readonly path: string
  readonly message: string
  /** Counted from 1; known when the document was read from YAML text. */
  readonly line?: number
  readonly column?: number
}

export type Path = readonly (string | number)[]

/** Answers where in the text a path stands, if it stands anywhere. */
export type Locate = (path: Path) => { readonly line: number; readonly column: number } | undefined

/** One policy document, parsed to plain values by whoever read it. */
export interface PolicyDocument {
  readonly source: string
  readonly content: unknown
  /** From `parsePolicyYaml`: gives problems their line and column. */
  readonly locate?: Locate
}

/** `['rules', 2, 'when']` becomes `rules[2].when`. */
export function formatPath(path: Path): string {
  let text = ''
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`
    else if (/^[A-Za-z_][\w-]*$/.test(part)) text += text === '' ? part : `.${part}`
    else text += `[${JSON.stringify(part)}]`
  }
  return text
}

/** Makes a problem of a document, with its place in the text where that is known. */
export function problemAt(document: Pick<PolicyDocument, 'source' | 'locate'>, path: Path, message: string): Problem {
  const place = document.locate?.(path)
  return { source: document.source, path: formatPath(path), message, ...place }
}

/** `policies/base.yaml:12:5 rules[2].when: message`, the form that editors and people can follow. */
export function formatProblem(problem: Problem): string {
  const place = problem.line === undefined ? '' : `:${problem.line}:${problem.column ?? 1}`
  const path = problem.path === '' ? '' : ` ${problem.path}`
  return `${problem.source}${place}${path}: ${problem.message}`
}
