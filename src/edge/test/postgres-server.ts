import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { chmodSync, chownSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Pair } from './certificates.ts'

const BINARIES = ['18', '17', '16', '15', '14'].map((version) => `/usr/lib/postgresql/${version}/bin`)
export const postgresBinaries = BINARIES.find((folder) => existsSync(join(folder, 'initdb')))

/** A PostgreSQL server of the machine in a temporary folder, on a free port of 127.0.0.1. */
export class PostgresServer {
  readonly folder: string
  readonly port: number
  readonly #process: ChildProcess

  private constructor(folder: string, port: number, process: ChildProcess) {
    this.folder = folder
    this.port = port
    this.#process = process
  }

  get socket(): string {
    return join(this.folder, `.s.PGSQL.${this.port}`)
  }

  /** @param access - Lines of pg_hba.conf; the unix socket is always trusted. */
  static async start(access: readonly string[], tls: Pair, settings: readonly string[] = []): Promise<PostgresServer> {
    const folder = mkdtempSync(join(tmpdir(), 'sallyport-postgres-'))
    const data = join(folder, 'data')
    giveAway(folder)
    run('initdb', ['-D', data, '-U', 'postgres', '-A', 'trust', '-N', '-E', 'UTF8', '--locale=C'])
    for (const [name, text] of Object.entries({ 'server.crt': tls.cert, 'server.key': tls.key })) {
      writeFileSync(join(data, name), text, { mode: 0o600 })
      giveAway(join(data, name))
    }
    writeFileSync(join(data, 'pg_hba.conf'), ['local all all trust', ...access, ''].join('\n'))
    const port = await freePort()
    const options = [
      `port=${port}`,
      'listen_addresses=127.0.0.1',
      `unix_socket_directories=${folder}`,
      'ssl=on',
      'fsync=off',
      ...settings,
    ]
    const [command, ...words] = asServer('postgres', ['-D', data, ...options.flatMap((option) => ['-c', option])])
    const child = spawn(command!, words, { stdio: 'ignore' })
    const server = new PostgresServer(folder, port, child)
    await server.#ready()
    return server
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode === null) {
      const gone = new Promise((resolve) => this.#process.once('exit', resolve))
      // SIGINT: end the sessions, too.
      this.#process.kill('SIGINT')
      await gone
    }
    rmSync(this.folder, { recursive: true, force: true })
  }

  async #ready(): Promise<void> {
    for (let attempt = 0; attempt < 200; attempt++) {
      if (this.#process.exitCode !== null) break
      if (await accepts(this.port)) return
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    await this.stop()
    throw new Error('the PostgreSQL server does not start')
  }
}

/** PostgreSQL refuses to run as root, so it runs as its own user then. */
function asServer(program: string, words: readonly string[]): string[] {
  const command = [join(postgresBinaries ?? '', program), ...words]
  if (process.getuid?.() !== 0) return command
  return ['setpriv', '--reuid=postgres', '--regid=postgres', '--clear-groups', ...command]
}

function run(program: string, words: readonly string[]): string {
  const [command, ...rest] = asServer(program, words)
  return execFileSync(command!, rest, { stdio: 'pipe', encoding: 'utf8', cwd: '/' })
}

function giveAway(path: string): void {
  if (process.getuid?.() !== 0) return
  const [user, group] = ['-u', '-g'].map((flag) => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' })))
  chownSync(path, user!, group!)
  chmodSync(path, path.endsWith('.key') ? 0o600 : 0o700)
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => resolve(port))
    })
  })
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    // 'N' or 'S' to an SSLRequest means that it has finished starting.
    socket.on('connect', () => socket.write(Buffer.from([0, 0, 0, 8, 4, 210, 22, 47])))
    socket.on('data', () => socket.end())
    socket.on('error', () => resolve(false))
    socket.on('close', () => resolve(socket.bytesRead === 1))
  })
}
