import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { loadParser, SqlAnalyzer } from '../../sql/index.ts'
import { readConfig } from '../config/index.ts'
import { explainSql } from '../explain.ts'
import { checkPolicies } from '../policy-keeper.ts'
import { PROTOCOLS } from '../protocols.ts'
import { findUser } from '../settings.ts'
import { demoPlaces, rememberedPort, rememberPort, writeDemoFiles } from './files.ts'
import { freePort } from './ports.ts'
import { Chance, cardNumber, shopRows } from './shop-rows.ts'
import { SHOP_SCHEMA } from './shop-schema.ts'

const NOW = Date.UTC(2026, 0, 2)
let folder: string

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'sallyport-demo-'))
})

afterEach(async () => {
  await rm(folder, { recursive: true, force: true })
})

function luhn(digits: string): boolean {
  const sum = [...digits].reverse().reduce((total, digit, place) => {
    const value = place % 2 === 0 ? Number(digit) : Number(digit) * 2
    return total + (value > 9 ? value - 9 : value)
  }, 0)
  return sum % 10 === 0
}

test('the shop is believable, made up, and the same every time', () => {
  const rows = shopRows(1, NOW)
  expect(shopRows(1, NOW)).toEqual(rows)
  expect(rows.customers).toHaveLength(500)
  expect(rows.payments).toHaveLength(2000)
  for (const { email, phone } of rows.customers) {
    expect(email).toMatch(/^[\w.]+@example\.(com|org|net)$/)
    expect(phone).toMatch(/^\+1 \d{3} 555 01\d\d$/)
  }
  expect(new Set(rows.customers.map((row) => row['email'])).size).toBe(500)
  for (const { card_number: card } of rows.payments) expect(luhn(String(card))).toBe(true)
  for (const ticket of rows.support_tickets) expect(ticket['body']).not.toMatch(/[{}]|undefined/)
})

test('card numbers pass their checksum at every length', () => {
  for (const length of [13, 15, 16, 19]) {
    const card = cardNumber(new Chance(length), '424242', length)
    expect(card).toHaveLength(length)
    expect(luhn(card)).toBe(true)
  }
})

test("the shop's tables are valid SQL", async () => {
  await loadParser()
  const limits = { maxStatementBytes: 1_048_576, maxStatements: 100, maxDepth: 500 }
  expect(new SqlAnalyzer({ limits, cacheEntries: 0 }).analyze(SHOP_SCHEMA)).toHaveLength(12)
})

test("the demo's files are valid, private, and the user's once they are written", async () => {
  const places = demoPlaces(folder)
  await writeDemoFiles(folder)
  expect((await stat(places.config)).mode & 0o777).toBe(0o600)
  expect(await rememberedPort(places.config)).toBe(0)
  const before = await readFile(places.config, 'utf8')
  await rememberPort(places.config, 54321)
  await writeDemoFiles(folder)
  expect(await readFile(places.config, 'utf8')).toBe(before.replace('port: 0 }', 'port: 54321 }'))
  const parsed = await readConfig(places.config, PROTOCOLS)
  expect('problems' in parsed ? parsed.problems : []).toEqual([])
})

test.each([
  { sql: 'drop table payments', actor: 'agent' as const, kind: 'deny', rule: 'no-destructive-ddl-for-agents' },
  {
    sql: "delete from support_tickets where status = 'closed'",
    actor: 'agent' as const,
    kind: 'hold',
    rule: 'delete-needs-a-second-pair-of-eyes',
  },
  { sql: 'select * from customers limit 5', actor: 'agent' as const, kind: 'mask', rule: 'cards' },
  { sql: 'update products set stock = 0', actor: 'human' as const, kind: 'hold', rule: 'sweeping-update' },
  { sql: 'drop table payments', actor: 'human' as const, kind: 'deny', rule: 'grant:write' },
])("the demo's policy answers $kind to: $sql ($actor)", async ({ sql, actor, kind, rule }) => {
  await writeDemoFiles(folder)
  await rememberPort(demoPlaces(folder).config, 5432)
  const parsed = await readConfig(demoPlaces(folder).config, PROTOCOLS)
  if ('problems' in parsed) throw new Error(JSON.stringify(parsed.problems))
  const compiled = await checkPolicies(parsed.config.policies)
  if ('problems' in compiled) throw new Error(JSON.stringify(compiled.problems))
  await loadParser()
  const { grants, targets } = parsed.config
  const principal = { identity: findUser(parsed.config, 'alice')!, actor: { kind: actor, name: 'x' } }
  const explained = explainSql({ sql, principal, target: targets[0]!, grants, snapshot: compiled.snapshot, now: NOW })
  expect(explained.statements[0]?.decision).toMatchObject({ kind, rule })
})

test('a port in use, or taken by the demo itself, is passed over', async () => {
  const server = createServer()
  const taken = await new Promise<number>((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port))
  })
  try {
    const free = await freePort('127.0.0.1', taken, [])
    expect(free).toBeGreaterThan(taken)
    expect(await freePort('127.0.0.1', taken, [free])).toBeGreaterThan(free)
  } finally {
    server.close()
  }
})
