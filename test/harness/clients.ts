import type pg from 'pg'

export interface ServerError {
  readonly code: string
  readonly message: string
  readonly detail: string
  readonly hint: string
  readonly severity: string
}

/** The error that the work ends with, as the client library tells it. */
export async function errorOf(work: Promise<unknown>): Promise<ServerError> {
  try {
    await work
  } catch (error) {
    return error as ServerError
  }
  throw new Error('it succeeded')
}

/** The first column of every row. */
export async function column(client: pg.Client, text: string, values: unknown[] = []): Promise<unknown[]> {
  const { rows } = await client.query<unknown[]>({ text, values, rowMode: 'array' })
  return rows.map((row) => row[0])
}
