import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { systemClock } from '../edge/clock.ts'
import { PolicyKeeper, type PolicyState } from './policy-keeper.ts'

let folder: string

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'sallyport-policy-'))
})

afterEach(async () => {
  await rm(folder, { recursive: true, force: true })
})

async function opened() {
  const file = path.join(folder, 'policy.yaml')
  await writeFile(file, 'rules: []\n')
  const states: PolicyState[] = []
  const errors: string[] = []
  const logger = {
    debug: () => {},
    info: () => {},
    warn: () => {},
    error: (message: string) => void errors.push(message),
  }
  const sources = [{ kind: 'file' as const, file }]
  const keeper = await PolicyKeeper.open({
    sources,
    clock: systemClock,
    logger,
    changed: (state) => void states.push(state),
  })
  return { file, keeper, states, errors }
}

test.each([
  { name: 'broken YAML', text: 'rules: [' },
  { name: 'an emptied file', text: '' },
  { name: 'an unknown detector', text: 'rules: [{ name: a, match: { detect: [creditcard] }, then: { mask: last4 } }]' },
  { name: 'a condition that does not compile', text: 'rules: [{ name: a, when: "facts.nope >", then: deny }]' },
])('$name keeps the snapshot, loudly', async ({ text }) => {
  const { file, keeper, states, errors } = await opened()
  const before = keeper.snapshot()
  await writeFile(file, text)
  const state = await keeper.reload()
  expect(state.problems.length).toBeGreaterThan(0)
  expect(keeper.snapshot()).toBe(before)
  expect(errors.join()).toContain('POLICY NOT LOADED')
  expect(states.at(-1)?.problems).toEqual(state.problems)
})

test('a removed file keeps the snapshot, too', async () => {
  const { file, keeper } = await opened()
  await rm(file)
  expect((await keeper.reload()).problems[0]?.message).toContain('ENOENT')
})

test('reloads that come together end with the newest file', async () => {
  const { file, keeper } = await opened()
  const first = keeper.reload()
  await writeFile(file, 'rules: [{ name: a, match: { operation: drop }, then: deny }]\n')
  await Promise.all([first, keeper.reload(), keeper.reload()])
  expect(keeper.snapshot().rules.map((rule) => rule.name)).toEqual(['a'])
})

test('a gateway does not start on rules that it cannot read, and tells all problems', async () => {
  const sources = [
    { kind: 'inline' as const, source: 'one', content: { rules: [{ name: 'a', verdict: 'maybe' }] } },
    { kind: 'file' as const, file: path.join(folder, 'nowhere.yaml') },
  ]
  const logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
  const failure = await PolicyKeeper.open({ sources, clock: systemClock, logger }).catch((error: unknown) => error)
  expect(failure).toMatchObject({ code: 'policy.invalid' })
  expect(String(failure)).toContain('one')
  expect(String(failure)).toContain('nowhere.yaml')
})
