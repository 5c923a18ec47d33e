import type { z } from 'zod'
import { problemSchema } from '../problem.ts'

export const secured = [{ token: [] }]

/** The documented answers of a route: its own, and a problem document for everything else. */
export function answers<Schema extends z.ZodType>(schema: Schema) {
  return { 200: schema, '4xx': problemSchema, '5xx': problemSchema }
}
