import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { GatewayError } from '../../../kernel/index.ts'
import { DETECTORS } from '../../../masking/index.ts'
import {
  type CaseResult,
  compilePolicies,
  type PolicyCase,
  type PolicyDocument,
  parsePolicyYaml,
  readPolicyCases,
  runPolicyTests,
} from '../../../policy/index.ts'
import { loadParser, SqlAnalyzer } from '../../../sql/index.ts'
import { configFileOf } from '../../config-file.ts'
import type { Context } from '../../context.ts'
import { usageError } from '../../failure.ts'
import { printable } from '../../output.ts'
import type { FileProblem } from '../../toolbox.ts'
import { problemText } from '../config/index.ts'

const FAILED = 1
const INVALID = 4

/**
 * Runs the cases of the given files. Files with `rules` are policies, files with `cases` are cases; without a policy
 * among them the configuration's are tested.
 */
export async function testPolicies(context: Context, files: readonly string[], config?: string): Promise<number> {
  const { output, terminal, toolbox } = context
  const problems: FileProblem[] = []
  const documents = await Promise.all(files.map((file) => readDocument(context, file, problems)))
  const read = documents.filter((document) => document !== undefined)
  const cases = read.filter(isCases).flatMap((document) => {
    const found = readPolicyCases(document)
    if ('cases' in found) return found.cases
    problems.push(...found.problems)
    return []
  })
  let policies = read.filter((document) => !isCases(document))
  if (policies.length === 0) {
    const file = path.resolve(terminal.cwd, await configFileOf(context, config))
    policies = [...(await toolbox.policyDocuments(file))]
  }
  const compiled = compilePolicies(policies, { detectors: DETECTORS.map((detector) => detector.name) })
  if ('problems' in compiled) problems.push(...compiled.problems)
  if (problems.length > 0 || !('snapshot' in compiled)) {
    output.answer({ ok: false, problems }, () => {
      for (const problem of problems) output.line(problemText(problem, terminal.cwd))
    })
    return INVALID
  }
  if (cases.length === 0)
    throw usageError('None of the files has cases.', 'Name a file with `cases:`; see docs/policy.md.')
  await loadParser()
  const report = runPolicyTests(compiled.snapshot, cases, analyzer(cases))
  output.answer({ ok: report.failed === 0, ...report }, () => {
    for (const result of report.results) tellResult(context, result)
    output.line(`\n${report.passed} passed, ${report.failed} failed`)
  })
  return report.failed === 0 ? 0 : FAILED
}

function analyzer(cases: readonly PolicyCase[]) {
  const limits = { maxStatementBytes: 1_048_576, maxStatements: 1_000, maxDepth: 500 }
  const analyzer = new SqlAnalyzer({ limits, cacheEntries: Math.max(1, cases.length) })
  return (sql: string) => analyzer.analyze(sql)
}

function isCases(document: PolicyDocument): boolean {
  return typeof document.content === 'object' && document.content !== null && 'cases' in document.content
}

async function readDocument(
  context: Context,
  file: string,
  problems: FileProblem[],
): Promise<PolicyDocument | undefined> {
  let text: string
  try {
    text = await readFile(path.resolve(context.terminal.cwd, file), 'utf8')
  } catch (error) {
    throw new GatewayError('cli.usage', `${file} cannot be read.`, { hint: 'Check the path.', cause: error })
  }
  const parsed = parsePolicyYaml(text, file)
  if ('document' in parsed) return parsed.document
  problems.push(...parsed.problems)
  return undefined
}

function tellResult({ output }: Context, result: CaseResult): void {
  const { colors } = output
  if (result.ok) {
    output.line(`${colors.green('ok')}    ${printable(result.name)}`)
    return
  }
  output.line(`${colors.red('FAIL')}  ${printable(result.name)} (${result.source})`)
  for (const difference of result.differences) output.line(`        ${printable(difference)}`)
  for (const line of result.explanation.split('\n'))
    if (line !== '') output.line(`        ${colors.dim(printable(line))}`)
}
