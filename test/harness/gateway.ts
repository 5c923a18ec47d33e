import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { stringify } from 'yaml'
import { type Finished, Running, run } from './processes.ts'
import { startTarget, type Target, temporaryFolder } from './target.ts'
import { eventually } from './waiting.ts'

const ROOT = path.dirname(path.dirname(path.dirname(fileURLToPath(import.meta.url))))
export const SALLYPORT = path.join(ROOT, 'bin', 'sallyport.js')

/** Who there is: `agent` is alice's; `bob` and `dave` are reviewers; `walter` may write and `carol` only read. */
export const PEOPLE = {
  admin: { subject: 'admin', groups: ['admins'] },
  agent: { subject: 'alice', groups: ['developers'], actor: { kind: 'agent', name: 'claude-code' } },
  alice: { subject: 'alice', groups: ['developers'] },
  bob: { subject: 'bob', groups: ['dba'] },
  dave: { subject: 'dave', groups: ['dba'] },
  erin: { subject: 'erin', groups: ['developers', 'fraud-team'] },
  walter: { subject: 'walter', groups: ['writers'] },
  carol: { subject: 'carol', groups: ['analysts'] },
  /** Somebody's agent in the group of reviewers. */
  robot: { subject: 'bob', groups: ['dba'], actor: { kind: 'agent', name: 'reviewer-bot' } },
} as const
export type Person = keyof typeof PEOPLE

/** Which store a test gets that asks for none: the whole set runs on both, as projects of vitest.config.ts. */
const USUAL_STORE = process.env['SALLYPORT_TEST_STORE'] === 'postgres' ? 'postgres' : 'embedded'

const LEVELS = { developers: 'admin', dba: 'admin', writers: 'write', analysts: 'read' } as const

export interface GatewaySettings {
  /** By the name that clients ask for. */
  readonly targets: Readonly<Record<string, Target>>
  /** YAML of the policy file. */
  readonly policy?: string
  /** `postgres`: a server of its own. Or one that the test has started. Left out: what the test run is about. */
  readonly store?: 'embedded' | 'postgres' | StoreServer
  /** Uses this gateway's store and tokens, with a data folder of its own. */
  readonly beside?: Gateway
  readonly recording?: 'buffered' | 'strict'
  /** Laid over the configuration. */
  readonly config?: Readonly<Record<string, unknown>>
}

export type StoreServer = Pick<Target, 'host' | 'port' | 'user' | 'password' | 'database'>

export interface Answer {
  readonly status: number
  readonly body: unknown
}

interface Ready {
  readonly api: string
  readonly postgres: { readonly host: string; readonly port: number }
}

/** A gateway as people run it: a process of its own, spoken to through its doors only. */
export class Gateway {
  readonly folder: string
  readonly configFile: string
  readonly policyFile: string
  readonly dataFolder: string
  readonly #settings: GatewaySettings
  readonly #tokens = new Map<Person, { readonly id: string; readonly secret: string }>()
  readonly #clients = new Set<pg.Client>()
  readonly #log: string[] = []
  #store: StoreServer | undefined
  #stopStore: () => Promise<void> = async () => undefined
  #process: Running | undefined
  #ready: Ready | undefined

  constructor(settings: GatewaySettings) {
    this.#settings = settings
    this.folder = temporaryFolder('gateway')
    this.configFile = path.join(this.folder, 'sallyport.yaml')
    this.policyFile = path.join(this.folder, 'policy.yaml')
    this.dataFolder = path.join(this.folder, 'data')
    // The embedded server may run as another account, which has to pass through.
    mkdirSync(this.dataFolder)
    chmodSync(this.dataFolder, 0o711)
  }

