// Compiles src/ into dist/. Runs on `npm ci` (prepare), before `npm start` and before `npm test`; a no-op when nothing changed.
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)))
const stamp = path.join(root, 'dist', '.built')

/** Newest modification time (ms) of any file or folder below `directory`; folders count, so that a removal shows. */
function newest(directory) {
  let latest = statSync(directory).mtimeMs
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const child = path.join(directory, entry.name)
    latest = Math.max(latest, entry.isDirectory() ? newest(child) : statSync(child).mtimeMs)
  }
  return latest
}

function compilerPath() {
  try {
    return createRequire(import.meta.url).resolve('typescript/package.json')
  } catch {
    return undefined
  }
}

const sources = path.join(root, 'src')
// A published package has no sources: dist/ came with it.
if (!existsSync(sources)) process.exit(0)
const config = Math.max(
  ...['tsconfig.json', 'tsconfig.build.json', 'package.json'].map((name) => statSync(path.join(root, name)).mtimeMs),
)
if (existsSync(stamp) && statSync(stamp).mtimeMs >= Math.max(newest(sources), config)) process.exit(0)

const compiler = compilerPath()
if (compiler === undefined) {
  const current = existsSync(stamp) ? 'dist/ is older than src/' : 'dist/ has not been built'
  console.error(
    `sallyport: the TypeScript compiler is not installed, and ${current}. Run \`npm ci\` without --omit=dev, then \`npm run build\`.`,
  )
  // `npm ci --omit=dev` is to install what it can; whoever starts or tests what is not built is stopped.
  process.exit(process.env.npm_lifecycle_event === 'prepare' || existsSync(stamp) ? 0 : 1)
}
const started = new Date()
rmSync(path.join(root, 'dist'), { recursive: true, force: true })
const result = spawnSync(
  process.execPath,
  [path.join(path.dirname(compiler), 'bin', 'tsc'), '-p', path.join(root, 'tsconfig.build.json')],
  {
    cwd: root,
    stdio: 'inherit',
  },
)
if (result.status !== 0) {
  rmSync(path.join(root, 'dist'), { recursive: true, force: true })
  process.exit(result.status ?? 1)
}
const migrations = path.join(root, 'src', 'store', 'migrations')
if (existsSync(migrations)) cpSync(migrations, path.join(root, 'dist', 'store', 'migrations'), { recursive: true })
writeFileSync(stamp, '')
utimesSync(stamp, started, started) // a source saved while compiling makes the next run compile again
