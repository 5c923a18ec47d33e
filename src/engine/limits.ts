/** What one session may use of the gateway. Each limit names its unit; config shows the same words. */
export interface SessionLimits {
  /** One protocol message in either direction, header included, bytes. Checked before buffering. */
  readonly maxMessageBytes: number
  /**
   * One message that holds a statement, bytes. Larger than what is judged, so that a text somewhat too long is refused
   * without ending the session.
   */
  readonly maxStatementMessageBytes: number
  /** Messages a client may pile up behind a held operation before it is no longer read, bytes. */
  readonly maxInboxBytes: number
  /** Unsent bytes towards one side before the other side is no longer read. */
  readonly maxQueuedBytes: number
  /** Statements and portals a client may keep open at once. */
  readonly maxNames: number
  /** Rows of one operation that the recording keeps; more are counted and hashed. */
  readonly maxRecordedRows: number
  /** Bytes of rows of one operation that the recording keeps. */
  readonly maxRecordedBytes: number
  /** From accepting a connection to the end of authentication, ms. */
  readonly authenticationTimeoutMs: number
  /** Opening the target, ms. */
  readonly connectTimeoutMs: number
  /** Waiting for the planner's estimate and the reviewer's row count, ms. */
  readonly evidenceTimeoutMs: number
  /** A session without a message from its client ends after this, ms; 0 means never. */
  readonly idleTimeoutMs: number
  /** A session ends after this whatever it does, ms; 0 means never. */
  readonly maxSessionMs: number
  /** Between two looks at the target's catalogue while sessions are open, ms. */
  readonly catalogPollMs: number
}

export const DEFAULT_SESSION_LIMITS: SessionLimits = {
  maxMessageBytes: 256 * 1024 * 1024,
  maxStatementMessageBytes: 16 * 1024 * 1024,
  maxInboxBytes: 4 * 1024 * 1024,
  maxQueuedBytes: 1024 * 1024,
  maxNames: 10_000,
  maxRecordedRows: 1_000,
  maxRecordedBytes: 256 * 1024,
  authenticationTimeoutMs: 10_000,
  connectTimeoutMs: 10_000,
  evidenceTimeoutMs: 2_000,
  idleTimeoutMs: 0,
  maxSessionMs: 12 * 60 * 60 * 1000,
  catalogPollMs: 5_000,
}
