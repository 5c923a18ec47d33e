import type { AccessLevel } from '../../kernel/index.ts'

/** What the name of a function alone tells, whatever its volatility is. */
export interface FunctionRule {
  readonly level: AccessLevel
  readonly reason: string
  readonly serverFiles?: boolean
  readonly serverPrograms?: boolean
  /** Runs text that is built at run time. */
  readonly dynamicSql?: boolean
  readonly opaque?: string
  readonly secretLiterals?: boolean
  /** The first argument names a sequence. */
  readonly sequence?: boolean
}

const words = (text: string) => text.split(/\s+/).filter((word) => word !== '')

const groups: readonly (readonly [names: string, rule: FunctionRule])[] = [
  ['nextval setval', { level: 'write', reason: 'it moves a sequence', sequence: true }],
  ['pg_notify', { level: 'write', reason: 'it notifies other sessions' }],
  [
    `lo_close lo_creat lo_create lo_from_bytea lo_get lo_lseek lo_lseek64 lo_open lo_put lo_tell lo_tell64 lo_truncate
     lo_truncate64 lo_unlink loread lowrite`,
    { level: 'write', reason: 'it works on large objects', opaque: 'the content of large objects cannot be followed' },
  ],
  [
    'lo_import lo_export',
    {
      level: 'admin',
      reason: 'it moves files on the server',
      serverFiles: true,
      opaque: 'the content of large objects cannot be followed',
    },
  ],
  [
    `pg_read_file pg_read_binary_file pg_ls_dir pg_ls_logdir pg_ls_waldir pg_ls_tmpdir pg_ls_archive_statusdir
     pg_ls_logicalmapdir pg_ls_logicalsnapdir pg_ls_replslotdir pg_ls_summariesdir pg_stat_file pg_hba_file_rules
     pg_ident_file_mappings pg_show_all_file_settings pg_file_read pg_file_length pg_file_write pg_file_sync
     pg_file_rename pg_file_unlink pg_logdir_ls pg_current_logfile get_raw_page heap_page_items
     bt_page_items pg_available_wal_summaries pg_wal_summary_contents`,
    { level: 'admin', reason: 'it reads or writes files on the server', serverFiles: true },
  ],
  [`pg_execute_server_program`, { level: 'admin', reason: 'it runs programs on the server', serverPrograms: true }],
  [
    'query_to_xml query_to_xml_and_xmlschema query_to_xmlschema ts_stat',
    {
      level: 'admin',
      reason: 'it runs SQL that is built at run time',
      dynamicSql: true,
      opaque: 'SQL is built at run time',
    },
  ],
  [
    `table_to_xml table_to_xmlschema table_to_xml_and_xmlschema schema_to_xml schema_to_xmlschema
     schema_to_xml_and_xmlschema database_to_xml database_to_xmlschema database_to_xml_and_xmlschema cursor_to_xml
     cursor_to_xmlschema`,
    {
      level: 'read',
      reason: '',
      dynamicSql: true,
      opaque: 'tables are read whose names are built at run time',
    },
  ],
  [
    `dblink dblink_connect dblink_connect_u dblink_exec dblink_open dblink_fetch dblink_close dblink_send_query
     dblink_get_result dblink_build_sql_insert dblink_build_sql_update dblink_build_sql_delete dblink_disconnect
     dblink_get_connections dblink_cancel_query dblink_error_message dblink_is_busy dblink_get_notify
     dblink_get_pkey dblink_current_query dblink_fdw_validator`,
    {
      level: 'admin',
      reason: 'it talks to another database',
      dynamicSql: true,
      secretLiterals: true,
      opaque: 'SQL is sent to another database',
    },
  ],
  [
    'crosstab crosstab2 crosstab3 crosstab4 crosstabn connectby xpath_table',
    {
      level: 'admin',
      reason: 'it runs SQL that is built at run time',
      dynamicSql: true,
      opaque: 'SQL is built at run time',
    },
  ],
  [
    'cron.schedule cron.schedule_in_database cron.alter_job cron.unschedule',
    {
      level: 'admin',
      reason: 'it runs SQL later, outside this session',
      dynamicSql: true,
      opaque: 'SQL runs later, outside this session',
    },
  ],
  [
    `pgp_sym_encrypt pgp_sym_encrypt_bytea pgp_sym_decrypt pgp_sym_decrypt_bytea pgp_pub_decrypt
     pgp_pub_decrypt_bytea encrypt decrypt encrypt_iv decrypt_iv hmac crypt`,
    { level: 'read', reason: '', secretLiterals: true },
  ],
  [
    `pg_terminate_backend pg_cancel_backend pg_log_backend_memory_contexts`,
    { level: 'admin', reason: 'it acts on other sessions' },
  ],
  [
    `pg_reload_conf pg_rotate_logfile pg_rotate_logfile_old pg_promote pg_switch_wal pg_switch_xlog
     pg_create_restore_point pg_backup_start pg_backup_stop pg_start_backup pg_stop_backup pg_wal_replay_pause
     pg_wal_replay_resume pg_log_standby_snapshot pg_import_system_collations pg_nextoid pg_stop_making_pinned_objects
     pg_extension_config_dump pg_stat_reset pg_stat_reset_backend_stats pg_stat_reset_replication_slot
     pg_stat_reset_shared pg_stat_reset_single_function_counters pg_stat_reset_single_table_counters
     pg_stat_reset_slru pg_stat_reset_subscription_stats pg_stat_statements_reset pg_clear_attribute_stats
     pg_clear_relation_stats pg_restore_attribute_stats pg_restore_relation_stats pg_set_attribute_stats
     pg_set_relation_stats brin_desummarize_range brin_summarize_new_values brin_summarize_range
     gin_clean_pending_list`,
    { level: 'admin', reason: 'it administers the server' },
  ],
  [
    `pg_create_logical_replication_slot pg_create_physical_replication_slot pg_copy_logical_replication_slot
     pg_copy_physical_replication_slot pg_drop_replication_slot pg_replication_slot_advance pg_sync_replication_slots
     pg_replication_origin_advance pg_replication_origin_create pg_replication_origin_drop
     pg_replication_origin_session_reset pg_replication_origin_session_setup pg_replication_origin_xact_reset
     pg_replication_origin_xact_setup`,
    { level: 'admin', reason: 'it administers replication' },
  ],
  [
    `pg_logical_slot_get_changes pg_logical_slot_get_binary_changes pg_logical_slot_peek_changes
     pg_logical_slot_peek_binary_changes`,
    {
      level: 'admin',
      reason: 'it reads the changes of all tables',
      opaque: 'the changes of all tables are read from the log',
    },
  ],
]

