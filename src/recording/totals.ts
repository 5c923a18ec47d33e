import type { SessionTotals } from '../kernel/index.ts'
import type { RecordingEvent } from './events.ts'

/** How a review ends when its operation does not run. */
const NOT_APPROVED: ReadonlySet<string> = new Set(['denied', 'expired', 'withdrawn'])

/** What a session did, counted from its recording as the session itself counts it. */
export class TotalsCount {
  #totals: SessionTotals = { operations: 0, rowsReturned: 0, bytesReturned: 0, denied: 0 }

  get totals(): Readonly<SessionTotals> {
    return this.#totals
  }

  add(event: RecordingEvent): void {
    const totals = this.#totals
    switch (event.type) {
      case 'operation':
        totals.operations = Math.max(totals.operations, event.operation)
        if (event.decision.kind === 'deny') totals.denied += 1
        return
      case 'review':
        if (NOT_APPROVED.has(event.state)) totals.denied += 1
        return
      case 'refused':
        totals.denied += 1
        return
      case 'rows':
        totals.rowsReturned += event.count
        totals.bytesReturned += event.cells.length
        return
      case 'rows_omitted':
        totals.rowsReturned += event.count
        totals.bytesReturned += event.bytes
        return
      case 'copy_data':
        if (event.direction === 'out') totals.bytesReturned += event.data.length
        return
      case 'copy_omitted':
        if (event.direction === 'out') totals.bytesReturned += event.bytes
        return
      case 'session_ended':
        this.#totals = { ...event.totals }
    }
  }
}
