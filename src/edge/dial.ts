import { connect } from 'node:net'
import { type Dial, GatewayError } from '../kernel/index.ts'
import { SocketStream } from './byte-stream.ts'

export interface DialOptions {
  readonly connectTimeoutMs: number
  /** Idle time before the first TCP keep-alive probe. */
  readonly keepAliveMs: number
}

export const DEFAULT_DIAL_OPTIONS: DialOptions = { connectTimeoutMs: 10_000, keepAliveMs: 60_000 }

/**
 * Makes the function that opens connections to targets.
 * It rejects with GatewayError `target.unreachable`; the address is in the operator's detail only.
 */
export function makeDial(options: Partial<DialOptions> = {}): Dial {
  const { connectTimeoutMs, keepAliveMs } = { ...DEFAULT_DIAL_OPTIONS, ...options }
  return (address) =>
    new Promise((resolve, reject) => {
      const socket = connect({ ...address, noDelay: true, keepAlive: true, keepAliveInitialDelay: keepAliveMs })
      socket.pause()
      const timer = setTimeout(() => fail(new Error(`no connection after ${connectTimeoutMs} ms`)), connectTimeoutMs)
      const fail = (error: Error) => {
        clearTimeout(timer)
        socket.destroy()
        reject(unreachable(error))
      }
      socket.once('error', fail)
      socket.once('connect', () => {
        clearTimeout(timer)
        const stream = new SocketStream(socket)
        socket.off('error', fail)
        resolve(stream)
      })
    })
}

function unreachable(error: Error): GatewayError {
  // Trying several addresses ends in an AggregateError without a text of its own.
  const causes = error instanceof AggregateError ? error.errors.map(String).join('; ') : error.message
  return new GatewayError('target.unreachable', 'The target did not accept a connection.', {
    detail: causes,
    cause: error,
  })
}
