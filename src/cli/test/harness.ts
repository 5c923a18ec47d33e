import { PassThrough } from 'node:stream'
import { runCommand } from '../program.ts'
import type { Toolbox } from '../toolbox.ts'

/** Collects what a command writes. */
class Sink extends PassThrough {
  text = ''

  override _transform(chunk: Buffer, _: BufferEncoding, done: () => void): void {
    this.text += chunk.toString()
    done()
  }
}

const refused = () => Promise.reject(new Error('not part of this test'))

const bareToolbox: Toolbox = {
  version: '1.2.3',
  runGateway: refused,
  runDemo: refused,
  checkConfig: refused,
  policyDocuments: refused,
  configSchema: refused,
  policySchema: refused,
  explain: refused,
  createToken: refused,
}

export interface Ran {
  readonly status: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs one command line as a process would, without one. */
export async function run(
  given: readonly string[],
  options: {
    readonly toolbox?: Partial<Toolbox>
    readonly env?: Readonly<Record<string, string>>
    readonly cwd?: string
    readonly stdin?: string
  } = {},
): Promise<Ran> {
  const stdin = new PassThrough()
  stdin.end(options.stdin ?? '')
  const stdout = new Sink()
  const stderr = new Sink()
  const status = await runCommand(
    given,
    { ...bareToolbox, ...options.toolbox },
    { stdin, stdout, stderr, env: options.env ?? {}, cwd: options.cwd ?? process.cwd() },
  )
  return { status, stdout: stdout.text, stderr: stderr.text }
}
