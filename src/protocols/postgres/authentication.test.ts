import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { promisify } from 'node:util'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '../../edge/clock.ts'
import { makeDial } from '../../edge/dial.ts'
import { type Listener, listen } from '../../edge/listen.ts'
import { systemRandom } from '../../edge/random.ts'
import { Certificates } from '../../edge/test/certificates.ts'
import { Collected } from '../../edge/test/collected.ts'
import { type ByteStream, GatewayError } from '../../kernel/index.ts'
import { makeVerifier, mockVerifier, ScramClient } from '../../wire/scram.ts'
import { authenticateClient } from './authentication.ts'
import { BackendFramer, FrontendDecoder, parseDiagnostic } from './decode.ts'
import {
  commandComplete,
  copyDone,
  dataRow,
  readyForQuery,
  rowDescription,
  saslInitialResponse,
  saslResponse,
  startup,
  sync,
} from './encode.ts'
import { DEFAULT_HANDSHAKE_LIMITS, greet } from './startup.ts'

const certificates = new Certificates()
const dial = makeDial()
const verifier = makeVerifier('s3cret', systemRandom.bytes(16))
const control = {
  async verifierFor(tokenId: string) {
    if (tokenId === 'tok_known') return { verifier, known: true }
    // A store that goes wrong: the right verifier for a token that is not valid.
    if (tokenId === 'tok_revoked') return { verifier, known: false }
    return { verifier: mockVerifier(Buffer.alloc(32, 4), tokenId), known: false }
  },
}
let listener: Listener
let settle: (outcome: { tokenId: string; leftover: Buffer } | GatewayError) => void = () => undefined
const limits = DEFAULT_HANDSHAKE_LIMITS

/** A door with nothing behind it but an answer to the first query. */
async function serve(stream: ByteStream): Promise<void> {
  try {
    const arrival = await greet(stream, { clock: systemClock, limits, tlsAvailable: true, requireTls: false })
    if (arrival.kind !== 'client') return
    const outcome = await authenticateClient(arrival, { control, random: systemRandom, clock: systemClock, limits })
    settle(outcome)
    answerQueries(arrival.stream, outcome.tokenId)
  } catch (error) {
    settle(error as GatewayError)
  }
}

function answerQueries(stream: ByteStream, tokenId: string): void {
  const decoder = new FrontendDecoder({ maxMessageBytes: 10_000 })
  const binding = stream.tls === undefined ? 'plain' : 'tls'
  const field = {
    name: 'who',
    tableOid: 0,
    attribute: 0,
    typeOid: 25,
    typeSize: -1,
    typeModifier: -1,
    format: 0,
  } as const
  stream.write([readyForQuery('I')])
  stream.read({
    data: (chunk) => {
      decoder.push(chunk)
      for (const message of decoder.messages()) {
        if (message.kind === 'terminate') stream.end()
        if (message.kind !== 'query') continue
        const cells = [`${tokenId} ${binding} ${message.sql}`]
        stream.write([rowDescription([field]), dataRow(cells), commandComplete('SELECT 1'), readyForQuery('I')])
      }
    },
    closed: () => undefined,
  })
}

beforeAll(async () => {
  const onStream = (stream: ByteStream) => void serve(stream)
  listener = await listen({ host: '127.0.0.1', port: 0, tls: certificates.server(), onStream })
})

afterAll(async () => {
  listener.destroyStreams()
  await listener.close()
  certificates.remove()
})

describe.skipIf(!existsSync('/usr/bin/psql'))('psql', () => {
  async function psql(user: string, secret: string, options: string) {
    const { port } = listener.address
    const target = `host=127.0.0.1 port=${port} user=${user} dbname=shop ${options}`
    const environment = { ...process.env, PGPASSWORD: secret, PGSSLROOTCERT: `${certificates.folder}/0.pem` }
    const words = ['-X', '-A', '-t', '-w', '-c', 'select me', target]
    return promisify(execFile)('psql', words, { env: environment }).then(
      ({ stdout }) => stdout.trim(),
      (error: { stderr: string }) => error.stderr.replaceAll(String(port), 'PORT'),
    )
  }

  test.each([
    ['sslmode=disable', 'plain'],
    ['sslmode=prefer', 'tls'],
    ['sslmode=require channel_binding=require', 'tls'],
    ['sslmode=verify-full channel_binding=disable', 'tls'],
  ])('gets in with %s', async (options, binding) => {
    expect(await psql('tok_known', 's3cret', options)).toBe(`tok_known ${binding} select me`)
  })

  test('is told the same whatever is wrong', async () => {
    const options = 'sslmode=require'
    const answers = await Promise.all([
      psql('tok_known', 'wrong', options),
      psql('tok_unknown', 's3cret', options),
      psql('tok_revoked', 's3cret', options),
    ])
    expect(new Set(answers).size).toBe(1)
    expect(answers[0]).toContain('FATAL:  The token or its secret is wrong.')
  })
})

