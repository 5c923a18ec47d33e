import { expect, test } from 'vitest'
import { columnMatcher } from './columns.ts'

test.each([
  ['public.customers.email', true],
  ['customers.email', true],
  ['email', true],
  ['*.email', true],
  ['*.*.email', true],
  ['CUSTOMERS.Email', true],
  ['cust*.e*l', true],
  ['*.*mail*', true],
  ['"customers".email', true],
  ['"Customers".email', false],
  ['"cust*".email', false],
  ['orders.email', false],
  ['private.customers.email', false],
  ['*.emai', false],
  ['customers.e*x*l', false],
  ['customers.email*email', false],
])('%s on public.customers.email: %s', (pattern, want) => {
  expect(columnMatcher([pattern])('public', 'customers', 'email')).toBe(want)
})

test('quoted parts may hold dots, quotes and capitals', () => {
  expect(columnMatcher(['"My.Table"."a""b"'])('public', 'My.Table', 'a"b')).toBe(true)
})

test('any of several, none of none', () => {
  expect(columnMatcher(['x', '*.pan'])('s', 't', 'pan')).toBe(true)
  expect(columnMatcher([])('s', 't', 'pan')).toBe(false)
})

test.each(['', '.', 'a.', '.a', 'a..b', 'a.b.c.d', '"open'])('%s is no pattern', (pattern) => {
  expect(() => columnMatcher([pattern])).toThrow(/column pattern/)
})
