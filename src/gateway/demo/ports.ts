import { createServer } from 'node:net'
import { GatewayError } from '../../kernel/index.ts'

/** How far from the wanted port the search goes. */
const ATTEMPTS = 50

/** The wanted port, or the next one that is free and not yet taken by the demo itself. */
export async function freePort(host: string, wanted: number, taken: readonly number[]): Promise<number> {
  if (wanted === 0) return 0
  for (let port = wanted; port < wanted + ATTEMPTS && port <= 65_535; port++)
    if (!taken.includes(port) && (await isFree(host, port))) return port
  throw new GatewayError('config.invalid', `None of the ports ${wanted} to ${wanted + ATTEMPTS - 1} is free.`, {
    hint: 'Stop what uses them, or change the ports in the configuration of the demo.',
  })
}

function isFree(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(true)))
  })
}
