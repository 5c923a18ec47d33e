import { once } from 'node:events'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { ACTIONS } from '../identity/index.ts'
import type { Actor, Logger } from '../kernel/index.ts'
import { type RunningGateway, startGateway } from './compose.ts'
import { type Config, loadConfig } from './config/index.ts'
import { PROTOCOLS } from './protocols.ts'
import { findUser } from './settings.ts'
import { toolbox } from './toolbox.ts'

const CONFIG = `
name: test
dataFolder: .
listeners: { postgres: { port: 0 } }
api: { port: 0, maxBodyBytes: 4096 }
limits: { maxUnauthenticatedConnections: 2 }
users:
  - { subject: alice, email: alice@example.com, groups: [developers] }
  - { subject: root, email: root@example.com, groups: [admins] }
grants:
  - { groups: [developers], targets: [shop], level: write }
targets:
  - name: shop
    type: postgres
    connection: { address: { host: 127.0.0.1, port: 1 }, database: shop, tls: { mode: disable } }
    credential: { user: shop }
policies: [policy.yaml]
`
const POLICY = 'rules:\n  - { name: no-drop, match: { operation: drop }, then: deny }\n'
const silent: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

let folder: string
let config: Config
let gateway: RunningGateway
const bearer: Record<string, string> = {}

async function start(): Promise<RunningGateway> {
  config = await loadConfig(path.join(folder, 'sallyport.yaml'), PROTOCOLS)
  const onFatal = (error: Error) => {
    throw error
  }
  return startGateway(config, { version: '0.0.0', logger: silent, environment: {}, onFatal })
}

async function tokenFor(subject: string, actor: Actor): Promise<string> {
  const identity = findUser(config, subject)!
  const made = await gateway.control.administration.issueToken({ name: '', identity, actor }, 'test')
  return `${made.token.id}:${made.secret}`
}

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'sallyport-gateway-'))
  await chmod(folder, 0o711) // run as root, the database server's account must get through
  await writeFile(path.join(folder, 'sallyport.yaml'), CONFIG)
  await writeFile(path.join(folder, 'policy.yaml'), POLICY)
  gateway = await start()
  bearer['admin'] = await tokenFor('root', { kind: 'human', name: 'root' })
  bearer['alice'] = await tokenFor('alice', { kind: 'human', name: 'alice' })
  bearer['agent'] = await tokenFor('alice', { kind: 'agent', name: 'claude-code' })
}, 120_000)

afterAll(async () => {
  await gateway?.stop()
  await rm(folder, { recursive: true, force: true })
}, 60_000)

interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly body: Record<string, unknown>
}

