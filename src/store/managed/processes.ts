import { spawnSync } from 'node:child_process'
import { readFileSync, readlinkSync, realpathSync, statSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

const FAST_STOP_MS = 15_000
const IMMEDIATE_STOP_MS = 5_000
const POLL_MS = 20

/** Whether a process with this id exists, whoever owns it. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

function ps(pid: number, column: string): string {
  const answer = spawnSync('ps', ['-p', String(pid), '-o', `${column}=`], { encoding: 'utf8' })
  return answer.status === 0 ? answer.stdout.trim() : ''
}

/**
 * Something that tells a process from a later one with the same id: its start time, and on Linux the boot it belongs
 * to. Empty when the process does not exist.
 */
export function birthOf(pid: number): string {
  if (process.platform !== 'linux') return ps(pid, 'lstart')
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // proc(5): the second field is in brackets and may hold spaces; starttime is the 22nd.
    const startTime = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()}/${startTime}`
  } catch {
    return ''
  }
}

/** Whether the process is a PostgreSQL server on this data folder, run by this user. Guards against reused ids. */
export function servesFolder(pid: number, dataFolder: string, uid: number | undefined): boolean {
  if (!Number.isInteger(pid) || pid <= 1 || !isAlive(pid)) return false
  if (process.platform !== 'linux') return ps(pid, 'command').includes(dataFolder)
  try {
    if (uid !== undefined && statSync(`/proc/${pid}`).uid !== uid) return false
    return readlinkSync(`/proc/${pid}/cwd`) === realpathSync(dataFolder) // a postmaster works inside its data folder
  } catch {
    return false
  }
}

/** Polls until the condition holds or the time is over; the answer is the condition's last. */
export async function waitFor(condition: () => boolean, ms: number): Promise<boolean> {
  for (let waited = 0; waited < ms; waited += POLL_MS) {
    if (condition()) return true
    await sleep(POLL_MS)
  }
  return condition()
}

export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch {
    // It has ended already.
  }
}

/** SIGINT is PostgreSQL's fast shutdown, SIGQUIT its immediate one. */
export async function endServer(pid: number, ended: () => boolean): Promise<void> {
  signal(pid, 'SIGINT')
  if (await waitFor(ended, FAST_STOP_MS)) return
  signal(pid, 'SIGQUIT')
  if (await waitFor(ended, IMMEDIATE_STOP_MS)) return
  signal(pid, 'SIGKILL')
  await waitFor(ended, IMMEDIATE_STOP_MS)
}
