import path from 'node:path'
import type { Output } from '../../cli/output.ts'
import type { Terminal } from '../../cli/toolbox.ts'

export interface DemoWords {
  readonly url: string
  readonly api: string
  readonly dataFolder: string
  /** Where the database servers keep their data, when that is not below the data folder. */
  readonly serverFolder: string | undefined
  readonly terminal: Terminal
}

/** A path as a shell takes it for one word. */
function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}

/** The first screen: where to connect, and four things to try. */
export function tellDemo(output: Output, { url, api, dataFolder, serverFolder, terminal }: DemoWords): void {
  const { bold, cyan, dim } = output.colors
  const folder = path.relative(terminal.cwd, dataFolder) || '.'
  const sallyport = folder === '.sallyport' ? 'npx sallyport' : `npx sallyport --data ${shellWord(folder)}`
  const show = (title: string, lines: readonly string[], why: string) => {
    output.line(`${bold(title)}  ${dim(why)}`)
    for (const line of lines) output.line(`   ${cyan(line)}`)
    output.line()
  }
  output.line()
  output.line(`${bold('Sallyport is ready.')} This is the way in for alice's agent claude-code:`)
  output.line()
  output.line(`   ${cyan(`psql "${url}"`)}`)
  output.line(`   ${cyan(`${sallyport} sql shop`)}   ${dim('without psql')}`)
  output.line()
  show(
    '1  Read',
    ['SELECT * FROM customers LIMIT 5;', 'SELECT * FROM payments LIMIT 5;'],
    'cards, mails and phones come out masked',
  )
  show('2  Break', ['DROP TABLE payments;'], 'denied by a rule, and nothing reached the database')
  show(
    '3  Delete',
    ["DELETE FROM support_tickets WHERE status = 'closed';"],
    'held; in a second terminal bob looks and decides:',
  )
  output.line(`   ${cyan(`${sallyport} --profile bob reviews list`)}`)
  output.line(`   ${cyan(`${sallyport} --profile bob reviews approve <id>`)}`)
  output.line()
  show(
    '4  Look back',
    [`${sallyport} sessions list`, `${sallyport} sessions replay <id>`, `${sallyport} audit verify`],
    'everything, as it was released, and a proof that nothing was changed',
  )
  output.line(`API     ${api}   (${api}/api/openapi.json)`)
  output.line(`Files   ${folder}: sallyport.yaml and policy.yaml are yours to edit; gateway.log is the operator's log`)
  if (serverFolder !== undefined)
    output.line(`        the database servers cannot enter that folder; their data is below ${serverFolder}`)
  output.line('Ctrl-C stops everything; the next start keeps data, tokens and edits.')
}
