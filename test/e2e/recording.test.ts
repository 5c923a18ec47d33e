import { execFileSync, spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  column,
  errorOf,
  eventually,
  type Gateway,
  needs,
  startGateway,
  startTarget,
  type Target,
  temporaryFolder,
} from '../harness/index.ts'

const CARD = '4111111111111111'
const SECRET_NAME = 'Wilhelmina Unusual'
const RULES = `rules:
  - name: cards
    match: { columns: ["*.card_number"], detect: [credit_card] }
    then: { mask: last4 }
    unless: { groups: [fraud-team] }
  - name: names
    match: { columns: ["people.full_name"] }
    then: { mask: redact }
    unless: { groups: [fraud-team] }
  - name: no-drop
    match: { operation: [drop] }
    then: deny
    message: Nothing is dropped here.
`

let target: Target
let gateway: Gateway

beforeAll(async () => {
  target = await startTarget()
  await target.sql(`
    create table payments (id int primary key, card_number text);
    insert into payments values (1, '${CARD}'), (2, '5555555555554444');
    create table people (id int primary key, full_name text);
    insert into people values (1, '${SECRET_NAME}');
    create table numbers as select n, 'row number ' || n as words from generate_series(1, 200000) n;
    analyze`)
  gateway = await startGateway({ targets: { shop: target }, policy: RULES })
})

afterAll(async () => {
  await gateway?.close()
  await target?.stop()
})

interface Session {
  readonly id: string
  readonly principal: string
  readonly endedAt: string | null
  readonly endReason: string | null
}

async function sessions(): Promise<Session[]> {
  const { body } = await gateway.api('admin', 'GET', '/api/v1/sessions?limit=200')
  return (body as { items: Session[] }).items
}

/** Works in a session of its own and answers its replay, once it is sealed. */
async function recorded(
  person: 'agent' | 'erin',
  work: (client: Awaited<ReturnType<Gateway['client']>>) => Promise<void>,
): Promise<string> {
  const before = new Set((await sessions()).map(({ id }) => id))
  const client = await gateway.client(person)
  try {
    await work(client)
  } finally {
    await client.end()
  }
  const id = await eventually(
    'the sealed recording',
    async () => (await sessions()).find((one) => !before.has(one.id) && one.endedAt !== null)?.id,
  )
  const { status, stdout, stderr } = await gateway.cli('admin', ['sessions', 'replay', id])
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
  return stdout
}

function verify(folder = gateway.dataFolder) {
  return gateway.sallyport(['audit', 'verify', '--folder', folder])
}

/** Every file below a folder, with its bytes. The embedded store's own files are included. */
function* files(folder: string): Generator<[string, Buffer]> {
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true }))
    if (entry.isFile()) {
      const file = path.join(entry.parentPath, entry.name)
      yield [file, readFileSync(file)]
    }
}

/** The file of a sealed recording. */
function recordingFiles(folder: string): string[] {
  return [...files(path.join(folder, 'recordings'))].map(([file]) => file).sort()
}

describe('a replay', () => {
  test('shows what was asked, decided and released, as it was released', async () => {
    const text = await recorded('agent', async (client) => {
      await client.query('select id, card_number from payments order by id')
      await client.query({ text: 'select $1::int + $2::int as sum', values: [40, 2] })
      await errorOf(client.query('drop table payments'))
      await errorOf(client.query('select 1 / 0'))
      await errorOf(client.query('selec 1'))
      await client.query("copy (select 'copied') to stdout").catch(() => undefined)
    })
    expect(text).toMatch(/alice via claude-code/)
    expect(text).toContain('select id, card_number from payments order by id')
    expect(text).toContain('allowed with masks')
    expect(text).toContain('************1111')
    expect(text).toMatch(/\$1 int4 = 40|\$1 unknown = 40/)
    expect(text).toMatch(/\b42\b/)
    expect(text).toMatch(/DENIED by no-drop: Nothing is dropped here\./)
    expect(text).toContain('22012')
    expect(text).toMatch(/refused \(sql\.unparsable\)/)
    expect(text).toMatch(/session ended/)
  })

  test('rows over the cap are counted, and it says so', async () => {
    const text = await recorded('agent', async (client) => {
      expect((await client.query('select * from numbers')).rowCount).toBe(200_000)
    })
    expect(text).toMatch(/… and 199980 more rows, \d+ of them counted and hashed but not kept/)
  })

  test('is for those who may see it, and looking is logged', async () => {
    const [session] = await sessions()
    expect((await gateway.cli('walter', ['sessions', 'replay', session?.id ?? ''])).status).not.toBe(0)
    const exported = await gateway.cli('admin', ['sessions', 'export', session?.id ?? '', '--format', 'jsonl'])
    expect(exported.status).toBe(0)
    for (const line of exported.stdout.trim().split('\n')) expect(() => JSON.parse(line)).not.toThrow()
    const ocsf = await gateway.cli('admin', ['sessions', 'export', session?.id ?? '', '--format', 'ocsf'])
    expect(JSON.parse(ocsf.stdout.split('\n')[0] ?? '')).toHaveProperty('class_uid')
  })

  test('an exported recording verifies by itself', async () => {
    const [session] = (await sessions()).filter(({ endedAt }) => endedAt !== null)
    const file = path.join(gateway.folder, 'one.recording')
    expect((await gateway.cli('admin', ['sessions', 'export', session?.id ?? '', '-o', file])).status).toBe(0)
    const key = path.join(gateway.dataFolder, 'keys', 'audit.pub')
    const good = await gateway.sallyport(['audit', 'verify', '--recording', file, '--key', key])
    expect(good).toMatchObject({ status: 0 })
    const bytes = readFileSync(file)
    bytes[Math.floor(bytes.length / 2)] = (bytes[Math.floor(bytes.length / 2)] ?? 0) ^ 1
    writeFileSync(file, bytes)
    expect((await gateway.sallyport(['audit', 'verify', '--recording', file, '--key', key])).status).toBe(7)
  })
})

