import type { Grant } from '../../identity/index.ts'
import type { Clock, Identity, Logger, Random, RecordingMode, TargetInfo } from '../../kernel/index.ts'
import type { AdministrativeEntry } from '../../recording/index.ts'
import type { SecretResolver } from '../../secrets/index.ts'
import type { LeftSession, Store } from '../../store/index.ts'

export interface ControlTarget extends TargetInfo {
  /** The protocol's own part, parsed by the protocol. */
  readonly connection: unknown
  readonly credential: {
    readonly user: string
    /** A reference, never the password itself. */
    readonly password?: string | undefined
  }
  readonly recording: RecordingMode
}

/** What a reload may change while sessions run. */
export interface ControlSettings {
  /** Start of links to reviews, e.g. `http://127.0.0.1:15480`. */
  readonly publicUrl: string
  readonly adminGroups: readonly string[]
  readonly grants: readonly Grant[]
  readonly targets: readonly ControlTarget[]
  readonly limits: { readonly maxSessionsPerPrincipal: number; readonly maxSessions: number }
  /**
   * The people of one issuer as they are now. A token of that issuer is worth what its subject is worth today, and
   * nothing when the subject is gone. Without it a token keeps the identity it was made with.
   */
  readonly directory?: { readonly issuer: string; readonly identities: readonly Identity[] }
}

export interface ControlPlaneOptions {
  readonly store: Store
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly secrets: SecretResolver
  readonly settings: ControlSettings
  /** Durable when it resolves; what cannot be logged does not happen, except that revoking always works. */
  readonly audit: (entry: AdministrativeEntry) => Promise<unknown>
  readonly timings?: Partial<ControlTimings>
  /** Sessions whose recordings the gateway before us has left open: it held the lock of this data folder, so it is gone. */
  readonly leftBehind?: readonly LeftSession[]
}

/** Milliseconds. */
export interface ControlTimings {
  /** How long a token is remembered between looking it up; notices shorten that. */
  readonly tokenCacheMs: number
  /** Between two looks for what notices may have missed: with it, revoking works within two seconds in any case. */
  readonly pollMs: number
  readonly beatMs: number
  /** A gateway that was not seen for so long is gone, and its sessions are closed. */
  readonly goneAfterMs: number
  /** Sessions end when the store has been out of reach for so long, since nobody could revoke them. */
  readonly storeLossMs: number
  readonly usesMs: number
}

export const DEFAULT_TIMINGS: ControlTimings = {
  tokenCacheMs: 3_000,
  pollMs: 1_000,
  beatMs: 5_000,
  goneAfterMs: 30_000,
  storeLossMs: 60_000,
  usesMs: 30_000,
}

/** The settings in force; `reconfigure` swaps them whole. */
export class CurrentSettings {
  #settings: ControlSettings
  #targets: ReadonlyMap<string, ControlTarget>
  #people: ReadonlyMap<string, Identity>

  constructor(settings: ControlSettings) {
    this.#settings = settings
    this.#targets = targetsByName(settings)
    this.#people = peopleBySubject(settings)
  }

  replace(settings: ControlSettings): void {
    this.#settings = settings
    this.#targets = targetsByName(settings)
    this.#people = peopleBySubject(settings)
  }

  get now(): ControlSettings {
    return this.#settings
  }

  target(name: string): ControlTarget | undefined {
    return this.#targets.get(name)
  }

  /** What a token's identity is worth today; undefined when the subject is gone. */
  identity(known: Identity): Identity | undefined {
    const { directory } = this.#settings
    if (directory === undefined || directory.issuer !== known.issuer) return known
    return this.#people.get(known.subject)
  }
}

function targetsByName(settings: ControlSettings): ReadonlyMap<string, ControlTarget> {
  return new Map(settings.targets.map((target) => [target.name, target]))
}

function peopleBySubject(settings: ControlSettings): ReadonlyMap<string, Identity> {
  return new Map((settings.directory?.identities ?? []).map((identity) => [identity.subject, identity]))
}

export function infoOf(target: ControlTarget): TargetInfo {
  return { name: target.name, type: target.type, labels: target.labels }
}
