import { chmodSync, mkdirSync, statSync } from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { makeDataFolder } from './data-folder.ts'
import { temporaryFolder } from './test/surroundings.ts'

function modeOf(folder: string): number {
  return statSync(folder).mode & 0o777
}

test('others may pass through a new data folder, and a folder that is there keeps its mode', async () => {
  const { folder, remove } = temporaryFolder('data')
  const umask = process.umask(0o077)
  try {
    const made = path.join(folder, 'deep', 'data')
    await makeDataFolder(made)
    expect(modeOf(made)).toBe(0o711)
    const theirs = path.join(folder, 'theirs')
    mkdirSync(theirs)
    chmodSync(theirs, 0o700)
    await makeDataFolder(theirs)
    expect(modeOf(theirs)).toBe(0o700)
  } finally {
    process.umask(umask)
    remove()
  }
})
