import { Command, CommanderError } from 'commander'
import { registerAudit } from './commands/audit/index.ts'
import { registerConfig } from './commands/config/index.ts'
import { registerConnect } from './commands/connect.ts'
import { registerDemo } from './commands/demo.ts'
import { registerGateway } from './commands/gateway.ts'
import { registerPolicy } from './commands/policy/index.ts'
import { registerProfile } from './commands/profile/index.ts'
import { registerReviews } from './commands/reviews/index.ts'
import { registerSessions } from './commands/sessions/index.ts'
import { registerSql } from './commands/sql/index.ts'
import { registerToken } from './commands/token/index.ts'
import { registerWhoami } from './commands/whoami.ts'
import { Context, type Register, type Registrar } from './context.ts'
import { tellFailure } from './failure.ts'
import { Output } from './output.ts'
import type { Terminal, Toolbox } from './toolbox.ts'

const USAGE = 2

const COMMANDS: readonly Register[] = [
  registerDemo,
  registerGateway,
  registerConnect,
  registerSql,
  registerReviews,
  registerSessions,
  registerPolicy,
  registerAudit,
  registerToken,
  registerProfile,
  registerConfig,
  registerWhoami,
]

/**
 * Runs one command line.
 *
 * @param given - The arguments after `sallyport`.
 * @returns The exit status; never throws.
 */
export async function runCommand(given: readonly string[], toolbox: Toolbox, terminal: Terminal): Promise<number> {
  let status = 0
  const registrar: Registrar = {
    run:
      (work) =>
      async (...args) => {
        // commander hands over the positional arguments, then the options, then the command
        const context = new Context(terminal, toolbox, program.opts())
        status = (await work(context, ...(args.slice(0, -1) as never))) ?? 0
      },
  }
  const program = buildProgram(toolbox.version, registrar)
  program.exitOverride().configureOutput({
    writeOut: (text) => terminal.stdout.write(text),
    writeErr: (text) => terminal.stderr.write(text),
  })
  inherit(program)
  try {
    await program.parseAsync(given, { from: 'user' })
    return status
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : usage(error, given.length)
    const options = program.opts()
    return tellFailure(error, new Output(terminal, options['json'] === true), options['debug'] === true)
  }
}

/** All commands; what they do when they run is the registrar's. */
export function buildProgram(version: string, registrar: Registrar): Command {
  const program = new Command('sallyport')
    .description('A guarded door between AI agents and databases.')
    .version(version)
    .option('--profile <name>', 'profile to act as (default: $SALLYPORT_PROFILE, then `default`)')
    .option('--data <folder>', 'data folder (default: $SALLYPORT_DATA, then .sallyport)')
    .option('--json', 'answer with one JSON document')
    .option('--debug', 'show the operator detail of an error')
    .showSuggestionAfterError()
  for (const register of COMMANDS) register(program, registrar)
  return program
}

/** Help asked for is success; help shown because something was missing is not. */
function usage(error: CommanderError, count: number): number {
  return error.code === 'commander.help' && count === 0 ? 0 : USAGE
}

/** Sub-commands made before `exitOverride` was known must not end the process by themselves. */
function inherit(command: Command): void {
  for (const child of command.commands) {
    child.copyInheritedSettings(command)
    inherit(child)
  }
}
