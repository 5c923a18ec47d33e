import { execFileSync } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import path from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { eventually, needs, Running, run, SALLYPORT, temporaryFolder } from '../harness/index.ts'

const folder = temporaryFolder('demo')
let demo: Running | undefined

afterAll(async () => {
  if (demo !== undefined && demo.child.exitCode === null) await demo.signal('SIGTERM')
  rmSync(folder, { recursive: true, force: true })
})

async function startDemo(): Promise<string> {
  demo = new Running(process.execPath, [SALLYPORT, '--data', folder, 'demo'], { cwd: folder, env: { NO_COLOR: '1' } })
  await demo.says(/Ctrl-C stops everything/, 90_000)
  return demo.stdout
}

/** What the first screen says to type, typed. */
function typed(line: string, input = '') {
  const args = line.replace(/^npx sallyport /, '').match(/"[^"]*"|\S+/g) ?? []
  return run(process.execPath, [SALLYPORT, ...args], { cwd: folder, input, env: { NO_COLOR: '1' } })
}

function processesBelow(place: string): string[] {
  const list = execFileSync('ps', ['-eo', 'pid,args'], { encoding: 'utf8' }).split('\n')
  return list.filter((line) => line.includes(place) && !line.includes('ps -eo'))
}

let screen = ''

test('starts, and says what to try', async () => {
  screen = await startDemo()
  expect(screen).toContain('Sallyport is ready.')
  expect(screen).toMatch(/psql "postgres:\/\/\S+:\S+@127\.0\.0\.1:\d+\/shop"/)
  for (const act of ['1  Read', '2  Break', '3  Delete', '4  Look back']) expect(screen).toContain(act)
})

function url(): string {
  return /psql "([^"]+)"/.exec(screen)?.[1] ?? ''
}

/** The lines of one act, as printed. */
function act(number: number): string[] {
  const lines = screen.split('\n')
  const from = lines.findIndex((line) => line.startsWith(`${number}  `))
  const rest = lines.slice(from + 1)
  return rest
    .slice(
      0,
      rest.findIndex((line) => line.trim() === ''),
    )
    .map((line) => line.trim())
}

needs('psql')('act 1: what is read comes out masked', async () => {
  const statements = act(1)
  expect(statements).toHaveLength(2)
  const answers = await Promise.all(statements.map((text) => run('psql', [url(), '-X', '-A', '-t', '-c', text])))
  for (const { status, stderr, stdout } of answers) {
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
    expect(stdout.trim().split('\n')).toHaveLength(5)
    expect(stdout).not.toMatch(/\b(?:4111|4242|5555|5105|3782|6011)\d{8,12}\b/)
  }
  expect(answers[0]?.stdout).toMatch(/\*+@|@example|redacted/)
  expect(answers[1]?.stdout).toMatch(/\*{11,12}\d{4}/)
})

needs('psql')('act 2: the DROP is denied by a rule', async () => {
  const [statement = ''] = act(2)
  const { status, stderr } = await run('psql', [url(), '-X', '-c', statement])
  expect(status).toBe(1)
  expect(stderr).toMatch(/ERROR:[\s\S]*no-destructive-ddl-for-agents[\s\S]*HINT/)
  expect((await run('psql', [url(), '-X', '-A', '-t', '-c', 'select count(*) from payments'])).stdout).toBe('2000\n')
})

needs('psql')('act 3: the DELETE waits for bob', async () => {
  const [statement = ''] = act(3)
  const count = async () =>
    Number(
      (
        await run('psql', [
          url(),
          '-X',
          '-A',
          '-t',
          '-c',
          "select count(*) from support_tickets where status = 'closed'",
        ])
      ).stdout,
    )
  const before = await count()
  expect(before).toBeGreaterThan(0)
  const psql = new Running('psql', [url(), '-X', '-c', statement])
  psql.close()
  await psql.says(/held for review/)
  const [list = '', approve = ''] = screen
    .split('\n')
    .filter((line) => line.includes('--profile bob'))
    .map((line) => line.trim())
  const listed = await typed(list)
  expect(listed.status).toBe(0)
  const id = /\br_\w+|^\S+(?=\s+pending)/m.exec(listed.stdout)?.[0] ?? ''
  expect(listed.stdout).toContain('alice via claude-code')
  expect(await typed(approve.replace('<id>', id))).toMatchObject({ status: 0 })
  const { status, stdout } = await psql.ended
  expect({ status, stdout }).toEqual({ status: 0, stdout: `DELETE ${before}\n` })
  expect(await count()).toBe(0)
})

needs('psql')('act 4: looking back, and the proof', async () => {
  const [list = '', replay = '', verify = ''] = act(4)
  const sessions = await eventually('the sessions are over', async () => {
    const { stdout } = await typed(list)
    return stdout.includes('live') ? undefined : stdout
  })
  const ids = [...sessions.matchAll(/\bs_\w+/g)].map(([id]) => id)
  expect(ids.length).toBeGreaterThan(3)
  const replays = await Promise.all(ids.map((id) => typed(replay.replace('<id>', id))))
  const texts = replays.map(({ stdout }) => stdout).join('\n')
  expect(texts).toContain('DENIED by no-destructive-ddl-for-agents')
  expect(texts).toMatch(/review \S+ spent by bob/)
  expect(texts).toMatch(/\*{11,12}\d{4}/)
  const verified = await typed(verify)
  expect(verified).toMatchObject({ status: 0 })
  expect(verified.stdout).toMatch(/Nothing is missing or changed/)
})

test('`sallyport sql shop` works without psql', async () => {
  const line =
    screen
      .split('\n')
      .find((one) => one.includes(' sql shop'))
      ?.trim()
      .replace(/\s{2,}.*$/, '') ?? ''
  const { status, stdout } = await typed(line, 'select 40 + 2 as answer;\n\\q\n')
  expect(status).toBe(0)
  expect(stdout).toMatch(/answer[\s\S]*42/)
})

test('Ctrl-C stops everything, and the next start keeps data and tokens', async () => {
  const before = url()
  expect(processesBelow(folder).length).toBeGreaterThan(1)
  expect(await demo?.signal('SIGINT')).toMatchObject({ status: 0 })
  expect(processesBelow(folder)).toEqual([])
  screen = await startDemo()
  expect(screen).not.toContain('Made a shop')
  expect(new URL(url()).username).toBe(new URL(before).username)
  expect(new URL(url()).password).toBe(new URL(before).password)
  const { stdout } = await typed(act(4)[0] ?? '')
  expect([...stdout.matchAll(/\bs_\w+/g)].length).toBeGreaterThan(0)
  const log = readFileSync(path.join(folder, 'gateway.log'), 'utf8')
  expect(log).not.toContain(decodeURIComponent(new URL(before).password))
  expect(await demo?.signal('SIGINT')).toMatchObject({ status: 0 })
  expect(processesBelow(folder)).toEqual([])
})
