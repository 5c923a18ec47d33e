import type { EngineServices } from '../../engine/index.ts'
import type { OpenedSession } from '../../kernel/index.ts'
import { DEFAULT_SQL_LIMITS, SqlAnalyzer } from '../../sql/index.ts'
import { CatalogKeeper } from './catalog-keeper.ts'
import type { QueryClient } from './query-client.ts'

/** Statements of one target whose analysis is kept. */
const CACHED_STATEMENTS = 5_000

/** What the sessions of one target share: its catalogue, and the analyses of statements that depend on it. */
export class TargetKnowledge {
  readonly catalog: CatalogKeeper
  readonly analyzer: SqlAnalyzer
  #opened: OpenedSession

  constructor(
    opened: OpenedSession,
    services: EngineServices,
    openClient: (opened: OpenedSession) => Promise<QueryClient>,
  ) {
    this.#opened = opened
    this.catalog = new CatalogKeeper({
      open: () => openClient(this.#opened),
      clock: services.clock,
      logger: services.logger,
      pollMs: services.limits.catalogPollMs,
    })
    this.analyzer = new SqlAnalyzer({
      limits: DEFAULT_SQL_LIMITS,
      cacheEntries: CACHED_STATEMENTS,
      functions: (name) => this.catalog.snapshot.functionVolatility(name),
    })
    // A function may have another volatility now, and a name may mean a user's function where it meant a built-in one.
    this.catalog.onChange(() => this.analyzer.clear())
  }

  /** The newest session's address and credential serve the next connection. */
  update(opened: OpenedSession): void {
    this.#opened = opened
  }
}
