import { runCommand } from '../cli/program.ts'
import { toolbox } from './toolbox.ts'

/** 128 and the number of SIGPIPE, as shells count. */
const READER_LEFT = 141

// Whoever read the output has left, as in `| head`. A command ends quietly, as SIGPIPE would end other programs; a
// gateway, which listens for signals, stops in order.
let left = false
for (const stream of [process.stdout, process.stderr])
  stream.on('error', () => {
    if (process.listenerCount('SIGTERM') === 0) process.exit(READER_LEFT)
    if (!left) process.kill(process.pid, 'SIGTERM')
    left = true
  })

const INTERRUPTED = 130
const status = await runCommand(process.argv.slice(2), toolbox, {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  cwd: process.cwd(),
})
// Ends by itself when everything has stopped; only an impatient Ctrl-C does not wait for that.
if (status === INTERRUPTED) process.exit(status)
process.exitCode = status
