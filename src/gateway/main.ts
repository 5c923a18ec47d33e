import { runCommand } from '../cli/program.ts'
import { toolbox } from './toolbox.ts'

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
