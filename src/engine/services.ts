import type {
  ByteStream,
  Clock,
  ControlPlane,
  Dial,
  Logger,
  Random,
  RecordingMode,
  SessionInfo,
} from '../kernel/index.ts'
import type { Masker } from '../masking/index.ts'
import type { PolicySnapshot } from '../policy/index.ts'
import type { Journal } from '../recording/index.ts'
import type { SessionLimits } from './limits.ts'

/** All that a protocol needs from the house; the composition root fills it in. */
export interface EngineServices {
  readonly control: ControlPlane
  /** The snapshot in force now; swapped atomically by a reload. */
  readonly policy: () => PolicySnapshot
  /** Starts the recording of a session. Rejects when it cannot be written: then the session must not open. */
  readonly openJournal: (session: SessionInfo, mode: RecordingMode) => Promise<Journal>
  readonly masker: Masker
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly dial: Dial
  readonly limits: SessionLimits
  readonly tls: { readonly available: boolean; readonly required: boolean }
}

/** What a protocol folder offers; registering one is one line in the composition root. */
export interface Protocol {
  readonly name: string
  /** Takes over an accepted connection. Never throws; every failure is told to the client and the log. */
  serve(stream: ByteStream): void
  /** Tells a new client, without a wait for anything it says, that too many wait already, and ends the connection. */
  refuse?(stream: ByteStream): void
  /** Sessions open now. */
  readonly sessionCount: number
  /** Refuses new sessions, lets running operations finish for at most `deadlineMs`, then ends the rest. */
  drain(deadlineMs: number): Promise<void>
}

export type ProtocolFactory = (services: EngineServices) => Protocol
