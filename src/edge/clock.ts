import type { Clock } from '../kernel/index.ts'

/** The longest time that the platform's timers can take. */
const MAX_DELAY_MS = 2 ** 31 - 1

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, call) {
    const timer = setTimeout(call, Math.min(Math.max(0, ms), MAX_DELAY_MS))
    timer.unref()
    return () => clearTimeout(timer)
  },
}
