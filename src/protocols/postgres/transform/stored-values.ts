/** Columns of PostgreSQL's own catalogues that show values of user tables, statements with their literals, or secrets. */
const STORED_VALUES: Readonly<Record<string, readonly string[]>> = {
  pg_stats: [
    'most_common_vals',
    'histogram_bounds',
    'most_common_elems',
    'range_length_histogram',
    'range_bounds_histogram',
  ],
  pg_statistic: ['stavalues1', 'stavalues2', 'stavalues3', 'stavalues4', 'stavalues5'],
  pg_stats_ext: ['most_common_vals'],
  pg_stats_ext_exprs: [
    'most_common_vals',
    'histogram_bounds',
    'most_common_elems',
    'range_length_histogram',
    'range_bounds_histogram',
  ],
  pg_statistic_ext_data: ['stxdmcv', 'stxdexpr'],
  pg_largeobject: ['data'],
  pg_stat_activity: ['query'],
  pg_prepared_statements: ['statement'],
  pg_cursors: ['statement'],
  pg_authid: ['rolpassword'],
  pg_shadow: ['passwd'],
  pg_user_mapping: ['umoptions'],
  pg_user_mappings: ['umoptions'],
  pg_subscription: ['subconninfo'],
}

/** A column of a system catalogue that is withheld while any column is masked: it would show the column's values. */
export function holdsStoredValues(key: {
  readonly relation: { readonly schema: string; readonly name: string }
  readonly column: { readonly name: string }
}): boolean {
  if (key.relation.schema.startsWith('pg_toast')) return key.column.name === 'chunk_data' // pieces of any table's long values
  if (key.relation.schema !== 'pg_catalog') return false
  return STORED_VALUES[key.relation.name]?.includes(key.column.name) ?? false
}
