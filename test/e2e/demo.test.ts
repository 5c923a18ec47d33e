import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import path from 'node:path'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { CHECKOUT, childrenOf, Demo, gone, isRunning, processesOn } from '../harness/demo.ts'
import { errorOf, eventually, needs, Running, run, temporaryFolder } from '../harness/index.ts'

const root = process.getuid?.() === 0
const NOBODY = { uid: 65_534, gid: 65_534 }
const base = temporaryFolder('demo')
const demos: Demo[] = []

afterAll(() => rmSync(base, { recursive: true, force: true }))

async function start(...[settings]: Parameters<typeof Demo.start>): Promise<Demo> {
  const demo = await Demo.start(settings)
  demos.push(demo)
  return demo
}

async function endAll(): Promise<void> {
  for (const demo of demos.splice(0)) await demo.remove()
}

/** A session by the printed line, without psql. */
async function connect(demo: Demo): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: demo.url.href })
  client.on('error', () => undefined)
  await client.connect()
  return client
}

interface Session {
  readonly id: string
  readonly endedAt: string | null
  readonly endReason: string | null
}

async function sessions(demo: Demo): Promise<Session[]> {
  const line = demo.line(/^npx sallyport .*sessions list/)
  const { stdout } = await demo.paste(`${line} --json`)
  return (JSON.parse(stdout) as { items: Session[] }).items
}

describe('the four acts, as they are printed', () => {
  // The folder's name has a space, so that a line that is pasted is one that was quoted.
  const dataFolder = path.join(base, 'my demo')
  let demo: Demo
  let masked = ''

  beforeAll(async () => {
    demo = await start({ dataFolder })
  })
  afterAll(endAll)

  test('the first start makes the shop, and everything is below the data folder', () => {
    expect(demo.screen).toContain('Made a shop')
    for (const name of ['shop/data', 'store/data', 'sallyport.yaml', 'policy.yaml', 'gateway.log'])
      expect(existsSync(path.join(dataFolder, name)), name).toBe(true)
    expect(existsSync(path.join(dataFolder, 'shop', 'location'))).toBe(false)
    for (const name of ['keys', 'profiles', 'recordings', 'audit', 'sallyport.yaml', 'gateway.log'])
      expect(statSync(path.join(dataFolder, name)).mode & 0o077, name).toBe(0)
  })

  needs('psql')('1: what psql shows is masked', async () => {
    const { status, stdout, stderr } = await demo.paste(demo.psql, demo.statements('1  Read'))
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
    masked = stdout
    expect(stdout).toMatch(/\*{8,}\d{4}/)
    expect(stdout.match(/\(5 rows\)/g)).toHaveLength(2)
    const raw = await demo.shop(`select card_number as value from payments union all
      select email from customers union all select phone from customers`)
    expect(raw.length).toBeGreaterThan(2_000)
    for (const { value } of raw) expect(stdout).not.toContain(String(value))
  })

  needs('psql')('2: DROP TABLE is denied, by name, and the table is still there', async () => {
    const before = await demo.shop('select count(*)::int from payments')
    const { stderr } = await demo.paste(demo.psql, demo.statements('2  Break'))
    expect(stderr).toContain('Agents do not drop')
    expect(stderr).toContain('no-destructive-ddl-for-agents')
    expect(await demo.shop('select count(*)::int from payments')).toEqual(before)
  })

  needs('psql')('3: DELETE waits until bob approves it', async () => {
    const closed = "select count(*)::int from support_tickets where status = 'closed'"
    const [there] = await demo.shop(closed)
    expect(Number(there?.['count'])).toBeGreaterThan(0)
    const psql = demo.open(demo.psql)
    psql.write(`${demo.statements('3  Delete')}\n`)
    const [, id = ''] = await psql.says(/held for review (r_\w+)/)
    expect((await demo.command('reviews list')).stdout).toContain(id)
    expect(await demo.shop(closed)).toEqual([there])
    expect(await demo.command('reviews approve', id)).toMatchObject({
      status: 0,
      stdout: expect.stringContaining('approved by you'),
    })
    await psql.says(new RegExp(`^DELETE ${there?.['count']}$`, 'm'))
    psql.close()
    await psql.ended
    expect(await demo.shop(closed)).toEqual([{ count: 0 }])
  })

  needs('psql')('4: all of it is listed, replayed as it was released, and verified', async () => {
    const list = await eventually('the end of all sessions', async () => {
      const all = await sessions(demo)
      return all.length >= 3 && all.every(({ endedAt }) => endedAt !== null) ? all : undefined
    })
    expect((await demo.command('sessions list')).stdout).toContain(list[0]?.id)
    const replays: string[] = []
    for (const { id } of list) {
      const { status, stdout } = await demo.command('sessions replay', id)
      expect(status).toBe(0)
      replays.push(stdout)
    }
    const all = replays.join('\n')
    expect(all).toContain('DROP TABLE payments')
    expect(all).toMatch(/DENIED by no-destructive-ddl-for-agents/)
    expect(all).toMatch(/DELETE FROM support_tickets/)
    const [last4 = ''] = masked.match(/\*{8,}\d{4}/) ?? []
    expect(all).toContain(last4)
    for (const { email } of await demo.shop('select email from customers')) expect(all).not.toContain(String(email))
    expect(await demo.command('audit verify')).toMatchObject({
      status: 0,
      stdout: expect.stringContaining('Nothing is missing or changed'),
    })
  })

  test('without psql: `sallyport sql shop` reads standard input', async () => {
    const line = demo.line(/^npx sallyport .*sql shop/).replace(/\s+without psql$/, '')
    const piped = await demo.paste(
      line,
      'select count(*) as customers from customers;\nselect email from customers limit 1;\n',
    )
    expect(piped).toMatchObject({ status: 0 })
    expect(piped.stdout).toMatch(/customers[\s\S]*500/)
    expect(piped.stdout).not.toMatch(/[a-z]{3,}[\w.]*@example/)
    const denied = await demo.paste(line, 'drop table payments;\nselect 1 as one;\n')
    expect(denied.status).not.toBe(0)
    expect(denied.stderr).toContain('no-destructive-ddl-for-agents')
  })
})

