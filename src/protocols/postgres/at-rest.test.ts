import { expect, test } from 'vitest'
import { EMPTY_FACTS, type Facts, type MaskInstruction } from '../../kernel/index.ts'
import { AtRest } from './at-rest.ts'
import { masker, shop } from './transform/test/shop.ts'

const keeping = (columns: readonly string[], facts: Partial<Facts>, text: string) => {
  const masks: readonly MaskInstruction[] = [{ rule: 'r', mask: 'redact', columns, detect: [] }]
  const rest = new AtRest({ masker, masks: () => masks, catalog: () => shop })
  return rest.text({ analysis: undefined, facts: { ...EMPTY_FACTS, ...facts }, text })
}

test.each([
  { name: 'a plain name', columns: ['*.card'], text: "update payments set card = 'secret'" },
  { name: 'a name in other letters', columns: ['*.card'], text: "update payments set CARD = 'secret'" },
  { name: 'a pattern', columns: ['*.ca*d'], text: "update payments set card = 'secret'" },
  { name: 'every column', columns: ['payments.*'], text: "select 'secret'" },
])('literals beside $name are not kept', ({ columns, text }) => {
  expect(keeping(columns, {}, text)).not.toContain('secret')
})

test('literals of an EXECUTE whose statement compares a protected column are not kept', () => {
  const columns = [{ table: 'payments', column: 'card', use: 'predicate' }] as const
  expect(keeping(['*.card'], { columns, reads: ['payments'] }, "execute a('secret')")).not.toContain('secret')
})

test('literals beside other columns are kept: a reviewer has to see them', () => {
  expect(keeping(['*.card'], { writes: ['payments'] }, "update payments set note = 'x'")).toContain("'x'")
})
