import { expect, test } from 'vitest'
import { createLogger } from './logger.ts'

test('what could be a secret is not written, and the level holds', () => {
  const lines: string[] = []
  const logger = createLogger('info', { write: (line: string) => void lines.push(line) })
  logger.debug('not shown')
  logger.warn('target refused', {
    target: 'shop',
    password: 'hunter2',
    credential: { password: 'hunter2' },
    more: { secret: 'hunter2' },
  })
  expect(lines).toHaveLength(1)
  expect(lines[0]).not.toContain('hunter2')
  expect(JSON.parse(lines[0]!)).toMatchObject({
    level: 'warn',
    msg: 'target refused',
    target: 'shop',
    password: '[removed]',
  })
})
