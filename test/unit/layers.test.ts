import { expect, test } from 'vitest'
import { breaches } from '../../scripts/layers.js'

const at = (file: string, text: string) => breaches({ file, text })

test.each([
  {
    name: 'up the list',
    file: 'policy/a.ts',
    text: "import { x } from '../store/index.ts'",
    says: '"store" lies above "policy"',
  },
  {
    name: 'up, for a type only',
    file: 'kernel/a.ts',
    text: "import type { X } from '../wire/x.ts'",
    says: 'lies above',
  },
  { name: 'up, when it runs', file: 'engine/a.ts', text: "await import('../gateway/main.ts')", says: 'lies above' },
  {
    name: 'across protocols',
    file: 'protocols/mysql/a.ts',
    text: "import { x } from '../postgres/decode.ts'",
    says: 'no other protocol',
  },
  {
    name: 'a socket in a pure layer',
    file: 'recording/a.ts',
    text: "import net from 'node:net'",
    says: '"recording" is pure',
  },
  { name: 'the clock in a pure layer', file: 'review/a.ts', text: 'const now = Date.now()', says: 'review/a.ts:1' },
  {
    name: 'chance in a pure layer',
    file: 'protocols/postgres/a.ts',
    text: 'const x = Math.random()',
    says: 'Take a Clock or Random',
  },
  { name: 'a folder that is no layer', file: 'utils/a.ts', text: '', says: 'not in the list' },
])('$name is a breach', ({ file, text, says }) => {
  expect(at(file, text)).toEqual([expect.stringContaining(says)])
})

test.each([
  { name: 'down the list', file: 'gateway/a.ts', text: "import { x } from '../kernel/index.ts'" },
  { name: 'beside itself', file: 'sql/postgres/a.ts', text: "import { x } from '../analysis.ts'" },
  { name: 'a socket at the edge', file: 'edge/a.ts', text: "import net from 'node:net'" },
  { name: 'a clock in a comment', file: 'review/a.ts', text: '// not Date.now() here' },
  { name: 'hashing in a pure layer', file: 'recording/a.ts', text: "import { createHash } from 'node:crypto'" },
])('$name is fine', ({ file, text }) => {
  expect(at(file, text)).toEqual([])
})
