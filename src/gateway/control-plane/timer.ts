import type { Clock } from '../../kernel/index.ts'

/** Timers count in 32 bits; a longer one would fire at once. */
const MAX_TIMER_MS = 2_147_483_647

/** Calls once at a time of the clock, however far away. The answer cancels it. */
export function callAt(clock: Clock, when: number, call: () => void): () => void {
  let cancel: () => void = () => undefined
  const arm = (): void => {
    const left = when - clock.now()
    cancel = left > MAX_TIMER_MS ? clock.after(MAX_TIMER_MS, arm) : clock.after(Math.max(0, left), call)
  }
  arm()
  return () => cancel()
}
