import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { GatewayError, type Logger } from '../../kernel/index.ts'
import { asAccount } from './account.ts'
import type { PostgresBinaries } from './binaries.ts'
import { dataVersion, giveTo, type Home, removeSocketFolder } from './home.ts'
import { endServer, isAlive, servesFolder } from './processes.ts'

/** The one account of a managed server. */
export const USER = 'sallyport'
const COMPLAINT_BYTES = 2_000

/** Lines of the server's own pid file; empty when there is none. */
export function pidFileLines(home: Home): readonly string[] {
  try {
    return readFileSync(path.join(home.data, 'postmaster.pid'), 'utf8').split('\n')
  } catch {
    return []
  }
}

/** We hold the folder's lock, so a server that still runs on it was left by a gateway that was killed. */
export async function stopLeftover(home: Home, log: Logger): Promise<void> {
  const lines = pidFileLines(home)
  const pid = Number(lines[0])
  const owner = home.account?.uid ?? process.getuid?.()
  if (lines.length > 0 && servesFolder(pid, home.data, owner)) {
    log.warn('stopping a database server that an earlier gateway left behind', { pid, folder: home.folder })
    await endServer(pid, () => !isAlive(pid) || !servesFolder(pid, home.data, owner))
  } else if (lines.length > 0 && isAlive(pid)) {
    // The id belongs to another program by now, and PostgreSQL would take that for a running server.
    rmSync(path.join(home.data, 'postmaster.pid'), { force: true })
  }
  const socketFolder = lines[4]?.trim() // the fifth line names the socket's folder
  if (socketFolder !== undefined && socketFolder !== '') removeSocketFolder(home, socketFolder)
}

/** The password of the server's one account: made with the data, kept in the home for the gateway alone. */
export function passwordOf(home: Home): string {
  const file = path.join(home.folder, 'password')
  if (existsSync(file)) return readFileSync(file, 'utf8').trim()
  if (dataVersion(home) !== undefined)
    throw new GatewayError('store.failed', 'The data folder has lost the file with its password.', { detail: file })
  const password = randomBytes(24).toString('hex')
  writeFileSync(file, `${password}\n`, { mode: 0o600, flag: 'wx' })
  return password
}

/** Made under another name and renamed when complete: an interrupted first start leaves nothing half-made. */
export async function makeData(home: Home, binaries: PostgresBinaries, password: string): Promise<void> {
  const unfinished = path.join(home.folder, 'data.new')
  const passwordFile = path.join(home.folder, 'password.new')
  rmSync(unfinished, { recursive: true, force: true })
  rmSync(passwordFile, { force: true })
  // initdb may not make folders in the home, which belongs to the gateway; hand it an empty one.
  mkdirSync(unfinished, { mode: 0o700 })
  giveTo(home.account, unfinished)
  writeFileSync(passwordFile, `${password}\n`, { mode: 0o600, flag: 'wx' })
  giveTo(home.account, passwordFile)
  const locale =
    binaries.majorVersion >= 17
      ? ['--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8']
      : ['--locale=C.UTF-8']
  try {
    const answer = spawn(
      path.join(binaries.folder, 'initdb'),
      ['-D', unfinished, '-U', USER, `--pwfile=${passwordFile}`, '-A', 'scram-sha-256', '-E', 'UTF8', ...locale],
      { ...asAccount(home.account), stdio: ['ignore', 'ignore', 'pipe'] },
    )
    let complaint = ''
    answer.stderr.setEncoding('utf8').on('data', (text: string) => {
      complaint = (complaint + text).slice(-COMPLAINT_BYTES)
    })
    const status = await new Promise<number | null>((resolve, reject) => {
      answer.once('error', reject)
      answer.once('close', resolve)
    })
    if (status !== 0)
      throw new GatewayError('store.failed', 'The data folder of the managed PostgreSQL server could not be made.', {
        detail: complaint,
      })
  } finally {
    rmSync(passwordFile, { force: true })
  }
  renameSync(unfinished, home.data)
}
