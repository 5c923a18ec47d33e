import { unwatchFile, watchFile } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { type Clock, GatewayError, type Logger } from '../kernel/index.ts'
import { DETECTORS } from '../masking/index.ts'
import {
  compilePolicies,
  formatProblem,
  type PolicyDocument,
  type PolicySnapshot,
  type Problem,
  parsePolicyYaml,
} from '../policy/index.ts'
import type { PolicySource } from './config/index.ts'

/** How often the files' times are looked at. A look costs a `stat`, and sees edits on any kind of file system. */
const WATCH_INTERVAL_MS = 500

export interface PolicyState {
  readonly snapshot: PolicySnapshot
  readonly loadedAt: number
  /** What is wrong with the newest files; while there is any, `snapshot` is older than they are. */
  readonly problems: readonly Problem[]
  readonly warnings: readonly Problem[]
}

export interface PolicyKeeperOptions {
  readonly sources: readonly PolicySource[]
  readonly clock: Clock
  readonly logger: Logger
  /** Told of every change, and of every refused one; both belong in the audit log. */
  readonly changed?: (state: PolicyState) => void
}

/** Holds the snapshot in force and swaps it whole when the files change. */
export class PolicyKeeper {
  readonly #options: PolicyKeeperOptions
  #sources: readonly PolicySource[]
  #state: PolicyState
  #reloading: Promise<PolicyState> | undefined
  readonly #watched: string[] = []

  private constructor(options: PolicyKeeperOptions, state: PolicyState) {
    this.#options = options
    this.#sources = options.sources
    this.#state = state
  }

  /** @throws GatewayError `policy.invalid` with all problems: a gateway does not start on rules it cannot read. */
  static async open(options: PolicyKeeperOptions): Promise<PolicyKeeper> {
    const compiled = await checkPolicies(options.sources)
    if ('problems' in compiled) throw invalidPolicy(compiled.problems)
    const state = { ...compiled, loadedAt: options.clock.now(), problems: [] }
    const keeper = new PolicyKeeper(options, state)
    keeper.#tell(state)
    return keeper
  }

  readonly snapshot = (): PolicySnapshot => this.#state.snapshot

  get state(): PolicyState {
    return this.#state
  }

  get sources(): readonly string[] {
    return this.#sources.map((source) => (source.kind === 'file' ? source.file : source.source))
  }

  /** Looks for edits from now on. */
  watch(): void {
    this.close()
    for (const source of this.#sources) {
      if (source.kind !== 'file') continue
      this.#watched.push(source.file)
      watchFile(source.file, { interval: WATCH_INTERVAL_MS, persistent: false }, () => void this.reload())
    }
  }

  close(): void {
    for (const file of this.#watched.splice(0)) unwatchFile(file)
  }

  /**
   * Reads the files again. Never rejects: what is wrong with them is in the answer, and the old rules stay in force.
   *
   * @param sources - Other files than before.
   */
  reload(sources?: readonly PolicySource[]): Promise<PolicyState> {
    const after = this.#reloading ?? Promise.resolve(this.#state)
    const reloading = after.then(() => {
      if (sources !== undefined) {
        this.#sources = sources
        if (this.#watched.length > 0) this.watch()
      }
      return this.#reload()
    })
    this.#reloading = reloading
    return reloading
  }

  async #reload(): Promise<PolicyState> {
    const compiled = await checkPolicies(this.#sources)
    const before = this.#state
    if ('problems' in compiled) {
      this.#state = { ...before, problems: compiled.problems }
      this.#tell(this.#state)
      return this.#state
    }
    const same = compiled.snapshot.digest === before.snapshot.digest
    const kept = same ? { snapshot: before.snapshot, loadedAt: before.loadedAt } : compiled
    this.#state = { loadedAt: this.#options.clock.now(), ...kept, warnings: compiled.warnings, problems: [] }
    if (!same || before.problems.length > 0) this.#tell(this.#state)
    return this.#state
  }

  #tell(state: PolicyState): void {
    const { logger, changed } = this.#options
    const { snapshot, problems, warnings } = state
    if (problems.length > 0)
      logger.error('POLICY NOT LOADED: the files have problems, so the rules loaded before stay in force', {
        problems: problems.map(formatProblem),
        digestInForce: snapshot.digest,
      })
    else logger.info('policy loaded', { rules: snapshot.rules.length, digest: snapshot.digest })
    for (const warning of warnings) logger.warn('policy warning', { warning: formatProblem(warning) })
    changed?.(state)
  }
}

/** Reads and parses; syntax problems of one file do not hide those of the others. */
export async function readPolicyDocuments(
  sources: readonly PolicySource[],
): Promise<{ readonly documents: readonly PolicyDocument[]; readonly problems: readonly Problem[] }> {
  const documents: PolicyDocument[] = []
  const problems: Problem[] = []
  for (const source of sources) {
    if (source.kind === 'inline') {
      documents.push({ source: source.source, content: source.content })
      continue
    }
    try {
      const parsed = parsePolicyYaml(await readFile(source.file, 'utf8'), source.file)
      if ('document' in parsed) documents.push(parsed.document)
      else problems.push(...parsed.problems)
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown failure'
      problems.push({ source: source.file, path: '', message: `The file cannot be read (${code}).` })
    }
  }
  return { documents, problems }
}

export type PolicyCheck = ReturnType<typeof compilePolicies>

/** Compiles what can be read, and tells all problems of all files together. */
export async function checkPolicies(sources: readonly PolicySource[]): Promise<PolicyCheck> {
  const { documents, problems } = await readPolicyDocuments(sources)
  const compiled = compilePolicies(documents, { detectors: DETECTORS.map((detector) => detector.name) })
  if (problems.length === 0) return compiled
  return { problems: [...problems, ...('problems' in compiled ? compiled.problems : [])] }
}

export function invalidPolicy(problems: readonly Problem[]): GatewayError {
  const count = problems.length === 1 ? '1 problem' : `${problems.length} problems`
  return new GatewayError('policy.invalid', `The policy has ${count}:\n${problems.map(formatProblem).join('\n')}`)
}
