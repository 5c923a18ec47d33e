// What the tests need beside npm packages, and where Debian has it. As root it is installed; otherwise it is named.
import { spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync, readdirSync } from 'node:fs'
import path from 'node:path'

const DEBIAN_SERVERS = '/usr/lib/postgresql'

function onPath(command) {
  for (const folder of (process.env.PATH ?? '').split(path.delimiter)) {
    try {
      accessSync(path.join(folder, command), constants.X_OK)
      return true
    } catch {}
  }
  return false
}

function debianServer() {
  return (
    existsSync(DEBIAN_SERVERS) &&
    readdirSync(DEBIAN_SERVERS).some((version) => existsSync(path.join(DEBIAN_SERVERS, version, 'bin', 'postgres')))
  )
}

function pythonModule(name) {
  return onPath('python3') && spawnSync('/usr/bin/python3', ['-c', `import ${name}`], { stdio: 'ignore' }).status === 0
}

/** @type {{ tool: string, packages: string[], present: () => boolean }[]} */
export const TOOLS = [
  { tool: 'psql', packages: ['postgresql-client'], present: () => onPath('psql') && onPath('pg_dump') },
  {
    tool: 'pgbench',
    packages: ['postgresql-contrib', 'postgresql'],
    present: () => onPath('pgbench') || debianServer(),
  },
  { tool: 'postgres', packages: ['postgresql'], present: debianServer },
  { tool: 'openssl', packages: ['openssl'], present: () => onPath('openssl') },
  {
    tool: 'psycopg',
    packages: ['python3-psycopg', 'python3-psycopg2'],
    present: () => pythonModule('psycopg') && pythonModule('psycopg2'),
  },
]

/** @returns {string[]} the tools that are still missing. */
export function ensureTools() {
  const absent = TOOLS.filter((tool) => !tool.present())
  if (absent.length === 0) return []
  const packages = [...new Set(absent.flatMap((tool) => tool.packages))]
  if (process.getuid?.() === 0 && onPath('apt-get')) {
    console.log(`Installing for the tests: ${packages.join(' ')}`)
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
    // A server that Debian would start by itself is of no use here: the tests start their own in folders of their own.
    const run = (args) => spawnSync('apt-get', args, { stdio: ['ignore', 'ignore', 'inherit'], env }).status === 0
    if (!run(['install', '-y', '-q', '--no-install-recommends', ...packages])) {
      run(['update', '-q'])
      run(['install', '-y', '-q', '--no-install-recommends', ...packages])
    }
  } else {
    console.log(`Some tests will be skipped. To run them: sudo apt-get install ${packages.join(' ')}`)
  }
  return TOOLS.filter((tool) => !tool.present()).map((tool) => tool.tool)
}
