import { createReadStream } from 'node:fs'
import { readFile, stat, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { checkpointView } from '../../../api/schemas.ts'
import { GatewayError } from '../../../kernel/index.ts'
import { type AuditReport, verifyAudit, verifyRecording } from '../../../recording/index.ts'
import { folderReader, loadVerifier } from '../../../store/recordings/index.ts'
import type { Context, Register } from '../../context.ts'
import { usageError } from '../../failure.ts'
import { printable } from '../../output.ts'

interface VerifyOptions {
  readonly folder?: string
  readonly recordings?: string
  readonly key?: string
  readonly checkpoint?: string
  readonly recording?: string
}

const BROKEN = 7

export const registerAudit: Register = (parent, { run }) => {
  const audit = parent.command('audit').description('prove that nothing was changed, cut, reordered or dropped')
  audit
    .command('verify')
    .description('check the audit log and every recording; offline, with the public key only')
    .option('--folder <folder>', 'data folder, or a copy of it (default: the data folder)')
    .option('--recordings <folder>', 'recordings, when they are not in the data folder')
    .option('--key <file>', 'public key (default: keys/audit.pub in the folder; keep a copy of your own)')
    .option('--checkpoint <file>', 'a checkpoint saved earlier: the log must still contain all that it covered')
    .option('--recording <file>', 'check this one exported recording only')
    .action(run((context, options: VerifyOptions) => verify(context, options)))
  audit
    .command('checkpoint')
    .description('print the signed head of the audit log, to be kept elsewhere')
    .option('-o, --output <file>', 'write it to a new file')
    .action(run((context, options: { output?: string }) => checkpoint(context, options.output)))
}

async function verify(context: Context, options: VerifyOptions): Promise<number> {
  const at = (file: string) => path.resolve(context.terminal.cwd, file)
  const folder = options.folder === undefined ? context.dataFolder : at(options.folder)
  const verifier = await loadVerifier(
    options.key === undefined ? path.join(folder, 'keys', 'audit.pub') : at(options.key),
  )
  if (options.recording !== undefined) {
    const file = at(options.recording)
    await mustBeThere(file, 'recording')
    const report = await verifyRecording(createReadStream(file), verifier)
    const problems = report.problems.map((one) => ({ path: file, ...one }))
    context.output.answer(report, () =>
      tellVerdict(context, report.ok, problems, [], `The recording ${options.recording} holds.`),
    )
    return report.ok ? 0 : BROKEN
  }
  await mustBeThere(folder, 'data folder')
  const report = await verifyAudit({
    audit: folderReader(path.join(folder, 'audit')),
    recordings: folderReader(
      options.recordings === undefined ? path.join(folder, 'recordings') : at(options.recordings),
    ),
    verifier,
    ...(options.checkpoint === undefined ? {} : { earlierCheckpoint: await textOf(at(options.checkpoint)) }),
  })
  context.output.answer(report, () => tellVerdict(context, report.ok, report.problems, report.notes, praise(report)))
  return report.ok ? 0 : BROKEN
}

function praise(report: AuditReport): string {
  const { sealed, interrupted, open } = report.sessions
  const others = [
    ...(interrupted === 0 ? [] : [`${interrupted} that were interrupted`]),
    ...(open === 0 ? [] : [`${open} that are still open`]),
  ]
  const entries = `${report.checkpoint?.size ?? 0} entries of the audit log`
  return `Verified: ${entries}, ${sealed} sealed recordings${others.map((other) => `, ${other}`).join('')}. Nothing is missing or changed.`
}

function tellVerdict(
  { output }: Context,
  ok: boolean,
  problems: AuditReport['problems'],
  notes: readonly string[],
  good: string,
): void {
  const { colors } = output
  for (const note of notes) output.line(colors.dim(printable(note)))
  for (const { session, path: place, offset, message } of problems) {
    const where = [session, place, offset === undefined ? undefined : `byte ${offset}`].filter(
      (part) => part !== undefined,
    )
    output.line(
      `${colors.red('BROKEN')}  ${printable(where.length === 0 ? message : `${where.join(' ')}: ${message}`)}`,
    )
  }
  if (ok) output.line(colors.green(good))
  else
    output.line(
      `\n${problems.length === 1 ? '1 problem' : `${problems.length} problems`}: this is not what was recorded.`,
    )
}

async function mustBeThere(place: string, what: string): Promise<void> {
  const there = await stat(place).catch(() => undefined)
  if (there === undefined) throw usageError(`There is no ${what} at ${place}.`, 'Name it with --folder or --recording.')
}

async function textOf(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    throw new GatewayError('cli.usage', `The checkpoint ${file} cannot be read.`, {
      hint: 'Check the path.',
      cause: error,
    })
  }
}

async function checkpoint(context: Context, file: string | undefined): Promise<undefined> {
  const { output, terminal } = context
  const view = await (await context.client()).get('/api/v1/audit/checkpoint', checkpointView)
  if (file === undefined) {
    output.answer(view, () => output.line(view.checkpoint.trimEnd()))
    return
  }
  const place = path.resolve(terminal.cwd, file)
  await writeFile(place, view.checkpoint, { flag: 'wx' }).catch((error: unknown) => {
    throw new GatewayError('cli.usage', `${file} cannot be written, or is there already.`, {
      hint: 'Name another file.',
      cause: error,
    })
  })
  output.answer({ ...view, file: place }, () =>
    output.line(`Checkpoint written to ${file}; verify against it with --checkpoint ${file}.`),
  )
}
