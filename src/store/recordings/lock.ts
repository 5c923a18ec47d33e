import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { GatewayError } from '../../kernel/index.ts'
import { FILE_MODE, isMissing } from './files.ts'

const heldHere = new Set<string>()

/** A process and when it started: numbers of processes are used again. Without /proc the number alone has to do. */
function identityOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    const startTicks = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
    return `${pid} ${startTicks}`
  } catch {
    return String(pid)
  }
}

function isAlive(identity: string): boolean {
  const pid = Number(identity.split(' ')[0])
  if (!Number.isSafeInteger(pid) || pid <= 0 || pid === process.pid) return false
  try {
    process.kill(pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false
  }
  return identityOf(pid) === identity
}

/**
 * Keeps a second gateway off a folder: its recovery would close the recordings that the first still writes.
 * @returns Releases the lock.
 * @throws GatewayError `store.locked` - another live process holds it.
 */
export function lockFolder(folder: string): () => void {
  const path = join(folder, 'lock')
  const holder = readHolder(path)
  if (heldHere.has(path) || (holder !== undefined && isAlive(holder))) {
    throw new GatewayError('store.locked', `Another gateway (process ${holder?.split(' ')[0]}) uses ${folder}.`, {
      hint: 'Stop it, or give this one a data folder of its own.',
    })
  }
  rmSync(path, { force: true })
  writeFileSync(path, identityOf(process.pid), { flag: 'wx', mode: FILE_MODE })
  heldHere.add(path)
  return () => {
    heldHere.delete(path)
    rmSync(path, { force: true })
  }
}

function readHolder(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}
