import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { systemClock } from '../edge/clock.ts'
import { type Listener, listen } from '../edge/listen.ts'
import { Certificates, type Pair } from '../edge/test/certificates.ts'
import { GatewayError } from '../kernel/index.ts'
import { errorResponse } from '../protocols/postgres/encode.ts'
import { DEFAULT_HANDSHAKE_LIMITS, greet } from '../protocols/postgres/startup.ts'
import { saveProfile } from './profiles.ts'
import { run } from './test/harness.ts'

const BIN = fileURLToPath(new URL('../../bin/sallyport.js', import.meta.url))
const AUTHORITY_HINT = 'NODE_EXTRA_CA_CERTS'

let folder: string
let certificates: Certificates
let api: Server
const doors: Record<string, Listener> = {}

/** Greets as the gateway does, then refuses everybody. */
async function door(tls: Pair | undefined, requireTls: boolean): Promise<Listener> {
  return listen({
    host: '127.0.0.1',
    port: 0,
    tls,
    onStream: (stream) => {
      const limits = DEFAULT_HANDSHAKE_LIMITS
      greet(stream, { clock: systemClock, limits, tlsAvailable: tls !== undefined, requireTls }).then(
        (arrival) => {
          if (arrival.kind !== 'client') return
          arrival.stream.write([errorResponse(new GatewayError('session.limit', 'Nobody may enter.'), 'FATAL')])
          arrival.stream.end()
        },
        () => stream.destroy(), // whoever does not trust the certificate leaves in the middle
      )
    },
  })
}

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'sallyport-cli-tls-'))
  certificates = new Certificates()
  const pair = certificates.server('IP:127.0.0.1')
  api = createServer(pair, (_, response) => response.end('{}'))
  api.listen(0, '127.0.0.1')
  await once(api, 'listening')
  doors['plain'] = await door(undefined, false)
  doors['private'] = await door(pair, true)
  doors['elsewhere'] = await door(certificates.server('DNS:db.example.com'), true)
  for (const [name, { address }] of Object.entries(doors))
    for (const tls of [true, false])
      await saveProfile(folder, tls ? name : `${name}-unasked`, {
        api: `https://127.0.0.1:${(api.address() as AddressInfo).port}`,
        tokenId: 'spt_x',
        secret: 'secret',
        postgres: { ...address, tls },
      })
})

afterAll(async () => {
  api.close()
  for (const one of Object.values(doors)) {
    one.destroyStreams()
    await one.close()
  }
  certificates.remove()
  await rm(folder, { recursive: true, force: true })
})

test('an API whose authority is not known is told with what to do', async () => {
  const ran = await run(['--data', folder, '--profile', 'private', 'whoami'])
  expect(ran.status).toBe(6)
  expect(ran.stderr).toContain('cannot be trusted: its certificate is not from an authority that is trusted here')
  expect(ran.stderr).toContain(AUTHORITY_HINT)
})

test.each([
  { profile: 'private', status: 6, says: AUTHORITY_HINT },
  { profile: 'private-unasked', status: 5, says: 'auth.tls_required' },
  { profile: 'plain', status: 6, says: 'takes no TLS, which the profile asks for' },
  { profile: 'plain-unasked', status: 4, says: 'Nobody may enter.' },
])('sql with the profile $profile says: $says', async ({ profile, status, says }) => {
  const ran = await run(['--data', folder, '--profile', profile, 'sql', 'shop', '-c', 'select 1'])
  expect(ran.stderr).toContain(says)
  expect(ran.status).toBe(status)
})

test.each([
  { profile: 'private', status: 4, says: 'Nobody may enter.' },
  { profile: 'elsewhere', status: 6, says: 'its certificate is for another name' },
])('with NODE_EXTRA_CA_CERTS, sql with the profile $profile says: $says', async ({ profile, status, says }) => {
  const child = spawn(
    process.execPath,
    [BIN, '--data', folder, '--profile', profile, 'sql', 'shop', '-c', 'select 1'],
    {
      env: { ...process.env, NODE_EXTRA_CA_CERTS: path.join(certificates.folder, '0.pem') },
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  )
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text
  })
  const [code] = await once(child, 'close')
  expect(said).toContain(says)
  expect(code).toBe(status)
})
