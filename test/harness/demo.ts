import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { parse } from 'yaml'
import { type Finished, Running, run } from './processes.ts'
import { eventually } from './waiting.ts'

export const CHECKOUT = path.dirname(path.dirname(path.dirname(fileURLToPath(import.meta.url))))
const READY_MS = 90_000

export interface DemoSettings {
  readonly dataFolder: string
  /** A checkout; this one, when left out. */
  readonly checkout?: string
  /** Who runs it, when not the one who runs the tests. */
  readonly account?: { readonly uid: number; readonly gid: number }
}

/** The demo as a newcomer has it: a process that prints lines, and a shell to paste them into. */
export class Demo {
  readonly dataFolder: string
  readonly checkout: string
  readonly #account: { readonly uid: number; readonly gid: number } | undefined
  readonly #running: Running

  constructor({ dataFolder, checkout = CHECKOUT, account }: DemoSettings) {
    this.dataFolder = dataFolder
    this.checkout = checkout
    this.#account = account
    this.#running = new Running(process.execPath, ['bin/sallyport.js', 'demo', '--data', dataFolder], {
      ...this.#surroundings,
    })
  }

  static async start(settings: DemoSettings): Promise<Demo> {
    const demo = new Demo(settings)
    await demo.#running.says(/^Ctrl-C stops everything.*\n/m, READY_MS)
    return demo
  }

  get screen(): string {
    return this.#running.stdout
  }

  get pid(): number {
    return this.#running.pid
  }

  /** What the screen has on the line that begins so. */
  line(beginning: RegExp): string {
    const found = this.screen.split('\n').find((line) => beginning.test(line.trim()))
    if (found === undefined) throw new Error(`no line like ${beginning} in:\n${this.screen}`)
    return found.trim()
  }

  /** The line for psql, as it stands on the screen. */
  get psql(): string {
    return this.line(/^psql /)
  }

  get url(): URL {
    return new URL(/"(.*)"/.exec(this.psql)?.[1] ?? '')
  }

  /** The statements below an act's title. */
  statements(title: string): string {
    const [, act = ''] = this.screen.split(`\n${title}  `)
    const lines = act.split('\n').slice(1)
    return lines.slice(0, lines.indexOf('')).join('\n')
  }

  /** Pastes a line into a shell in the checkout. */
  paste(line: string, input?: string): Promise<Finished> {
    return run('sh', ['-c', line], { ...this.#surroundings, ...(input === undefined ? {} : { input }) })
  }

  /** The same, and somebody goes on typing. */
  open(line: string): Running {
    return new Running('sh', ['-c', line], this.#surroundings)
  }

  get #surroundings() {
    const env = {
      NO_COLOR: '1',
      PSQLRC: '/dev/null',
      // npx must use what is here: it asks no registry, and keeps nothing for after the test.
      npm_config_offline: 'true',
      npm_config_cache: path.join(path.dirname(this.dataFolder), 'npm'),
    }
    return { cwd: this.checkout, env, ...this.#account }
  }

  /** A command of the demo's screen, with its `<id>` filled in. */
  command(verb: string, id = ''): Promise<Finished> {
    const line = this.line(new RegExp(`^npx sallyport .*${verb}`))
    return this.paste(line.replace('<id>', id))
  }

  /** Asks the shop itself, past the gateway. */
  async shop(text: string): Promise<Record<string, unknown>[]> {
    const config = parse(readFileSync(path.join(this.dataFolder, 'sallyport.yaml'), 'utf8')) as {
      targets: { connection: { address: { port: number } } }[]
    }
    const password = readFileSync(path.join(this.dataFolder, 'keys', 'shop-role.password'), 'utf8').trim()
    const port = config.targets[0]?.connection.address.port
    const client = new pg.Client({ host: '127.0.0.1', port, user: 'shop_app', password, database: 'shop' })
    await client.connect()
    try {
      return (await client.query(text)).rows
    } finally {
      await client.end()
    }
  }

  /** Processes that the demo has started. */
  get servers(): number[] {
    return childrenOf(this.pid)
  }

  end(signal: NodeJS.Signals): Promise<Finished> {
    return this.#running.signal(signal)
  }

  /** For the end of a test that may have failed anywhere. */
  async remove(): Promise<void> {
    const servers = this.#running.child.exitCode === null ? this.servers : []
    await this.end('SIGINT')
    await gone(servers)
  }
}

export function childrenOf(pid: number): number[] {
  try {
    return numbers(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8'))
  } catch {
    return [] // it has ended
  }
}

function numbers(text: string): number[] {
  return text.split(' ').flatMap((word) => (word === '' ? [] : [Number(word)]))
}

/** Processes whose command line names this folder. */
export function processesOn(folder: string): number[] {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return []
    try {
      return readFileSync(`/proc/${name}/cmdline`, 'utf8').includes(folder) ? [Number(name)] : []
    } catch {
      return [] // it ended while we looked
    }
  })
}

export function isRunning(pid: number): boolean {
  try {
    // A zombie has ended, whether or not its parent has looked yet.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

export async function gone(pids: readonly number[]): Promise<void> {
  await eventually(`the end of ${pids.join(', ')}`, () => (pids.some(isRunning) ? undefined : true))
}