async function begin(user = 'tok_known') {
  const outcome = new Promise<{ tokenId: string; leftover: Buffer } | GatewayError>((resolve) => {
    settle = resolve
  })
  const stream = await dial(listener.address)
  const client = new Collected(stream)
  stream.write([startup(new Map([['user', user]]))])
  await client.untilLength(24)
  expect(client.text).toBe('R\0\0\0\u0017\0\0\0\nSCRAM-SHA-256\0\0')
  return { stream, client, outcome }
}

function fatal(bytes: Buffer): string | undefined {
  let sqlstate: string | undefined
  new BackendFramer({ maxMessageBytes: 10_000 }).push(bytes, (tag, buffer, start, end) => {
    if (tag !== 0x45) return
    const fields = parseDiagnostic(buffer, start, end)
    expect(fields.get('S')).toBe('FATAL')
    sqlstate = fields.get('C')
  })
  return sqlstate
}

test('what a client sends before it was let in is handed on', async () => {
  const { stream, client, outcome } = await begin()
  const scram = new ScramClient({
    user: '',
    password: 's3cret',
    random: systemRandom,
    mechanisms: ['SCRAM-SHA-256'],
    serverEndPoint: undefined,
  })
  stream.write([saslInitialResponse('SCRAM-SHA-256', scram.first())])
  const bytes = await client.until((all) => all.length > 24 + 5 && all.length >= 25 + all.readInt32BE(25))
  const proof = await scram.respond(bytes.subarray(33))
  stream.write([saslResponse(proof), sync()])
  const result = await outcome
  if (result instanceof GatewayError) throw result
  expect(result.tokenId).toBe('tok_known')
  expect(Buffer.concat([result.leftover]).toString('latin1')).toMatch(/^(S\0\0\0\u0004)?$/)
  await client.until((all) => all.includes('Z\0\0\0\u0005I'))
  expect(client.text).toContain('R\0\0\0\u0008\0\0\0\0')
  stream.destroy()
})

test.each([
  { name: 'another message', bytes: copyDone(), sqlstate: '08P01' },
  { name: 'a message over the limit', bytes: Buffer.from('p\0\u0010\0\0', 'latin1'), sqlstate: '08P01' },
  { name: 'a length of nothing', bytes: Buffer.from('p\0\0\0\0', 'latin1'), sqlstate: '08P01' },
  {
    name: 'a mechanism that was not offered',
    bytes: saslInitialResponse('SCRAM-SHA-256-PLUS', Buffer.from('p=tls-server-end-point,,n=,r=x')),
    sqlstate: '08P01',
  },
  {
    name: 'no response at all',
    bytes: Buffer.from('p\0\0\0\u0016SCRAM-SHA-256\0\u00ff\u00ff\u00ff\u00ff', 'latin1'),
    sqlstate: '08P01',
  },
  { name: 'a password in clear text', bytes: saslResponse(Buffer.from('s3cret\0')), sqlstate: '08P01' },
])('refused during the login: $name', async ({ bytes, sqlstate }) => {
  const { stream, client, outcome } = await begin()
  stream.write([bytes])
  expect(await outcome).toBeInstanceOf(GatewayError)
  await client.closed
  expect(fatal(client.bytes)).toBe(sqlstate)
})

test('property: no bytes get in, and all get an answer', async () => {
  const message = fc.uint8Array({ maxLength: 60 }).map((body) => saslResponse(Buffer.from(body)))
  const initial = fc
    .uint8Array({ maxLength: 60 })
    .map((body) => saslInitialResponse('SCRAM-SHA-256', Buffer.from(body)))
  const valid = fc.constant(saslInitialResponse('SCRAM-SHA-256', Buffer.from('n,,n=,r=abc')))
  await fc.assert(
    fc.asyncProperty(fc.array(fc.oneof(message, initial, valid), { minLength: 1, maxLength: 3 }), async (parts) => {
      const { stream, client, outcome } = await begin()
      stream.write(parts)
      stream.end()
      expect(await outcome).toBeInstanceOf(GatewayError)
      await client.closed
      expect(client.text).not.toContain('R\0\0\0\u0008\0\0\0\0')
    }),
    { numRuns: 60 },
  )
})

test('the deadline ends a client that waits', async () => {
  let pass: () => void = () => undefined
  const clock = {
    ...systemClock,
    after: (_ms: number, call: () => void) => {
      pass = call
      return () => undefined
    },
  }
  const accepted = new Promise<ByteStream>((resolve) => {
    void listen({ host: '127.0.0.1', port: 0, onStream: resolve }).then(async (door) => {
      void dial(door.address).then((stream) => new Collected(stream))
      await accepted
      await door.close()
    })
  })
  const arrival = {
    kind: 'client',
    stream: await accepted,
    parameters: new Map([['user', 'tok_known']]),
    minor: 0,
    leftover: Buffer.alloc(0),
  } as const
  const outcome = authenticateClient(arrival, { control, random: systemRandom, clock, limits })
  pass()
  await expect(outcome).rejects.toMatchObject({ code: 'auth.timeout' })
})
