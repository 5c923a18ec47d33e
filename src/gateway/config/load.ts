import { readFileSync, statSync } from 'node:fs'
import { access, constants, readFile, stat } from 'node:fs/promises'
import path from 'node:path'
import { GatewayError } from '../../kernel/index.ts'
import { type Named, NOTHING_NAMED } from './named.ts'
import { type Config, MAX_CONFIG_BYTES, type Parsed, parseConfig } from './parse.ts'
import type { Problem } from './problems.ts'
import type { TargetShape } from './schema.ts'

/**
 * Reads and parses a configuration file, and looks whether the files it names can be read.
 *
 * @returns The configuration, or everything that is wrong with it. Never throws for what is wrong with the file.
 */
export async function readConfig(file: string, shapes: readonly TargetShape[]): Promise<Parsed> {
  let text: string
  try {
    if ((await stat(file)).size > MAX_CONFIG_BYTES)
      return { problems: [whole(file, `is over ${MAX_CONFIG_BYTES} bytes`)], named: NOTHING_NAMED }
    text = await readFile(file, 'utf8')
  } catch (error) {
    return { problems: [whole(file, reason(error))], named: NOTHING_NAMED }
  }
  const parsed = parseConfig(text, file, shapes, readNamed)
  const missing = await unreadable(parsed.named, file)
  if (missing.length === 0) return parsed
  const paths = missing.map((problem) => problem.path)
  const gone = parsed.named.files.filter((one) => paths.includes(one.path)).map((one) => one.file)
  const policies = parsed.named.policies.filter((source) => source.kind === 'inline' || !gone.includes(source.file))
  const problems = [...('problems' in parsed ? parsed.problems : []), ...missing]
  return { problems, named: { ...parsed.named, policies } }
}

function readNamed(file: string): string {
  try {
    if (statSync(file).size > MAX_CONFIG_BYTES) throw new Error(`is over ${MAX_CONFIG_BYTES} bytes`)
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw error instanceof Error && 'code' in error ? new Error(reason(error)) : error
  }
}

/** Like `readConfig`, but throws `config.invalid` with all problems in its text. */
export async function loadConfig(file: string, shapes: readonly TargetShape[]): Promise<Config> {
  const parsed = await readConfig(file, shapes)
  if ('config' in parsed) return parsed.config
  throw invalidConfig(parsed.problems)
}

export function invalidConfig(problems: readonly Problem[]): GatewayError {
  const count = problems.length === 1 ? '1 problem' : `${problems.length} problems`
  return new GatewayError('config.invalid', `The configuration has ${count}:\n${problems.map(problemLine).join('\n')}`)
}

/** `sallyport.yaml:4:9 store.kind: must be …` */
export function problemLine(problem: Problem): string {
  const place = problem.line === undefined ? '' : `:${problem.line}:${problem.column ?? 1}`
  return `${problem.source}${place} ${problem.path === '' ? '' : `${problem.path}: `}${problem.message}`
}

async function unreadable({ files }: Named, source: string): Promise<Problem[]> {
  const checked = await Promise.all(
    files.map(async ({ path: where, file }): Promise<Problem[]> => {
      try {
        await access(file, constants.R_OK)
        return []
      } catch (error) {
        const shown = path.relative(process.cwd(), file)
        return [{ ...whole(source, `${shown} ${reason(error)}`), path: where }]
      }
    }),
  )
  return checked.flat()
}

function whole(source: string, message: string): Problem {
  return { source, path: '', message, line: undefined, column: undefined }
}

function reason(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  if (code === 'ENOENT') return 'does not exist'
  if (code === 'EACCES') return 'may not be read by this user'
  if (code === 'EISDIR') return 'is a folder'
  return `cannot be read (${String(code ?? 'unknown')})`
}
