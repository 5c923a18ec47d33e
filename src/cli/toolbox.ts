import type { Readable, Writable } from 'node:stream'
import type { ExplainRequest, ExplanationView, NewToken, TokenRequest } from '../api/schemas.ts'
import type { PolicyDocument } from '../policy/index.ts'

/** Where a command reads and writes; handed in, so that tests need no process. */
export interface Terminal {
  readonly stdin: Readable & { readonly isTTY?: boolean }
  readonly stdout: Writable & { readonly isTTY?: boolean; readonly columns?: number }
  readonly stderr: Writable & { readonly isTTY?: boolean }
  readonly env: Readonly<Record<string, string | undefined>>
  readonly cwd: string
}

export interface FileProblem {
  readonly source: string
  readonly path: string
  readonly message: string
  readonly line?: number | undefined
  readonly column?: number | undefined
}

export interface GatewayOptions {
  readonly config: string
  readonly json: boolean
}

export interface DemoOptions {
  readonly dataFolder: string
  readonly json: boolean
}

/** What the composition root lends the command line, which lies below it. */
export interface Toolbox {
  readonly version: string
  /** Runs until a signal; the answer is the exit status. */
  runGateway(options: GatewayOptions, terminal: Terminal): Promise<number>
  runDemo(options: DemoOptions, terminal: Terminal): Promise<number>
  /** Everything that is wrong with the file and with the policies it names. */
  checkConfig(file: string): Promise<readonly FileProblem[]>
  /** The policies that the configuration names, parsed. */
  policyDocuments(file: string): Promise<readonly PolicyDocument[]>
  configSchema(): Promise<unknown>
  policySchema(): Promise<unknown>
  /** Judges a statement by the file alone; no gateway, no target. */
  explain(file: string, request: ExplainRequest): Promise<ExplanationView>
  /** Makes a token directly in the store: the first one, when no administrator has one yet. */
  createToken(file: string, request: TokenRequest): Promise<OfflineToken>
}

/** Where a client finds the gateway. */
export interface ProfileAddress {
  readonly api: string
  readonly postgres: { readonly host: string; readonly port: number; readonly tls?: boolean | undefined }
}

export interface OfflineToken extends NewToken {
  readonly profile: ProfileAddress
  /** The configuration's. */
  readonly dataFolder: string
}
