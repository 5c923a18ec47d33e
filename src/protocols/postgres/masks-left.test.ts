import { expect, test } from 'vitest'
import type { MaskInstruction } from '../../kernel/index.ts'
import { masksLeft } from './masks-left.ts'

const cards: MaskInstruction = { rule: 'cards', mask: 'last4', columns: ['*.card'], detect: ['credit_card'] }
const names: MaskInstruction = { rule: 'names', mask: 'redact', columns: ['*.name'], detect: [] }
const atRest = [cards, names]

test('a mask that the client got is not applied again, one that it was spared is', () => {
  expect(masksLeft(atRest, [{ ...cards }])).toEqual([names])
  expect(masksLeft(atRest, [])).toBe(atRest)
  expect(masksLeft(atRest, [names, cards])).toEqual([])
})

test('a rule that had other columns or another mask for the client still holds at rest', () => {
  for (const other of [
    { ...cards, mask: 'email' as const },
    { ...cards, columns: [] },
    { ...cards, detect: [] },
  ])
    expect(masksLeft(atRest, [other])).toEqual(atRest)
})

test('the same lists give the same list', () => {
  const applied = [names]
  expect(masksLeft(atRest, applied)).toBe(masksLeft(atRest, applied))
})
