/** When a rule applies. All given parts must hold. */
export interface Times {
  readonly windows?: readonly TimeWindow[] | undefined
  /** ISO 8601 with offset; inclusive. */
  readonly after?: string | undefined
  /** ISO 8601 with offset; exclusive. */
  readonly before?: string | undefined
}

export interface TimeWindow {
  readonly days?: Day | readonly Day[] | undefined
  /** `09:00-17:30`; `22:00-06:00` runs over midnight and belongs to the day it starts on. */
  readonly hours?: string | undefined
  /** IANA name; UTC when left out. */
  readonly timezone?: string | undefined
}

export const DAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const
export type Day = (typeof DAYS)[number]

export const HOURS = /^([01]\d|2[0-3]):([0-5]\d)-(?:([01]\d|2[0-3]):([0-5]\d)|24:00)$/

const MINUTES_PER_DAY = 1440
const MS_PER_MINUTE = 60_000

/** Whether the runtime knows this IANA time zone. */
export function isTimezone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en-US', { timeZone: name })
    return true
  } catch {
    return false
  }
}

/** A test for a moment in milliseconds since the epoch. */
export function timesTest(times: Times): (now: number) => boolean {
  const after = times.after === undefined ? Number.NEGATIVE_INFINITY : Date.parse(times.after)
  const before = times.before === undefined ? Number.POSITIVE_INFINITY : Date.parse(times.before)
  const windows = times.windows?.map(windowTest)
  return (now) => now >= after && now < before && (windows === undefined || windows.some((test) => test(now)))
}

function windowTest(window: TimeWindow): (now: number) => boolean {
  const local = localClock(window.timezone ?? 'UTC')
  const days = window.days === undefined ? undefined : new Set([window.days].flat().map((day) => DAYS.indexOf(day)))
  const { from, to } = hoursRange(window.hours)
  const onDay = (day: number) => days === undefined || days.has(((day % 7) + 7) % 7)
  return (now) => {
    const { day, minute } = local(now)
    if (from < to) return onDay(day) && minute >= from && minute < to
    // Over midnight: the evening of its own day, or the morning after it.
    return (minute >= from && onDay(day)) || (minute < to && onDay(day - 1))
  }
}

function hoursRange(hours: string | undefined): { from: number; to: number } {
  const match = hours === undefined ? null : HOURS.exec(hours)
  if (match === null) return { from: 0, to: MINUTES_PER_DAY }
  const from = Number(match[1]) * 60 + Number(match[2])
  const to = match[3] === undefined ? MINUTES_PER_DAY : Number(match[3]) * 60 + Number(match[4])
  return { from, to }
}

/** Day of the week (0 is Monday) and minute of the day in a time zone; the last minute's answer is kept. */
function localClock(timezone: string): (now: number) => { readonly day: number; readonly minute: number } {
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone: timezone,
    weekday: 'short',
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  })
  let lastMinute = Number.NaN
  let last = { day: 0, minute: 0 }
  return (now) => {
    const epochMinute = Math.floor(now / MS_PER_MINUTE)
    if (epochMinute === lastMinute) return last
    const parts = new Map(format.formatToParts(epochMinute * MS_PER_MINUTE).map((part) => [part.type, part.value]))
    const day = DAYS.indexOf((parts.get('weekday') ?? '').toLowerCase() as Day)
    last = { day, minute: Number(parts.get('hour')) * 60 + Number(parts.get('minute')) }
    lastMinute = epochMinute
    return last
  }
}
