import { createWriteStream } from 'node:fs'
import path from 'node:path'
import { pipeline } from 'node:stream/promises'
import { z } from 'zod'
import { type SessionView, sessionView } from '../../../api/schemas.ts'
import type { Context, Register } from '../../context.ts'
import { shortTime } from '../../output.ts'

interface ListOptions {
  readonly open?: boolean
  readonly limit: string
  readonly cursor?: string
}

interface ExportOptions {
  readonly output?: string
  readonly format: string
}

export const registerSessions: Register = (parent, { run }) => {
  const sessions = parent.command('sessions').alias('session').description('what agents and people did')
  sessions
    .command('list')
    .description('newest first')
    .option('--open', 'only live ones')
    .option('--limit <count>', 'how many', '50')
    .option('--cursor <cursor>', 'go on where the answer before ended')
    .action(run((context, options: ListOptions) => list(context, options)))
  sessions
    .command('show <id>')
    .description('one session')
    .action(run((context, id: string) => show(context, id)))
  sessions
    .command('replay <id>')
    .description('everything that was asked, decided and released, in order')
    .action(run((context, id: string) => replay(context, id)))
  sessions
    .command('export <id>')
    .description('the session for elsewhere: the recording itself, or its events')
    .option('--format <format>', 'recording, jsonl or ocsf', 'recording')
    .option('-o, --output <file>', 'where to write it (default: standard output)')
    .action(run((context, id: string, options: ExportOptions) => exportFile(context, id, options)))
  sessions
    .command('end <id>')
    .description('end a live session now')
    .option('--reason <text>', 'goes on the record and to the client')
    .action(run((context, id: string, options: { reason?: string }) => end(context, id, options.reason ?? '')))
}

async function list(context: Context, options: ListOptions): Promise<undefined> {
  const { output } = context
  const client = await context.client()
  const query = new URLSearchParams({ limit: options.limit })
  if (options.open === true) query.set('open', 'true')
  if (options.cursor !== undefined) query.set('cursor', options.cursor)
  const schema = z.object({ items: z.array(sessionView), next: z.string().nullable() })
  const page = await client.get(`/api/v1/sessions?${query}`, schema)
  output.answer(page, () => {
    output.table(
      ['ID', 'WHO', 'TARGET', 'LEVEL', 'STARTED (UTC)', 'ENDED', 'OPERATIONS', 'DENIED', 'ROWS'],
      page.items.map((one) => [
        one.id,
        one.principal,
        one.target,
        one.level,
        shortTime(one.startedAt),
        one.endedAt === null ? 'live' : shortTime(one.endedAt),
        String(one.operations),
        String(one.denied),
        String(one.rowsReturned),
      ]),
      'There are no sessions that you may see.',
    )
    if (page.next !== null) output.line(`\nMore: sallyport sessions list --cursor ${page.next}`)
  })
}

async function show(context: Context, id: string): Promise<undefined> {
  const client = await context.client()
  const session = await client.get(`/api/v1/sessions/${encodeURIComponent(id)}`, sessionView)
  context.output.answer(session, () => tellSession(context, session))
}

function tellSession({ output }: Context, session: SessionView): void {
  const { client } = session
  output.fields([
    ['session', session.id],
    ['who', session.principal],
    ['target', `${session.target} (${session.level})`],
    ['token', session.tokenId],
    ['client', [client.address, client.application].filter((part) => part !== '').join(', ')],
    ['started', `${shortTime(session.startedAt)} UTC`],
    ['ended', session.endedAt === null ? 'live' : `${shortTime(session.endedAt)} UTC (${session.endReason ?? ''})`],
    ['operations', `${session.operations}, ${session.denied} denied`],
    ['rows', String(session.rowsReturned)],
  ])
}

async function replay(context: Context, id: string): Promise<undefined> {
  const { output } = context
  const client = await context.client()
  const format = output.json ? 'json' : 'text'
  for await (const chunk of client.stream(`/api/v1/sessions/${encodeURIComponent(id)}/replay?format=${format}`))
    await output.raw(Buffer.from(chunk))
}

async function exportFile(context: Context, id: string, options: ExportOptions): Promise<undefined> {
  const { output: file, format } = options
  const { output, terminal } = context
  const client = await context.client()
  const chunks = client.stream(`/api/v1/sessions/${encodeURIComponent(id)}/export?format=${encodeURIComponent(format)}`)
  if (file === undefined) {
    for await (const chunk of chunks) await output.raw(Buffer.from(chunk))
    return
  }
  const place = path.resolve(terminal.cwd, file)
  await pipeline(chunks, createWriteStream(place, { mode: 0o600, flags: 'wx' }))
  output.answer({ session: id, file: place }, () => output.line(`Recording of session ${id} written to ${file}.`))
}

async function end(context: Context, id: string, reason: string): Promise<undefined> {
  const { output } = context
  const client = await context.client()
  const answer = await client.post(
    `/api/v1/sessions/${encodeURIComponent(id)}/end`,
    { reason },
    z.object({ ended: z.boolean() }),
  )
  output.answer(answer, () => output.line(`Session ${id} has been told to end.`))
}
