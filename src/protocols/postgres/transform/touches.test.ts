import { expect, test } from 'vitest'
import type { ColumnRead } from '../../../kernel/index.ts'
import { maskColumns, shop } from './test/shop.ts'
import { touchesProtected } from './touches.ts'

const CARDS = [maskColumns('last4', 'public.payments.card'), maskColumns('hash', 'public.unborn.pin')]
const NONE = { computed: false, writes: false, predicate: false, rules: [] }

function touches(
  read: Partial<ColumnRead>,
  reads: readonly string[],
  searchPath: readonly string[] | undefined = ['public'],
) {
  return touchesProtected(
    [{ table: undefined, column: 'card', use: 'expression', ...read }],
    reads,
    CARDS,
    shop,
    searchPath,
  )
}

const COMPUTED = { ...NONE, computed: true, rules: ['last4 rule'] }

test.each<[string, Partial<ColumnRead>, readonly string[], object]>([
  ['an expression', { table: 'payments' }, ['payments'], COMPUTED],
  ['a qualified table', { table: 'public.payments' }, ['public.payments'], COMPUTED],
  ['a namesake in another schema', { table: 'archive.payments' }, ['archive.payments'], NONE],
  ['a column of any table read', {}, ['customers', 'payments'], COMPUTED],
  ['a column of no table read', {}, ['customers'], NONE],
  ['another column', { table: 'payments', column: 'note' }, ['payments'], NONE],
  ['plain output', { table: 'payments', use: 'output' }, ['payments'], NONE],
  ['a write', { table: 'payments', use: 'write' }, ['payments'], { ...NONE, writes: true, rules: ['last4 rule'] }],
  ['a predicate', { use: 'predicate' }, ['payments'], { ...NONE, predicate: true, rules: ['last4 rule'] }],
  ['a whole row', { table: 'payments', column: '*' }, ['payments'], COMPUTED],
  ['whole rows of something', { column: '*' }, ['customers', 'payments'], COMPUTED],
  ['whole rows without any', { column: '*' }, ['customers'], NONE],
  ['a column that the table has not', { table: 'payments', column: 'renamed' }, ['payments'], COMPUTED],
  ['a system column', { table: 'payments', column: 'ctid' }, ['payments'], NONE],
  ['an output name of the statement', { column: 'total', use: 'predicate' }, ['payments'], NONE],
  ['an unknown table, by name', { table: 'unborn', column: 'pin' }, ['unborn'], { ...COMPUTED, rules: ['hash rule'] }],
  [
    'an unknown table in another schema',
    { table: 'new.unborn', column: 'pin' },
    [],
    { ...COMPUTED, rules: ['hash rule'] },
  ],
  ['an unknown table, whole', { table: 'unborn', column: '*' }, ['unborn'], { ...COMPUTED, rules: ['hash rule'] }],
  ['an unknown table that no rule names', { table: 'other', column: '*' }, ['other'], NONE],
  ['what statistics show', { table: 'pg_stats', column: 'most_common_vals' }, ['pg_stats'], NONE], // not in this catalogue
])('%s', (_name, read, reads, wanted) => {
  expect(touches(read, reads)).toEqual(wanted)
})

test('without a known path a bare name means every schema', () => {
  expect(touches({ table: 'payments' }, ['payments'], undefined)).toEqual(COMPUTED)
  expect(touches({ table: 'payments' }, ['payments'], ['archive', 'public'])).toEqual(NONE)
})

test('no rule with columns, nothing protected', () => {
  const masks = [{ rule: 'found', mask: 'redact' as const, columns: [], detect: ['credit_card'] }]
  expect(touchesProtected([{ table: 'payments', column: '*', use: 'write' }], ['payments'], masks, shop)).toEqual(NONE)
})
