import { join } from 'node:path'
import { GatewayError } from '../../kernel/index.ts'
import {
  openPath,
  type ReadingKeys,
  type RecordingEvent,
  readRecording,
  sealedPath,
  sessionAt,
} from '../../recording/index.ts'
import { filesBelow, streamIfThere } from './files.ts'

export interface FoundRecording {
  /** Relative to the recordings' folder. */
  readonly path: string
  readonly bytes: AsyncIterable<Buffer>
  /** The session may still be running. */
  readonly open: boolean
}

/** Reads a folder of recordings, also while a gateway writes it. */
export class RecordingReader {
  readonly #folder: string
  readonly #keys: ReadingKeys

  constructor(folder: string, keys: ReadingKeys) {
    this.#folder = folder
    this.#keys = keys
  }

  /** Sessions that have a recording, those that run first, then the latest day first. */
  async *list(): AsyncGenerator<
    { readonly session: string; readonly path: string; readonly open: boolean },
    void,
    void
  > {
    const sealed: { session: string; path: string; open: boolean }[] = []
    for await (const path of filesBelow(this.#folder)) {
      const session = sessionAt(path)
      if (session === undefined) continue
      const open = path.startsWith('open/')
      if (open) yield { session, path, open }
      else sealed.push({ session, path, open })
    }
    yield* sealed.sort((a, b) => (a.path < b.path ? 1 : -1))
  }

  /** @param startedAt - Spares the search through the days. */
  async find(session: string, startedAt?: number): Promise<FoundRecording | undefined> {
    const open = openPath(session)
    const running = await this.#stream(open, true)
    if (running !== undefined) return running
    if (startedAt !== undefined) return this.#stream(sealedPath(session, startedAt), false)
    for await (const one of this.list()) if (one.session === session) return this.#stream(one.path, one.open)
    return undefined
  }

  /**
   * @throws GatewayError `recording.not_found` - there is none.
   * @throws GatewayError `recording.invalid` - it is damaged; the events before the damage were given.
   */
  async *events(session: string, startedAt?: number): AsyncGenerator<RecordingEvent, void, void> {
    const found = await this.find(session, startedAt)
    if (found === undefined)
      throw new GatewayError('recording.not_found', `There is no recording of session ${session}.`)
    yield* readRecording(found.bytes, this.#keys, { open: found.open })
  }

  async #stream(path: string, open: boolean): Promise<FoundRecording | undefined> {
    const bytes = await streamIfThere(join(this.#folder, ...path.split('/')))
    return bytes && { path, bytes, open }
  }
}
