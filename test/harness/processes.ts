import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import { eventually } from './waiting.ts'

export interface Finished {
  readonly status: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly cwd?: string
  /** Written to standard input, which is closed after it. */
  readonly input?: string | Buffer
  /** Whoever takes longer is ended. */
  readonly patienceMs?: number
  readonly uid?: number
  readonly gid?: number
}

const PATIENCE_MS = 60_000
const alive = new Set<ChildProcess>()

// Nothing that a test started may outlive it, however the run ends.
process.on('exit', () => {
  for (const child of alive) child.kill('SIGKILL')
})

/** A child process whose output is kept as it comes. */
export class Running {
  readonly child: ChildProcess
  readonly ended: Promise<Finished>
  #stdout = ''
  #stderr = ''

  constructor(command: string, args: readonly string[], options: RunOptions = {}) {
    const { env, cwd, uid, gid } = options
    const spawning: SpawnOptions = { env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'pipe'] }
    if (cwd !== undefined) spawning.cwd = cwd
    if (uid !== undefined) spawning.uid = uid
    if (gid !== undefined) spawning.gid = gid
    this.child = spawn(command, args, spawning)
    alive.add(this.child)
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#stdout += text
    })
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text
    })
    this.child.stdin?.on('error', () => undefined) // it left without reading everything
    this.ended = this.#end()
  }

  async #end(): Promise<Finished> {
    try {
      const [status, signal] = (await once(this.child, 'close')) as [number | null, NodeJS.Signals | null]
      return { status, signal, stdout: this.#stdout, stderr: this.#stderr }
    } finally {
      alive.delete(this.child)
    }
  }

  get pid(): number {
    return this.child.pid ?? -1
  }

  get stdout(): string {
    return this.#stdout
  }

  get stderr(): string {
    return this.#stderr
  }

  write(text: string | Buffer): void {
    this.child.stdin?.write(text)
  }

  close(): void {
    this.child.stdin?.end()
  }

  /** Waits for something in either output. */
  says(pattern: RegExp, patienceMs?: number): Promise<RegExpMatchArray> {
    return eventually(
      `${pattern} from ${this.child.spawnfile}`,
      () => {
        const found = pattern.exec(this.#stdout) ?? pattern.exec(this.#stderr)
        if (found !== null) return found
        if (this.child.exitCode !== null || this.child.signalCode !== null) throw this.#early()
        throw new Error(`so far: ${this.#stdout}\n${this.#stderr}`)
      },
      patienceMs,
    )
  }

  #early(): Error {
    return new Error(`it ended with ${this.child.exitCode ?? this.child.signalCode}: ${this.#stdout}\n${this.#stderr}`)
  }

  /** @returns how it ended. */
  async signal(signal: NodeJS.Signals): Promise<Finished> {
    this.child.kill(signal)
    return await this.ended
  }
}

export function start(command: string, args: readonly string[], options: RunOptions = {}): Running {
  return new Running(command, args, options)
}

/** Runs to the end. Never throws for an exit status: a test looks at it. */
export async function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<Finished> {
  const running = new Running(command, args, options)
  if (options.input !== undefined) running.write(options.input)
  running.close()
  const timer = setTimeout(() => running.child.kill('SIGKILL'), options.patienceMs ?? PATIENCE_MS)
  try {
    return await running.ended
  } finally {
    clearTimeout(timer)
  }
}