describe('nothing raw is at rest', () => {
  test('not in the data folder, the store or the log, whoever saw it and however it was written', async () => {
    const spoken = 'Zacharias Spoken'
    const typed = 'my-very-own-password-77'
    await recorded('erin', async (client) => {
      expect(await column(client, 'select card_number from payments where id = 1')).toEqual([CARD])
      expect(await column(client, 'select full_name from people')).toEqual([SECRET_NAME])
      await column(client, 'select full_name from people where full_name = $1', [SECRET_NAME])
      await column(client, `select * from people where full_name = '${SECRET_NAME}'`)
      await errorOf(client.query(`select '${SECRET_NAME}'::int, full_name from people`))
      await client.query(`insert into people values (2, '${spoken}')`)
      await client.query({ text: 'update people set full_name = $1 where id = 2', values: [`${spoken}!`] })
      await client.query(`select '${CARD}'`)
      await client.query(`do $$ begin raise notice 'card ${CARD}'; end $$`).catch(() => undefined)
      await client.query(`create role temp_role password '${typed}'`)
      await client.query('drop role temp_role').catch(() => undefined)
      await client.query(`prepare p as select '${CARD}'; execute p`)
      const stream = client.query((await import('pg-copy-streams')).default.to('copy payments to stdout'))
      for await (const _ of stream);
      const into = client.query((await import('pg-copy-streams')).default.from('copy payments from stdin'))
      into.end(`77\t4000056655665556\n`)
      await new Promise((resolve, reject) => into.once('finish', resolve).once('error', reject))
    })
    await recorded('agent', async (client) => {
      await client.query('select * from payments, people')
      await errorOf(client.query(`insert into payments values (1, '${CARD}')`))
      await errorOf(client.query(`selec '${CARD}' ${SECRET_NAME}`))
    })
    await target.sql('drop role if exists temp_role; delete from payments where id = 77')
    const wanted = [
      CARD,
      '5555555555554444',
      '4000056655665556',
      SECRET_NAME,
      spoken,
      typed,
      target.password,
      ...(['admin', 'agent', 'bob', 'carol'] as const).map((person) => gateway.token(person).secret),
    ]
    const needles = wanted.flatMap((text) => [
      Buffer.from(text),
      Buffer.from(Buffer.from(text).toString('hex')),
      Buffer.from(Buffer.from(text).toString('base64').replace(/=+$/, '').slice(0, -1)),
    ])
    const found: string[] = []
    for (const [file, bytes] of files(gateway.dataFolder))
      for (const needle of needles) if (bytes.includes(needle)) found.push(`${needle} in ${file}`)
    for (const needle of needles) if (gateway.log.includes(needle.toString())) found.push(`${needle} in the log`)
    expect(found).toEqual([])
  })

  test('recordings are encrypted and for their owner only', async () => {
    for (const [file, bytes] of files(path.join(gateway.dataFolder, 'recordings'))) {
      expect(bytes.includes('from payments')).toBe(false)
      expect(statSync(file).mode & 0o077).toBe(0)
    }
    for (const [file] of files(path.join(gateway.dataFolder, 'keys')))
      if (!file.endsWith('.pub')) expect(statSync(file).mode & 0o077).toBe(0)
  })
})

