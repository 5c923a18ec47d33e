// The ceiling of the runtime: takes connections and moves bytes both ways, and does nothing else.
// Arguments: the port to listen on, the port to connect to.
import { connect, createServer } from 'node:net'

const [own, target] = process.argv.slice(2).map(Number)
const READ_BYTES = 64 * 1024

createServer({ noDelay: true }, (client) => {
  const server = connect({ port: target, host: '127.0.0.1', noDelay: true })
  move(client, server)
  move(server, client)
}).listen(own, '127.0.0.1')

/**
 * @param {import('node:net').Socket} from
 * @param {import('node:net').Socket} to
 */
function move(from, to) {
  from.on('data', (chunk) => {
    if (!to.write(chunk) && to.writableLength > READ_BYTES) from.pause()
  })
  to.on('drain', () => from.resume())
  from.on('error', () => to.destroy())
  from.on('close', () => to.end())
}
