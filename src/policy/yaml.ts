import { isNode, LineCounter, parseDocument } from 'yaml'
import type { Locate, PolicyDocument, Problem } from './problems.ts'

export const MAX_POLICY_CHARACTERS = 1_048_576
const MAX_ALIASES = 100

/** One YAML text as plain values, or every problem of its syntax with line and column. Never throws. */
export function parsePolicyYaml(
  text: string,
  source: string,
): { readonly document: PolicyDocument } | { readonly problems: readonly Problem[] } {
  const fail = (message: string): { problems: Problem[] } => ({ problems: [{ source, path: '', message }] })
  if (text.length > MAX_POLICY_CHARACTERS) return fail(`The document is over ${MAX_POLICY_CHARACTERS} characters.`)
  const lines = new LineCounter()
  try {
    // Duplicate keys are errors: a second `then:` must not silently win.
    const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true, prettyErrors: false })
    const faults = [...document.errors, ...document.warnings]
    if (faults.length > 0) {
      return {
        problems: faults.map((fault) => {
          const place = lines.linePos(fault.pos[0])
          return { source, path: '', message: fault.message, line: place.line, column: place.col }
        }),
      }
    }
    const content: unknown = document.toJS({ maxAliasCount: MAX_ALIASES })
    const locate: Locate = (path) => {
      for (let length = path.length; length >= 0; length--) {
        const node = length === 0 ? document.contents : document.getIn(path.slice(0, length), true)
        if (isNode(node) && node.range) {
          const place = lines.linePos(node.range[0])
          return { line: place.line, column: place.col }
        }
      }
      return undefined
    }
    return { document: { source, content, locate } }
  } catch (error) {
    return fail(`The YAML cannot be read: ${error instanceof Error ? error.message : String(error)}`)
  }
}
