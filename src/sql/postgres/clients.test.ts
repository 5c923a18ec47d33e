import { readFileSync } from 'node:fs'
import { beforeAll, expect, test } from 'vitest'
import { loadParser, SqlAnalyzer } from '../index.ts'

beforeAll(loadParser)

// Logged by servers of version 15 and 18 while psql 15 ran its \d family and pg_dump 15 dumped a small shop.
const statements = JSON.parse(
  readFileSync(new URL('./client-statements.fixture.json', import.meta.url), 'utf8'),
) as Readonly<Record<'psql' | 'pg_dump', readonly string[]>>

test.each(['psql', 'pg_dump'] as const)('what %s asks by itself only reads, and hides nothing', (client) => {
  const analyzer = new SqlAnalyzer({
    limits: { maxStatementBytes: 100_000, maxStatements: 20, maxDepth: 200 },
    cacheEntries: 10,
  })
  expect(statements[client].length).toBeGreaterThan(50)
  for (const sql of statements[client])
    for (const { facts } of analyzer.analyze(sql))
      expect([facts.level, facts.levelReason, facts.opaque, facts.writes, sql]).toEqual(['read', '', [], [], sql])
})