  /** Writes the files, makes the first token as an operator would, and starts. */
  async open(): Promise<this> {
    const { beside, store = USUAL_STORE, policy = 'rules: []\n' } = this.#settings
    if (beside !== undefined) this.#store = beside.#store
    else if (store === 'postgres') await this.#startStore()
    else if (store !== 'embedded') this.#store = store
    this.writePolicy(policy)
    writeFileSync(this.configFile, stringify(this.#config()))
    if (beside !== undefined) {
      for (const [person, token] of beside.#tokens) this.#tokens.set(person, token)
      await this.start()
      return this
    }
    const made = await this.sallyport(['--json', 'token', 'create', '--user', 'admin', '--config', this.configFile])
    if (made.status !== 0) throw new Error(`no first token: ${made.stderr}`)
    this.#keep('admin', JSON.parse(made.stdout))
    await this.start()
    const others = (Object.keys(PEOPLE) as Person[]).filter((person) => person !== 'admin')
    for (const person of others) await this.#issue(person)
    return this
  }

  /** As an operator would prepare it: a database that belongs to a role without further rights. */
  async #startStore(): Promise<void> {
    const server = await startTarget()
    this.#stopStore = () => server.stop()
    this.#store = await prepareStore(server)
  }

  #config(): Record<string, unknown> {
    const { targets, recording, config } = this.#settings
    const subjects = new Map(Object.values(PEOPLE).map(({ subject, groups }) => [subject, groups] as const))
    return {
      name: 'test',
      dataFolder: 'data',
      listeners: { postgres: { host: '127.0.0.1', port: 0 } },
      api: { host: '127.0.0.1', port: 0 },
      store: this.#store === undefined ? { kind: 'embedded' } : { kind: 'postgres', url: 'env:STORE_URL' },
      users: [...subjects].map(([subject, groups]) => ({ subject, email: `${subject}@example.com`, groups })),
      grants: Object.entries(LEVELS).map(([group, level]) => ({
        groups: [group],
        targets: Object.keys(targets),
        level,
      })),
      targets: Object.entries(targets).map(([name, { host, port, database, user }]) => ({
        name,
        type: 'postgres',
        labels: { env: 'production' },
        connection: { address: { host, port }, database, tls: { mode: 'disable' } },
        credential: { user, password: `env:${variable(name)}` },
        ...(recording === undefined ? {} : { recording }),
      })),
      policies: ['policy.yaml'],
      ...config,
    }
  }

  #environment(): Record<string, string> {
    const store = this.#store
    return {
      ...Object.fromEntries(
        Object.entries(this.#settings.targets).map(([name, { password }]) => [variable(name), password]),
      ),
      ...(store === undefined
        ? {}
        : {
            STORE_URL: `postgres://${store.user}:${encodeURIComponent(store.password)}@${store.host}:${store.port}/${store.database}`,
          }),
    }
  }

  /** Starts the process on whatever its folder holds. */
  async start(): Promise<void> {
    const running = new Running(process.execPath, [SALLYPORT, '--json', 'gateway', '--config', this.configFile], {
      env: this.#environment(),
    })
    this.#process = running
    await running.says(/\n}\n/, 60_000)
    this.#ready = JSON.parse(running.stdout) as Ready
  }

