import { type Running, start } from './processes.ts'

export const CTRL_C = '\x03'

/** `psql` at a terminal of its own, so that Ctrl-C is what a person's Ctrl-C is. */
export function interactivePsql(env: Readonly<Record<string, string>>): Running {
  return start('script', ['-q', '-e', '-f', '-c', 'psql -X --pset=pager=off', '/dev/null'], {
    env: { ...env, TERM: 'dumb', LC_ALL: 'C.UTF-8' },
  })
}