describe('stopping and starting', () => {
  const dataFolder = path.join(base, 'again')
  let first: Demo
  let token = ''

  beforeAll(async () => {
    first = await start({ dataFolder })
    token = `${first.url.username}:${first.url.password}`
  })
  afterEach(endAll)

  test('Ctrl-C leaves no process; the next start keeps data, token and edits', async () => {
    const client = await connect(first)
    await client.query("update products set name = 'A thing of my own' where id = 1")
    await client.end()
    const policy = path.join(dataFolder, 'policy.yaml')
    const edited = readFileSync(policy, 'utf8').replace('Agents do not drop', 'Nobody here will drop')
    writeFileSync(policy, edited)
    const { servers } = first
    expect(servers).toHaveLength(2)
    const { status, stdout, stderr } = await first.end('SIGINT')
    expect({ status, stderr }).toEqual({ status: 0, stderr: expect.stringContaining('Stopping') })
    expect(stdout).toBe(first.screen)
    await gone(servers)
    expect(processesOn(dataFolder)).toEqual([])

    const second = await start({ dataFolder })
    expect(second.screen).not.toContain('Made a shop')
    expect(`${second.url.username}:${second.url.password}`).toBe(token)
    expect(readFileSync(path.join(dataFolder, 'gateway.log'), 'utf8')).not.toContain(second.url.password)
    const again = await connect(second)
    const { rows } = await again.query('select name from products where id = 1')
    expect(rows).toEqual([{ name: 'A thing of my own' }])
    expect((await errorOf(again.query('drop table payments'))).message).toContain('Nobody here will drop')
  })

  test('kill -9 in the middle of a session: the next start tidies up, and nothing released is lost', async () => {
    const demo = await start({ dataFolder })
    const client = await connect(demo)
    await client.query('select 424242 as released')
    const [open] = (await sessions(demo)).filter(({ endedAt }) => endedAt === null)
    const cut = client.query('select pg_sleep(30)').catch(() => undefined)
    const left = demo.servers
    await demo.end('SIGKILL')
    await cut
    demos.splice(0)
    expect(left.some(isRunning)).toBe(true) // they cannot know yet

    const next = await start({ dataFolder })
    await gone(left)
    const found = (await sessions(next)).find(({ id }) => id === open?.id)
    expect(found).toMatchObject({ endReason: 'interrupted' })
    const replay = await next.command('sessions replay', open?.id)
    expect(replay.stdout).toContain('424242')
    expect(replay.stdout).toContain('the gateway stopped here')
    expect(await next.command('audit verify')).toMatchObject({ status: 0 })
    const { servers } = next
    await next.end('SIGINT')
    await gone(servers)
    expect(processesOn(dataFolder)).toEqual([])
  })

  test('Ctrl-C at `npm start` reaches the whole group, and everything ends in order', async () => {
    const npm = new Running('setsid', ['npm', 'start', '--', '--data', dataFolder], { cwd: CHECKOUT })
    await npm.says(/^Ctrl-C stops everything/m, 90_000)
    const servers = processesOn(dataFolder).filter((pid) => !childrenOf(npm.pid).includes(pid) && pid !== npm.pid)
    process.kill(-npm.pid, 'SIGINT')
    await npm.ended
    await gone(servers)
    expect(processesOn(dataFolder)).toEqual([])
    expect(readFileSync(path.join(dataFolder, 'gateway.log'), 'utf8').trim().split('\n').at(-1)).toContain(
      'gateway stopped',
    )
  })
})

