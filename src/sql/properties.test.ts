import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { GatewayError } from '../kernel/index.ts'
import { loadParser, redactLiterals, SqlAnalyzer } from './index.ts'

beforeAll(loadParser)

const limits = { maxStatementBytes: 20_000, maxStatements: 20, maxDepth: 100 }
const fresh = () => new SqlAnalyzer({ limits, cacheEntries: 0 })
const cached = new SqlAnalyzer({ limits, cacheEntries: 200 })

/** The analyses, or the code of the refusal. */
function outcome(analyzer: SqlAnalyzer, sql: string): unknown {
  try {
    return analyzer.analyze(sql)
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error
    expect(error.code).toMatch(/^sql\./)
    return error.code
  }
}

const WORDS = `select from where insert into values update set delete with as recursive union all ( ) , ; . * 'a' 1 $1
  "b" t u a b and or not null is in exists limit order by group having join on using left natural lateral returning
  explain analyze copy to stdout prepare execute declare cursor for fetch create temp table view drop alter merge
  when matched then do nothing $$x$$ -- /* */ E'\\'' U&"x" count(*) lower set_config nextval = <> like '%' case end
  array [ ] :: text row values :int`
  .split(/\s+/)
  .filter(Boolean)

const sqlish = fc.array(fc.constantFrom(...WORDS), { maxLength: 30 }).map((words) => words.join(' '))

describe('any text', () => {
  test.each([
    ['characters', fc.string({ unit: 'binary', maxLength: 200 })],
    ['words', sqlish],
  ])('%s: facts or one clean refusal, the same from the cache', (_name, texts) => {
    fc.assert(
      fc.property(texts, (sql) => {
        const plain = outcome(fresh(), sql)
        expect(outcome(cached, sql)).toEqual(plain)
        expect(outcome(cached, sql)).toEqual(plain)
        expect(typeof redactLiterals(sql)).toBe('string')
        if (!Array.isArray(plain)) return
        for (const { text, startByte, endByte } of plain)
          expect(Buffer.from(sql).toString('utf8', startByte, endByte)).toBe(text)
      }),
      { numRuns: 800 },
    )
  })
})

const TEMPLATES = [
  'select * from t where id = ?',
  'select * from t where a = ? and b = ?',
  'select * from t where ? = ?',
  'select * from t where ? <> ? or a = ?',
  'select * from t where not (? = ?)',
  'select * from t where ?',
  'select * from t limit ?',
  'select a, b from t order by ?',
  'select a, b from t group by ?, ?',
  'select * from t where a like ?',
  'select * from t where a ~ ?',
  'select a from t where a in (?, ?) and b between ? and ?',
  'select set_config(?, ?, false)',
  'select nextval(?)',
  'insert into t values (?, ?), (?, ?);',
  ' insert into t (a) select ? from u where b = ? ; ',
  'update t set a = ? where b = ?',
  'update t set a = ? where ? = ?',
  'delete from t where ? in (a, ?)',
  'with c as (select ? as x, card from t) select c.x from c limit ?',
  'select * from t where a = ? or a <> ?',
  'select * from t where a + ? = a + ? or not (b = ?) or b = ?',
  'set work_mem = ?',
  'explain (analyze ?) delete from t',
  'copy t to stdout (format csv, delimiter ?)',
  'select "a" from "t 1" where x1 = ? -- ?',
  'select $1, ? from t where a = $2',
  'prepare p as select ? from t limit ?',
  "select ?::regclass, date ?, 'fixed' from t where a = ?",
]

const literal = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 12 }).map((value) => `'${value.replaceAll("'", "''")}'`),
  fc.constantFrom("'%'", "'true'", "'f'", "''", "'role'", "'search_path'", "'a''b'", "'.*'", "'é'", "';'", "'--'"),
  fc.nat(20_000).map(String),
  fc.constantFrom('0', '1', '1.0', '2.50', '99999999999'),
)

test('texts that share a blind key have the facts they have alone', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...TEMPLATES),
      fc.array(fc.array(literal, { minLength: 6, maxLength: 6 }), { minLength: 2, maxLength: 4 }),
      (template, rows) => {
        const shared = new SqlAnalyzer({ limits, cacheEntries: 50 })
        for (const literals of rows) {
          let next = 0
          const sql = template.replaceAll('?', () => literals[next++] ?? '0')
          expect(outcome(shared, sql)).toEqual(outcome(fresh(), sql))
        }
      },
    ),
    { numRuns: 2_500 },
  )
})

test('redacted text holds no literal', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }), (secret) => {
      const sql = `alter role x password 'hunter-${secret.replaceAll("'", "''").replaceAll('\0', '')}'`
      expect(redactLiterals(sql)).toBe("alter role x password '?'")
    }),
    { numRuns: 200 },
  )
})

test('the cache forgets when told, and functions are asked again', () => {
  let known: 'immutable' | undefined
  const analyzer = new SqlAnalyzer({ limits, cacheEntries: 10, functions: () => known })
  expect(analyzer.analyze('select f(1)')[0]?.facts.level).toBe('write')
  known = 'immutable'
  expect(analyzer.analyze('select f(2)')[0]?.facts.level).toBe('write')
  analyzer.clear()
  expect(analyzer.analyze('select f(2)')[0]?.facts.level).toBe('read')
})
