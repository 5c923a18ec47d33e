import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { GatewayError, type Random } from '../kernel/index.ts'
import { saslprep } from './saslprep.ts'
import { makeVerifier, mockVerifier, ScramClient, ScramServer, verifySecret } from './scram.ts'

const random: Random = { bytes: randomBytes }
const salt = Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64')
const verifier = makeVerifier('pencil', salt, 4096)
const endPoint = Buffer.alloc(32, 7)

function clientOf(more: Partial<ConstructorParameters<typeof ScramClient>[0]> = {}): ScramClient {
  return new ScramClient({
    user: 'user',
    password: 'pencil',
    random,
    mechanisms: ['SCRAM-SHA-256'],
    serverEndPoint: undefined,
    ...more,
  })
}

async function exchange(client: ScramClient, server: ScramServer): Promise<void> {
  const final = await client.respond(server.first(client.mechanism, client.first()))
  client.verify(server.final(final))
}

test('the client speaks the example of RFC 7677', async () => {
  const fixed: Random = { bytes: () => Buffer.from('rOprNGfwEbeRWgbNEkqO', 'base64') }
  const client = clientOf({ random: fixed })
  expect(client.first().toString()).toBe('n,,n=user,r=rOprNGfwEbeRWgbNEkqO')
  const nonce = 'rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0'
  const final = await client.respond(Buffer.from(`r=${nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096`))
  expect(final.toString()).toBe(`c=biws,r=${nonce},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=`)
  client.verify(Buffer.from('v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4='))
  expect(client.verified).toBe(true)
})

test.each([
  { name: 'without TLS', offered: undefined, seen: undefined, mechanism: 'SCRAM-SHA-256' },
  { name: 'bound to the channel', offered: endPoint, seen: endPoint, mechanism: 'SCRAM-SHA-256-PLUS' },
  { name: 'a client that cannot bind', offered: endPoint, seen: undefined, mechanism: 'SCRAM-SHA-256' },
  { name: 'a server that cannot bind', offered: undefined, seen: endPoint, mechanism: 'SCRAM-SHA-256' },
])('both sides agree: $name', async ({ offered, seen, mechanism }) => {
  const server = new ScramServer({ verifier, random, serverEndPoint: offered })
  const client = clientOf({ mechanisms: server.mechanisms, serverEndPoint: seen, user: 'a=b,ü' })
  expect(client.mechanism).toBe(mechanism)
  await exchange(client, server)
  expect(client.verified).toBe(true)
})

test('a wrong password, another channel and a stripped offer all fail the same way', async () => {
  const bound = { verifier, random, serverEndPoint: endPoint }
  const plus = ['SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256']
  const attempts: [ScramClient, ScramServer][] = [
    [clientOf({ password: 'pencils' }), new ScramServer({ verifier, random, serverEndPoint: undefined })],
    [clientOf({ mechanisms: plus, serverEndPoint: Buffer.alloc(32, 8) }), new ScramServer(bound)],
    [clientOf({ mechanisms: ['SCRAM-SHA-256'], serverEndPoint: endPoint }), new ScramServer(bound)],
    [
      clientOf(),
      new ScramServer({ verifier: mockVerifier(Buffer.alloc(32), 'user'), random, serverEndPoint: undefined }),
    ],
  ]
  const messages = new Set<string>()
  for (const [client, server] of attempts) {
    const error = await exchange(client, server).then(undefined, (thrown: GatewayError) => thrown)
    expect(error).toMatchObject({ code: 'auth.failed' })
    messages.add(error!.message)
  }
  expect(messages.size).toBe(1)
})

