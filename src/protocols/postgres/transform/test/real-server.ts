import { chmodSync, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { systemClock } from '../../../../edge/clock.ts'
import { makeDial } from '../../../../edge/dial.ts'
import { systemRandom } from '../../../../edge/random.ts'
import type { Logger } from '../../../../kernel/index.ts'
import { ManagedPostgres } from '../../../../store/managed-postgres.ts'
import { BackendFramer, parseCopyResponse, parseDiagnostic, parseRowDescription } from '../../decode.ts'
import { bind, describe, execute, parse, query, sync } from '../../encode.ts'
import { BACKEND, type CopyResponse, type FieldDescription, HEADER_BYTES } from '../../messages.ts'
import { QueryClient } from '../../query-client.ts'
import { closeTarget, connectTarget, type TargetLink } from '../../target.ts'

/** The package's own server, and Debian's where it is installed: the newest and an older release. */
export const SERVERS: readonly { readonly name: string; readonly binFolder: string | undefined }[] = [
  { name: 'packaged server', binFolder: undefined },
  ...['/usr/lib/postgresql/15/bin'].filter(existsSync).map((binFolder) => ({ name: binFolder, binFolder })),
]

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} }
const limits = { maxMessageBytes: 64 * 1024 * 1024 }

/** What the target sent for one question, byte for byte. */
export interface RawAnswer {
  readonly fields: FieldDescription[]
  /** Whole DataRow frames. */
  readonly rows: Buffer[]
  /** Bodies of CopyData. */
  readonly copy: Buffer[]
  copyResponse: CopyResponse | undefined
  error: Map<string, string> | undefined
}

/** A real server on a free port, in a folder that goes away with it. */
export class RealServer {
  readonly #server: ManagedPostgres
  readonly #folder: string
  readonly #links: TargetLink[] = []

  private constructor(server: ManagedPostgres, folder: string) {
    this.#server = server
    this.#folder = folder
  }

  static async start(binFolder: string | undefined): Promise<RealServer> {
    const folder = mkdtempSync(path.join(tmpdir(), 'sallyport-transform-'))
    chmodSync(folder, 0o711) // run as root, the server's account must get through
    const server = await ManagedPostgres.start({
      folder: path.join(folder, 'server'),
      listen: { host: '127.0.0.1', port: 0 },
      binFolder,
      log: silent,
    })
    return new RealServer(server, folder)
  }

  get majorVersion(): number {
    return this.#server.majorVersion
  }

  async #link(): Promise<TargetLink> {
    const { host, port, user, password, database } = this.#server.connection
    const link = await connectTarget({
      dial: makeDial(),
      connection: { address: { host, port }, database, tls: { mode: 'disable' }, connectTimeoutMs: 10_000 },
      credential: { user, password },
      startupParameters: new Map([['application_name', 'test']]),
      random: systemRandom,
      clock: systemClock,
      limits,
    })
    this.#links.push(link)
    return link
  }

  async client(): Promise<QueryClient> {
    return new QueryClient(await this.#link())
  }

  /** Simple protocol when `binary` is undefined, otherwise extended with that result format for all columns. */
  async ask(sql: string, binary?: boolean): Promise<RawAnswer> {
    const link = await this.#link()
    const answer: RawAnswer = { fields: [], rows: [], copy: [], copyResponse: undefined, error: undefined }
    const framer = new BackendFramer(limits)
    await new Promise<void>((resolve, reject) => {
      link.stream.read({
        data: (chunk) =>
          framer.push(chunk, (tag, buffer, start, end) => {
            if (tag === BACKEND.readyForQuery) resolve()
            else collect(answer, tag, buffer, start, end)
          }),
        closed: (error) => reject(error ?? new Error('the server closed the connection')),
      })
      const messages =
        binary === undefined
          ? [query(sql)]
          : [parse('', sql), bind('', '', [], [], [binary ? 1 : 0]), describe('portal', ''), execute(''), sync()]
      link.stream.write(messages)
    })
    closeTarget(link.stream)
    return answer
  }

  async stop(): Promise<void> {
    for (const link of this.#links) link.stream.destroy()
    await this.#server.stop()
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

function collect(answer: RawAnswer, tag: number, buffer: Buffer, start: number, end: number): void {
  if (tag === BACKEND.rowDescription) answer.fields.push(...parseRowDescription(buffer, start, end))
  if (tag === BACKEND.dataRow) answer.rows.push(Buffer.from(buffer.subarray(start, end)))
  if (tag === BACKEND.copyData) answer.copy.push(Buffer.from(buffer.subarray(start + HEADER_BYTES, end)))
  if (tag === BACKEND.copyOutResponse) answer.copyResponse = parseCopyResponse(buffer, start, end)
  if (tag === BACKEND.errorResponse) answer.error = parseDiagnostic(buffer, start, end)
}