describe('side by side', () => {
  afterEach(endAll)

  test('two demos on two folders; --json says where each is; a folder in use and a port in use', async () => {
    const one = await start({ dataFolder: path.join(base, 'one') })
    const twoFolder = path.join(base, 'two')
    const json = new Running(process.execPath, ['bin/sallyport.js', '--json', 'demo', '--data', twoFolder], {
      cwd: CHECKOUT,
    })
    await json.says(/\n}\n/, 90_000)
    const two = JSON.parse(json.stdout) as { ready: boolean; url: string; api: string; dataFolder: string; log: string }
    expect(two).toMatchObject({ ready: true, dataFolder: twoFolder, log: path.join(twoFolder, 'gateway.log') })
    expect(new URL(two.url).port).not.toBe(one.url.port)
    expect((await fetch(`${two.api}/api/v1/health`)).status).toBe(200)
    const client = new pg.Client({ connectionString: two.url })
    await client.connect()
    expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }])
    await client.end()
    // A token of one is nothing to the other.
    const stranger = new URL(two.url)
    stranger.port = one.url.port
    expect(await errorOf(new pg.Client({ connectionString: stranger.href }).connect())).toMatchObject({ code: '28P01' })

    const refused = await run(process.execPath, ['bin/sallyport.js', 'demo', '--data', twoFolder], { cwd: CHECKOUT })
    expect(refused.status).not.toBe(0)
    expect(refused.stderr).toMatch(/in use by another gateway/)
    expect((await fetch(`${two.api}/api/v1/health`)).status).toBe(200)
    const servers = childrenOf(json.pid)
    expect(await json.signal('SIGINT')).toMatchObject({ status: 0 })
    await gone(servers)

    const usual = Number(one.url.port)
    await one.remove()
    demos.splice(0)
    const taken = createServer()
    await new Promise<void>((resolve) => taken.listen(usual, '127.0.0.1', resolve))
    try {
      const moved = await start({ dataFolder: path.join(base, 'one') })
      expect(Number(moved.url.port)).toBeGreaterThan(usual)
      expect((await (await connect(moved)).query('select 1 as one')).rows).toEqual([{ one: 1 }])
      expect((await moved.command('sessions list')).status).toBe(0)
    } finally {
      taken.close()
    }
  })
})

