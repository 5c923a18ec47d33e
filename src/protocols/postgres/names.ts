/**
 * What a name (prepared statement, portal, cursor) means, while requests that change it are still unanswered.
 *
 * A segment is what the target answers as a whole: everything up to a Sync, or one simple query. Inside a segment an
 * error makes the target skip the rest, so a later message of the same segment only runs if the change went through:
 * it may rely on it. A message of a later segment may not; it has to wait until the change is answered. Otherwise a
 * pipelining client could make the gateway judge one statement while the target, having skipped the change, runs the
 * one that had the name before.
 */
export interface Change<T> {
  readonly segment: number
  /** undefined: every name (DEALLOCATE ALL, DISCARD ALL, CLOSE ALL). */
  readonly name: string | undefined
  /** undefined: the name is gone. */
  readonly value: T | undefined
  /** Later is larger. */
  readonly order: number
}

export type Lookup<T> =
  | { readonly kind: 'found'; readonly value: T }
  | { readonly kind: 'unknown' }
  | { readonly kind: 'wait' }

export class NameTable<T> {
  readonly #settled = new Map<string, T>()
  readonly #open = new Map<string, Change<T>[]>()
  #openWildcards: Change<T>[] = []
  #order = 0
  #openCount = 0

  /** Settled names; the open changes come on top. */
  get size(): number {
    return this.#settled.size + this.#openCount
  }

  change(segment: number, name: string | undefined, value: T | undefined): Change<T> {
    const change: Change<T> = { segment, name, value, order: ++this.#order }
    this.#openCount += 1
    if (name === undefined) this.#openWildcards.push(change)
    else {
      const list = this.#open.get(name)
      if (list === undefined) this.#open.set(name, [change])
      else list.push(change)
    }
    return change
  }

  /** The target confirmed it. */
  settle(change: Change<T>): void {
    if (!this.drop(change)) return
    if (change.name === undefined) this.#settled.clear()
    else if (change.value === undefined) this.#settled.delete(change.name)
    else this.#settled.set(change.name, change.value)
  }

  /** The target refused or skipped it. @returns whether it was still open. */
  drop(change: Change<T>): boolean {
    if (change.name === undefined) {
      const before = this.#openWildcards.length
      this.#openWildcards = this.#openWildcards.filter((open) => open !== change)
      if (this.#openWildcards.length === before) return false
    } else {
      const list = this.#open.get(change.name)
      const at = list?.indexOf(change) ?? -1
      if (list === undefined || at < 0) return false
      list.splice(at, 1)
      if (list.length === 0) this.#open.delete(change.name)
    }
    this.#openCount -= 1
    return true
  }

  lookup(segment: number, name: string): Lookup<T> {
    if (this.#openCount > 0) {
      const named = this.#open.get(name)?.at(-1)
      const wildcard = this.#openWildcards.at(-1)
      const last = named === undefined || (wildcard !== undefined && wildcard.order > named.order) ? wildcard : named
      if (last !== undefined) {
        if (last.segment !== segment) return { kind: 'wait' }
        return last.value === undefined ? { kind: 'unknown' } : { kind: 'found', value: last.value }
      }
    }
    const value = this.#settled.get(name)
    return value === undefined ? { kind: 'unknown' } : { kind: 'found', value }
  }
}