describe('verification', () => {
  test('everything holds, while sessions are open and after', async () => {
    const client = await gateway.client('agent')
    await client.query('select 1')
    const { status, stdout } = await verify()
    expect({ status, stdout }).toMatchObject({ status: 0 })
    expect(stdout).toMatch(/Verified: \d+ entries of the audit log, \d+ sealed recordings/)
    await client.end()
  })

  const attacks: Record<string, (folder: string) => void> = {
    'a changed byte': (folder) => {
      const file = largest(recordingFiles(folder))
      const bytes = readFileSync(file)
      const at = Math.floor(bytes.length * 0.7)
      bytes[at] = (bytes[at] ?? 0) ^ 0x20
      writeFileSync(file, bytes)
    },
    'a cut end': (folder) => {
      const file = largest(recordingFiles(folder))
      writeFileSync(file, readFileSync(file).subarray(0, -200))
    },
    'a missing recording': (folder) => rmSync(largest(recordingFiles(folder))),
    'two recordings that changed places': (folder) => {
      const [a = '', b = ''] = recordingFiles(folder).filter((file) => statSync(file).size > 500)
      const [first, second] = [readFileSync(a), readFileSync(b)]
      writeFileSync(a, second)
      writeFileSync(b, first)
    },
    'an audit log that was cut': (folder) => {
      for (const [file, bytes] of files(path.join(folder, 'audit')))
        if (bytes.length > 4_000) writeFileSync(file, bytes.subarray(0, bytes.length - 300))
    },
  }
  for (const [name, attack] of Object.entries(attacks))
    test(`${name} is found, offline, with the public key alone`, async () => {
      const copy = temporaryFolder('copy')
      // A copy of folders that change while they are copied need not verify.
      await eventually('all sessions are over', async () =>
        (await sessions()).every(({ endedAt }) => endedAt !== null) ? true : undefined,
      )
      try {
        for (const part of ['audit', 'recordings'])
          cpSync(path.join(gateway.dataFolder, part), path.join(copy, part), { recursive: true })
        mkdirSync(path.join(copy, 'keys'))
        cpSync(path.join(gateway.dataFolder, 'keys', 'audit.pub'), path.join(copy, 'keys', 'audit.pub'))
        const whole = await verify(copy)
        expect(whole).toMatchObject({ status: 0 })
        attack(copy)
        const broken = await verify(copy)
        expect(broken.status).toBe(7)
        expect(broken.stdout).toContain('BROKEN')
      } finally {
        rmSync(copy, { recursive: true, force: true })
      }
    })

  test('an older whole copy does not pass for the newest, with a checkpoint kept elsewhere', async () => {
    const copy = temporaryFolder('copy')
    try {
      cpSync(gateway.dataFolder, copy, { recursive: true, filter: (file) => !file.includes(`${path.sep}store`) })
      await recorded('agent', async (client) => {
        await client.query('select 2')
      })
      const kept = path.join(gateway.folder, 'checkpoint')
      expect((await gateway.cli('admin', ['audit', 'checkpoint', '-o', kept])).status).toBe(0)
      expect(
        (await gateway.sallyport(['audit', 'verify', '--folder', gateway.dataFolder, '--checkpoint', kept])).status,
      ).toBe(0)
      expect((await gateway.sallyport(['audit', 'verify', '--folder', copy, '--checkpoint', kept])).status).toBe(7)
    } finally {
      rmSync(copy, { recursive: true, force: true })
    }
  })

  function largest(list: readonly string[]): string {
    return [...list].sort((a, b) => statSync(b).size - statSync(a).size)[0] ?? ''
  }
})

