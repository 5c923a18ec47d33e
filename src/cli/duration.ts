import { GatewayError } from '../kernel/index.ts'

const UNITS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** `90s`, `15m`, `8h`, `30d` to milliseconds. */
export function durationOf(text: string, option: string): number {
  const match = /^(\d{1,6})([smhd])$/.exec(text)
  const unit = UNITS[match?.[2] ?? '']
  if (match?.[1] === undefined || unit === undefined || Number(match[1]) === 0)
    throw new GatewayError('cli.usage', `${option} is not a time.`, { hint: 'Write it like 90s, 15m, 8h or 30d.' })
  return Number(match[1]) * unit
}
