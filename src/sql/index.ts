export * from './analysis.ts'
export * from './analyzer.ts'
export { loadParser } from './postgres/parser.ts'
export { ALL_REDACTED, redactLiterals } from './postgres/redact.ts'