describe('who runs it', () => {
  afterEach(endAll)

  test('an ordinary user, from a folder of their own', async ({ skip }) => {
    const account = root ? NOBODY : undefined
    const sees = await run(process.execPath, ['bin/sallyport.js', '--version'], { cwd: '/', ...account }).catch(
      () => undefined,
    )
    const reaches = await run('ls', [path.join(CHECKOUT, 'bin')], { ...account })
    if (sees === undefined || reaches.status !== 0) skip('this checkout is closed to ordinary users')
    const home = path.join(base, 'theirs')
    mkdirSync(home)
    if (account !== undefined) await run('chown', [`${account.uid}:${account.gid}`, home])
    const dataFolder = path.join(home, 'data')
    const demo = await start({ dataFolder, ...(account === undefined ? {} : { account }) })
    expect(demo.servers).toHaveLength(2)
    const uid = account?.uid ?? process.getuid?.()
    for (const pid of demo.servers) expect(statSync(`/proc/${pid}`).uid).toBe(uid)
    const client = await connect(demo)
    expect((await client.query('select count(*)::int from customers')).rows).toEqual([{ count: 500 }])
    await client.end()
    const { servers } = demo
    await demo.end('SIGINT')
    await gone(servers)
  })

  test('root, below a folder that nobody else may enter: it says where the data is', async ({ skip }) => {
    if (!root) skip('for root only: others run their servers as themselves')
    const closed = temporaryFolder('closed')
    const checkout = path.join(closed, 'home', 'checkout')
    mkdirSync(path.join(closed, 'home'), { mode: 0o700 })
    mkdirSync(checkout)
    // What is compiled comes last, so that it is newer than what it was compiled from.
    for (const name of ['package.json', 'tsconfig.json', 'tsconfig.build.json', 'scripts', 'src', 'bin', 'dist'])
      cpSync(path.join(CHECKOUT, name), path.join(checkout, name), { recursive: true })
    symlinkSync(path.join(CHECKOUT, 'node_modules'), path.join(checkout, 'node_modules'))
    const dataFolder = path.join(checkout, '.sallyport')
    const places: string[] = []
    const placesNow = () =>
      ['shop', 'store'].map((name) => readFileSync(path.join(dataFolder, name, 'location'), 'utf8').trim())
    try {
      const demo = await start({ dataFolder, checkout })
      places.push(...placesNow())
      for (const place of places) expect(existsSync(path.join(place, 'data', 'PG_VERSION'))).toBe(true)
      expect(demo.screen).toContain(path.dirname(places[0] ?? ''))
      expect(readFileSync(path.join(dataFolder, 'gateway.log'), 'utf8')).toContain(places[0])
      expect(demo.line(/audit verify$/)).toBe('npx sallyport audit verify')
      expect(await demo.command('audit verify')).toMatchObject({ status: 0 })
      await (await connect(demo)).query("update products set name = 'Changed' where id = 1")
      await demo.remove()
      demos.splice(0)

      const again = await start({ dataFolder, checkout })
      expect(placesNow()).toEqual(places)
      expect(again.url.username).toBe(demo.url.username)
      expect(await again.shop('select name from products where id = 1')).toEqual([{ name: 'Changed' }])
      await again.remove()
      demos.splice(0)

      rmSync(dataFolder, { recursive: true })
      const afresh = await start({ dataFolder, checkout })
      places.push(...placesNow())
      expect(new Set(places).size).toBe(4)
      expect(afresh.screen).toContain('Made a shop')
      expect(afresh.url.username).not.toBe(demo.url.username)
      await endAll()
    } finally {
      await endAll()
      for (const place of [...places, closed]) rmSync(place, { recursive: true, force: true })
    }
  })
})

test('a folder that is removed while nothing runs begins afresh', async () => {
  const dataFolder = path.join(base, 'removed')
  try {
    const demo = await start({ dataFolder })
    await demo.remove()
    demos.splice(0)
    rmSync(dataFolder, { recursive: true })
    const again = await start({ dataFolder })
    expect(again.screen).toContain('Made a shop')
    expect(again.url.password).not.toBe(demo.url.password)
  } finally {
    await endAll()
  }
})
