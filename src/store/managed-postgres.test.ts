import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { hostname } from 'node:os'
import path from 'node:path'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'
import { FolderLock } from './managed/lock.ts'
import { isAlive, waitFor } from './managed/processes.ts'
import { ManagedPostgres, type ManagedPostgresOptions } from './managed-postgres.ts'
import { memoryLog, temporaryFolder } from './test/surroundings.ts'

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

/** Making data is a second's work, or many on a machine that is busy. */
const SLOW_MACHINE_MS = 120_000
vi.setConfig({ testTimeout: SLOW_MACHINE_MS, hookTimeout: SLOW_MACHINE_MS })

const template = temporaryFolder('template')
/** Making data takes most of a start's time, so most tests begin with a copy. */
beforeAll(async () => {
  const server = await ManagedPostgres.start({ folder: madeFolder, listen: { socket: true }, log: memoryLog() })
  await server.stop()
}, SLOW_MACHINE_MS)
afterAll(() => template.remove())
const madeFolder = path.join(template.folder, 'store')

function newFolder(): string {
  const { folder, remove } = temporaryFolder('pg')
  cleanups.push(remove)
  return path.join(folder, 'store')
}

function folderWithData(): string {
  const folder = newFolder()
  spawnSync('cp', ['-a', madeFolder, folder])
  return folder
}

async function start(folder: string, options: Partial<ManagedPostgresOptions> = {}): Promise<ManagedPostgres> {
  const server = await ManagedPostgres.start({ folder, listen: { socket: true }, log: memoryLog(), ...options })
  cleanups.push(() => server.stop())
  return server
}

async function ask(server: Pick<ManagedPostgres, 'connection'>, sql: string, change: pg.ClientConfig = {}) {
  const client = new pg.Client({ ...server.connection, ...change })
  await client.connect()
  try {
    return (await client.query(sql)).rows.map((row: Record<string, unknown>) => Object.values(row)[0])
  } finally {
    await client.end()
  }
}

/** Leaves the folder as a gateway does that was killed: the lock is there, its process is not, the server runs on. */
function killGateway(folder: string): void {
  const gone = spawnSync('true').pid
  const holder = { pid: gone, birth: 'long ago', host: hostname(), nonce: 'killed' }
  writeFileSync(path.join(folder, 'gateway.lock'), JSON.stringify(holder))
}

test('a second start keeps the data, and nothing is left in between', async () => {
  const folder = newFolder()
  const first = await start(folder)
  expect(await ask(first, 'show fsync')).toEqual(['on'])
  expect(await ask(first, 'show server_encoding')).toEqual(['UTF8'])
  expect(await ask(first, 'show listen_addresses')).toEqual([''])
  expect(await ask(first, 'show data_checksums').then(String)).toMatch(/on|off/)
  await ask(first, "create table kept as select 'Ärger' as word")
  const { pid } = first
  await first.stop()
  expect(isAlive(pid)).toBe(false)
  expect(existsSync(path.join(folder, 'gateway.lock'))).toBe(false)
  const second = await start(folder)
  expect(await ask(second, 'select word from kept')).toEqual(['Ärger'])
  expect(await ask(second, "select upper('ärger')")).toEqual(['ÄRGER'])
})

test('the server is not root, and only its account and the gateway get in', async () => {
  const folder = folderWithData()
  const server = await start(folder)
  const status = readFileSync(`/proc/${server.pid}/status`, 'utf8')
  expect(status).not.toMatch(/^Uid:\s+0\s/m)
  expect(statSync(server.connection.host).mode & 0o077).toBe(0)
  expect(statSync(path.join(folder, 'password')).mode & 0o077).toBe(0)
  expect(readFileSync(`/proc/${server.pid}/environ`, 'utf8')).not.toContain('npm_')
  await expect(ask(server, 'select 1', { password: 'wrong' })).rejects.toThrow(/password authentication failed/)
  await expect(ask(server, 'select 1', { user: 'postgres' })).rejects.toThrow(/authentication failed/)
})

test('on a port there is a password, and another database', async () => {
  const server = await start(newFolder(), { listen: { host: '127.0.0.1', port: 0 }, database: 'shop "1"' })
  const verdicts = await ask(server, 'select current_database()')
  expect(verdicts).toEqual(['shop "1"'])
  expect(await ask(server, 'show unix_socket_directories')).toEqual([''])
  await expect(ask(server, 'select 1', { password: '' })).rejects.toThrow()
  const client = new pg.Client({ connectionString: server.url })
  await client.connect()
  await client.end()
  const open = await new Promise<boolean>((resolve) => {
    const socket = connect(server.connection.port, '127.0.0.1', () => resolve(true)).once('error', () => resolve(false))
    cleanups.push(() => socket.destroy())
  })
  expect(open).toBe(true)
})

test('an address that others could reach is refused', async () => {
  await expect(start(newFolder(), { listen: { host: '0.0.0.0', port: 0 } })).rejects.toMatchObject({
    code: 'config.invalid',
  })
})

