import type { FrontendMessage } from './messages.ts'

/**
 * - `ready`: anything may come
 * - `copying`: a COPY FROM STDIN is open at the target
 * - `skipping`: an error in an extended-query segment; everything up to the next Sync is dropped, as the target does
 */
export type FrontendState = 'ready' | 'copying' | 'skipping'

/**
 * - `handle`: judge it
 * - `pass`: it belongs to the open COPY
 * - `drop`: the target would ignore it in this state, so it does not travel
 * - `refuse`: answered with an error, the session goes on
 * - `end`: the client says good-bye
 * - `fatal`: the conversation cannot be followed any more
 */
export type Step = 'handle' | 'pass' | 'drop' | 'refuse' | 'end' | 'fatal'

/**
 * Which message may come when.
 * @see https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-EXT-QUERY and #PROTOCOL-COPY
 */
export const FRONTEND_STEPS: Readonly<Record<FrontendMessage['kind'], Readonly<Record<FrontendState, Step>>>> = {
  query: { ready: 'handle', copying: 'fatal', skipping: 'drop' },
  parse: { ready: 'handle', copying: 'fatal', skipping: 'drop' },
  bind: { ready: 'handle', copying: 'fatal', skipping: 'drop' },
  describe: { ready: 'handle', copying: 'fatal', skipping: 'drop' },
  execute: { ready: 'handle', copying: 'fatal', skipping: 'drop' },
  close: { ready: 'handle', copying: 'fatal', skipping: 'drop' },
  sync: { ready: 'handle', copying: 'handle', skipping: 'handle' },
  flush: { ready: 'handle', copying: 'drop', skipping: 'drop' },
  functionCall: { ready: 'refuse', copying: 'fatal', skipping: 'drop' },
  copyData: { ready: 'drop', copying: 'pass', skipping: 'drop' },
  copyDone: { ready: 'drop', copying: 'pass', skipping: 'drop' },
  copyFail: { ready: 'drop', copying: 'pass', skipping: 'drop' },
  password: { ready: 'fatal', copying: 'fatal', skipping: 'fatal' },
  terminate: { ready: 'end', copying: 'end', skipping: 'end' },
  opaque: { ready: 'fatal', copying: 'fatal', skipping: 'fatal' },
}
