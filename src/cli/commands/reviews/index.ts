import { z } from 'zod'
import { type ReviewView, reviewView } from '../../../api/schemas.ts'
import type { Context, Register } from '../../context.ts'
import { shorten, shortTime } from '../../output.ts'

export const registerReviews: Register = (parent, { run }) => {
  const reviews = parent.command('reviews').alias('review').description('answer operations that wait for a human')
  reviews
    .command('list')
    .description('what waits for you, or what you wait for')
    .option('--all', 'answered ones too')
    .action(run((context, options: { all?: boolean }) => list(context, options.all === true)))
  reviews
    .command('show <id>')
    .description('the exact statement, its facts, and how many rows it would touch')
    .action(run((context, id: string) => show(context, id)))
  for (const verdict of ['approve', 'deny'] as const)
    reviews
      .command(`${verdict} <id>`)
      .description(verdict === 'approve' ? 'let it run, once' : 'refuse it')
      .option('--reason <text>', 'goes on the record and to the requester')
      .action(
        run((context, id: string, options: { reason?: string }) => answer(context, id, verdict, options.reason ?? '')),
      )
}

async function list(context: Context, all: boolean): Promise<undefined> {
  const { output } = context
  const client = await context.client()
  const page = await client.get(`/api/v1/reviews?all=${all}`, z.object({ items: z.array(reviewView) }))
  output.answer(page, () =>
    output.table(
      ['ID', 'STATE', 'REQUESTER', 'TARGET', 'RULE', 'EXPIRES (UTC)', 'STATEMENT'],
      page.items.map((one) => [
        one.id,
        one.state,
        one.requester,
        one.target,
        one.rule,
        shortTime(one.expiresAt),
        shorten(one.text, 60),
      ]),
      all ? 'There are no reviews that you may see.' : 'Nothing waits for a review.',
    ),
  )
}

async function show(context: Context, id: string): Promise<undefined> {
  const client = await context.client()
  const review = await client.get(`/api/v1/reviews/${encodeURIComponent(id)}`, reviewView)
  context.output.answer(review, () => tellReview(context, review))
}

async function answer(context: Context, id: string, verdict: 'approve' | 'deny', reason: string): Promise<undefined> {
  const { output } = context
  const client = await context.client()
  const review = await client.post(`/api/v1/reviews/${encodeURIComponent(id)}/${verdict}`, { reason }, reviewView)
  output.answer(review, () => {
    const { needed, given } = review.approvals
    const waiting = review.state === 'pending' ? ` ${given.length} of ${needed} approvals; it still waits.` : ''
    output.line(`Review ${review.id}: ${verdict === 'approve' ? 'approved' : 'denied'} by you.${waiting}`)
    output.line(`${review.requester} on ${review.target}: ${shorten(review.text, 100)}`)
  })
}

function tellReview({ output }: Context, review: ReviewView): void {
  const { evidence, facts } = review
  output.fields([
    ['review', review.id],
    ['state', review.state],
    ['requester', review.requester],
    ['target', review.target],
    ['session', review.session],
    ['rule', `${review.rule}: ${review.reason}`],
    ['reviewers', review.reviewers.join(', ')],
    ['approvals', `${review.approvals.given.length} of ${review.approvals.needed}`],
    ['expires', `${shortTime(review.expiresAt)} UTC`],
    ['rows', rowsOf(evidence)],
    ['does', listOf(facts['kinds'])],
    ['reads', listOf(facts['reads'])],
    ['writes', listOf(facts['writes'])],
    ['unbounded', facts['unbounded'] === true ? 'yes: it touches every row' : 'no'],
    ['statement', review.text],
    ...review.parameters.map((value, index): [string, string] => [`$${index + 1}`, value ?? 'NULL']),
    ...review.answers.map((one): [string, string] => [one.verdict, `${one.by} ${shortTime(one.at)} ${one.reason}`]),
  ])
}

function rowsOf(evidence: ReviewView['evidence']): string {
  const parts: string[] = []
  if (evidence.affectedRows !== undefined) parts.push(`touches ${evidence.affectedRows} (counted)`)
  if (evidence.estimatedRows !== undefined) parts.push(`planner expects ${evidence.estimatedRows}`)
  if (evidence.note !== undefined) parts.push(evidence.note)
  return parts.length === 0 ? 'not known' : parts.join('; ')
}

function listOf(value: unknown): string | undefined {
  return Array.isArray(value) && value.length > 0 ? value.join(', ') : undefined
}
