// Facts of statements: how fast the analyzer reads SQL it has never seen, has seen with other literals, or knows.

import { DEFAULT_SQL_LIMITS, loadParser, SqlAnalyzer } from '../dist/sql/index.js'
import { main, median, round, table } from './lib/figures.js'

export const DEFAULTS = { seconds: 1, rounds: 3 }

/** Statements as clients and ORMs send them; each with a literal that is another one every time. */
const STATEMENTS = {
  point: (n) => `select abalance from pgbench_accounts where aid = ${n}`,
  update: (n) => `update accounts set balance = balance + ${n % 100} where id = ${n}`,
  insert: (n) => `insert into history (account_id, amount, note) values (${n}, ${n % 100}, 'paid by card')`,
  orm: (n) =>
    `select "o"."id", "o"."placed_at", "o"."status", "c"."id" as "c_id", "c"."name" as "c_name", "c"."email" as "c_email" from "orders" as "o" left join "customers" as "c" on "c"."id" = "o"."customer_id" where "o"."status" in ('open', 'paid') and "o"."placed_at" > '2026-01-01' and "c"."id" = ${n} order by "o"."placed_at" desc limit 50 offset 0`,
  report: (n) =>
    `with recent as (select customer_id, sum(amount) as total, count(*) as orders from payments where paid_at > now() - interval '30 days' and amount > ${n} group by customer_id), ranked as (select r.*, rank() over (order by r.total desc) as place from recent r) select c.name, c.city, k.total, k.orders, case when k.place <= 10 then 'top' else 'rest' end as class from ranked k join customers c on c.id = k.customer_id where not exists (select 1 from tickets t where t.customer_id = c.id and t.state = 'open') order by k.total desc limit 100`,
}

/** @param {typeof DEFAULTS} options */
export async function measure({ seconds, rounds }) {
  await loadParser()
  const cases = Object.entries(STATEMENTS).map(([statement, make]) => {
    const cold = new SqlAnalyzer({ limits: DEFAULT_SQL_LIMITS, cacheEntries: 0 })
    const warm = new SqlAnalyzer({ limits: DEFAULT_SQL_LIMITS, cacheEntries: 1000 })
    const known = make(1)
    const speed = (/** @type {(n: number) => unknown} */ work) => repeat(work, seconds, rounds)
    const perSecond = {
      cold: speed((n) => cold.analyze(make(n))),
      otherLiterals: speed((n) => warm.analyze(make(n))),
      cached: speed(() => warm.analyze(known)),
    }
    const bytes = Buffer.byteLength(known)
    return { statement, bytes, perSecond, coldMegabytesPerSecond: round((perSecond.cold * bytes) / 1e6, 1) }
  })
  return { cases }
}

/**
 * @param {(n: number) => unknown} work
 * @param {number} seconds
 * @param {number} rounds
 */
function repeat(work, seconds, rounds) {
  let n = 1
  const once = (/** @type {number} */ ms) => {
    const began = performance.now()
    let done = 0
    for (; performance.now() - began < ms; done += 20) for (let at = 0; at < 20; at++) work(n++)
    return (done / (performance.now() - began)) * 1000
  }
  once(Math.min(200, seconds * 200)) // compiled
  return round(median(Array.from({ length: rounds }, () => once((seconds * 1000) / rounds))))
}

/** @param {Awaited<ReturnType<typeof measure>>} result */
export function tables({ cases }) {
  const rows = cases.map(({ statement, bytes, perSecond, coldMegabytesPerSecond }) => {
    const { cold, otherLiterals, cached } = perSecond
    return [`${statement}, ${bytes} B`, cold, coldMegabytesPerSecond, otherLiterals, cached]
  })
  return table(['facts per second, one core', 'never seen', 'the same in MB/s', 'other literals', 'known text'], rows)
}

await main(import.meta.url, DEFAULTS, measure)
