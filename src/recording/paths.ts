import { checkSessionId } from './header.ts'

/** Where recordings stand in their folder; verification and storage agree on it here. */
export function openPath(session: string): string {
  checkSessionId(session)
  return `open/${session}.journal`
}

/** By the day that the session began, UTC. */
function dayFolder(startedAt: number): string {
  return `sealed/${new Date(startedAt).toISOString().slice(0, 10).replaceAll('-', '/')}`
}

export function sealedPath(session: string, startedAt: number): string {
  checkSessionId(session)
  return `${dayFolder(startedAt)}/${session}.journal`
}

/** A write that was cut off, kept aside. `number` counts from 1, for a recovery that was itself cut off. */
export function tornPath(session: string, startedAt: number, number: number): string {
  checkSessionId(session)
  return `${dayFolder(startedAt)}/${session}.torn-${number}`
}

const JOURNAL = /^(?:open|sealed\/\d{4,}\/\d\d\/\d\d)\/([A-Za-z0-9][A-Za-z0-9_-]{0,63})\.journal$/

/** The session whose recording stands at this path; undefined for any other file. */
export function sessionAt(path: string): string | undefined {
  return JOURNAL.exec(path)?.[1]
}

/** Whether a file claims to be part of the recordings; beside them stands the running gateway's lock. */
export function isRecordingsPath(path: string): boolean {
  return path.startsWith('open/') || path.startsWith('sealed/')
}

const TORN = /^sealed\/\d{4,}\/\d\d\/\d\d\/[A-Za-z0-9][A-Za-z0-9_-]{0,63}\.torn-\d{1,6}$/

export function isTornPath(path: string): boolean {
  return TORN.test(path)
}
