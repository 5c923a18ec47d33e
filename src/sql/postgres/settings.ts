import type { FactsBuilder } from './builder.ts'

export interface SettingChange {
  /** Lower case; `'*'` when it is not known. */
  readonly name: string
  readonly value: string | undefined
  readonly local: boolean
  readonly via: 'set' | 'set_config' | 'rule'
}

const ROLE_SETTINGS = new Set(['role', 'session_authorization'])
const READ_ONLY = new Set(['transaction_read_only', 'default_transaction_read_only'])
/** Settings that switch off checks, load code or hide what is done. */
const ADMIN_SETTINGS = new Set([
  'session_replication_role',
  'allow_system_table_mods',
  'ignore_system_indexes',
  'ignore_checksum_failure',
  'zero_damaged_pages',
  'session_preload_libraries',
  'local_preload_libraries',
  'dynamic_library_path',
  'extension_control_path',
  'jit_provider',
  'lo_compat_privileges',
  'createrole_self_grant',
  'event_triggers',
  'row_security_active',
])

/** Notes that a setting of the session changes, and what that means. */
export function applySetting(facts: FactsBuilder, change: SettingChange): void {
  const { name, value } = change
  facts.setting(name)
  facts.effects.push({ kind: 'set', ...change })
  if (name === '*') return facts.needs('admin', 'it changes a setting that cannot be told')
  if (ROLE_SETTINGS.has(name)) {
    facts.changesPrivileges = true
    facts.needs('admin', 'it changes the role')
  }
  if (READ_ONLY.has(name) && !meansTrue(value)) facts.needs('write', 'it allows writing')
  if (isAdminSetting(name)) facts.needs('admin', `it changes ${name}`)
}

/** Needs the level `admin`, however it is changed. @param name - Lower case. */
export function isAdminSetting(name: string): boolean {
  return ADMIN_SETTINGS.has(name) || ROLE_SETTINGS.has(name) || name.startsWith('log_')
}

/** As the target reads a boolean setting: any unique beginning of true, yes, or on. */
export function meansTrue(value: string | undefined): boolean {
  if (value === undefined) return false
  const word = value.trim().toLowerCase()
  return word === 'on' || word === '1' || (word !== '' && ('true'.startsWith(word) || 'yes'.startsWith(word)))
}
