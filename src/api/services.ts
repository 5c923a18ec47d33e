import type { AuthorisationContext } from '../identity/index.ts'
import type { Principal } from '../kernel/index.ts'
import type {
  AuditReportView,
  CheckpointView,
  ExplainRequest,
  ExplanationView,
  ExportFormat,
  Health,
  NewToken,
  PolicyStatus,
  ReviewView,
  SessionView,
  TokenRequest,
  TokenView,
} from './schemas.ts'

/** Who asks: proven by the token's secret. */
export interface Caller {
  readonly principal: Principal
  readonly tokenId: string
  readonly administrator: boolean
}

export interface Page {
  readonly cursor: string | undefined
  readonly limit: number
}

/**
 * What the API needs of the house. Every call that takes a caller answers only what this caller may see or do, by the
 * same authorisation function that the guard has asked about the action as such, and throws `access.forbidden` or a `…not_found` otherwise.
 */
export interface ApiServices {
  readonly name: string
  readonly version: string
  /** @throws GatewayError `auth.failed`, the same for an unknown token and a wrong secret; `auth.throttled` */
  authenticate(tokenId: string, secret: string, address: string): Promise<Caller>
  /** What the one authorisation function needs to know now. */
  authorisation(): AuthorisationContext
  health(): Promise<Health>
  readonly reviews: {
    list(caller: Caller, filter: { readonly all: boolean; readonly limit: number }): Promise<readonly ReviewView[]>
    show(caller: Caller, id: string): Promise<ReviewView>
    answer(caller: Caller, id: string, verdict: 'approve' | 'deny', reason: string): Promise<ReviewView>
  }
  readonly sessions: {
    list(
      caller: Caller,
      filter: Page & { readonly open: boolean | undefined },
    ): Promise<{ readonly items: readonly SessionView[]; readonly next: string | undefined }>
    show(caller: Caller, id: string): Promise<SessionView>
    end(caller: Caller, id: string, reason: string): Promise<void>
    /** `text` for people; `json` is one event a line. Viewing is itself recorded in the audit log. */
    replay(caller: Caller, id: string, format: 'text' | 'json'): Promise<AsyncIterable<string>>
    /** `recording`: the file, byte by byte, for verification elsewhere; else its events, one a line. */
    export(caller: Caller, id: string, format: ExportFormat): Promise<AsyncIterable<string | Buffer>>
  }
  readonly tokens: {
    create(caller: Caller, request: TokenRequest): Promise<NewToken>
    list(caller: Caller): Promise<readonly TokenView[]>
    revoke(caller: Caller, id: string): Promise<TokenView>
  }
  readonly policy: {
    status(caller: Caller): Promise<PolicyStatus>
    explain(caller: Caller, request: ExplainRequest): Promise<ExplanationView>
    reload(caller: Caller): Promise<PolicyStatus>
  }
  readonly audit: {
    checkpoint(caller: Caller): Promise<CheckpointView>
    verify(caller: Caller): Promise<AuditReportView>
  }
}