async function call(who: string | undefined, method: string, place: string, body?: unknown): Promise<Answer> {
  const response = await fetch(new URL(place, gateway.api.url), {
    method,
    headers: {
      ...(who === undefined ? {} : { authorization: `Bearer ${bearer[who] ?? who}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  })
  const text = await response.text()
  const parsed: unknown = response.headers.get('content-type')?.includes('json') ? JSON.parse(text) : { text }
  return { status: response.status, headers: response.headers, body: parsed as Record<string, unknown> }
}

interface OpenApi {
  readonly openapi: string
  readonly paths: Record<string, Record<string, { readonly security?: unknown; readonly requestBody?: unknown }>>
}

async function documentedRoutes() {
  const { body } = await call(undefined, 'GET', '/api/openapi.json')
  const document = body as unknown as OpenApi
  expect(document.openapi).toBe('3.1.0')
  return Object.entries(document.paths).flatMap(([place, methods]) =>
    Object.entries(methods).map(([method, route]) => ({
      method: method.toUpperCase(),
      place: place.replace('{id}', 'r_00000000'),
      secured: route.security !== undefined,
    })),
  )
}

test('without a token every route but the health check answers 401 as a problem document', async () => {
  const routes = await documentedRoutes()
  expect(routes.length).toBeGreaterThan(18)
  for (const { method, place, secured } of routes) {
    const answer = await call(undefined, method, place, method === 'POST' ? {} : undefined)
    if (!secured) {
      expect([place, answer.status]).toEqual(['/api/v1/health', 200])
      continue
    }
    expect([place, answer.status, answer.body['code']]).toEqual([place, 401, 'auth.failed'])
    expect(answer.headers.get('content-type')).toContain('application/problem+json')
    expect(answer.headers.get('www-authenticate')).toContain('Bearer')
  }
})

test('an agent is refused what only people and administrators may do', async () => {
  for (const [method, place] of [
    ['POST', '/api/v1/reviews/r_00000000/approve'],
    ['POST', '/api/v1/tokens'],
    ['GET', '/api/v1/tokens'],
    ['GET', '/api/v1/policy'],
    ['POST', '/api/v1/policy/reload'],
    ['GET', '/api/v1/audit/checkpoint'],
    ['POST', '/api/v1/audit/verify'],
  ] as const) {
    const answer = await call('agent', method, place, method === 'POST' ? {} : undefined)
    expect([place, answer.status, answer.body['code']]).toEqual([place, 403, 'access.forbidden'])
  }
  expect(ACTIONS).toContain('audit.read')
})

test('what is not there and what one may not see look the same', async () => {
  for (const who of ['admin', 'alice', 'agent']) {
    expect((await call(who, 'GET', '/api/v1/reviews/r_00000000')).body['code']).toBe('review.not_found')
    const session = 's_01m83d0vef2m4hygf6e1297e89'
    expect((await call(who, 'GET', `/api/v1/sessions/${session}/replay`)).body['code']).toBe('recording.not_found')
  }
})

test.each([
  { name: 'unknown keys', place: '/api/v1/tokens', body: { user: 'alice', admin: true }, path: 'body' },
  { name: 'a wrong type', place: '/api/v1/tokens', body: { user: 7 }, path: 'body.user' },
  { name: 'no JSON', place: '/api/v1/tokens', body: '{', path: 'request' },
  { name: 'a body over the limit', place: '/api/v1/tokens', body: { user: 'a'.repeat(5000) }, path: 'request' },
  { name: 'an id that is none', place: '/api/v1/tokens/..%2Fx/revoke', body: {}, path: 'params.id' },
])('$name is a problem document with paths', async ({ place, body, path: where }) => {
  const answer = await call('admin', 'POST', place, body)
  expect(answer.body).toMatchObject({ code: 'api.invalid', status: 422, problems: [{ path: where }] })
})

test('answers carry headers that keep browsers out', async () => {
  const { headers } = await call(undefined, 'GET', '/')
  expect(headers.get('content-security-policy')).toContain("default-src 'none'")
  expect(headers.get('x-content-type-options')).toBe('nosniff')
  expect(headers.get('cache-control')).toBe('no-store')
})

test('the page of a review repeats nothing but its id', async () => {
  expect((await call(undefined, 'GET', '/reviews/r_abcd1234')).body['text']).toContain('reviews approve r_abcd1234')
  expect((await call(undefined, 'GET', '/reviews/%3Cscript%3E')).status).toBe(422)
})

test('a token is made, used, listed and revoked; its secret is shown once', async () => {
  const made = await call('admin', 'POST', '/api/v1/tokens', {
    user: 'alice',
    name: 'ci',
    actor: { kind: 'service', name: 'ci' },
    expiresInMs: 60_000,
  })
  const { token, secret } = made.body as { token: { id: string; principal: string }; secret: string }
  expect(token.principal).toBe('alice via ci')
  const who = await call(`${token.id}:${secret}`, 'GET', '/api/v1/whoami')
  expect(who.body).toMatchObject({ principal: { label: 'alice via ci', groups: ['developers'] }, administrator: false })
  expect(JSON.stringify((await call('admin', 'GET', '/api/v1/tokens')).body)).not.toContain(secret)
  expect((await call('admin', 'POST', `/api/v1/tokens/${token.id}/revoke`, {})).body['revokedAt']).not.toBeNull()
  expect((await call(`${token.id}:${secret}`, 'GET', '/api/v1/whoami')).status).toBe(401)
})

test('nobody makes tokens for others, or with more than they have', async () => {
  expect((await call('alice', 'POST', '/api/v1/tokens', { user: 'root' })).body['code']).toBe('access.forbidden')
  expect((await call('alice', 'POST', '/api/v1/tokens', { user: 'alice' })).status).toBe(200)
})

test('explain tells the outcome for oneself, and for others to administrators only', async () => {
  const request = { sql: 'drop table t; select 1', target: 'shop' }
  const own = await call('agent', 'POST', '/api/v1/policy/explain', request)
  expect(own.body).toMatchObject({
    level: 'write',
    statements: [{ decision: { kind: 'deny', rule: 'no-drop' } }, { decision: { kind: 'allow' } }],
  })
  expect((await call('agent', 'POST', '/api/v1/policy/explain', { ...request, user: 'root' })).status).toBe(403)
  const other = await call('admin', 'POST', '/api/v1/policy/explain', { ...request, user: 'alice' })
  expect(other.body['principal']).toBe('alice')
  expect((await call('admin', 'POST', '/api/v1/policy/explain', { ...request, sql: 'selec' })).body['code']).toBe(
    'sql.unparsable',
  )
})

test('a broken policy file keeps the old rules and says so; a good one is taken over', async () => {
  const file = path.join(folder, 'policy.yaml')
  const before = (await call('admin', 'GET', '/api/v1/policy')).body['digest']
  await writeFile(file, 'rules:\n  - { name: x, match: { operaton: drop }, then: deny }\n')
  const broken = (await call('admin', 'POST', '/api/v1/policy/reload', {})).body
  expect(broken).toMatchObject({ digest: before, problems: [{ line: 2 }] })
  expect((await call(undefined, 'GET', '/api/v1/health')).body).toMatchObject({ status: 'degraded', reasons: [] })
  await writeFile(file, `${POLICY}  - { name: no-truncate, match: { operation: truncate }, then: deny }\n`)
  const good = (await call('admin', 'POST', '/api/v1/policy/reload', {})).body
  expect(good).toMatchObject({ problems: [], rules: [{ name: 'no-drop' }, { name: 'no-truncate' }] })
  expect(good['digest']).not.toBe(before)
})

test('an edit is seen without being told', async () => {
  await writeFile(
    path.join(folder, 'policy.yaml'),
    `${POLICY}  - { name: edited, match: { operation: lock }, then: deny }\n`,
  )
  const edited = async () => JSON.stringify((await call('admin', 'GET', '/api/v1/policy')).body).includes('edited')
  for (let tries = 0; tries < 200 && !(await edited()); tries++) await new Promise((resolve) => setTimeout(resolve, 50))
  expect(await edited()).toBe(true)
})

test('the audit log verifies, and its checkpoint is signed', async () => {
  const { checkpoint, publicKey } = (await call('admin', 'GET', '/api/v1/audit/checkpoint')).body
  expect(checkpoint).toMatch(/^sallyport\/test\n\d+\n/)
  expect(publicKey).toMatch(/^sallyport\/test\+/)
  expect((await call('admin', 'POST', '/api/v1/audit/verify', {})).body).toMatchObject({ ok: true, problems: [] })
})

test('a second gateway, or an offline token, is refused while this one writes the audit log', async () => {
  await expect(toolbox.createToken(config.file, { user: 'root' })).rejects.toMatchObject({
    code: 'store.locked',
    hint: 'Leave out --config to ask the running gateway, or stop that gateway first.',
  })
  await expect(start()).rejects.toMatchObject({ code: 'store.locked', hint: expect.stringContaining('data folder') })
})

test('people and grants can change without a restart', async () => {
  const changed = { ...config, grants: [] }
  await gateway.reconfigure(changed)
  const explained = await call('alice', 'POST', '/api/v1/policy/explain', { sql: 'select 1', target: 'shop' })
  expect(explained.body['code']).toBe('access.no_grant')
  await gateway.reconfigure(config)
})

test('tokens outlive a restart; stopping twice is fine; the first token can be made offline', async () => {
  await Promise.all([gateway.stop(), gateway.stop()])
  const made = await toolbox.createToken(config.file, { user: 'root' })
  gateway = await start()
  expect((await call('admin', 'GET', '/api/v1/whoami')).body['administrator']).toBe(true)
  expect((await call(`${made.token.id}:${made.secret}`, 'GET', '/api/v1/whoami')).body['administrator']).toBe(true)
}, 120_000)

test('too many wrong secrets are turned away, and the answers do not tell why', async () => {
  const [id] = bearer['alice']!.split(':')
  const wrong = await call(`${id}:sps_wrong`, 'GET', '/api/v1/whoami')
  const unknown = await call('spt_0000000000000000:sps_wrong', 'GET', '/api/v1/whoami')
  expect(wrong.body).toEqual(unknown.body)
  let last = wrong
  for (let tries = 0; tries < 40 && last.status === 401; tries++)
    last = await call(`${id}:sps_wrong`, 'GET', '/api/v1/whoami')
  expect(last.body['code']).toBe('auth.throttled')
  expect(last.headers.get('retry-after')).toBe('60')
})

test('more strangers than may wait are told so, a flood of them is cut off, and then all is well', async () => {
  const waiting: Socket[] = []
  const knock = () => {
    const socket = connect(gateway.postgres)
    socket.on('error', () => undefined) // cut off
    waiting.push(socket)
    return socket
  }
  for (let count = 0; count < 2; count++) await once(knock(), 'connect')
  const [said] = await once(knock(), 'data')
  expect(String(said)).toMatch(/^E.*SFATAL.*C53300.*Too many connections wait to authenticate.*gateway\.busy/s)
  for (let count = 0; count < 6; count++) knock()
  await Promise.any(waiting.slice(3).map((socket) => once(socket, 'close')))
  for (const socket of waiting) socket.destroy()
  const sslRequest = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47])
  await vi.waitFor(async () => {
    const socket = connect(gateway.postgres)
    socket.on('error', () => undefined)
    try {
      socket.write(sslRequest)
      const [answer] = await once(socket, 'data')
      expect(String(answer)).toBe('N')
    } finally {
      socket.destroy()
    }
  }, 10_000)
})
