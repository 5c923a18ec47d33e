import { access, readFile, rename, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { parseDocument } from 'yaml'
import { makeDataFolder } from '../../store/data-folder.ts'

export const POSTGRES_PORT = 15_432
export const API_PORT = 15_480

/** Where the demo keeps what; all of it below its data folder. */
export function demoPlaces(dataFolder: string) {
  const at = (...parts: string[]) => path.join(dataFolder, ...parts)
  return {
    config: at('sallyport.yaml'),
    policy: at('policy.yaml'),
    shop: at('shop'),
    shopPassword: at('keys', 'shop-role.password'),
    log: at('gateway.log'),
  }
}

const CONFIG = (
  shopPort: number,
) => `# Written by \`sallyport demo\` when it first ran. It is yours now: edit it, and start again.
# All keys, limits and defaults: docs/reference/config.md. Check it with: sallyport config check
name: demo
dataFolder: .

listeners:
  postgres: { host: 127.0.0.1, port: ${POSTGRES_PORT} }
api: { host: 127.0.0.1, port: ${API_PORT} }

# Everybody here is made up. Real people come from an identity provider.
users:
  - { subject: alice, email: alice@example.com, groups: [developers] }
  - { subject: bob, email: bob@example.com, groups: [dba] }
  - { subject: admin, email: admin@example.com, groups: [admins] }
adminGroups: [admins]

# No grant: no access. Policies can only take away from what a grant gives.
grants:
  - { groups: [developers], targets: [shop], level: write }
  - { groups: [dba], targets: [shop], level: admin }

targets:
  - name: shop
    type: postgres
    labels: { env: production, data: personal }
    connection:
      address: { host: 127.0.0.1, port: ${shopPort} }
      database: shop
      tls: { mode: disable } # the demo's server is on this machine
    credential: { user: shop_app, password: "file:keys/shop-role.password" }

policies: [policy.yaml]
`

const POLICY = `# The demo's rules. Edit and save: the gateway takes them over at once, and keeps the old ones if these have problems.
# Order does not matter: deny > hold > mask > allow, and masks add up.
# Try a rule without running anything: sallyport policy explain "delete from customers" --target shop --as alice
rules:
  - name: no-destructive-ddl-for-agents
    match: { actor: agent, operation: [drop, truncate, alter] }
    then: deny
    message: Agents do not drop, truncate or alter. Write a migration and have it reviewed.

  - name: delete-needs-a-second-pair-of-eyes
    match: { operation: [delete] }
    then: { hold: { reviewers: ["group:dba"], approvals: 1, expires: 15m } }
    message: Deleting rows needs the approval of a database administrator.

  - name: sweeping-update
    match: { operation: [update], unbounded: true }
    then: { hold: { reviewers: ["group:dba"], expires: 15m } }
    message: An update of every row needs the approval of a database administrator.

  - name: cards
    match: { columns: ["*.card_number"], detect: [credit_card] }
    then: { mask: last4 }

  - name: mail-addresses
    match: { columns: ["*.email"], detect: [email] }
    then: { mask: email }

  - name: phone-numbers
    match: { columns: ["*.phone"], detect: [phone] }
    then: { mask: redact }

  - name: keys
    match: { columns: ["api_keys.key"], detect: [secret] }
    then: { mask: redact }

  # Only recorded, not enforced: see what it would have done in \`sallyport sessions replay\`.
  - name: bulk-extraction
    match: { operation: [select, copy_out], reads: [customers, payments] }
    when: facts.unbounded || facts.estimatedRows > 1000
    then: { hold: { reviewers: ["group:dba"], expires: 15m } }
    mode: observe
`

/** Writes what is missing; what is there is the user's. */
export async function writeDemoFiles(dataFolder: string): Promise<void> {
  const places = demoPlaces(dataFolder)
  await makeDataFolder(dataFolder)
  await writeMissing(places.policy, POLICY)
  await writeMissing(places.config, CONFIG(0))
}

async function writeMissing(file: string, text: string): Promise<void> {
  const there = await access(file).then(
    () => true,
    () => false,
  )
  if (!there) await replace(file, text)
}

/** A crash in the middle leaves the old file or none. */
async function replace(file: string, text: string): Promise<void> {
  const draft = `${file}.new`
  await writeFile(draft, text, { mode: 0o600 })
  await rename(draft, file)
}

const SHOP_PORT = ['targets', 0, 'connection', 'address', 'port']

/** The shop's port as the file remembers it; 0 when it does not yet. */
export async function rememberedPort(config: string): Promise<number> {
  const port = parseDocument(await readFile(config, 'utf8')).getIn(SHOP_PORT)
  return typeof port === 'number' ? port : 0
}

/** Changes the port alone; comments and everything else of the file stay. */
export async function rememberPort(config: string, port: number): Promise<void> {
  const text = await readFile(config, 'utf8')
  const document = parseDocument(text, { keepSourceTokens: true })
  const node = document.getIn(SHOP_PORT, true) as { readonly range?: readonly number[] | null } | undefined
  const [start, end] = node?.range ?? []
  if (start === undefined || end === undefined || text.slice(start, end) === String(port)) return
  await replace(config, `${text.slice(0, start)}${port}${text.slice(end)}`)
}
