import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

interface Packed {
  readonly files: readonly { readonly path: string }[]
}

test('the package has what its users need, and no tests', () => {
  const told = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
    cwd: ROOT,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const paths = (JSON.parse(told) as [Packed])[0].files.map((file) => file.path)
  expect(paths).toEqual(
    expect.arrayContaining([
      'CHANGELOG.md',
      'LICENSE',
      'README.md',
      'bin/sallyport.js',
      'dist/gateway/main.js',
      'docs/reference/config.md',
      'examples/sallyport.yaml',
      'package.json',
      'schema/config.schema.json',
      'schema/policy-cases.schema.json',
      'schema/policy.schema.json',
      'scripts/build.js', // `prepare`
    ]),
  )
  expect(paths.some((path) => /^dist\/store\/migrations\/.*\.sql$/.test(path))).toBe(true)
  // `policy test` is a command
  const tests = paths.filter((path) => /test/.test(path) && !path.startsWith('dist/cli/commands/policy/test.js'))
  expect(tests).toEqual([])
  expect(paths.filter((path) => /^(src|test|bench|coverage)\//.test(path))).toEqual([])
})