describe('kill -9', () => {
  test('in the middle of a session: whatever reached the client is in the recovered recording', async () => {
    const client = await gateway.client('agent')
    const ids = new Set((await sessions()).map(({ id }) => id))
    const released: number[] = []
    const asking = (async () => {
      for (let n = 1; ; n++) released.push(Number((await column(client, `select ${n}::int + 500000`))[0]))
    })().catch(() => undefined)
    await eventually('some answers', () => (released.length > 200 ? true : undefined))
    await gateway.end('SIGKILL')
    await asking
    const [id] = (await withGateway(sessionsAfterRestart))
      .filter((one) => ids.has(one.id) && one.endReason !== null)
      .map((one) => one.id)
    const list = await sessions()
    const interrupted = list.find((one) => /interrupt/i.test(one.endReason ?? '')) ?? list.find((one) => one.id === id)
    const { stdout } = await gateway.cli('admin', ['sessions', 'replay', interrupted?.id ?? ''])
    expect(stdout).toContain('the gateway stopped here')
    for (const value of released) expect(stdout).toContain(String(value))
    expect((await verify()).status).toBe(0)
  })

  test('again and again, in the middle of a large result', async () => {
    for (let round = 0; round < 2; round++) {
      const client = await gateway.client('agent')
      const asking = client.query('select * from numbers').catch(() => undefined)
      await sleep(20 + round * 40)
      await gateway.end('SIGKILL')
      await asking
      await gateway.start()
      expect((await verify()).status).toBe(0)
    }
    const client = await gateway.client('agent')
    expect(await column(client, 'select 1')).toEqual([1])
  })

  async function withGateway<Answer>(work: () => Promise<Answer>): Promise<Answer> {
    await gateway.start()
    return await work()
  }

  function sessionsAfterRestart(): Promise<Session[]> {
    return eventually('no session of the dead gateway is live', async () => {
      const list = await sessions()
      return list.every(({ endedAt }) => endedAt !== null) ? list : undefined
    })
  }
})

describe('a strict recording', () => {
  let strict: Gateway
  beforeAll(async () => {
    strict = await startGateway({ targets: { shop: target }, policy: RULES, recording: 'strict' })
  })
  afterAll(() => strict?.close())

  test('works like a buffered one, and many sessions share their syncs', async () => {
    const clients = await Promise.all(Array.from({ length: 8 }, () => strict.client('agent')))
    const answers = await Promise.all(
      clients.map(async (client, index) => {
        for (let n = 0; n < 25; n++) await client.query('select 1')
        return (await column(client, `select ${index}`))[0]
      }),
    )
    expect(answers).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
    await Promise.all(clients.map((client) => client.end()))
  })

  test('loses nothing to kill -9', async () => {
    const client = await strict.client('agent')
    expect(await column(client, 'select 987654')).toEqual([987654])
    const { body } = await strict.api('admin', 'GET', '/api/v1/sessions?open=true')
    const id = (body as { items: Session[] }).items[0]?.id ?? ''
    await strict.end('SIGKILL')
    await strict.start()
    const { stdout } = await strict.cli('admin', ['sessions', 'replay', id])
    expect(stdout).toContain('987654')
    expect(stdout).toContain('the gateway stopped here')
  })
})

describe('a full disk', () => {
  const disk = temporaryFolder('disk')
  const filler = path.join(disk, 'filler')

  /** A small disk needs root and mounts. */
  function mounted(): boolean {
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=264m,mode=0700', 'tmpfs', disk], { stdio: 'ignore' })
      return true
    } catch {
      return false
    }
  }

  test('releases nothing more, refuses new sessions, lets administrators look, and recovers', async ({ skip }) => {
    if (!mounted()) skip('mounting a small disk needs root')
    const full = await startGateway({
      targets: { shop: target },
      policy: RULES,
      config: { recording: { folder: path.join(disk, 'recordings') } },
    })
    try {
      const client = await full.client('agent')
      expect(await column(client, 'select 1')).toEqual([1])
      spawnSync('dd', ['if=/dev/zero', `of=${filler}`, 'bs=64k'], { stdio: 'ignore' })
      const released: unknown[] = []
      const error = await errorOf(
        (async () => {
          for (let round = 0; round < 200; round++)
            released.push(...(await column(client, `select ${round}::int from generate_series(1, 500)`)))
        })(),
      )
      expect(['58030', '57P01', undefined]).toContain(error.code)
      expect(await errorOf(full.client('agent'))).toMatchObject({ code: '58030' })
      expect((await full.api('admin', 'GET', '/api/v1/sessions')).status).toBe(200)
      expect((await full.api('admin', 'GET', '/api/v1/health')).body).toMatchObject({ status: 'degraded' })
      expect(full.log).toMatch(/disk/)
      rmSync(filler)
      const again = await eventually('sessions are taken again', () => full.client('agent'))
      expect(await column(again, 'select 2')).toEqual([2])
    } finally {
      await full.close()
      execFileSync('umount', ['-l', disk])
      rmSync(disk, { recursive: true, force: true })
    }
  })
})

needs('psql')('a session of psql is recorded like any other', async () => {
  await gateway.psql('agent', ['-c', "select 'from psql' as greeting"])
  const id = await eventually('the session', async () => {
    const list = await sessions()
    return list[0]?.endedAt === null ? undefined : list[0]?.id
  })
  const { stdout } = await gateway.cli('admin', ['sessions', 'replay', id])
  expect(stdout).toContain('from psql')
})
