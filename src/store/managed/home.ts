import { createHash, randomBytes } from 'node:crypto'
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { GatewayError, type Logger } from '../../kernel/index.ts'
import { type Account, canEnter, serverAccount } from './account.ts'

/** Where root keeps what an unprivileged server must reach when the configured folder is closed to it. */
const SHARED_STATE = '/var/lib/sallyport'
/** sun_path is 108 bytes on Linux and 104 on macOS, with its NUL. */
const MAX_SOCKET_PATH_BYTES = process.platform === 'linux' ? 107 : 103

/**
 * The server's folders. The home belongs to the gateway, so that the server's account cannot plant links there; only
 * what is below `data` and the socket's folder belong to the account.
 */
export interface Home {
  readonly folder: string
  readonly data: string
  readonly account: Account | undefined
}

function makeFolder(folder: string, mode: number): void {
  mkdirSync(folder, { recursive: true })
  chmodSync(folder, mode)
}

/**
 * Decides where the server lives: in `folder`, or, when the gateway is root and its account cannot enter that (a
 * checkout in a home folder, say), in a folder of /var/lib/sallyport that a file in `folder` names.
 */
export function prepareHome(folder: string, log: Logger): Home {
  const asked = path.resolve(folder)
  const account = serverAccount(path.join(asked, 'data'))
  // 0711: the account may pass through to what is its own, and nobody may list.
  makeFolder(asked, account === undefined ? 0o700 : 0o711)
  if (account === undefined || canEnter(account, asked))
    return { folder: asked, data: path.join(asked, 'data'), account }
  if (existsSync(path.join(asked, 'data', 'PG_VERSION')))
    throw new GatewayError('store.failed', 'The data folder cannot be reached by the account the server runs as.', {
      detail: `folder ${asked}, account ${account.name} (${account.uid})`,
      hint: 'Let others pass through the folders above it (chmod o+x), or move it.',
    })
  const moved = movedFolder(asked)
  const mover = serverAccount(path.join(moved, 'data')) ?? account
  makeFolder(SHARED_STATE, 0o755)
  makeFolder(moved, 0o711)
  if (!canEnter(mover, moved))
    throw new GatewayError('store.failed', 'No folder could be made that the database server’s account can enter.', {
      detail: `folder ${moved}, account ${mover.name} (${mover.uid})`,
    })
  log.info('the data is kept elsewhere, since the database server’s account cannot enter the configured folder', {
    configured: asked,
    used: moved,
    account: mover.name,
  })
  return { folder: moved, data: path.join(moved, 'data'), account: mover }
}

/** Written down beside the rest, so that whoever removes the configured folder begins anew. */
function movedFolder(asked: string): string {
  const note = path.join(asked, 'location')
  const name = createHash('sha256').update(asked).update(randomBytes(16)).digest('hex').slice(0, 16)
  try {
    writeFileSync(note, `${path.join(SHARED_STATE, name)}\n`, { flag: 'wx', mode: 0o600 })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
  const written = readFileSync(note, 'utf8').trim()
  if (path.dirname(written) === SHARED_STATE && /^[0-9a-f]{16}$/.test(path.basename(written))) return written
  throw new GatewayError('store.failed', 'The file that tells where the data is kept is damaged.', { detail: note })
}

/** Where a copy of the server's programs may be put. */
export function programFolder(home: Home): string {
  if (home.account === undefined) return home.folder
  makeFolder(SHARED_STATE, 0o755)
  return SHARED_STATE
}

export function giveTo(account: Account | undefined, file: string): void {
  if (account !== undefined) chownSync(file, account.uid, account.gid)
}

/** The major version that made the data; undefined when there is none yet. */
export function dataVersion(home: Home): number | undefined {
  const file = path.join(home.data, 'PG_VERSION')
  return existsSync(file) ? Number.parseInt(readFileSync(file, 'utf8'), 10) : undefined
}

/** A folder for the socket that only the server's account (and root) can enter, with a path short enough for one. */
export function makeSocketFolder(home: Home, port: number): string {
  const near = path.join(home.folder, 'run')
  if (Buffer.byteLength(path.join(near, `.s.PGSQL.${port}`)) <= MAX_SOCKET_PATH_BYTES) {
    rmSync(near, { recursive: true, force: true })
    mkdirSync(near, { mode: 0o700 })
    giveTo(home.account, near)
    return near
  }
  const short = mkdtempSync(path.join(tmpdir(), 'sallyport-')) // made by mkdtemp: 0700, and nobody made it before us
  giveTo(home.account, short)
  return short
}

/** Removes a socket folder that {@link makeSocketFolder} made outside the home, after a clean stop or a crash. */
export function removeSocketFolder(home: Home, folder: string): void {
  const stat = lstatSync(folder, { throwIfNoEntry: false })
  const ours =
    path.dirname(folder) === tmpdir() &&
    path.basename(folder).startsWith('sallyport-') &&
    stat?.isDirectory() === true &&
    stat.uid === (home.account?.uid ?? process.getuid?.())
  if (ours) rmSync(folder, { recursive: true, force: true })
}
