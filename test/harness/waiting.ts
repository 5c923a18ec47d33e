import { setTimeout as sleep } from 'node:timers/promises'

const POLL_MS = 50

/**
 * Looks again and again until there is an answer.
 *
 * @param look - Answers undefined while it is not so yet; what it throws counts as not yet, and is told in the end.
 */
export async function eventually<Answer>(
  what: string,
  look: () => Promise<Answer | undefined> | Answer | undefined,
  patienceMs = 20_000,
): Promise<Answer> {
  let last: unknown
  for (const end = Date.now() + patienceMs; Date.now() < end; await sleep(POLL_MS))
    try {
      const answer = await look()
      if (answer !== undefined) return answer
    } catch (error) {
      last = error
    }
  throw new Error(`waited in vain for: ${what}`, { cause: last })
}
