// `npm test`: installs what the tests need, runs all of them, and ends with a plain line `N passed, N failed`.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { ensureTools } from './test-tools.js'

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)))
const inCi = process.env.CI === 'true' || process.env.CI === '1'

/** One checked thing besides the test runner; a failure counts as one failed test. */
function step(name, command, args) {
  console.log(`\n▸ ${name}`)
  const result = spawnSync(command, args, { cwd: root, stdio: 'inherit' })
  return result.status === 0
}

const missing = ensureTools()
let passed = 0
let failed = 0
const skipped = []

if (process.argv.length === 2) {
  for (const [name, args] of [
    ['types', ['run', '--silent', 'check:types']],
    ['lint and format', ['run', '--silent', 'check:lint']],
    ['layers', ['run', '--silent', 'check:layers']],
  ]) {
    if (step(name, 'npm', args)) passed += 1
    else failed += 1
  }
}

const folder = mkdtempSync(path.join(os.tmpdir(), 'sallyport-test-'))
const report = path.join(folder, 'report.json')
const vitest = path.join(root, 'node_modules', 'vitest', 'vitest.mjs')
const run = spawnSync(
  process.execPath,
  [vitest, 'run', '--reporter=default', '--reporter=json', `--outputFile.json=${report}`, ...process.argv.slice(2)],
  { cwd: root, stdio: 'inherit', env: { ...process.env, SALLYPORT_TEST_MISSING: missing.join(',') } },
)
try {
  const { testResults } = JSON.parse(readFileSync(report, 'utf8'))
  for (const file of testResults) {
    if (file.status === 'failed' && file.assertionResults.length === 0) failed += 1 // the file itself did not load
    for (const test of file.assertionResults) {
      if (test.status === 'passed') passed += 1
      else if (test.status === 'failed') failed += 1
      else skipped.push(`${path.relative(root, file.name)}: ${test.fullName}`)
    }
  }
} catch (error) {
  console.error(`The test runner left no report: ${error.message}`)
  failed += 1
} finally {
  rmSync(folder, { recursive: true, force: true })
}
if (run.status !== 0 && failed === 0) failed += 1 // an error outside of any test, such as an unhandled rejection

if (skipped.length > 0) {
  console.log(
    `\nSkipped, because ${missing.length > 0 ? `these tools are missing: ${missing.join(', ')}` : 'of a condition in the test'}:`,
  )
  for (const name of skipped) console.log(`  ${name}`)
  if (inCi) {
    console.log('A skipped test counts as failed in CI.')
    failed += skipped.length
    skipped.length = 0
  }
}
console.log(`\n${passed} passed, ${failed} failed${skipped.length > 0 ? `, ${skipped.length} skipped` : ''}`)
process.exitCode = failed === 0 && passed > 0 ? 0 : 1
