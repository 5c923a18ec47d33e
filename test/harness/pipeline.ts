import type { EventEmitter } from 'node:events'
import type pg from 'pg'

/** The part of node-postgres' connection that sends single messages. */
interface Messages {
  parse(query: { name?: string; text: string; types?: number[] }): void
  bind(config: { portal?: string; statement?: string; values?: unknown[]; binary?: boolean }): void
  describe(message: { type: 'S' | 'P'; name?: string }): void
  execute(config: { portal?: string; rows?: number }): void
  flush(): void
  sync(): void
}

export interface PipelineResult {
  /** Command tags in order. */
  readonly tags: string[]
  /** Text of each cell. */
  readonly rows: (string | null)[][]
  readonly errors: { readonly code: string; readonly message: string }[]
  suspended: number
}

/** Sends messages as they are given, in one go, and collects what comes up to the ReadyForQuery. */
export async function pipeline(client: pg.Client, send: (messages: Messages) => void): Promise<PipelineResult> {
  const result: PipelineResult = { tags: [], rows: [], errors: [], suspended: 0 }
  await new Promise<void>((resolve) => {
    const submittable = {
      submit: (connection: unknown) => {
        // After an error node-postgres forgets what it was asked, so the end is taken from the connection.
        ;(connection as EventEmitter).once('readyForQuery', () => resolve())
        send(connection as Messages)
        return null
      },
      handleRowDescription: () => undefined,
      handleDataRow: ({ fields }: { fields: (string | null)[] }) => result.rows.push(fields),
      handleCommandComplete: ({ text }: { text: string }) => result.tags.push(text),
      handlePortalSuspended: () => {
        result.suspended += 1
      },
      handleEmptyQuery: () => undefined,
      handleError: (error: { code: string; message: string }) => {
        result.errors.push(error)
      },
      handleReadyForQuery: () => undefined,
    }
    client.query(submittable as unknown as pg.Submittable)
  })
  return result
}

/** One statement of a pipeline: Parse, Bind, Describe, Execute, without Sync. */
export function statement(messages: Messages, text: string, values: unknown[] = []): void {
  messages.parse({ text })
  messages.bind({ values })
  messages.describe({ type: 'P' })
  messages.execute({})
}
