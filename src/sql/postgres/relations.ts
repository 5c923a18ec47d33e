import type { FactsBuilder } from './builder.ts'

/** Views over files on the server. */
const FILE_VIEWS = new Set(['pg_hba_file_rules', 'pg_ident_file_mappings', 'pg_file_settings'])
/** They show values of other tables, whoever may read those. */
const STATISTICS = new Set(['pg_stats', 'pg_statistic', 'pg_stats_ext', 'pg_stats_ext_exprs', 'pg_statistic_ext_data'])
const VERIFIERS = new Set(['pg_authid', 'pg_shadow'])

function systemName(relation: string): string | undefined {
  if (relation.startsWith('pg_catalog.')) return relation.slice('pg_catalog.'.length)
  return relation.includes('.') ? undefined : relation
}

/** What reading a relation means beyond the read itself. */
export function touchRelation(facts: FactsBuilder, relation: string): void {
  const name = systemName(relation)
  if (name === undefined) return
  if (FILE_VIEWS.has(name)) {
    facts.serverFiles = true
    facts.needs('admin', `${name} reads files on the server`)
  }
  if (STATISTICS.has(name)) facts.hides(`${name} shows sample values of other tables`)
  if (VERIFIERS.has(name)) facts.needs('admin', `${name} holds password verifiers`)
  if (name === 'pg_largeobject') facts.hides('the content of large objects cannot be followed')
}

/** Notes a write to a relation; a write to the system's own tables is an administrator's. */
export function writeRelation(facts: FactsBuilder, relation: string, reason: string): void {
  facts.write(relation)
  facts.needs('write', reason)
  const schema = relation.includes('.') ? relation.slice(0, relation.indexOf('.')) : undefined
  const temporary = schema === 'pg_temp' || schema?.startsWith('pg_temp_') === true
  if (temporary) return
  if (
    schema?.startsWith('pg_') === true ||
    schema === 'information_schema' ||
    (schema === undefined && relation.startsWith('pg_'))
  )
    facts.needs('admin', `it writes to the system table ${relation}`)
  if (systemName(relation) === 'pg_settings') {
    facts.setting('*')
    facts.hides('writing to pg_settings changes settings')
    facts.effects.push({ kind: 'set', name: '*', value: undefined, local: false, via: 'rule' })
  }
}
