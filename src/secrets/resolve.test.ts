import { spawnSync } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { inspect } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Logger } from '../kernel/index.ts'
import { createSecretResolver, Secret } from './index.ts'

let folder = ''
const logged: unknown[] = []
const note = (...args: unknown[]) => void logged.push(args)
const log: Logger = { debug: note, info: note, warn: note, error: note }
const resolve = createSecretResolver({ environment: { SHOP_PASSWORD: 'hunter2', EMPTY: '' }, log })
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'sallyport-secrets-'))
})
afterAll(() => rm(folder, { recursive: true }))

async function file(name: string, text: string, mode = 0o600): Promise<string> {
  const where = path.join(folder, name)
  await writeFile(where, text, { mode })
  return where
}

test('references give their secret', async () => {
  expect((await resolve('env:SHOP_PASSWORD')).reveal()).toBe('hunter2')
  expect((await resolve(`file:${await file('a', 'line one\nline two\r\n')}`)).reveal()).toBe('line one\nline two')
  expect((await resolve('plain:a:b')).reveal()).toBe('a:b')
  expect(logged).toEqual([])
})

test('a file that others can read is used, and said so once', async () => {
  const where = await file('open', 'hunter3', 0o644)
  await resolve(`file:${where}`)
  await resolve(`file:${where}`)
  expect(logged).toHaveLength(1)
  expect(JSON.stringify(logged)).toContain('644')
  expect(JSON.stringify(logged)).not.toContain('hunter3')
})

test.each([
  ['a bare value', async () => 'hunter2'],
  ['a bare value with a colon', async () => 'pa:ss'],
  ['nothing', async () => ''],
  ['an unset variable', async () => 'env:NOT_SET'],
  ['an empty variable', async () => 'env:EMPTY'],
  ['a variable of the prototype', async () => 'env:'],
  ['no file', async () => `file:${path.join(folder, 'none')}`],
  ['a folder', async () => `file:${folder}`],
  ['a device without end', async () => 'file:/dev/zero'],
  ['an empty file', async () => `file:${await file('empty', '\n')}`],
  ['a huge file', async () => `file:${await file('huge', 'hunter2'.repeat(20_000))}`],
  [
    'a pipe that nobody writes to',
    async () => {
      spawnSync('mkfifo', [path.join(folder, 'pipe')])
      return `file:${path.join(folder, 'pipe')}`
    },
  ],
])('refused: %s', async (_, reference) => {
  const error = await resolve(await reference()).then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  expect(error).toMatchObject({ code: 'secret.unresolved' })
  expect(inspect(error, { depth: 9 }) + JSON.stringify(error)).not.toMatch(/hunter2|pa:ss/)
})

test('a secret does not print', () => {
  const secret = new Secret('hunter2')
  const shown = [
    `${secret}`,
    String(secret),
    JSON.stringify({ secret }),
    inspect({ secret }, { showHidden: true, depth: 9 }),
  ]
  for (const text of shown) expect(text).toContain('[secret]')
  expect([...shown, Object.keys(secret).join(), Object.values(secret).join()].join()).not.toContain('hunter2')
})
