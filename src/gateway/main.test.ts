import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const BIN = fileURLToPath(new URL('../../bin/sallyport.js', import.meta.url))

test.each([
  { reads: 'stdout', given: ['config', 'schema'] },
  { reads: 'stderr', given: ['no-such-command'] },
] as const)('a command whose $reads nobody reads any more ends quietly', async ({ reads, given }) => {
  const child = spawn(process.execPath, [BIN, ...given], { stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  const other = reads === 'stdout' ? child.stderr : child.stdout
  other.setEncoding('utf8').on('data', (text: string) => {
    said += text
  })
  child[reads].destroy()
  const [status, signal] = await once(child, 'close')
  expect({ status, signal, said }).toEqual({ status: 141, signal: null, said: '' })
})
