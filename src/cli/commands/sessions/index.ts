import { open, rm } from 'node:fs/promises'
import path from 'node:path'
import { z } from 'zod'
import { type SessionView, sessionView } from '../../../api/schemas.ts'
import { GatewayError } from '../../../kernel/index.ts'
import { exportJsonLines, renderReplay } from '../../../recording/index.ts'
import { loadVerifier, loadWrappingKey, RecordingReader } from '../../../store/recordings/index.ts'
import type { Context, Register } from '../../context.ts'
import { shortTime } from '../../output.ts'

interface ListOptions {
  readonly open?: boolean
  readonly limit: string
  readonly cursor?: string
}

interface ReplayOptions {
  readonly offline?: boolean
  readonly recordings?: string
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
    .option('--offline', "read the data folder's files with its keys; no gateway is asked")
    .option('--recordings <folder>', 'offline: recordings, when they are not in the data folder')
    .action(
      run((context, id: string, options: ReplayOptions) =>
        options.offline === true || options.recordings !== undefined
          ? replayOffline(context, id, options.recordings)
          : replay(context, id),
      ),
    )
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

/** For whoever may read the keys, when the gateway is gone or not to be trusted. The chain and signatures are checked on the way. */
async function replayOffline(
  { output, terminal, dataFolder }: Context,
  id: string,
  given?: string,
): Promise<undefined> {
  const keys = path.join(dataFolder, 'keys')
  const folder = given === undefined ? path.join(dataFolder, 'recordings') : path.resolve(terminal.cwd, given)
  const wrapping = [await loadWrappingKey(keys)]
  const verifier = await loadVerifier(path.join(keys, 'audit.pub'))
  const events = new RecordingReader(folder, { wrapping, verifier }).events(id)
  for await (const line of output.json ? exportJsonLines(events) : renderReplay(events)) await output.raw(`${line}\n`)
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
  await writeNew(place, chunks)
  output.answer({ session: id, file: place }, () => output.line(`Recording of session ${id} written to ${file}.`))
}

/** Never over a file that is there, and nothing half-written stays. */
async function writeNew(place: string, chunks: AsyncIterable<Uint8Array>): Promise<void> {
  const handle = await open(place, 'wx', 0o600).catch((error: unknown) => {
    throw new GatewayError('cli.usage', `${place} cannot be written, or is there already.`, {
      hint: 'Name another file.',
      cause: error,
    })
  })
  try {
    for await (const chunk of chunks) await handle.write(chunk)
    await handle.close()
  } catch (error) {
    await handle.close()
    await rm(place, { force: true })
    throw error
  }
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
