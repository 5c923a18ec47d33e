import { type AddressInfo, createServer, type Socket } from 'node:net'
import { createSecureContext } from 'node:tls'
import { type ByteStream, GatewayError } from '../kernel/index.ts'
import { OLDEST_TLS, type ServerTls, SocketStream } from './byte-stream.ts'
import { serverEndPointOfPem } from './end-point.ts'

export interface ListenLimits {
  /** Further connections are dropped at once. */
  readonly maxConnections: number
  /** Idle time before the first TCP keep-alive probe. */
  readonly keepAliveMs: number
}

export const DEFAULT_LISTEN_LIMITS: ListenLimits = { maxConnections: 10_000, keepAliveMs: 60_000 }

export interface ListenOptions {
  readonly host: string
  /** 0 takes a free one. */
  readonly port: number
  /** PEM texts; the certificate may be followed by its chain. Without them `startTls` is refused. */
  readonly tls?: { readonly cert: string; readonly key: string } | undefined
  readonly limits?: Partial<ListenLimits>
  /** What the person who configures it calls this listener, such as `listeners.postgres`. */
  readonly setting?: string
  readonly onStream: (stream: ByteStream) => void
}

export interface Listener {
  readonly address: { readonly host: string; readonly port: number }
  /** Connections now open, those on which TLS runs included. */
  readonly connections: number
  /** Stops accepting. Open streams live on; end them first or call `destroyStreams`. */
  close(): Promise<void>
  destroyStreams(): void
}

/**
 * Accepts connections.
 * @throws GatewayError `config.invalid` - the certificate, the key or the address cannot be used.
 */
export async function listen(options: ListenOptions): Promise<Listener> {
  const limits = { ...DEFAULT_LISTEN_LIMITS, ...options.limits }
  const serverTls = options.tls === undefined ? undefined : loadTls(options.tls)
  const sockets = new Set<Socket>()
  const server = createServer(
    { noDelay: true, keepAlive: true, keepAliveInitialDelay: limits.keepAliveMs },
    (socket) => {
      sockets.add(socket)
      socket.once('close', () => sockets.delete(socket))
      options.onStream(new SocketStream(socket, { serverTls }))
    },
  )
  server.maxConnections = limits.maxConnections
  await new Promise<void>((resolve, reject) => {
    // Stays for good: running out of file descriptors while accepting must not end the process.
    server.on('error', (error) => reject(taken(options, error)))
    server.listen(options.port, options.host, resolve)
  })
  const { address, port } = server.address() as AddressInfo
  return {
    address: { host: address, port },
    get connections() {
      return sockets.size
    },
    async close() {
      server.close()
    },
    destroyStreams() {
      for (const socket of sockets) socket.destroy()
    },
  }
}

function loadTls(pem: { readonly cert: string; readonly key: string }): ServerTls {
  try {
    const context = createSecureContext({ cert: pem.cert, key: pem.key, minVersion: OLDEST_TLS })
    return { context, serverEndPoint: serverEndPointOfPem(pem.cert) }
  } catch (error) {
    throw unusable("The listener's certificate or key cannot be used", error)
  }
}

function taken({ host, port, setting }: ListenOptions, error: Error): GatewayError {
  const code = 'code' in error ? String(error.code) : 'unknown failure'
  const { said, next } = ADDRESS_TROUBLES[code] ?? { said: 'cannot be used', next: 'Check the host and the port' }
  return new GatewayError('config.invalid', `The address ${host}:${port} ${said} (${code}).`, {
    hint: setting === undefined ? `${next}.` : `${next}: ${setting}.host and ${setting}.port.`,
    cause: error,
  })
}

const ADDRESS_TROUBLES: Readonly<Record<string, { readonly said: string; readonly next: string }>> = {
  EADDRINUSE: { said: 'is in use', next: 'Stop what uses it, or choose another one' },
  EACCES: { said: 'may not be used by this user', next: 'Choose a port from 1024 on' },
  EADDRNOTAVAIL: { said: 'is not one of this machine', next: 'Choose an address of this machine' },
  ENOTFOUND: { said: 'has a host name that cannot be resolved', next: 'Check the name' },
}

function unusable(message: string, error: unknown): GatewayError {
  const reason = error instanceof Error ? error.message : String(error)
  return new GatewayError('config.invalid', `${message}: ${reason}.`, { cause: error })
}