  async #issue(person: Person): Promise<void> {
    const { subject, ...more } = PEOPLE[person]
    const actor = 'actor' in more ? { actor: more.actor } : {}
    const { status, body } = await this.api('admin', 'POST', '/api/v1/tokens', { user: subject, ...actor })
    if (status !== 200) throw new Error(`no token for ${person}: ${JSON.stringify(body)}`)
    this.#keep(person, body)
  }

  #keep(person: Person, made: unknown): void {
    const { token, secret } = made as { token: { id: string }; secret: string }
    this.#tokens.set(person, { id: token.id, secret })
  }

  token(person: Person): { readonly id: string; readonly secret: string } {
    const token = this.#tokens.get(person)
    if (token === undefined) throw new Error(`${person} has no token`)
    return token
  }

  get apiUrl(): string {
    return this.#running().api
  }

  get address(): { readonly host: string; readonly port: number } {
    return this.#running().postgres
  }

  get process(): Running {
    if (this.#process === undefined) throw new Error('the gateway is not running')
    return this.#process
  }

  #running(): Ready {
    if (this.#ready === undefined) throw new Error('the gateway is not running')
    return this.#ready
  }

  /** What the operator sees, of all starts. */
  get log(): string {
    return [...this.#log, this.#process?.stderr ?? ''].join('')
  }

  url(person: Person, target = this.#firstTarget()): string {
    const { id, secret } = this.token(person)
    return `postgres://${id}:${secret}@${this.address.host}:${this.address.port}/${target}`
  }

  #firstTarget(): string {
    return Object.keys(this.#settings.targets)[0] ?? ''
  }

  /** For libpq. */
  environment(person: Person, target = this.#firstTarget()): Record<string, string> {
    const { id, secret } = this.token(person)
    const { host, port } = this.address
    return { PGHOST: host, PGPORT: String(port), PGUSER: id, PGPASSWORD: secret, PGDATABASE: target }
  }

  /** `psql`, unaligned and without headings; standard input is the script when there is one. */
  psql(person: Person, args: readonly string[], more: { target?: string; input?: string } = {}): Promise<Finished> {
    const { target, input } = more
    const env = this.environment(person, target)
    return run('psql', ['-X', '-A', '-t', '-q', ...args], { env, ...(input === undefined ? {} : { input }) })
  }

  /** The command line, as somebody. */
  cli(person: Person, args: readonly string[]): Promise<Finished> {
    const { id, secret } = this.token(person)
    return this.sallyport(args, { SALLYPORT_TOKEN: `${id}:${secret}`, SALLYPORT_API: this.apiUrl })
  }

  /** The command line, as the operator of this machine. */
  sallyport(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Finished> {
    return run(process.execPath, [SALLYPORT, ...args], { cwd: this.folder, env: { ...this.#environment(), ...env } })
  }

  async api(person: Person, method: string, route: string, body?: unknown): Promise<Answer> {
    const { id, secret } = this.token(person)
    const response = await fetch(new URL(route, this.apiUrl), {
      method,
      headers: {
        authorization: `Bearer ${id}:${secret}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    return { status: response.status, body: text.startsWith('{') ? JSON.parse(text) : text }
  }

  /** An open session; closed with the gateway at the latest. */
  async client(person: Person, target?: string, more: pg.ClientConfig = {}): Promise<pg.Client> {
    const client = new pg.Client({ connectionString: this.url(person, target), ...more })
    client.on('error', () => undefined)
    await client.connect()
    this.#clients.add(client)
    return client
  }

  writePolicy(text: string): void {
    writeFileSync(this.policyFile, text)
  }

  /** Puts another policy in force and waits until it is. */
  async changePolicy(text: string): Promise<void> {
    const before = await this.policyStatus()
    this.writePolicy(text)
    await eventually('the new policy', async () => {
      const now = await this.policyStatus()
      return JSON.stringify(now) === JSON.stringify(before) ? undefined : true
    })
  }

  async policyStatus(): Promise<{ digest: string; loadedAt: string; problems: { message: string }[] }> {
    const { body } = await this.api('admin', 'GET', '/api/v1/policy')
    return body as { digest: string; loadedAt: string; problems: { message: string }[] }
  }

  readConfig(): string {
    return readFileSync(this.configFile, 'utf8')
  }

  /** Ends the process; the folder stays, for a start after it. */
  async end(signal: NodeJS.Signals): Promise<Finished> {
    const finished = await this.process.signal(signal)
    this.#log.push(finished.stderr)
    this.#process = undefined
    this.#ready = undefined
    return finished
  }

  async close(): Promise<void> {
    await Promise.all([...this.#clients].map((client) => client.end().catch(() => undefined)))
    if (this.#process !== undefined) await this.end('SIGTERM')
    await this.#stopStore()
    rmSync(this.folder, { recursive: true, force: true })
  }
}

/** A database for a store on a server that runs, and the role that owns it. */
export async function prepareStore(server: Pick<Target, 'sql' | 'host' | 'port'>): Promise<StoreServer> {
  await server.sql("create role sallyport_store login password 'a password for the store'")
  await server.sql('create database sallyport owner sallyport_store')
  const { host, port } = server
  return { host, port, user: 'sallyport_store', password: 'a password for the store', database: 'sallyport' }
}

function variable(target: string): string {
  return `TARGET_${target.toUpperCase()}_PASSWORD`
}

export async function startGateway(settings: GatewaySettings): Promise<Gateway> {
  return await new Gateway(settings).open()
}
