import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { loadConfig, parseConfig, readConfig } from './index.ts'
import { nearest, type Problem } from './problems.ts'

const shapes = [{ type: 'postgres', connection: z.strictObject({ host: z.string(), port: z.int().default(5432) }) }]

function problems(text: string): readonly Problem[] {
  const parsed = parseConfig(text, 'sallyport.yaml', shapes)
  return 'problems' in parsed ? parsed.problems : []
}

function lines(text: string): string[] {
  return problems(text).map((one) => `${one.line}:${one.column} ${one.path}: ${one.message}`)
}

test('an empty file is the default configuration, complete and frozen', () => {
  const parsed = parseConfig('', '/etc/sallyport/sallyport.yaml', shapes)
  if (!('config' in parsed)) throw new Error(JSON.stringify(parsed.problems))
  expect(parsed.config.dataFolder).toBe('/etc/sallyport/.sallyport')
  expect(parsed.config.listeners.postgres.port).toBe(15432)
  expect(parsed.config.store).toEqual({ kind: 'embedded' })
  expect(() => Object.assign(parsed.config.limits, { maxMessageBytes: 1 })).toThrow(TypeError)
})

const BAD = `
name: Shop
dataFoldr: x
store: { kind: mysql }
listeners: { postgres: { port: 99999 } }
users:
  - { subject: alice, email: nope, group: [a] }
grants:
  - { level: rd, users: [alice], targets: [shop] }
targets:
  - name: shop
    type: postgres
    connection: { prt: 3 }
    credential: { user: x, password: hunter2 }
limits: { maxMessageBytes: 1, idleTimeoutMs: 1.5 }
`

test('all problems come together, each with its path and place', () => {
  expect(lines(BAD).sort()).toEqual(
    [
      '2:1 name: must be 1 to 63 lower-case letters, digits, dots, dashes or underscores, and start with a letter or digit',
      '3:1 dataFoldr: is not a known key; did you mean `dataFolder`?',
      "4:10 store.kind: must be 'embedded' | 'postgres'",
      '5:26 listeners.postgres.port: must be at most 65535',
      '7:23 users[0].email: must be an e-mail address',
      '7:36 users[0].group: is not a known key; did you mean `groups`?',
      '9:7 grants[0].level: must be `read` or `write` or `admin`',
      '13:5 targets[0].connection.host: is required',
      '13:19 targets[0].connection.prt: is not a known key; did you mean `port`?',
      '14:28 targets[0].credential.password: must be a reference, `env:NAME` or `file:path`; secrets are not written into this file',
      '15:11 limits.maxMessageBytes: must be at least 65536',
      '15:31 limits.idleTimeoutMs: must be a whole number',
    ].sort(),
  )
})

test('a secret in the file is not repeated in the message', () => {
  expect(lines(BAD).join()).not.toContain('hunter2')
})

test.each([
  {
    name: 'unknown user',
    text: 'users: [{subject: alice, email: a@b.co}]\ngrants: [{users: [alcie], targets: {labels: {}}, level: read}]',
    want: 'grants[0].users[0]: there is no user `alcie`; did you mean `alice`?',
  },
  {
    name: 'unknown target',
    text: 'grants: [{groups: [dev], targets: [shop], level: read}]',
    want: 'grants[0].targets[0]: there is no target `shop`',
  },
  {
    name: 'grant to nobody',
    text: 'grants: [{targets: {labels: {}}, level: read}]',
    want: 'grants[0]: names neither users nor groups, so it is given to nobody',
  },
  {
    name: 'subject twice',
    text: 'users: [{subject: a, email: a@b.co}, {subject: a, email: a@b.co}]',
    want: 'users[1].subject: `a` is used twice',
  },
  { name: 'key twice', text: 'name: a\nname: b', want: ': Map keys must be unique' },
  {
    name: 'TLS without a certificate',
    text: 'listeners: {postgres: {requireTls: true}}',
    want: 'listeners.postgres.requireTls: needs `tls` with a certificate and a key',
  },
  {
    name: 'not YAML',
    text: 'a: [1\nb: 2\n',
    want: ': Flow sequence in block collection must be sufficiently indented and end with a ]',
  },
  { name: 'a list', text: '- a', want: ': must be a mapping' },
  {
    name: 'alias bomb',
    text: `a: &a [1,1,1,1,1,1,1,1,1,1]\n${'bcdefg'
      .split('')
      .map((k, i) => `${k}: &${k} [${Array(10).fill(`*${'abcdef'[i]}`).join(',')}]`)
      .join('\n')}`,
    want: ': Excessive alias count indicates a resource exhaustion attack',
  },
])('refused: $name', ({ text, want }) => {
  expect(problems(text).map((one) => `${one.path}: ${one.message}`)).toContain(want)
})

test('relative paths are taken from the folder of the file', () => {
  const text = `
dataFolder: data
targets:
  - { name: shop, type: postgres, connection: { host: a }, credential: { user: x, password: "file:secret" } }
policies: [policy.yaml, { rules: [] }]
masking: { key: "env:KEY" }
`
  const parsed = parseConfig(text, '/srv/sallyport.yaml', shapes)
  if (!('config' in parsed)) throw new Error(JSON.stringify(parsed.problems))
  const { config } = parsed
  expect(config.recording.folder).toBe('/srv/data/recordings')
  expect(config.targets[0]?.credential.password).toBe('file:/srv/secret')
  expect(config.masking.key).toBe('env:KEY')
  expect(config.policies).toEqual([
    { kind: 'file', file: '/srv/policy.yaml' },
    { kind: 'inline', source: '/srv/sallyport.yaml policies[1]', content: { rules: [] } },
  ])
})

test('!file puts the text of a file in place, or is a problem at its place', () => {
  const text =
    'targets:\n  - name: shop\n    type: postgres\n    connection: { host: !file host.txt }\n    credential: { user: x }\n'
  const parsed = parseConfig(text, '/srv/sallyport.yaml', shapes, (file) => `text of ${file}`)
  if (!('config' in parsed)) throw new Error(JSON.stringify(parsed.problems))
  expect(parsed.config.targets[0]?.connection).toEqual({ host: 'text of /srv/host.txt', port: 5432 })
  const missing = parseConfig(text, '/srv/sallyport.yaml', shapes, () => {
    throw new Error('does not exist')
  })
  expect('problems' in missing && missing.problems).toMatchObject([{ line: 4, message: '`host.txt` does not exist' }])
})

test('files that are named but not there are problems with a path', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'sallyport-config-'))
  try {
    const file = path.join(folder, 'sallyport.yaml')
    await writeFile(file, 'policies: [nowhere.yaml]\napi: { tls: { certFile: c.pem, keyFile: k.pem } }\n')
    const parsed = await readConfig(file, shapes)
    expect('problems' in parsed && parsed.problems.map((one) => one.path)).toEqual([
      'api.tls.certFile',
      'api.tls.keyFile',
      'policies[0]',
    ])
    await expect(loadConfig(path.join(folder, 'none.yaml'), shapes)).rejects.toMatchObject({ code: 'config.invalid' })
  } finally {
    await rm(folder, { recursive: true })
  }
})

test('a suggestion is made for slips only', () => {
  expect(nearest('maxConections', ['maxConnections', 'maxMessageBytes'])).toBe('maxConnections')
  expect(nearest('colour', ['name', 'users'])).toBeUndefined()
})
