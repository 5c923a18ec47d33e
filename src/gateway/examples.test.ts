import { readdir } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { toolbox } from './toolbox.ts'

const folder = new URL('../../examples/', import.meta.url)
const files = (await readdir(folder)).filter((name) => name.endsWith('.yaml'))

test.each(files)('examples/%s is a configuration without problems', async (name) => {
  expect(await toolbox.checkConfig(fileURLToPath(new URL(name, folder)))).toEqual([])
})
