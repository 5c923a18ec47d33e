import { spawnSync } from 'node:child_process'
import { readFileSync, statSync } from 'node:fs'

/** The operating system's user that the server runs as when the gateway itself is root: PostgreSQL refuses to be root. */
export interface Account {
  readonly name: string
  readonly uid: number
  readonly gid: number
}

const NOBODY: Account = { name: 'nobody', uid: 65534, gid: 65534 }

function accountsOfThisMachine(): readonly Account[] {
  try {
    return readFileSync('/etc/passwd', 'utf8')
      .split('\n')
      .map((line) => line.split(':'))
      .filter((fields) => fields.length >= 4)
      .map((fields) => ({ name: fields[0]!, uid: Number(fields[2]), gid: Number(fields[3]) }))
      .filter((account) => Number.isInteger(account.uid) && Number.isInteger(account.gid))
  } catch {
    return []
  }
}

/**
 * Who the server runs as. Data that exists already keeps its owner, so that a folder made by an ordinary user can be
 * opened by root; else `postgres` where there is one, else `nobody`.
 *
 * @returns undefined when the gateway is not root: then the server runs as the gateway does.
 */
export function serverAccount(dataFolder: string): Account | undefined {
  if (process.getuid?.() !== 0) return undefined
  const accounts = accountsOfThisMachine()
  const owner = statSync(dataFolder, { throwIfNoEntry: false })
  if (owner !== undefined && owner.uid !== 0)
    return accounts.find((one) => one.uid === owner.uid) ?? { name: String(owner.uid), uid: owner.uid, gid: owner.gid }
  return (
    accounts.find((one) => one.name === 'postgres' && one.uid !== 0) ??
    accounts.find((one) => one.name === 'nobody' && one.uid !== 0) ??
    NOBODY
  )
}

/** Spawn options that drop to the account and hand down nothing of the gateway's environment: it may hold secrets. */
export function asAccount(account: Account | undefined): {
  readonly cwd: string
  readonly env: NodeJS.ProcessEnv
  readonly uid?: number
  readonly gid?: number
} {
  const base = { cwd: '/', env: { PATH: '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' } }
  return account === undefined ? base : { ...base, uid: account.uid, gid: account.gid }
}

/** Whether the account can enter the folder. Asked of the kernel, since mode bits are not the whole story. */
export function canEnter(account: Account | undefined, folder: string): boolean {
  const answer = spawnSync('/bin/sh', ['-c', 'cd -- "$1"', 'sh', folder], { ...asAccount(account), stdio: 'ignore' })
  return answer.status === 0
}
