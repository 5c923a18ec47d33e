import { runCommand } from '../cli/program.ts'
import { toolbox } from './toolbox.ts'

// Whoever read the output has left, as in `| head`: ends as SIGPIPE would end other programs, but in order.
let left = false
for (const stream of [process.stdout, process.stderr])
  stream.on('error', () => {
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
