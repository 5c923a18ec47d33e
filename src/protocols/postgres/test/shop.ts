import type { QueryClient, QueryResult } from '../query-client.ts'
import { OID } from '../types.ts'

export const PAYMENTS = 20_000
export const COLUMNS: readonly string[] = ['id', 'card_number', 'note']

/** The rows of a small target's catalogue, by what its questions ask for. */
const ANSWERS: readonly (readonly [asks: RegExp, rows: readonly (string | null)[][]])[] = [
  [/^select \(select count/, [['1']]],
  [
    /a\.attrelid, a\.attnum/,
    COLUMNS.map((name, at) => [String(PAYMENTS), String(at + 1), name, String(OID.text), 'f']),
  ],
  [/c\.relname, c\.relkind/, [[String(PAYMENTS), 'public', 'payments', 'r']]],
]

/** Asks a target whose catalogue never changes: one table, `public.payments`. */
export function shopClient(): QueryClient {
  const client: Pick<QueryClient, 'query' | 'close'> = {
    query: async (sql): Promise<QueryResult> => ({
      fields: [],
      rows: [...(ANSWERS.find(([asks]) => asks.test(sql))?.[1] ?? [])],
      tag: 'SELECT',
    }),
    close: () => undefined,
  }
  return client as QueryClient
}