test('two gateways never use one folder, and the second is told who does', async () => {
  const folder = folderWithData()
  const server = await start(folder)
  const error = await start(folder).then(
    () => undefined,
    (thrown: Error) => thrown,
  )
  expect(error).toMatchObject({ code: 'store.locked' })
  expect(error?.message).toContain(`process ${process.pid}`)
  expect(await ask(server, 'select 1')).toEqual([1])
})

test('a server that a killed gateway left is ended, and its committed data is there', async () => {
  const folder = folderWithData()
  const orphan = await start(folder)
  await ask(orphan, 'create table kept as select 42 as n')
  killGateway(folder)
  const log = memoryLog()
  const server = await start(folder, { log })
  expect(isAlive(orphan.pid)).toBe(false)
  expect(log.lines.join()).toContain('left behind')
  expect(server.pid).not.toBe(orphan.pid)
  expect(await ask(server, 'select n from kept')).toEqual([42])
})

test('a crashed server recovers, and an id that another program has by now is no server', async () => {
  const folder = folderWithData()
  let lost: Error | undefined
  const first = await start(folder, { onLost: (error) => (lost = error) })
  await ask(first, 'create table kept as select 42 as n')
  process.kill(first.pid, 'SIGKILL')
  expect(await waitFor(() => lost !== undefined, 10_000)).toBe(true)
  await first.stop()
  const pidFile = path.join(folder, 'data', 'postmaster.pid')
  const lines = readFileSync(pidFile, 'utf8').split('\n')
  writeFileSync(pidFile, [String(process.pid), ...lines.slice(1)].join('\n'))
  const second = await start(folder)
  expect(await ask(second, 'select n from kept')).toEqual([42])
})

test('a first start that was interrupted begins anew', async () => {
  const folder = newFolder()
  mkdirSync(path.join(folder, 'data.new', 'base'), { recursive: true })
  writeFileSync(path.join(folder, 'data.new', 'PG_VERSION'), '18\n')
  writeFileSync(path.join(folder, 'password.new'), 'x')
  const server = await start(folder)
  expect(await ask(server, 'select 1')).toEqual([1])
  expect(readdirSync(folder).filter((name) => name.endsWith('.new'))).toEqual([])
})

test('a folder too deep for a socket gets a short one elsewhere, which goes away again', async () => {
  const folder = path.join(newFolder(), 'very-long-name-'.repeat(8))
  const server = await start(folder)
  expect(server.connection.host).not.toContain('very-long-name')
  expect(await ask(server, 'select 1')).toEqual([1])
  await server.stop()
  expect(existsSync(server.connection.host)).toBe(false)
})

test.runIf(process.getuid?.() === 0)(
  'a folder that its account cannot enter is replaced, with a word in the log',
  async () => {
    const folder = newFolder()
    chmodSync(path.dirname(folder), 0o700)
    const log = memoryLog()
    const server = await start(folder, { log })
    cleanups.push(() => rmSync(server.folder, { recursive: true, force: true }))
    expect(server.folder).toMatch(/^\/var\/lib\/sallyport\/[0-9a-f]{16}$/)
    expect(log.lines.join()).toContain(server.folder)
    await ask(server, 'create table kept as select 42 as n')
    await server.stop()
    const again = await start(folder, { log })
    expect(await ask(again, 'select n from kept')).toEqual([42])
    await again.stop()
    rmSync(folder, { recursive: true })
    const anew = await start(folder, { log })
    cleanups.push(() => rmSync(anew.folder, { recursive: true, force: true }))
    expect(anew.folder).not.toBe(server.folder)
    await anew.stop()
  },
)

test('data of a lost password or another version is not touched', async () => {
  const folder = folderWithData()
  const server = await start(folder)
  await server.stop()
  rmSync(path.join(folder, 'password'))
  await expect(start(folder)).rejects.toMatchObject({ code: 'store.failed' })
  writeFileSync(path.join(folder, 'data', 'PG_VERSION'), '9\n')
  await expect(start(folder)).rejects.toThrow(/made by PostgreSQL 9/)
})

test('programs that are not there are a clear error', async () => {
  await expect(start(newFolder(), { binFolder: '/nowhere' })).rejects.toMatchObject({
    code: 'store.failed',
    detail: '/nowhere',
  })
})

test('of many who find a dead lock, one gets it', () => {
  const folder = newFolder()
  mkdirSync(folder, { recursive: true })
  for (let round = 0; round < 20; round++) {
    killGateway(folder)
    const lock = FolderLock.take(folder)
    expect(() => FolderLock.take(folder)).toThrow(/process/)
    lock.release()
  }
  writeFileSync(path.join(folder, 'gateway.lock'), 'not a lock')
  FolderLock.take(folder).release()
  expect(readdirSync(folder)).toEqual([])
})

test('a lock from another host counts while its heartbeat is fresh', () => {
  const folder = newFolder()
  mkdirSync(folder, { recursive: true })
  const file = path.join(folder, 'gateway.lock')
  writeFileSync(file, JSON.stringify({ pid: 1, birth: '', host: 'elsewhere', nonce: 'other' }))
  expect(() => FolderLock.take(folder)).toThrow(/in use/)
  spawnSync('touch', ['-d', '1 hour ago', file])
  FolderLock.take(folder).release()
})
