import type { PolicyStatus, ReviewView, SessionView, TokenView } from '../api/schemas.ts'
import { principalLabel } from '../kernel/index.ts'
import type { Review } from '../review/index.ts'
import { principalOf, type SessionRow, type TokenRow } from '../store/index.ts'
import type { PolicyKeeper } from './policy-keeper.ts'

/** The house's values as the API shows them. */

function time(ms: number): string {
  return new Date(ms).toISOString()
}

export function viewReview(review: Review): ReviewView {
  const { evidence } = review
  return {
    id: review.id,
    state: review.state,
    requester: principalLabel(review.requester),
    target: review.target.name,
    session: review.sessionId,
    rule: review.rule,
    reason: review.reason,
    reviewers: [...new Set(review.quorums.flatMap((quorum) => quorum.reviewers))],
    approvals: {
      needed: Math.max(...review.quorums.map((quorum) => quorum.approvals)),
      given: review.answers.filter((one) => one.verdict === 'approve').map((one) => one.reviewer.subject),
    },
    createdAt: time(review.createdAt),
    expiresAt: time(review.expiresAt),
    text: review.text,
    parameters: [...review.parameters],
    facts: { ...review.facts },
    evidence: {
      ...(evidence.estimatedRows === undefined ? {} : { estimatedRows: evidence.estimatedRows }),
      ...(evidence.affectedRows === undefined ? {} : { affectedRows: evidence.affectedRows }),
      ...(evidence.note === undefined ? {} : { note: evidence.note }),
    },
    answers: review.answers.map((one) => ({
      by: one.reviewer.subject,
      verdict: one.verdict,
      reason: one.reason,
      at: time(one.at),
    })),
  }
}

export function viewSession(row: SessionRow): SessionView {
  const { ended } = row
  return {
    id: row.id,
    principal: principalLabel(row.principal),
    target: row.target.name,
    level: row.level,
    tokenId: row.tokenId,
    client: row.client,
    startedAt: time(row.startedAt),
    endedAt: ended === undefined ? null : time(ended.endedAt),
    endReason: ended?.reason ?? null,
    operations: ended?.operations ?? 0,
    denied: ended?.denied ?? 0,
    rowsReturned: ended?.rowsReturned ?? 0,
  }
}

export function viewToken(token: TokenRow): TokenView {
  return {
    id: token.id,
    name: token.name,
    principal: principalLabel(principalOf(token)),
    subject: token.identity.subject,
    actor: { kind: token.actor.kind, name: token.actor.name },
    targets: token.targets === undefined ? null : [...token.targets],
    level: token.levelCap,
    createdAt: time(token.createdAt),
    createdBy: token.createdBy,
    expiresAt: time(token.expiresAt),
    revokedAt: token.revokedAt === undefined ? null : time(token.revokedAt),
    lastUsedAt: token.lastUsedAt === undefined ? null : time(token.lastUsedAt),
  }
}

export function viewPolicy(keeper: PolicyKeeper): PolicyStatus {
  const { snapshot, loadedAt, problems, warnings } = keeper.state
  return {
    digest: snapshot.digest,
    rules: snapshot.rules.map(({ name, source, effect, mode, description }) => {
      return { name, source, effect, mode, ...(description === undefined ? {} : { description }) }
    }),
    loadedAt: time(loadedAt),
    sources: [...keeper.sources],
    problems: problems.map((problem) => ({ ...problem })),
    warnings: warnings.map((warning) => ({ ...warning })),
  }
}
