import type { z } from 'zod'
import type { ProtocolFactory } from '../engine/index.ts'
import { postgresConnection, postgresProtocol } from '../protocols/postgres/index.ts'

export interface ProtocolRegistration {
  /** The word for it in the configuration: `type` of a target, and key of its listener. */
  readonly type: 'postgres'
  /** What a target's `connection` looks like. */
  readonly connection: z.ZodType
  readonly create: ProtocolFactory
}

/** Every protocol that Sallyport speaks; a new one is a folder and a line here. */
export const PROTOCOLS: readonly ProtocolRegistration[] = [
  { type: 'postgres', connection: postgresConnection, create: postgresProtocol },
]
