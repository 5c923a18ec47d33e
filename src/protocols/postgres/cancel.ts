import { timingSafeEqual } from 'node:crypto'
import type { Random } from '../../kernel/index.ts'

/** Something a CancelRequest can stop. */
export interface Cancellable {
  /** Stops what runs or waits now; cheap to call again while it is at it. */
  cancel(): void
}

interface Entry {
  readonly secret: Buffer
  readonly session: Cancellable
}

const SECRET_BYTES = { 0: 4, 2: 32 } as const

/**
 * The keys that clients get in BackendKeyData. They are the gateway's own: a client never learns the target's, so it
 * cannot cancel anybody else's statement, at the gateway or behind it.
 */
export class CancelKeys {
  readonly #entries = new Map<number, Entry>()
  readonly #random: Random

  constructor(random: Random) {
    this.#random = random
  }

  /** @param minor - Minor version of the protocol: 3.0 has 4-byte secrets, 3.2 longer ones. */
  issue(session: Cancellable, minor: 0 | 2): { readonly pid: number; readonly secret: Buffer } {
    let pid: number
    do pid = this.#random.bytes(4).readUInt32BE() & 0x7fffffff
    while (pid === 0 || this.#entries.has(pid))
    const secret = this.#random.bytes(SECRET_BYTES[minor])
    this.#entries.set(pid, { secret, session })
    return { pid, secret }
  }

  withdraw(pid: number): void {
    this.#entries.delete(pid)
  }

  /** A wrong key does nothing and says nothing, as PostgreSQL does. */
  cancel(pid: number, secret: Buffer): boolean {
    const entry = this.#entries.get(pid)
    if (entry === undefined || entry.secret.length !== secret.length) return false
    if (!timingSafeEqual(entry.secret, secret)) return false
    entry.session.cancel()
    return true
  }
}
