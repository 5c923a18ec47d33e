import { readFileSync } from 'node:fs'

/** From the package's own file, which is two folders up both in src/ and in dist/. */
export const VERSION = versionIn(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))

function versionIn(text: string): string {
  const content: unknown = JSON.parse(text)
  return typeof content === 'object' && content !== null && 'version' in content ? String(content.version) : '0.0.0'
}
