import type { Command } from 'commander'
import { ApiClient } from './client.ts'
import { Output } from './output.ts'
import { currentProfile, dataFolderOf, type Profile, type ProfileChoice } from './profiles.ts'
import type { Terminal, Toolbox } from './toolbox.ts'

interface GlobalOptions {
  readonly profile?: string
  readonly data?: string
  readonly json?: boolean
  readonly debug?: boolean
}

/** What every command has at hand. */
export class Context {
  readonly terminal: Terminal
  readonly toolbox: Toolbox
  readonly output: Output
  readonly #choice: ProfileChoice

  constructor(terminal: Terminal, toolbox: Toolbox, options: GlobalOptions) {
    this.terminal = terminal
    this.toolbox = toolbox
    this.output = new Output(terminal, options.json === true)
    this.#choice = { name: options.profile, dataFolder: options.data }
  }

  get dataFolder(): string {
    return dataFolderOf(this.#choice, this.terminal)
  }

  /** Whether somebody chose it, rather than leaving it to the default. */
  get dataFolderChosen(): boolean {
    return (this.#choice.dataFolder ?? this.terminal.env['SALLYPORT_DATA']) !== undefined
  }

  profile(): Promise<Profile> {
    return currentProfile(this.#choice, this.terminal)
  }

  async client(): Promise<ApiClient> {
    return new ApiClient(await this.profile())
  }
}

/** A command's work; the answer is the exit status, 0 when there is none. */
export type Work<Arguments extends readonly unknown[]> = (
  context: Context,
  ...given: Arguments
) => Promise<number | undefined>

/** Adds commands to a parent; the program makes it, so that every command gets its context the same way. */
export interface Registrar {
  readonly run: <Arguments extends readonly unknown[]>(work: Work<Arguments>) => (...given: unknown[]) => Promise<void>
}

export type Register = (parent: Command, registrar: Registrar) => void
