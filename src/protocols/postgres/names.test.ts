import { expect, test } from 'vitest'
import { NameTable } from './names.ts'

test('a change counts at once inside its own segment, and only when settled outside', () => {
  const names = new NameTable<string>()
  const change = names.change(1, 'a', 'select 1')
  expect(names.lookup(1, 'a')).toEqual({ kind: 'found', value: 'select 1' })
  expect(names.lookup(2, 'a')).toEqual({ kind: 'wait' })
  names.settle(change)
  expect(names.lookup(2, 'a')).toEqual({ kind: 'found', value: 'select 1' })
})

test('a dropped change brings the earlier meaning back', () => {
  const names = new NameTable<string>()
  names.settle(names.change(1, '', 'delete from t'))
  const skipped = names.change(2, '', 'select 1')
  expect(names.lookup(3, '')).toEqual({ kind: 'wait' })
  names.drop(skipped)
  expect(names.lookup(3, '')).toEqual({ kind: 'found', value: 'delete from t' })
})

test('a wildcard removal hides every name until it is answered', () => {
  const names = new NameTable<string>()
  names.settle(names.change(1, 'a', 'x'))
  const all = names.change(2, undefined, undefined)
  expect(names.lookup(2, 'a')).toEqual({ kind: 'unknown' })
  expect(names.lookup(3, 'a')).toEqual({ kind: 'wait' })
  const again = names.change(2, 'a', 'y')
  expect(names.lookup(2, 'a')).toEqual({ kind: 'found', value: 'y' })
  names.settle(all)
  names.settle(again)
  expect(names.lookup(3, 'a')).toEqual({ kind: 'found', value: 'y' })
  expect(names.size).toBe(1)
})

test('settling twice changes nothing', () => {
  const names = new NameTable<string>()
  const change = names.change(1, 'a', 'x')
  names.settle(change)
  names.settle(names.change(2, 'a', undefined))
  names.settle(change)
  expect(names.lookup(3, 'a')).toEqual({ kind: 'unknown' })
})