export const FUNCTION_RULES: ReadonlyMap<string, FunctionRule> = new Map(
  groups.flatMap(([names, rule]) => words(names).map((name) => [name, rule] as const)),
)

/** Volatile because their answer changes or they wait, not because they change anything. */
export const HARMLESS_VOLATILE: ReadonlySet<string> = new Set(
  words(`amvalidate array_sample array_shuffle bernoulli system clock_timestamp current_query currtid2 currval
  gen_random_uuid gen_random_bytes lastval pg_blocking_pids pg_collation_actual_version pg_control_checkpoint
  pg_control_init pg_control_recovery pg_control_system pg_current_wal_flush_lsn pg_current_wal_insert_lsn
  pg_current_wal_lsn pg_database_collation_actual_version pg_database_size pg_export_snapshot pg_get_aios
  pg_get_backend_memory_contexts pg_get_loaded_modules pg_get_multixact_members pg_get_sequence_data
  pg_get_shmem_allocations pg_get_shmem_allocations_numa pg_get_wait_events pg_get_wal_replay_pause_state
  pg_get_wal_resource_managers pg_get_wal_summarizer_state pg_indexes_size pg_is_in_recovery pg_is_wal_replay_paused
  pg_isolation_test_session_is_blocked pg_jit_available pg_last_committed_xact pg_last_wal_receive_lsn
  pg_last_wal_replay_lsn pg_last_xact_replay_timestamp pg_lock_status pg_notification_queue_usage
  pg_partition_ancestors pg_partition_tree pg_prepared_xact pg_relation_size pg_replication_origin_progress
  pg_replication_origin_session_is_setup pg_replication_origin_session_progress pg_safe_snapshot_blocking_pids
  pg_sequence_last_value pg_show_replication_origin_status pg_sleep pg_sleep_for pg_sleep_until
  pg_stat_clear_snapshot pg_stat_force_next_flush pg_stat_get_backend_io pg_stat_get_backend_wal pg_stat_get_io
  pg_stat_get_recovery_prefetch pg_stat_get_xact_blocks_fetched pg_stat_get_xact_blocks_hit
  pg_stat_get_xact_function_calls pg_stat_get_xact_function_self_time pg_stat_get_xact_function_total_time
  pg_stat_get_xact_numscans pg_stat_get_xact_tuples_deleted pg_stat_get_xact_tuples_fetched
  pg_stat_get_xact_tuples_hot_updated pg_stat_get_xact_tuples_inserted pg_stat_get_xact_tuples_newpage_updated
  pg_stat_get_xact_tuples_returned pg_stat_get_xact_tuples_updated pg_stat_have_stats pg_table_size
  pg_tablespace_size pg_total_relation_size pg_wal_summary_contents pg_xact_commit_timestamp
  pg_xact_commit_timestamp_origin pg_xact_status random random_normal setseed timeofday txid_status uuidv4 uuidv7
  ts_rewrite txid_current pg_current_xact_id uuid_generate_v4 uuid_generate_v1 uuid_generate_v1mc`),
)

/** Aggregates whose one row carries no row's value, or one row's only. */
export const SUMMARIES: ReadonlySet<string> = new Set(
  words(`count sum avg min max bool_and bool_or every bit_and bit_or bit_xor stddev stddev_pop stddev_samp variance
  var_pop var_samp corr covar_pop covar_samp regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope
  regr_sxx regr_sxy regr_syy any_value`),
)

/** Plain arithmetic and formatting around summaries. */
export const SCALAR_HELPERS: ReadonlySet<string> = new Set(
  words('round trunc ceil ceiling floor abs to_char pg_size_pretty date_trunc extract lower upper sqrt power mod'),
)
