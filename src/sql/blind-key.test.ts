import { expect, test } from 'vitest'
import { blindKey } from './blind-key.ts'

test.each([
  ['select 1', 'select 0'],
  ["select 'a''b', 12.5, x1, $1 from t where id = -3", "select '', 0, x1, $1 from t where id = -0"],
  ['select "a 1" from t', 'select "a 1" from t'],
  ['select 1 ; ', 'select 0 ; '],
  ["select 'a'\n'b'", "select ''\n''"],
  ['select a[1], b.c', 'select a[0], b.c'],
])('%j becomes %j', (sql, key) => {
  expect(blindKey(sql)).toBe(key)
})

test.each([
  'select 1 -- x',
  'select /* x */ 1',
  "select e'x'",
  "select E'\\''",
  "select U&'x'",
  'select U&"x"',
  "select b'1', x'f'",
  "select n'x'",
  "select date'2020-01-01'",
  'select $$x$$',
  'select $tag$x$tag$',
  "select 'a\\'",
  'select 1e5',
  'select 0x1f',
  'select 1_000',
  'select 1a',
  'select .5',
  'select 5.',
  'select 1..2',
  'select a$1',
  'select $1a',
  'select 1$1',
  "select 1'x'",
  'select "unclosed',
  "select 'unclosed",
  'select 1; select 2',
  'select 1;\u00a0',
  'select \0',
])('gives up on %j', (sql) => {
  expect(blindKey(sql)).toBeUndefined()
})
