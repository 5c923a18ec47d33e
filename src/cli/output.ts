import pc from 'picocolors'
import type { Terminal } from './toolbox.ts'

/** Everything a command says goes through here: words for people, or one JSON document with `--json`. */
export class Output {
  readonly json: boolean
  readonly colors: ReturnType<typeof pc.createColors>
  readonly #terminal: Terminal

  constructor(terminal: Terminal, json: boolean) {
    this.#terminal = terminal
    this.json = json
    const { NO_COLOR, FORCE_COLOR, TERM } = terminal.env
    const wanted = terminal.stdout.isTTY === true && TERM !== 'dumb'
    this.colors = pc.createColors((NO_COLOR ?? '') === '' && (wanted || (FORCE_COLOR ?? '') !== ''))
  }

  /** A line for people; silent with `--json`. */
  line(text = ''): void {
    if (!this.json) this.#terminal.stdout.write(`${text}\n`)
  }

  /** The answer: the value with `--json`, else the words. */
  answer(value: unknown, words: () => void): void {
    if (this.json) this.#terminal.stdout.write(`${JSON.stringify(value, null, 2)}\n`)
    else words()
  }

  /** Bytes as they are, such as a replay; resolves when they may be followed by more. */
  async raw(chunk: string | Buffer): Promise<void> {
    if (!this.#terminal.stdout.write(chunk))
      await new Promise<void>((resolve) => this.#terminal.stdout.once('drain', resolve))
  }

  /** Aside, to standard error, with or without `--json`. */
  aside(text: string): void {
    this.#terminal.stderr.write(`${text}\n`)
  }

  table(columns: readonly string[], rows: readonly (readonly string[])[], empty: string): void {
    if (rows.length === 0) this.line(empty)
    else for (const line of alignTable(columns, rows, this.colors.dim)) this.line(line)
  }

  /** Label and value, aligned. */
  fields(fields: readonly (readonly [string, string | undefined])[]): void {
    const shown = fields.filter((field): field is [string, string] => field[1] !== undefined)
    const width = Math.max(...shown.map(([label]) => label.length))
    for (const [label, value] of shown) {
      const [first = '', ...more] = printable(value).split('\n')
      this.line(`${this.colors.dim(label.padEnd(width))}  ${first}`)
      for (const line of more) this.line(`${' '.repeat(width)}  ${line}`)
    }
  }
}

function alignTable(
  columns: readonly string[],
  rows: readonly (readonly string[])[],
  heading: (text: string) => string,
): string[] {
  const cells = rows.map((row) => row.map((cell) => printable(cell).replaceAll('\n', ' ')))
  const widths = columns.map((column, index) =>
    Math.max(column.length, ...cells.map((row) => displayWidth(row[index] ?? ''))),
  )
  const line = (row: readonly string[]) =>
    row
      .map((cell, index) =>
        index === row.length - 1 ? cell : cell + ' '.repeat((widths[index] ?? 0) - displayWidth(cell)),
      )
      .join('  ')
  return [heading(line(columns)), ...cells.map(line)]
}

export function displayWidth(text: string): number {
  return [...text].length
}

/** Others' text must not move the cursor or recolour the terminal. Line feeds and tabs stay. */
export function printable(text: string): string {
  return text.replace(
    /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g,
    (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`,
  )
}

export function shorten(text: string, length: number): string {
  const flat = text.replace(/\s+/g, ' ').trim()
  return flat.length <= length ? flat : `${flat.slice(0, length - 1)}…`
}

/** `2026-11-23 04:33:17` in UTC. */
export function shortTime(iso: string | null): string {
  return iso === null ? '' : iso.slice(0, 19).replace('T', ' ')
}
