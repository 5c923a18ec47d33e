import { isIP, type Socket } from 'node:net'
import { checkServerIdentity, connect, type SecureContext, TLSSocket } from 'node:tls'
import {
  type ByteStream,
  GatewayError,
  type TlsClientOptions,
  type TlsFacts,
  type TlsServerOptions,
} from '../kernel/index.ts'
import { serverEndPointOf } from './end-point.ts'

/** A peer that neither reads what is left nor closes is dropped after this long. */
const CLOSE_LINGER_MS = 5000
export const OLDEST_TLS = 'TLSv1.2'

/** What a listener needs to answer handshakes; made once from its certificate. */
export interface ServerTls {
  readonly context: SecureContext
  readonly serverEndPoint: Buffer | undefined
}

/** Bytes of the handshake that were read to find out that it is one. */
type ServerHandshake = TlsServerOptions & { readonly received?: Buffer }

type Reader = Parameters<ByteStream['read']>[0]

/** A socket as the kernel's port has it. Nothing is read before `read`, which also ends a pause. */
export class SocketStream implements ByteStream {
  readonly remoteAddress: string
  readonly tls: TlsFacts | undefined
  readonly #socket: Socket
  readonly #serverTls: ServerTls | undefined
  #reader: Reader | undefined
  #drained: (() => void) | undefined
  #error: Error | undefined
  #closed = false
  readonly #onData = (chunk: Buffer) => this.#reader?.data(chunk)
  readonly #onClose = () => this.#finish()

  constructor(socket: Socket, options: { readonly tls?: TlsFacts; readonly serverTls?: ServerTls | undefined } = {}) {
    this.#socket = socket
    this.tls = options.tls
    this.#serverTls = options.serverTls
    this.remoteAddress = socket.remoteAddress ?? 'local'
    socket.pause()
    // Stays for good: an error on a socket that TLS took over must not end the process.
    socket.on('error', (error) => {
      this.#error ??= error
    })
    socket.on('drain', () => this.#drained?.())
    socket.on('close', this.#onClose)
    if (socket.destroyed) this.#closed = true
  }

  get queuedBytes(): number {
    return this.#socket.writableLength
  }

  read(on: Reader): void {
    const first = this.#reader === undefined
    this.#reader = on
    if (this.#closed) {
      queueMicrotask(() => on.closed(this.#error))
      return
    }
    if (first) this.#socket.on('data', this.#onData)
    this.#socket.resume()
  }

  write(buffers: readonly Buffer[]): boolean {
    const socket = this.#socket
    // What is written to a peer that has gone is lost either way; `closed` tells.
    if (!socket.writable) return true
    if (buffers.length === 1) return socket.write(buffers[0]!)
    socket.cork()
    for (const buffer of buffers) socket.write(buffer)
    socket.uncork()
    return !socket.writableNeedDrain
  }

  /** Sets what is called whenever the queue has emptied after a `write` that answered false. */
  onDrain(call: () => void): void {
    this.#drained = call
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  end(): void {
    if (this.#closed) return
    this.#socket.end()
    // Reads on to its end, or the peer's close would never be seen.
    this.#socket.resume()
    const timer = setTimeout(() => this.#socket.destroy(), CLOSE_LINGER_MS)
    timer.unref()
    this.#socket.once('close', () => clearTimeout(timer))
  }

  destroy(): void {
    this.#socket.destroy()
  }

  startTls(options: TlsServerOptions | TlsClientOptions): Promise<ByteStream> {
    this.#socket.off('data', this.#onData)
    this.#socket.off('close', this.#onClose)
    this.#reader = undefined
    return options.role === 'server' ? this.#answerTls(options) : this.#openTls(options)
  }

  async #answerTls(options: ServerHandshake): Promise<ByteStream> {
    const { context, serverEndPoint } = this.#serverTls ?? {}
    if (context === undefined) {
      this.destroy()
      throw new GatewayError('gateway.internal', 'This listener has no certificate.')
    }
    if (options.received !== undefined) this.#socket.unshift(options.received)
    const secure = new TLSSocket(this.#socket, {
      isServer: true,
      secureContext: context,
      ALPNProtocols: [...options.alpn],
    })
    await this.#handshake(secure, 'secure', 'auth.tls_required')
    return new SocketStream(secure, { tls: { alpn: secure.alpnProtocol || undefined, serverEndPoint } })
  }

  async #openTls(options: TlsClientOptions): Promise<ByteStream> {
    const { serverName, verify } = options
    const secure = connect({
      socket: this.#socket,
      ALPNProtocols: [...options.alpn],
      minVersion: OLDEST_TLS,
      rejectUnauthorized: verify !== 'none',
      // RFC 6066 section 3: an address is no server name.
      servername: isIP(serverName) === 0 ? serverName : '',
      ...(options.ca === undefined ? {} : { ca: options.ca }),
      checkServerIdentity: (_host, certificate) =>
        verify === 'full' ? checkServerIdentity(serverName, certificate) : undefined,
    })
    await this.#handshake(secure, 'secureConnect', 'target.tls')
    const certificate = secure.getPeerX509Certificate()
    const serverEndPoint = certificate === undefined ? undefined : serverEndPointOf(certificate.raw)
    return new SocketStream(secure, { tls: { alpn: secure.alpnProtocol || undefined, serverEndPoint } })
  }

  #handshake(secure: TLSSocket, done: 'secure' | 'secureConnect', code: 'auth.tls_required' | 'target.tls') {
    secure.pause()
    return new Promise<void>((resolve, reject) => {
      let cause: Error | undefined
      // Without a tls.Server the platform reports a bad record only by `_tlsError`, also after the handshake.
      const failed = (error: Error) => {
        cause ??= error
        secure.destroy()
      }
      secure.on('_tlsError', failed)
      secure.on('error', failed)
      secure.once(done, resolve)
      secure.once('close', () => {
        this.#socket.destroy()
        const detail = (cause ?? this.#error)?.message ?? 'the peer closed the connection'
        reject(new GatewayError(code, 'The TLS handshake failed.', { detail, cause: cause ?? this.#error }))
      })
    })
  }

  #finish(): void {
    if (this.#closed) return
    this.#closed = true
    this.#reader?.closed(this.#error)
  }
}
