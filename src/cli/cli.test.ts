import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { problemDocument } from '../api/problem.ts'
import { GatewayError } from '../kernel/index.ts'
import { saveProfile } from './profiles.ts'
import { run } from './test/harness.ts'

let folder: string
let server: Server | undefined

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'sallyport-cli-'))
})

afterEach(async () => {
  server?.closeAllConnections()
  await new Promise<void>((resolve) => (server === undefined ? resolve() : server.close(() => resolve())))
  server = undefined
  await rm(folder, { recursive: true, force: true })
})

async function serve(listener: RequestListener): Promise<string> {
  server = createServer(listener)
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

function answering(body: unknown, status = 200): RequestListener {
  return (_, response) => response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}

const REVIEW = {
  id: 'r_abcd1234',
  state: 'pending',
  requester: 'alice via claude-code',
  target: 'shop',
  session: 's_1',
  rule: 'deletes',
  reason: 'Deleting needs a second pair of eyes.',
  reviewers: ['group:dba'],
  approvals: { needed: 1, given: [] },
  createdAt: '2026-01-02T03:04:05.000Z',
  expiresAt: '2026-01-02T03:19:05.000Z',
  text: 'delete from orders\nwhere id = $1',
  parameters: ['7', null],
  facts: { kinds: ['delete'], writes: ['orders'], reads: [], unbounded: false },
  evidence: { estimatedRows: 3, affectedRows: 2 },
  answers: [],
}

test.each([
  { given: ['--help'], status: 0, out: /Usage: sallyport/ },
  { given: ['--version'], status: 0, out: /^1\.2\.3\n$/ },
  { given: [], status: 0, out: /^$/ },
  { given: ['reviews', '--help'], status: 0, out: /approve/ },
])('sallyport $given exits $status', async ({ given, status, out }) => {
  const ran = await run(given)
  expect(ran.status).toBe(status)
  expect(ran.stdout).toMatch(out)
})

test.each([
  { given: ['reveiws'], err: /Did you mean reviews/ },
  { given: ['reviews', 'approve'], err: /missing required argument 'id'/ },
  { given: ['reviews', 'list', '--nope'], err: /unknown option '--nope'/ },
  { given: ['token', 'create'], err: /--user/ },
  { given: ['token', 'create', '--user', 'a', '--expires', 'soon'], err: /--expires is not a time/ },
  { given: ['--profile', '../x', 'whoami'], err: /name of the profile/ },
])('usage: sallyport $given exits 2 and says why', async ({ given, err }) => {
  const ran = await run(given, { cwd: folder })
  expect(ran.status).toBe(2)
  expect(ran.stderr).toMatch(err)
})

test('without a profile the error says how to get one', async () => {
  const ran = await run(['reviews', 'list'], { cwd: folder })
  expect(ran.status).toBe(2)
  expect(ran.stderr).toContain('There is no profile `default`')
  expect(ran.stderr).toContain('sallyport demo')
  expect(ran.stderr).toContain('cli.usage')
})

test('a gateway that does not answer is told with the next step, and as a problem document with --json', async () => {
  const env = { SALLYPORT_TOKEN: 'spt_x:secret', SALLYPORT_API: 'http://127.0.0.1:1' }
  const plain = await run(['whoami'], { cwd: folder, env })
  expect(plain.status).toBe(6)
  expect(plain.stderr).toContain('The gateway does not answer at http://127.0.0.1:1.')
  const json = await run(['whoami', '--json'], { cwd: folder, env })
  expect(JSON.parse(json.stderr)).toMatchObject({ code: 'cli.unreachable' })
  expect(plain.stderr + json.stderr).not.toContain('secret')
})

test('the table of reviews keeps one review on one line', async () => {
  const env = { SALLYPORT_TOKEN: 'spt_x:secret', SALLYPORT_API: await serve(answering({ items: [REVIEW] })) }
  const ran = await run(['reviews', 'list'], { cwd: folder, env })
  expect(ran.stdout).toBe(
    [
      'ID          STATE    REQUESTER              TARGET  RULE     EXPIRES (UTC)        STATEMENT',
      'r_abcd1234  pending  alice via claude-code  shop    deletes  2026-01-02 03:19:05  delete from orders where id = $1',
      '',
    ].join('\n'),
  )
  expect((await run(['--json', 'reviews', 'list'], { cwd: folder, env })).stdout).toBe(
    `${JSON.stringify({ items: [REVIEW] }, null, 2)}\n`,
  )
})

test('a review is shown with statement, parameters and rows', async () => {
  const env = { SALLYPORT_TOKEN: 'spt_x:secret', SALLYPORT_API: await serve(answering(REVIEW)) }
  const { stdout } = await run(['reviews', 'show', 'r_abcd1234'], { cwd: folder, env })
  expect(stdout).toContain('rows       touches 2 (counted); planner expects 3')
  expect(stdout).toContain('statement  delete from orders\n           where id = $1')
  expect(stdout).toContain('$2         NULL')
})

test('text from the gateway cannot steer the terminal', async () => {
  const hostile = { ...REVIEW, text: 'select \u001b[2J\u202e1', requester: 'eve\u0007' }
  const env = { SALLYPORT_TOKEN: 'spt_x:secret', SALLYPORT_API: await serve(answering(hostile)) }
  const { stdout } = await run(['reviews', 'show', 'r_1'], { cwd: folder, env })
  expect(stdout).toContain('select \\x1b[2J\\x202e1')
  expect(stdout).not.toMatch(/[\u0007\u001b\u202e]/)
})

test('a refusal of the gateway keeps its code, its rule and its exit status', async () => {
  const refusal = new GatewayError('review.self_approval', 'The approver must be another human than the requester.')
  const api = await serve(answering(problemDocument(refusal), 403))
  const env = { SALLYPORT_TOKEN: 'spt_x:secret', SALLYPORT_API: api }
  const ran = await run(['reviews', 'approve', 'r_1'], { cwd: folder, env })
  expect(ran.status).toBe(3)
  expect(ran.stderr).toContain('review.self_approval')
})

test('the token is not sent along a redirect', async () => {
  const seen: (string | undefined)[] = []
  const api = await serve((request, response) => {
    seen.push(request.headers.authorization)
    response.writeHead(302, { location: '/elsewhere' }).end()
  })
  const ran = await run(['whoami'], { cwd: folder, env: { SALLYPORT_TOKEN: 'spt_x:secret', SALLYPORT_API: api } })
  expect(ran.status).toBe(6)
  expect(seen).toEqual(['Bearer spt_x:secret'])
})

test('a profile is for its owner only; connect prints its URL', async () => {
  const data = path.join(folder, '.sallyport')
  const profile = { api: 'http://127.0.0.1:1', tokenId: 'spt_x', secret: 's/1', postgres: { host: '::1', port: 5 } }
  const file = await saveProfile(data, 'bob', profile)
  expect((await stat(file)).mode & 0o777).toBe(0o600)
  expect((await stat(path.dirname(file))).mode & 0o777).toBe(0o700)
  const ran = await run(['--profile', 'bob', 'connect', 'shop'], { cwd: folder })
  expect(ran.stdout).toBe('postgres://spt_x:s%2F1@[::1]:5/shop\n')
  const variables = await run(['--profile', 'bob', 'connect', 'shop', '--env'], { cwd: folder })
  expect(variables.stdout).toContain("export PGPASSWORD='s/1'\n")
})

test.each([
  { chosen: [], place: 'of-the-configuration' },
  { chosen: ['--data', 'chosen'], place: 'chosen' },
])('a token made offline is kept where the gateway keeps its data, unless told: $chosen', async ({ chosen, place }) => {
  const token = {
    id: 'spt_x',
    name: '',
    principal: 'root',
    subject: 'root',
    actor: { kind: 'human', name: 'root' },
    targets: null,
    level: 'admin',
    createdAt: '2026-01-02T03:04:05.000Z',
    createdBy: 'command line',
    expiresAt: '2026-01-02T03:04:05.000Z',
    revokedAt: null,
    lastUsedAt: null,
  } as const
  const profile = { api: 'http://127.0.0.1:1', postgres: { host: '127.0.0.1', port: 2, tls: true } }
  const createToken = async () => ({
    token,
    secret: 's3',
    profile,
    dataFolder: path.join(folder, 'of-the-configuration'),
  })
  const given = [...chosen, 'token', 'create', '--user', 'root', '--config', 'sallyport.yaml', '--save', 'first']
  const ran = await run(given, { cwd: folder, toolbox: { createToken } })
  const kept = path.join(folder, place, 'profiles', 'first.json')
  expect(JSON.parse(await readFile(kept, 'utf8'))).toEqual({ ...profile, tokenId: 'spt_x', secret: 's3' })
  expect(ran.stdout).toContain(kept)
  expect(ran.stdout.includes('Use it with --data')).toBe(chosen.length === 0)
  expect(ran.stdout).not.toContain('s3')
})

test('config check prints every problem with its place and exits 4', async () => {
  const problem = {
    source: path.join(folder, 'a.yaml'),
    path: 'limits',
    message: 'must be a mapping',
    line: 3,
    column: 1,
  }
  await writeFile(problem.source, '')
  const toolbox = { checkConfig: async () => [problem] }
  const ran = await run(['config', 'check', 'a.yaml'], { cwd: folder, toolbox })
  expect(ran.status).toBe(4)
  expect(ran.stdout).toBe('a.yaml:3:1  limits  must be a mapping\n\n1 problem in a.yaml.\n')
  const json = await run(['config', 'check', '--config', 'a.yaml', '--json'], { cwd: folder, toolbox })
  expect(JSON.parse(json.stdout)).toEqual({ file: 'a.yaml', ok: false, problems: [problem] })
})

test('policy test runs cases against policies, tells what differs, and exits 1', async () => {
  await writeFile(
    path.join(folder, 'policy.yaml'),
    'rules:\n  - name: no-drop\n    match: { operation: drop }\n    then: deny\n',
  )
  await writeFile(
    path.join(folder, 'cases.yaml'),
    `defaults: { as: { user: alice }, target: { name: shop }, level: admin }
cases:
  - { name: drops are denied, sql: drop table t, expect: { decision: deny, rule: no-drop } }
  - { name: reads are denied, sql: select 1, expect: { decision: deny } }
`,
  )
  const ran = await run(['policy', 'test', 'policy.yaml', 'cases.yaml'], { cwd: folder })
  expect(ran.stdout).toContain('ok    drops are denied')
  expect(ran.stdout).toContain('FAIL  reads are denied (cases.yaml)')
  expect(ran.stdout).toContain('1 passed, 1 failed')
  expect(ran.status).toBe(1)
})

test('audit verify without a data folder says what is missing', async () => {
  const ran = await run(['audit', 'verify', '--folder', 'nowhere'], { cwd: folder })
  expect(ran.status).toBe(7)
  expect(ran.stderr).toContain('There is no verifier key')
})