test.each([
  ['SCRAM-SHA-256', 'n,,m=1,n=u,r=abc'],
  ['SCRAM-SHA-256', 'n,a=other,n=u,r=abc'],
  ['SCRAM-SHA-256', 'p=tls-unique,,n=u,r=abc'],
  ['SCRAM-SHA-256', 'n,,n=u,r='],
  ['SCRAM-SHA-256', 'x,,n=u,r=abc'],
  ['SCRAM-SHA-256-PLUS', 'n,,n=u,r=abc'],
  ['SCRAM-SHA-256-PLUS', 'p=tls-unique,,n=u,r=abc'],
  ['SCRAM-SHA-1', 'n,,n=u,r=abc'],
])('the server refuses %s %s', (mechanism, message) => {
  const server = new ScramServer({ verifier, random, serverEndPoint: endPoint })
  expect(() => server.first(mechanism, Buffer.from(message))).toThrow(expect.objectContaining({ code: 'pg.malformed' }))
})

test('a final message is good for one exchange only', async () => {
  const server = new ScramServer({ verifier, random, serverEndPoint: undefined })
  const client = clientOf()
  const final = await client.respond(server.first(client.mechanism, client.first()))
  server.final(final)
  expect(() => server.final(final)).toThrow(expect.objectContaining({ code: 'pg.malformed' }))
  const other = new ScramServer({ verifier, random, serverEndPoint: undefined })
  other.first('SCRAM-SHA-256', clientOf().first())
  expect(() => other.final(final)).toThrow(expect.objectContaining({ code: 'pg.malformed' }))
})

test.each([
  { name: 'a nonce that is not ours', first: () => 'r=stolen,s=AAAA,i=4096' },
  { name: 'a nonce it added nothing to', first: (nonce: string) => `r=${nonce},s=AAAA,i=4096` },
  { name: 'work without end', first: (nonce: string) => `r=${nonce}x,s=AAAA,i=999999999` },
  { name: 'no work', first: (nonce: string) => `r=${nonce}x,s=AAAA,i=0` },
  { name: 'an extension that must be known', first: (nonce: string) => `m=x,r=${nonce}x,s=AAAA,i=4096` },
  { name: 'a salt that is not base64', first: (nonce: string) => `r=${nonce}x,s=A,i=4096` },
])('the client refuses a server with $name', async ({ first }) => {
  const client = clientOf()
  const nonce = client.first().toString().split('r=')[1]!
  await expect(client.respond(Buffer.from(first(nonce)))).rejects.toMatchObject({ code: 'target.protocol' })
})

test('a server that cannot prove itself is not believed', async () => {
  const server = new ScramServer({ verifier, random, serverEndPoint: undefined })
  const client = clientOf()
  await client.respond(server.first(client.mechanism, client.first()))
  expect(() => client.verify(Buffer.from(`v=${Buffer.alloc(32).toString('base64')}`))).toThrow(GatewayError)
  expect(() => client.verify(Buffer.from('e=other-error'))).toThrow(GatewayError)
  expect(client.verified).toBe(false)
})

test('any bytes are refused with one GatewayError', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.uint8Array({ maxLength: 200 }), (first, final) => {
      const server = new ScramServer({ verifier, random, serverEndPoint: undefined })
      expect(() => server.first('SCRAM-SHA-256', Buffer.from(first))).toThrow(GatewayError)
      server.first('SCRAM-SHA-256', clientOf().first())
      expect(() => server.final(Buffer.from(final))).toThrow(GatewayError)
    }),
  )
})

test('a secret is checked against its verifier, and made-up verifiers are stable', () => {
  expect(verifySecret(verifier, 'pencil')).toBe(true)
  expect(verifySecret(verifier, 'pencil ')).toBe(false)
  const secret = Buffer.alloc(32, 1)
  expect(mockVerifier(secret, 'a')).toEqual(mockVerifier(secret, 'a'))
  expect(mockVerifier(secret, 'a').salt).not.toEqual(mockVerifier(secret, 'b').salt)
  expect(mockVerifier(secret, 'a').salt).toHaveLength(16)
})

test.each([
  ['I\u00adX', 'IX'],
  ['user', 'user'],
  ['\u00aa', 'a'],
  ['\u2168', 'IX'],
  ['a\u00a0b', 'a b'],
  ['\u0007é', '\u0007é'],
  ['\u0627\u0031', '\u0627\u0031'],
])('saslprep of %j is %j', (given, wanted) => {
  expect(saslprep(given)).toBe(wanted)
})
