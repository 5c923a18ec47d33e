import { spawn, spawnSync } from 'node:child_process'
import { accessSync, chmodSync, constants, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'

const START_PATIENCE_MS = 60_000
const END_PATIENCE_MS = 15_000
const DEBIAN_SERVERS = '/usr/lib/postgresql'

/** Everything that one measurement started, undone last thing first, however it ends. */
export class Workplace {
  /** @type {(() => unknown)[]} */
  #undo = []
  /** @type {Set<import('node:child_process').ChildProcess>} */
  #children = new Set()
  #killAll = () => {
    for (const child of this.#children) child.kill('SIGKILL')
    rmSync(this.folder, { recursive: true, force: true })
  }

  constructor() {
    this.folder = mkdtempSync(path.join(tmpdir(), 'sallyport-bench-'))
    chmodSync(this.folder, 0o711) // a server that runs as another account has to pass through
    process.on('exit', this.#killAll)
  }

  /** @param {() => unknown} undo */
  onClose(undo) {
    this.#undo.push(undo)
  }

  /**
   * Starts a server; `close` ends it by its process id.
   *
   * @param {string} command
   * @param {readonly string[]} args
   * @param {import('node:child_process').SpawnOptions & { ready?: RegExp }} [options] - `ready`: it has started when this shows on its standard output.
   */
  async start(command, args, { ready, ...options } = {}) {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options })
    this.#children.add(child)
    let [output, errors] = ['', '']
    child.stdout?.setEncoding('utf8').on('data', (text) => {
      output += text
    })
    child.stderr?.setEncoding('utf8').on('data', (text) => {
      errors = (errors + text).slice(-10_000)
    })
    const ended = new Promise((resolve) => child.once('close', resolve))
    child.once('error', (error) => {
      errors += String(error)
    })
    const stop = async () => {
      const timer = setTimeout(() => child.kill('SIGKILL'), END_PATIENCE_MS)
      child.kill('SIGTERM')
      await ended
      clearTimeout(timer)
      this.#children.delete(child)
    }
    this.onClose(stop)
    if (ready !== undefined)
      await until(`${path.basename(command)} to start`, () => {
        if (child.exitCode !== null) throw new Error(`${command} ended: ${errors}`)
        return ready.test(output)
      })
    return { pid: child.pid ?? 0, output: () => output, errors: () => errors, stop }
  }

  async close() {
    for (let undo = this.#undo.pop(); undo !== undefined; undo = this.#undo.pop()) await undo()
    rmSync(this.folder, { recursive: true, force: true })
    process.off('exit', this.#killAll)
  }
}

/**
 * @param {string} what
 * @param {() => boolean | Promise<boolean>} test - Throws when waiting is in vain.
 */
export async function until(what, test) {
  const deadline = Date.now() + START_PATIENCE_MS
  while (!(await test())) {
    if (Date.now() > deadline) throw new Error(`waited in vain for ${what}`)
    await sleep(20)
  }
}

/** @param {number} ms */
export function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

/** @returns {Promise<number>} a port of loopback that nobody uses now. */
export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = /** @type {import('node:net').AddressInfo} */ (server.address())
      server.close(() => resolve(port))
    })
  })
}

/** @param {number} port */
export function accepts(port) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    }).once('error', () => resolve(false))
  })
}

/**
 * Runs to the end.
 *
 * @param {string} command
 * @param {readonly string[]} args
 * @param {import('node:child_process').SpawnOptions} [options]
 * @returns {Promise<string>} its standard output
 */
export function run(command, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options })
    let [output, errors] = ['', '']
    child.stdout?.setEncoding('utf8').on('data', (text) => {
      output += text
    })
    child.stderr?.setEncoding('utf8').on('data', (text) => {
      errors += text
    })
    child.once('error', reject)
    child.once('close', (status) => {
      if (status === 0) resolve(output)
      else reject(new Error(`${command} ${args.join(' ')} ended with ${status}: ${errors}${output}`))
    })
  })
}

/**
 * Where a program is: on the path, or where Debian keeps what belongs to its newest server.
 *
 * @param {string} name
 */
export function find(name) {
  const folders = [...(process.env.PATH ?? '').split(path.delimiter), '/usr/sbin', debianBinaries() ?? '']
  for (const folder of folders)
    try {
      accessSync(path.join(folder, name), constants.X_OK)
      return path.join(folder, name)
    } catch {}
  return undefined
}

/** The programs of the machine's newest server; undefined where the package that comes with npm has to do. */
export function debianBinaries() {
  try {
    const [newest] = readdirSync(DEBIAN_SERVERS).sort((a, b) => Number(b) - Number(a))
    return newest === undefined ? undefined : path.join(DEBIAN_SERVERS, newest, 'bin')
  } catch {
    return undefined
  }
}

/**
 * Installs a Debian package when root may; a server that Debian would start by itself is not wanted.
 *
 * @param {string} name - Of the program and of the package.
 * @param {string} [debianPackage]
 * @returns {string | undefined} where the program is
 */
export function ensure(name, debianPackage = name) {
  const known = find(name)
  if (known !== undefined || process.getuid?.() !== 0 || find('apt-get') === undefined) return known
  console.error(`Installing for the measurement: ${debianPackage}`)
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' }
  const apt = (/** @type {string[]} */ ...args) => spawnSync('apt-get', args, { stdio: 'ignore', env }).status === 0
  const install = () => apt('install', '-y', '-q', '--no-install-recommends', debianPackage)
  if (!install() && apt('update', '-q')) install()
  return find(name)
}

/**
 * Resident memory of a process, KiB.
 *
 * @param {number} pid
 */
export function residentKib(pid) {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1])
}

const TICK_MICROS = 10_000 // USER_HZ is 100 on every Linux that Node runs on

/**
 * Processor time that a process has used so far, µs. It tells what work costs even where others use the processor too.
 *
 * @param {number} pid
 */
export function processorMicros(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ')
  return (Number(fields[11]) + Number(fields[12])) * TICK_MICROS
}
