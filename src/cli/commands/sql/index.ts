import { createInterface, type Interface } from 'node:readline'
import pg from 'pg'
import { GatewayError } from '../../../kernel/index.ts'
import type { Context, Register } from '../../context.ts'
import { SqlConnection } from './connection.ts'
import { META_HELP, metaCommand } from './meta.ts'
import { diagnosticLines, resultLines } from './result.ts'
import { splitStatements } from './statements.ts'

const FAILED = 1

export const registerSql: Register = (parent, { run }) => {
  parent
    .command('sql <target>')
    .description('a plain SQL prompt through the gateway; reads standard input when it is not a terminal')
    .option(
      '-c, --command <sql>',
      'run this and leave; may be given again',
      (sql, given: string[]) => [...given, sql],
      [],
    )
    .action(run((context, target: string, options: { command: string[] }) => sql(context, target, options.command)))
}

async function sql(context: Context, target: string, commands: readonly string[]): Promise<number> {
  const { output } = context
  const tell = (fields: Parameters<typeof diagnosticLines>[0], color: (text: string) => string) => {
    for (const line of diagnosticLines(fields)) output.aside(color(line))
  }
  let leave = () => {}
  const connection = new SqlConnection(
    await context.profile(),
    target,
    (notice) => tell(notice, output.colors.yellow),
    (last) => {
      if (last !== undefined) tell(last, output.colors.red)
      leave()
    },
  )
  await connection.open()
  try {
    if (commands.length > 0) return await runAll(context, connection, commands)
    const prompt = new Prompt(context, connection, target)
    leave = () => prompt.leave()
    return await prompt.run()
  } finally {
    await connection.close()
  }
}

async function runAll(context: Context, connection: SqlConnection, commands: readonly string[]): Promise<number> {
  let failed = false
  for (const text of commands) failed = !(await runStatement(context, connection, text)) || failed
  return failed ? FAILED : 0
}

function sessionEnded(): GatewayError {
  return new GatewayError('target.lost', 'The session has ended.', { hint: 'Start the prompt again.' })
}

/** @returns false when it failed; the reason has been told. */
async function runStatement({ output }: Context, connection: SqlConnection, text: string): Promise<boolean> {
  try {
    const result = await connection.query(text)
    output.answer(result, () => {
      for (const line of resultLines(result)) output.line(line)
    })
    return true
  } catch (error) {
    if (!(error instanceof pg.DatabaseError)) throw sessionEnded()
    for (const line of diagnosticLines(error)) output.aside(output.colors.red(line))
    if (error.severity === 'FATAL') throw sessionEnded()
    return false
  }
}

/** The conversation: lines in, statements out, until `\q` or the end of the input. */
class Prompt {
  readonly #context: Context
  readonly #connection: SqlConnection
  readonly #target: string
  readonly #lines: Interface
  readonly #interactive: boolean
  #typed = ''
  #running = false
  #failed = false

  constructor(context: Context, connection: SqlConnection, target: string) {
    const { stdin, stdout } = context.terminal
    this.#context = context
    this.#connection = connection
    this.#target = target
    this.#interactive = stdin.isTTY === true && stdout.isTTY === true
    this.#lines = createInterface({
      input: stdin,
      ...(this.#interactive ? { output: stdout, terminal: true, historySize: 500 } : { terminal: false }),
    })
    this.#lines.on('SIGINT', () => this.#interrupt())
  }

  async run(): Promise<number> {
    if (this.#interactive) this.#context.output.line('Statements end with a semicolon; \\? for help, \\q to leave.')
    this.#ask()
    for await (const line of this.#lines) {
      if (!(await this.#take(line))) break
      this.#ask()
    }
    if (this.#connection.ended) throw sessionEnded()
    const last = this.#typed.trim()
    if (!this.#interactive && last !== '') await this.#execute(last)
    this.#lines.close()
    return this.#failed && !this.#interactive ? FAILED : 0
  }

  /** The session is over: waits for no more lines. */
  leave(): void {
    this.#lines.close()
  }

  /** @returns false when the conversation is over. */
  async #take(line: string): Promise<boolean> {
    if (this.#typed.trim() === '' && line.trimStart().startsWith('\\')) return this.#meta(line)
    const { statements, rest } = splitStatements(`${this.#typed}${line}\n`)
    this.#typed = rest.trim() === '' ? '' : rest
    for (const statement of statements) await this.#execute(statement)
    return true
  }

  async #meta(line: string): Promise<boolean> {
    const command = metaCommand(line)
    if (command.kind === 'quit') return false
    if (command.kind === 'help') this.#context.output.line(META_HELP)
    else if (command.kind === 'query') await this.#execute(command.sql)
    else this.#context.output.aside('This is not a command of this prompt; \\? lists them.')
    return true
  }

  async #execute(statement: string): Promise<void> {
    this.#running = true
    try {
      if (!(await runStatement(this.#context, this.#connection, statement))) this.#failed = true
    } finally {
      this.#running = false
    }
  }

  #ask(): void {
    if (!this.#interactive) return
    this.#lines.setPrompt(this.#typed === '' ? `${this.#target}=> ` : `${this.#target}-> `)
    this.#lines.prompt()
  }

  #interrupt(): void {
    if (this.#running) this.#connection.cancel()
    else {
      this.#typed = ''
      this.#context.output.line()
      this.#ask()
    }
  }
}
