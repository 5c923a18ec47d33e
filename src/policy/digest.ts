import { createHash } from 'node:crypto'

const FORMAT = 'sallyport policy v1\n'

/** JSON with sorted keys and no white space; keys whose value is undefined are left out. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map((item) => canonicalJson(item ?? null)).join(',')}]`
  if (value === null || typeof value !== 'object') return JSON.stringify(value) ?? 'null'
  const entries = Object.entries(value).filter(([, item]) => item !== undefined)
  entries.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
  return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${canonicalJson(item)}`).join(',')}}`
}

/** SHA-256 in hex. The same rules give the same digest, whatever their order, spacing, key order or file. */
export function policyDigest(content: unknown): string {
  return createHash('sha256').update(FORMAT).update(canonicalJson(content)).digest('hex')
}
