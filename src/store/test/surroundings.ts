import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { Clock, Logger } from '../../kernel/index.ts'

export const clock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, call) {
    const timer = setTimeout(call, ms).unref()
    return () => clearTimeout(timer)
  },
}

/** A log to look into. */
export function memoryLog(): Logger & { readonly lines: string[] } {
  const lines: string[] = []
  const note = (level: string) => (message: string, fields?: object) =>
    void lines.push(`${level} ${message} ${JSON.stringify(fields ?? {})}`)
  return { lines, debug: note('debug'), info: note('info'), warn: note('warn'), error: note('error') }
}

/** A folder that any account may enter, and its removal. */
export function temporaryFolder(name: string): { readonly folder: string; readonly remove: () => void } {
  const folder = mkdtempSync(path.join(tmpdir(), `sallyport-test-${name}-`))
  chmodSync(folder, 0o711) // mkdtemp closes it to other accounts
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) }
}
