import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { offline } from './offline.ts'

let folder: string

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'sallyport-offline-'))
})

afterEach(async () => {
  await rm(folder, { recursive: true, force: true })
})

async function check(text: string, policy = ''): Promise<string[]> {
  const file = path.join(folder, 'sallyport.yaml')
  await writeFile(file, text)
  await writeFile(path.join(folder, 'policy.yaml'), policy)
  const problems = await offline.checkConfig(file)
  return problems.map((one) => `${path.relative(folder, one.source)} ${one.path}: ${one.message.split(/[;,]/)[0]}`)
}

const ONE_OF_EACH = `
logLevl: info
logLevel: info
logLevel: warn
listeners: { postgres: { port: 99999, requireTls: true } }
api: { tls: { certFile: nowhere.pem, keyFile: policy.yaml } }
users:
  - { subject: alice, email: nope }
  - { subject: alice, email: alice@example.com }
grants:
  - { level: read, users: [alcie], targets: [shpo] }
  - { level: rd, users: [bob], targets: { labels: {} } }
  - { level: read, targets: [shop] }
targets:
  - name: shop
    type: postgres
    connection: { address: { host: a }, database: d, tls: { ca: !file nowhere/ca.pem }, prt: 3 }
    credential: { user: x, password: open }
  - { name: shop, type: postgres, connection: { address: { host: a }, database: d, tls: { ca: ca.pem } }, credential: { user: x } }
policies: [nowhere.yaml, policy.yaml, { rules: [{ name: b, match: {}, then: perhaps }] }]
`

test('one look tells everything: shapes, names of nothing, files, connections, policies', async () => {
  const told = await check(ONE_OF_EACH, 'rules: [{ name: a, match: { operation: drp }, then: deny }]')
  expect(told.map((line) => line.slice(0, line.indexOf(':'))).sort()).toEqual(
    [
      'sallyport.yaml ', // logLevel is there twice
      'sallyport.yaml ', // the file of !file
      'sallyport.yaml api.tls.certFile',
      'sallyport.yaml grants[0].targets[0]',
      'sallyport.yaml grants[0].users[0]',
      'sallyport.yaml grants[1].level',
      'sallyport.yaml grants[1].users[0]',
      'sallyport.yaml grants[2]',
      'sallyport.yaml listeners.postgres.port',
      'sallyport.yaml listeners.postgres.requireTls',
      'sallyport.yaml logLevl',
      'sallyport.yaml policies[0]',
      'sallyport.yaml policies[2] rules[0].then',
      'sallyport.yaml targets[0].connection.prt',
      'sallyport.yaml targets[0].credential.password',
      'sallyport.yaml targets[1].connection.tls.ca',
      'sallyport.yaml targets[1].name',
      'sallyport.yaml users[0].email',
      'sallyport.yaml users[1].subject',
      'policy.yaml rules[0].match.operation',
    ].sort(),
  )
})

test('whoever writes the path of a certificate in its place is told how to', async () => {
  const connection = '{ address: { host: a }, database: d, tls: { ca: ca.pem } }'
  await writeFile(
    path.join(folder, 'x.yaml'),
    `targets: [{ name: a, type: postgres, connection: ${connection}, credential: { user: x } }]`,
  )
  const [problem, ...more] = await offline.checkConfig(path.join(folder, 'x.yaml'))
  expect(more).toEqual([])
  expect(problem).toMatchObject({ path: 'targets[0].connection.tls.ca', message: expect.stringContaining('!file') })
})

test.each([
  {
    name: 'a list of users that is none',
    text: 'users: 1\ngrants: [{ level: read, users: [a], targets: { labels: {} } }]',
  },
  {
    name: 'a user without a name',
    text: 'users: [{}]\ngrants: [{ level: read, users: [a], targets: { labels: {} } }]',
  },
  { name: 'a grant that is a word', text: 'grants: [x]' },
])('$name is one problem, and no names of nothing are made of it', async ({ text }) => {
  expect((await check(text)).join('\n')).not.toContain('there is no')
})

test('a configuration without problems is fine', async () => {
  expect(
    await check('policies: [policy.yaml]', 'rules: [{ name: a, match: { operation: drop }, then: deny }]'),
  ).toEqual([])
})
