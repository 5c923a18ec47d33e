import type { GatewayError } from './errors.ts'
import type { AccessLevel, Facts, HoldTerms, RecordingMode, SessionInfo } from './words.ts'

/** Time, handed in so that one seed replays a conversation. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number
  /** Milliseconds on a clock that never jumps. */
  monotonic(): number
  /** Calls once after `ms`; the answer cancels it. Never keeps the process alive. */
  after(ms: number, call: () => void): () => void
}

/** Chance, handed in for the same reason. */
export interface Random {
  bytes(count: number): Buffer
}

/** The operator's log. Fields must never hold secrets, raw personal data or statement literals. */
export interface Logger {
  debug(message: string, fields?: Readonly<Record<string, unknown>>): void
  info(message: string, fields?: Readonly<Record<string, unknown>>): void
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void
  error(message: string, fields?: Readonly<Record<string, unknown>>): void
}

export interface TlsFacts {
  /** Negotiated application protocol, if any. */
  readonly alpn: string | undefined
  /** RFC 5929 `tls-server-end-point` data of the server's certificate: our own on a listener, the peer's when dialled. */
  readonly serverEndPoint: Buffer | undefined
}

/** A connected byte stream, TLS or not. Only the edge makes one. */
export interface ByteStream {
  /** For the log and the session's facts, e.g. `127.0.0.1`. */
  readonly remoteAddress: string
  readonly tls: TlsFacts | undefined
  /**
   * Sets the one reader. A chunk is borrowed for the call: copy what is kept (the read buffer may be reused).
   * `closed` is called once, with the error if there was one.
   */
  read(on: { readonly data: (chunk: Buffer) => void; readonly closed: (error: Error | undefined) => void }): void
  /** Queues the buffers in order. The answer is false when the peer is slow: stop reading the other side until `onDrain`. */
  write(buffers: readonly Buffer[]): boolean
  onDrain(call: () => void): void
  pause(): void
  resume(): void
  /** Sends what is queued, then closes. */
  end(): void
  destroy(): void
  /** Bytes queued and not yet taken by the peer. */
  readonly queuedBytes: number
  /**
   * As the server, answers a TLS handshake on this stream from now on; as the client, starts one. Resolves with the
   * stream to use instead of this one. Rejects with a GatewayError; the stream is destroyed then.
   */
  startTls(options: TlsServerOptions | TlsClientOptions): Promise<ByteStream>
}

export interface TlsServerOptions {
  readonly role: 'server'
  readonly alpn: readonly string[]
}

export interface TlsClientOptions {
  readonly role: 'client'
  readonly alpn: readonly string[]
  /** `none`: encrypt only; `ca`: verify the chain; `full`: verify the chain and the host name. */
  readonly verify: 'none' | 'ca' | 'full'
  readonly serverName: string
  /** PEM; undefined means the system's roots. */
  readonly ca: string | undefined
}

export type Dial = (
  address: { readonly host: string; readonly port: number } | { readonly path: string },
) => Promise<ByteStream>

/** What is kept of a token: RFC 5802 section 3, SCRAM-SHA-256. The secret cannot be computed from it. */
export interface ScramVerifier {
  readonly salt: Buffer
  readonly iterations: number
  readonly storedKey: Buffer
  readonly serverKey: Buffer
}

/** Everything a protocol needs to open the target; lives for the session, never printed. */
export interface TargetAccess {
  readonly info: SessionInfo['target']
  /** The protocol's own part of the target's configuration, already parsed by the protocol's `config.ts`. */
  readonly connection: unknown
  /** Resolved when the session opens. */
  readonly credential: { readonly user: string; readonly password: string | undefined }
  readonly recording: RecordingMode
}

export interface OpenedSession {
  readonly info: SessionInfo
  readonly target: TargetAccess
}

export interface OpenSessionRequest {
  /** Proven by the protocol: the caller has authenticated this token. */
  readonly tokenId: string
  readonly targetName: string
  readonly protocol: string
  readonly client: SessionInfo['client']
}

export interface ReviewRequest {
  readonly session: SessionInfo
  readonly rule: string
  readonly reason: string
  readonly hold: HoldTerms
  /** SHA-256 over the exact bytes and parameters. */
  readonly digest: Buffer
  readonly text: string
  /** Display forms, already masked where the recording would mask them; `null` is SQL NULL. */
  readonly parameters: readonly (string | null)[]
  readonly facts: Facts
  /** What the reviewer is told beyond the facts. */
  readonly evidence: ReviewEvidence
}

export interface ReviewEvidence {
  /** The planner's estimate; undefined when it could not be had. */
  readonly estimatedRows: number | undefined
  /** Rows that DELETE/UPDATE would touch, counted; undefined when it does not apply or could not be had. */
  readonly affectedRows: number | undefined
  /** Why a number is missing, in words. */
  readonly note: string | undefined
}

export type ReviewOutcome =
  | { readonly kind: 'approved'; readonly reviewId: string; readonly by: readonly string[] }
  | { readonly kind: 'denied'; readonly reviewId: string; readonly by: string; readonly reason: string }
  | { readonly kind: 'expired'; readonly reviewId: string }
  | { readonly kind: 'withdrawn'; readonly reviewId: string }

export interface PendingReview {
  readonly id: string
  /** Where a human answers it. */
  readonly link: string
  /** Resolves once; approval is not yet spent. Never rejects for an ordinary outcome. */
  readonly outcome: Promise<ReviewOutcome>
  /** Idempotent; the outcome becomes `withdrawn` if it was still open. */
  withdraw(reason: string): void
}

export interface SessionSummary {
  readonly endedAt: number
  readonly reason: string
  readonly operations: number
  readonly denied: number
  readonly rowsReturned: number
  readonly bytesReturned: number
  /** Of the sealed recording; undefined when it could not be sealed. */
  readonly recordingDigest?: Buffer
}

/** Where the data plane meets the control plane. One process: a call. Worker processes: a message. */
export interface ControlPlane {
  /**
   * The verifier to run SCRAM against. Unknown, revoked and expired ids get a stable made-up one, so that neither the
   * answer nor its time tells them apart; `known` must only be looked at after the proof failed or succeeded.
   */
  verifierFor(tokenId: string): Promise<{ readonly verifier: ScramVerifier; readonly known: boolean }>
  /** Before a login: too many failures of late? @throws GatewayError `auth.throttled` */
  admitLogin(address: string, tokenId: string): void
  /** A login failed; counts towards `admitLogin`. */
  loginFailed(address: string, tokenId: string): void
  /** The seam for bearer tokens as passwords (identity providers); answers the token id to open the session with. */
  authenticateBearer?(bearer: string): Promise<string>
  /** Authorises and registers. @throws GatewayError `access.no_grant`, `auth.failed`, `session.limit`, `secret.unresolved`, `gateway.draining` */
  openSession(request: OpenSessionRequest): Promise<OpenedSession>
  closeSession(id: string, summary: SessionSummary): Promise<void>
  requestReview(request: ReviewRequest): Promise<PendingReview>
  /**
   * Spends an approval, once, atomically, for exactly this digest.
   * @returns false when it was spent before, does not match, or has expired: then nothing may run.
   */
  spendApproval(reviewId: string, digest: Buffer): Promise<boolean>
  /** Calls once when the session must end; the answer stops listening. */
  onRevoked(sessionId: string, call: (reason: GatewayError) => void): () => void
}

export type { AccessLevel }
