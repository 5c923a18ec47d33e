import { access } from 'node:fs/promises'
import path from 'node:path'
import { GatewayError } from '../kernel/index.ts'
import type { Context } from './context.ts'

/** `--config`, `SALLYPORT_CONFIG`, `./sallyport.yaml`, or the demo's file in the data folder; the first that there is. */
export async function configFileOf(context: Context, given: string | undefined): Promise<string> {
  const { cwd, env } = context.terminal
  const named = given ?? env['SALLYPORT_CONFIG']
  if (named !== undefined && named !== '') return named
  const places = ['sallyport.yaml', path.relative(cwd, path.join(context.dataFolder, 'sallyport.yaml'))]
  for (const place of places) {
    const there = await access(path.resolve(cwd, place)).then(
      () => true,
      () => false,
    )
    if (there) return place
  }
  throw new GatewayError('cli.usage', `There is no configuration: looked for ${places.join(' and ')}.`, {
    hint: 'Name one with --config <file>, or start the demo, which writes one: sallyport demo',
  })
}
