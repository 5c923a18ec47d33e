import { z } from 'zod'

/** A byte count, a row count or a wait: a whole number above zero, with its bounds. */
export function limit(unit: string, fallback: number, text: string, bounds: { min?: number; max?: number } = {}) {
  return z
    .int()
    .min(bounds.min ?? 1)
    .max(bounds.max ?? Number.MAX_SAFE_INTEGER)
    .default(fallback)
    .describe(`${text} Unit: ${unit}. Default: ${fallback}.`)
}

export const NAME_PATTERN = /^[a-z0-9][a-z0-9_.-]{0,62}$/

export const name = z
  .string()
  .regex(
    NAME_PATTERN,
    'must be 1 to 63 lower-case letters, digits, dots, dashes or underscores, and start with a letter or digit',
  )

/** Where a secret is kept. The secret itself is never part of the file. */
export const secretReference = z
  .string()
  .regex(
    /^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$/,
    'must be a reference, `env:NAME` or `file:path`; secrets are not written into this file',
  )
  .describe('A reference to a secret: `env:NAME` or `file:path` (relative to this file).')

export const filePath = z.string().min(1).describe('A path; relative ones are taken from the folder of this file.')

export const labels = z
  .record(z.string().regex(NAME_PATTERN, 'is not a valid label name'), z.string().max(200))
  .describe('Free words about the target that policies and grants match, such as `env: production`.')

export const port = z.int().min(0).max(65535)

/** RFC 3339, or a date, which ends at its midnight in UTC. */
export const instant = z
  .string()
  .refine(
    (text) => /^\d{4}-\d\d-\d\d(T.*)?$/.test(text) && !Number.isNaN(Date.parse(text)),
    'must be a date or an RFC 3339 time',
  )
