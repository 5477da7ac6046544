-- pg_trickle 0.1.0: catalog, functions, views.
--
-- Sections are named after the modules that own them (applier/<module>).
-- Everything here belongs to the extension; buffers and state tables made
-- later become members too, so that pg_dump leaves them out and DROP
-- EXTENSION takes them along.

\echo Use "CREATE EXTENSION pg_trickle" to load this file. \quit

-- schema pgtrickle: functions, catalog and, by default, stream tables
CREATE SCHEMA pgtrickle;
GRANT USAGE ON SCHEMA pgtrickle TO PUBLIC;
-- change buffers and operator state: closed to users
CREATE SCHEMA pgtrickle_changes;
CREATE SCHEMA pgtrickle_state;

---------------------------------------------------------------------------
-- catalog
---------------------------------------------------------------------------

-- What a user defined, by name: dumped, and enough to build everything again.
CREATE SEQUENCE pgtrickle.pgt_id_seq;
CREATE TABLE pgtrickle.pgt_definitions (
    pgt_id bigint PRIMARY KEY,
    st_schema name NOT NULL,
    st_name name NOT NULL,
    original_query text NOT NULL,           -- as the user wrote it
    defining_query text NOT NULL,           -- deparsed, every name qualified
    schedule text,                          -- NULL: calculated; none for IMMEDIATE
    refresh_mode text NOT NULL CHECK (refresh_mode IN ('AUTO', 'DIFFERENTIAL', 'FULL', 'IMMEDIATE')),
    diamond_consistency text NOT NULL CHECK (diamond_consistency IN ('atomic', 'none')),
    diamond_schedule_policy text NOT NULL CHECK (diamond_schedule_policy IN ('fastest', 'slowest')),
    requested_cdc_mode text CHECK (requested_cdc_mode IN ('auto', 'trigger', 'wal')),
    is_append_only bool NOT NULL,
    suspended bool NOT NULL,
    pinned_settings text[],                 -- name=value pairs that stable functions saw at creation
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    UNIQUE (st_schema, st_name)
);

-- What this server knows of it: made again after a restore, never dumped.
CREATE TABLE pgtrickle.pgt_state (
    pgt_id bigint PRIMARY KEY,
    relid oid NOT NULL UNIQUE,
    status text NOT NULL CHECK (status IN ('INITIALIZING', 'ACTIVE', 'SUSPENDED', 'ERROR')),
    effective_mode text NOT NULL CHECK (effective_mode IN ('DIFFERENTIAL', 'FULL', 'IMMEDIATE')),
    effective_mode_reason text,
    query_tree text NOT NULL,               -- nodeToString of the analysed Query
    tree_version int NOT NULL,              -- server major version that wrote query_tree
    row_identity text NOT NULL,             -- 'key' or 'hash', see dvm/rowid.h
    identity_index oid NOT NULL,
    system_identifier bigint NOT NULL,
    database_oid oid NOT NULL,
    needs_reinit bool NOT NULL,
    reinit_reason text,
    topk_limit bigint,
    topk_offset bigint,
    scc_id int
);

-- The hot row of a stream table: written by each refresh that changed
-- something, kept small and HOT-updatable (no index but the key).
CREATE TABLE pgtrickle.pgt_progress (
    pgt_id bigint PRIMARY KEY,
    is_populated bool NOT NULL,
    frontier pg_snapshot,                   -- NULL: never filled
    own_xid xid8,                           -- see catalog/frontier.h
    own_batches int NOT NULL,
    frontier_lsn pg_lsn,
    data_timestamp timestamptz,             -- clock when the frontier's snapshot was taken
    last_refresh_at timestamptz,
    consecutive_errors int NOT NULL,
    last_error text,
    last_sqlstate text,
    n_differential bigint NOT NULL,
    n_full bigint NOT NULL,
    n_failed bigint NOT NULL,
    rows_inserted bigint NOT NULL,
    rows_deleted bigint NOT NULL,
    changes_consumed bigint NOT NULL,
    total_ms float8 NOT NULL,
    max_ms float8 NOT NULL,
    last_action text,
    last_ms float8,
    full_ms float8,                         -- cost model: a FULL refresh
    diff_fixed_ms float8,                   -- cost model: a differential one, fixed part
    diff_change_ms float8,                  -- cost model: and per change
    state_error text                        -- why operator state could not be built: FULL until it can
) WITH (fillfactor = 40, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- Written by every transaction that changes a source of an IMMEDIATE stream
-- table under its table-wide lock; see applier/catalog/marker.c.
CREATE TABLE pgtrickle.pgt_immediate (
    pgt_id bigint PRIMARY KEY,
    version bigint NOT NULL                 -- transactions that maintained it
) WITH (fillfactor = 40, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- One row per captured source.  Read by capture triggers.
CREATE TABLE pgtrickle.pgt_sources (
    source_relid oid PRIMARY KEY,
    cdc_mode text NOT NULL CHECK (cdc_mode IN ('TRIGGER', 'TRANSITIONING', 'WAL', 'STREAM')),
    capture_form text NOT NULL CHECK (capture_form IN ('statement', 'row', 'none')),
    columns int2[] NOT NULL,                -- attribute numbers captured, ascending
    signature bigint NOT NULL,              -- of those columns' types, see decoder/wire.h
    segment int2 NOT NULL,                  -- buffer segment that writers append to (0 or 1)
    switched_at xid8,                       -- transaction of the last rotation
    handover pg_snapshot,                   -- in WAL: what triggers have recorded, H of DESIGN.md section 4
    blocked_reason text,                    -- why the last hand-over was given up
    full_required bool NOT NULL,            -- an update or delete came without its old row
    since timestamptz NOT NULL
) WITH (user_catalog_table = true);
-- The output plugin reads it as of a place in the WAL; values out of line would
-- be cleaned away sooner than that allows.
ALTER TABLE pgtrickle.pgt_sources ALTER columns SET STORAGE PLAIN, ALTER cdc_mode SET STORAGE PLAIN;

-- How far the WAL is in the buffers: one row while this database has a slot,
-- written by the decoder together with what lies before the position.
CREATE TABLE pgtrickle.pgt_decoder (
    database_oid oid PRIMARY KEY,
    system_identifier bigint NOT NULL,
    position pg_lsn NOT NULL,
    created_at timestamptz NOT NULL,
    n_lost bigint NOT NULL,                 -- times that changes were missed and sources marked for rebuild
    last_lost text
) WITH (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

CREATE TABLE pgtrickle.pgt_dependencies (
    pgt_id bigint NOT NULL,
    source_relid oid NOT NULL,
    source_type text NOT NULL CHECK (source_type IN ('TABLE', 'STREAM_TABLE', 'VIEW', 'MATVIEW', 'FOREIGN_TABLE')),
    columns_used int2[] NOT NULL,           -- attribute numbers, ascending
    PRIMARY KEY (pgt_id, source_relid)
);
CREATE INDEX pgt_dependencies_source ON pgtrickle.pgt_dependencies (source_relid);

CREATE SEQUENCE pgtrickle.pgt_refresh_id_seq;   -- no cache: ids follow time, pruning relies on it
CREATE TABLE pgtrickle.pgt_refresh_history (
    refresh_id bigint PRIMARY KEY,
    pgt_id bigint NOT NULL,
    start_time timestamptz NOT NULL,
    end_time timestamptz,
    action text NOT NULL,                   -- INITIALIZE, DIFFERENTIAL, FULL, REINITIALIZE, NO_DATA
    status text NOT NULL,                   -- RUNNING, COMPLETED, FAILED, SKIPPED
    initiated_by text NOT NULL,             -- SCHEDULER, MANUAL, INITIAL
    rows_inserted bigint,
    rows_deleted bigint,
    changes_consumed bigint,
    duration_ms float8,
    reason text,
    sqlstate text,
    error_message text
) WITH (fillfactor = 60);
CREATE INDEX pgt_refresh_history_st ON pgtrickle.pgt_refresh_history (pgt_id, refresh_id);
CREATE INDEX pgt_refresh_history_time ON pgtrickle.pgt_refresh_history (start_time);

-- What holds stream tables back and binds them together: see
-- catalog/coordination.h.  Relations by name in a dump.
CREATE TABLE pgtrickle.pgt_source_gates (
    source_relid regclass PRIMARY KEY,
    stop_capture bool NOT NULL,
    gated_at timestamptz NOT NULL,
    gated_by text NOT NULL
);
CREATE TABLE pgtrickle.pgt_watermarks (
    source_relid regclass PRIMARY KEY,
    watermark timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    advanced_by text NOT NULL,
    lsn pg_lsn NOT NULL
) WITH (fillfactor = 40);
CREATE TABLE pgtrickle.pgt_watermark_groups (
    group_name text PRIMARY KEY,
    sources regclass[] NOT NULL,
    tolerance_secs float8 NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE TABLE pgtrickle.pgt_refresh_groups (
    group_name text PRIMARY KEY,
    members regclass[] NOT NULL,            -- stream tables
    isolation text NOT NULL,
    created_at timestamptz NOT NULL
);

-- Emptied by a crash like every unlogged table: see schedule/unlogged.c.
CREATE UNLOGGED TABLE pgtrickle.pgt_unlogged_marker (present bool NOT NULL);
INSERT INTO pgtrickle.pgt_unlogged_marker VALUES (true);

SELECT pg_catalog.pg_extension_config_dump('pgtrickle.pgt_definitions', '');
SELECT pg_catalog.pg_extension_config_dump('pgtrickle.pgt_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('pgtrickle.pgt_source_gates', '');
SELECT pg_catalog.pg_extension_config_dump('pgtrickle.pgt_watermarks', '');
SELECT pg_catalog.pg_extension_config_dump('pgtrickle.pgt_watermark_groups', '');
SELECT pg_catalog.pg_extension_config_dump('pgtrickle.pgt_refresh_groups', '');

-- The catalog as users see it: query texts only for those who may see them.
CREATE VIEW pgtrickle.pgt_stream_tables WITH (security_barrier) AS
SELECT d.pgt_id,
       s.relid::regclass AS pgt_relid,
       d.st_name AS pgt_name,
       d.st_schema AS pgt_schema,
       CASE WHEN v.visible THEN d.original_query END AS original_query,
       CASE WHEN v.visible THEN d.defining_query END AS defining_query,
       d.schedule,
       d.refresh_mode,
       s.effective_mode,
       s.effective_mode_reason,
       s.status,
       p.is_populated,
       p.frontier,
       p.frontier_lsn,
       p.data_timestamp,
       p.last_refresh_at,
       p.consecutive_errors,
       CASE WHEN v.visible THEN p.last_error END AS last_error,
       s.needs_reinit,
       s.reinit_reason,
       s.topk_limit,
       s.topk_offset,
       d.diamond_consistency,
       d.diamond_schedule_policy,
       d.requested_cdc_mode,
       d.is_append_only,
       s.scc_id,
       d.created_at,
       d.updated_at
  FROM pgtrickle.pgt_definitions d
  JOIN pgtrickle.pgt_state s USING (pgt_id)
  JOIN pgtrickle.pgt_progress p USING (pgt_id)
  LEFT JOIN pg_catalog.pg_class c ON c.oid = s.relid
  CROSS JOIN LATERAL (SELECT coalesce(pg_catalog.pg_has_role(c.relowner, 'USAGE'), false)
                          OR pg_catalog.pg_has_role('pg_monitor', 'USAGE') AS visible) v;
GRANT SELECT ON pgtrickle.pgt_stream_tables TO PUBLIC;

---------------------------------------------------------------------------
-- api
---------------------------------------------------------------------------

CREATE FUNCTION pgtrickle.version() RETURNS text
    LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgt_version';

CREATE FUNCTION pgtrickle.create_stream_table(
    name text, query text, schedule text DEFAULT 'calculated',
    refresh_mode text DEFAULT 'AUTO', initialize bool DEFAULT true,
    diamond_consistency text DEFAULT NULL, diamond_schedule_policy text DEFAULT NULL,
    cdc_mode text DEFAULT NULL, append_only bool DEFAULT false) RETURNS regclass
    LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'pgt_create';

CREATE FUNCTION pgtrickle.create_stream_table_if_not_exists(
    name text, query text, schedule text DEFAULT 'calculated',
    refresh_mode text DEFAULT 'AUTO', initialize bool DEFAULT true,
    diamond_consistency text DEFAULT NULL, diamond_schedule_policy text DEFAULT NULL,
    cdc_mode text DEFAULT NULL, append_only bool DEFAULT false) RETURNS regclass
    LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'pgt_create_if_not_exists';

CREATE FUNCTION pgtrickle.create_or_replace_stream_table(
    name text, query text, schedule text DEFAULT 'calculated',
    refresh_mode text DEFAULT 'AUTO', initialize bool DEFAULT true,
    diamond_consistency text DEFAULT NULL, diamond_schedule_policy text DEFAULT NULL,
    cdc_mode text DEFAULT NULL, append_only bool DEFAULT false) RETURNS regclass
    LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'pgt_create_or_replace';

CREATE FUNCTION pgtrickle.alter_stream_table(
    stream_table text, query text DEFAULT NULL, schedule text DEFAULT NULL,
    refresh_mode text DEFAULT NULL, status text DEFAULT NULL,
    enabled bool DEFAULT NULL, name text DEFAULT NULL,
    diamond_consistency text DEFAULT NULL, diamond_schedule_policy text DEFAULT NULL,
    cdc_mode text DEFAULT NULL, append_only bool DEFAULT NULL) RETURNS void
    LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'pgt_alter';

CREATE FUNCTION pgtrickle.drop_stream_table(name text, cascade bool DEFAULT false) RETURNS void
    LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'pgt_drop';

CREATE FUNCTION pgtrickle.resume_stream_table(name text) RETURNS void
    LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'pgt_resume';

CREATE FUNCTION pgtrickle.refresh_stream_table(
    name text, mode text DEFAULT NULL, wait bool DEFAULT true,
    OUT action text, OUT rows_inserted bigint, OUT rows_deleted bigint,
    OUT duration_ms float8) RETURNS record
    LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'pgt_refresh';

-- an array of objects with create_stream_table's arguments, in any order
CREATE FUNCTION pgtrickle.bulk_create(definitions jsonb) RETURNS SETOF regclass
    LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'pgt_bulk_create';

CREATE FUNCTION pgtrickle.export_definition(name text) RETURNS text
    LANGUAGE C STABLE STRICT AS 'MODULE_PATHNAME', 'pgt_export_definition';

CREATE FUNCTION pgtrickle.validate_query(
    query text, OUT check_name text, OUT result text, OUT detail text) RETURNS SETOF record
    LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'pgt_validate_query';

-- the id of a stream table by the name rules of the API
CREATE FUNCTION pgtrickle._resolve(name text) RETURNS bigint
    LANGUAGE C STABLE STRICT AS 'MODULE_PATHNAME', 'pgt_resolve';

-- coordination; see applier/api/coordination.c
CREATE FUNCTION pgtrickle.gate_source(source text, stop_capture bool DEFAULT true) RETURNS void
    LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'pgt_gate_source';
CREATE FUNCTION pgtrickle.ungate_source(source text) RETURNS void
    LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'pgt_ungate_source';
CREATE FUNCTION pgtrickle.advance_watermark(source text, watermark timestamptz) RETURNS void
    LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'pgt_advance_watermark';
CREATE FUNCTION pgtrickle.create_watermark_group(
    group_name text, sources text[], tolerance_secs float8 DEFAULT 0) RETURNS void
    LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'pgt_create_watermark_group';
CREATE FUNCTION pgtrickle.drop_watermark_group(group_name text) RETURNS void
    LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'pgt_drop_watermark_group';
CREATE FUNCTION pgtrickle.create_refresh_group(
    group_name text, members text[], isolation text DEFAULT 'repeatable_read') RETURNS void
    LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'pgt_create_refresh_group';
CREATE FUNCTION pgtrickle.drop_refresh_group(group_name text) RETURNS void
    LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'pgt_drop_refresh_group';

---------------------------------------------------------------------------
-- capture
---------------------------------------------------------------------------

-- Only triggers made by the extension may call it; see applier/capture/trigger.c.
CREATE FUNCTION pgtrickle.capture() RETURNS trigger
    LANGUAGE C AS 'MODULE_PATHNAME', 'pgt_capture';
REVOKE ALL ON FUNCTION pgtrickle.capture() FROM PUBLIC;

-- Likewise; see applier/refresh/immediate.c.
CREATE FUNCTION pgtrickle.maintain() RETURNS trigger
    LANGUAGE C AS 'MODULE_PATHNAME', 'pgt_maintain';
REVOKE ALL ON FUNCTION pgtrickle.maintain() FROM PUBLIC;

---------------------------------------------------------------------------
-- dvm
---------------------------------------------------------------------------

-- what the identity index of a stream table without a key stores
CREATE FUNCTION pgtrickle.row_hash(VARIADIC "any") RETURNS bigint
    LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgt_row_hash';

---------------------------------------------------------------------------
-- dvm: exact float aggregates
---------------------------------------------------------------------------

-- Sums and statistics over float4 and float8 whose states are exact, so that
-- rows can be taken away again and their order does not matter.  They return
-- what the built-in aggregate of the same name without exact_ returns, rounded
-- once from the exact value.
CREATE FUNCTION pgtrickle.exact_sum_accum(internal, real) RETURNS internal
    LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgt_exact_sum_accum_float4';
CREATE FUNCTION pgtrickle.exact_sum_inverse(internal, real) RETURNS internal
    LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgt_exact_sum_inverse_float4';
CREATE FUNCTION pgtrickle.exact_variance_accum(internal, real) RETURNS internal
    LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgt_exact_variance_accum_float4';
CREATE FUNCTION pgtrickle.exact_variance_inverse(internal, real) RETURNS internal
    LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgt_exact_variance_inverse_float4';
CREATE FUNCTION pgtrickle.exact_sum_accum(internal, double precision) RETURNS internal
    LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgt_exact_sum_accum_float8';
CREATE FUNCTION pgtrickle.exact_sum_inverse(internal, double precision) RETURNS internal
    LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgt_exact_sum_inverse_float8';
CREATE FUNCTION pgtrickle.exact_variance_accum(internal, double precision) RETURNS internal
    LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgt_exact_variance_accum_float8';
CREATE FUNCTION pgtrickle.exact_variance_inverse(internal, double precision) RETURNS internal
    LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgt_exact_variance_inverse_float8';
CREATE FUNCTION pgtrickle.exact_regression_accum(internal, double precision, double precision) RETURNS internal
    LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgt_exact_regression_accum';
CREATE FUNCTION pgtrickle.exact_regression_inverse(internal, double precision, double precision) RETURNS internal
    LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgt_exact_regression_inverse';
CREATE FUNCTION pgtrickle.exact_combine(internal, internal) RETURNS internal
    LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgt_exact_combine';
CREATE FUNCTION pgtrickle.exact_serialize(internal) RETURNS bytea
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgt_exact_serialize';
CREATE FUNCTION pgtrickle.exact_deserialize(bytea, internal) RETURNS internal
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgt_exact_deserialize';
CREATE FUNCTION pgtrickle.exact_sum_final_float4(internal) RETURNS real
    LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgt_exact_sum_final_float4';
CREATE FUNCTION pgtrickle.exact_sum_final_float8(internal) RETURNS double precision
    LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgt_exact_sum_final_float8';
CREATE FUNCTION pgtrickle.exact_avg_final(internal) RETURNS double precision
    LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgt_exact_avg_final';
CREATE FUNCTION pgtrickle.exact_var_samp_final(internal) RETURNS double precision
    LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgt_exact_var_samp_final';
CREATE FUNCTION pgtrickle.exact_var_pop_final(internal) RETURNS double precision
    LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgt_exact_var_pop_final';
CREATE FUNCTION pgtrickle.exact_stddev_samp_final(internal) RETURNS double precision
    LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgt_exact_stddev_samp_final';
CREATE FUNCTION pgtrickle.exact_stddev_pop_final(internal) RETURNS double precision
    LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgt_exact_stddev_pop_final';
CREATE FUNCTION pgtrickle.exact_corr_final(internal) RETURNS double precision
    LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgt_exact_corr_final';
CREATE FUNCTION pgtrickle.exact_covar_pop_final(internal) RETURNS double precision
    LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgt_exact_covar_pop_final';
CREATE FUNCTION pgtrickle.exact_covar_samp_final(internal) RETURNS double precision
    LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgt_exact_covar_samp_final';
CREATE FUNCTION pgtrickle.exact_regr_avgx_final(internal) RETURNS double precision
    LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgt_exact_regr_avgx_final';
CREATE FUNCTION pgtrickle.exact_regr_avgy_final(internal) RETURNS double precision
    LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgt_exact_regr_avgy_final';
CREATE FUNCTION pgtrickle.exact_regr_intercept_final(internal) RETURNS double precision
    LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgt_exact_regr_intercept_final';
CREATE FUNCTION pgtrickle.exact_regr_r2_final(internal) RETURNS double precision
    LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgt_exact_regr_r2_final';
CREATE FUNCTION pgtrickle.exact_regr_slope_final(internal) RETURNS double precision
    LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgt_exact_regr_slope_final';
CREATE FUNCTION pgtrickle.exact_regr_sxx_final(internal) RETURNS double precision
    LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgt_exact_regr_sxx_final';
CREATE FUNCTION pgtrickle.exact_regr_sxy_final(internal) RETURNS double precision
    LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgt_exact_regr_sxy_final';
CREATE FUNCTION pgtrickle.exact_regr_syy_final(internal) RETURNS double precision
    LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgt_exact_regr_syy_final';
CREATE FUNCTION pgtrickle.exact_regr_count_final(internal) RETURNS bigint
    LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgt_exact_regr_count_final';

CREATE AGGREGATE pgtrickle.exact_sum(real) (
    SFUNC = pgtrickle.exact_sum_accum, STYPE = internal, FINALFUNC = pgtrickle.exact_sum_final_float4,
    COMBINEFUNC = pgtrickle.exact_combine, SERIALFUNC = pgtrickle.exact_serialize, DESERIALFUNC = pgtrickle.exact_deserialize,
    MSFUNC = pgtrickle.exact_sum_accum, MINVFUNC = pgtrickle.exact_sum_inverse, MSTYPE = internal, MFINALFUNC = pgtrickle.exact_sum_final_float4,
    PARALLEL = SAFE
);
CREATE AGGREGATE pgtrickle.exact_avg(real) (
    SFUNC = pgtrickle.exact_sum_accum, STYPE = internal, FINALFUNC = pgtrickle.exact_avg_final,
    COMBINEFUNC = pgtrickle.exact_combine, SERIALFUNC = pgtrickle.exact_serialize, DESERIALFUNC = pgtrickle.exact_deserialize,
    MSFUNC = pgtrickle.exact_sum_accum, MINVFUNC = pgtrickle.exact_sum_inverse, MSTYPE = internal, MFINALFUNC = pgtrickle.exact_avg_final,
    PARALLEL = SAFE
);
CREATE AGGREGATE pgtrickle.exact_variance(real) (
    SFUNC = pgtrickle.exact_variance_accum, STYPE = internal, FINALFUNC = pgtrickle.exact_var_samp_final,
    COMBINEFUNC = pgtrickle.exact_combine, SERIALFUNC = pgtrickle.exact_serialize, DESERIALFUNC = pgtrickle.exact_deserialize,
    MSFUNC = pgtrickle.exact_variance_accum, MINVFUNC = pgtrickle.exact_variance_inverse, MSTYPE = internal, MFINALFUNC = pgtrickle.exact_var_samp_final,
    PARALLEL = SAFE
);
CREATE AGGREGATE pgtrickle.exact_var_samp(real) (
    SFUNC = pgtrickle.exact_variance_accum, STYPE = internal, FINALFUNC = pgtrickle.exact_var_samp_final,
    COMBINEFUNC = pgtrickle.exact_combine, SERIALFUNC = pgtrickle.exact_serialize, DESERIALFUNC = pgtrickle.exact_deserialize,
    MSFUNC = pgtrickle.exact_variance_accum, MINVFUNC = pgtrickle.exact_variance_inverse, MSTYPE = internal, MFINALFUNC = pgtrickle.exact_var_samp_final,
    PARALLEL = SAFE
);
CREATE AGGREGATE pgtrickle.exact_var_pop(real) (
    SFUNC = pgtrickle.exact_variance_accum, STYPE = internal, FINALFUNC = pgtrickle.exact_var_pop_final,
    COMBINEFUNC = pgtrickle.exact_combine, SERIALFUNC = pgtrickle.exact_serialize, DESERIALFUNC = pgtrickle.exact_deserialize,
    MSFUNC = pgtrickle.exact_variance_accum, MINVFUNC = pgtrickle.exact_variance_inverse, MSTYPE = internal, MFINALFUNC = pgtrickle.exact_var_pop_final,
    PARALLEL = SAFE
);
CREATE AGGREGATE pgtrickle.exact_stddev(real) (
    SFUNC = pgtrickle.exact_variance_accum, STYPE = internal, FINALFUNC = pgtrickle.exact_stddev_samp_final,
    COMBINEFUNC = pgtrickle.exact_combine, SERIALFUNC = pgtrickle.exact_serialize, DESERIALFUNC = pgtrickle.exact_deserialize,
    MSFUNC = pgtrickle.exact_variance_accum, MINVFUNC = pgtrickle.exact_variance_inverse, MSTYPE = internal, MFINALFUNC = pgtrickle.exact_stddev_samp_final,
    PARALLEL = SAFE
);
CREATE AGGREGATE pgtrickle.exact_stddev_samp(real) (
    SFUNC = pgtrickle.exact_variance_accum, STYPE = internal, FINALFUNC = pgtrickle.exact_stddev_samp_final,
    COMBINEFUNC = pgtrickle.exact_combine, SERIALFUNC = pgtrickle.exact_serialize, DESERIALFUNC = pgtrickle.exact_deserialize,
    MSFUNC = pgtrickle.exact_variance_accum, MINVFUNC = pgtrickle.exact_variance_inverse, MSTYPE = internal, MFINALFUNC = pgtrickle.exact_stddev_samp_final,
    PARALLEL = SAFE
);
CREATE AGGREGATE pgtrickle.exact_stddev_pop(real) (
    SFUNC = pgtrickle.exact_variance_accum, STYPE = internal, FINALFUNC = pgtrickle.exact_stddev_pop_final,
    COMBINEFUNC = pgtrickle.exact_combine, SERIALFUNC = pgtrickle.exact_serialize, DESERIALFUNC = pgtrickle.exact_deserialize,
    MSFUNC = pgtrickle.exact_variance_accum, MINVFUNC = pgtrickle.exact_variance_inverse, MSTYPE = internal, MFINALFUNC = pgtrickle.exact_stddev_pop_final,
    PARALLEL = SAFE
);
CREATE AGGREGATE pgtrickle.exact_sum(double precision) (
    SFUNC = pgtrickle.exact_sum_accum, STYPE = internal, FINALFUNC = pgtrickle.exact_sum_final_float8,
    COMBINEFUNC = pgtrickle.exact_combine, SERIALFUNC = pgtrickle.exact_serialize, DESERIALFUNC = pgtrickle.exact_deserialize,
    MSFUNC = pgtrickle.exact_sum_accum, MINVFUNC = pgtrickle.exact_sum_inverse, MSTYPE = internal, MFINALFUNC = pgtrickle.exact_sum_final_float8,
    PARALLEL = SAFE
);
CREATE AGGREGATE pgtrickle.exact_avg(double precision) (
    SFUNC = pgtrickle.exact_sum_accum, STYPE = internal, FINALFUNC = pgtrickle.exact_avg_final,
    COMBINEFUNC = pgtrickle.exact_combine, SERIALFUNC = pgtrickle.exact_serialize, DESERIALFUNC = pgtrickle.exact_deserialize,
    MSFUNC = pgtrickle.exact_sum_accum, MINVFUNC = pgtrickle.exact_sum_inverse, MSTYPE = internal, MFINALFUNC = pgtrickle.exact_avg_final,
    PARALLEL = SAFE
);
CREATE AGGREGATE pgtrickle.exact_variance(double precision) (
    SFUNC = pgtrickle.exact_variance_accum, STYPE = internal, FINALFUNC = pgtrickle.exact_var_samp_final,
    COMBINEFUNC = pgtrickle.exact_combine, SERIALFUNC = pgtrickle.exact_serialize, DESERIALFUNC = pgtrickle.exact_deserialize,
    MSFUNC = pgtrickle.exact_variance_accum, MINVFUNC = pgtrickle.exact_variance_inverse, MSTYPE = internal, MFINALFUNC = pgtrickle.exact_var_samp_final,
    PARALLEL = SAFE
);
CREATE AGGREGATE pgtrickle.exact_var_samp(double precision) (
    SFUNC = pgtrickle.exact_variance_accum, STYPE = internal, FINALFUNC = pgtrickle.exact_var_samp_final,
    COMBINEFUNC = pgtrickle.exact_combine, SERIALFUNC = pgtrickle.exact_serialize, DESERIALFUNC = pgtrickle.exact_deserialize,
    MSFUNC = pgtrickle.exact_variance_accum, MINVFUNC = pgtrickle.exact_variance_inverse, MSTYPE = internal, MFINALFUNC = pgtrickle.exact_var_samp_final,
    PARALLEL = SAFE
);
CREATE AGGREGATE pgtrickle.exact_var_pop(double precision) (
    SFUNC = pgtrickle.exact_variance_accum, STYPE = internal, FINALFUNC = pgtrickle.exact_var_pop_final,
    COMBINEFUNC = pgtrickle.exact_combine, SERIALFUNC = pgtrickle.exact_serialize, DESERIALFUNC = pgtrickle.exact_deserialize,
    MSFUNC = pgtrickle.exact_variance_accum, MINVFUNC = pgtrickle.exact_variance_inverse, MSTYPE = internal, MFINALFUNC = pgtrickle.exact_var_pop_final,
    PARALLEL = SAFE
);
CREATE AGGREGATE pgtrickle.exact_stddev(double precision) (
    SFUNC = pgtrickle.exact_variance_accum, STYPE = internal, FINALFUNC = pgtrickle.exact_stddev_samp_final,
    COMBINEFUNC = pgtrickle.exact_combine, SERIALFUNC = pgtrickle.exact_serialize, DESERIALFUNC = pgtrickle.exact_deserialize,
    MSFUNC = pgtrickle.exact_variance_accum, MINVFUNC = pgtrickle.exact_variance_inverse, MSTYPE = internal, MFINALFUNC = pgtrickle.exact_stddev_samp_final,
    PARALLEL = SAFE
);
CREATE AGGREGATE pgtrickle.exact_stddev_samp(double precision) (
    SFUNC = pgtrickle.exact_variance_accum, STYPE = internal, FINALFUNC = pgtrickle.exact_stddev_samp_final,
    COMBINEFUNC = pgtrickle.exact_combine, SERIALFUNC = pgtrickle.exact_serialize, DESERIALFUNC = pgtrickle.exact_deserialize,
    MSFUNC = pgtrickle.exact_variance_accum, MINVFUNC = pgtrickle.exact_variance_inverse, MSTYPE = internal, MFINALFUNC = pgtrickle.exact_stddev_samp_final,
    PARALLEL = SAFE
);
CREATE AGGREGATE pgtrickle.exact_stddev_pop(double precision) (
    SFUNC = pgtrickle.exact_variance_accum, STYPE = internal, FINALFUNC = pgtrickle.exact_stddev_pop_final,
    COMBINEFUNC = pgtrickle.exact_combine, SERIALFUNC = pgtrickle.exact_serialize, DESERIALFUNC = pgtrickle.exact_deserialize,
    MSFUNC = pgtrickle.exact_variance_accum, MINVFUNC = pgtrickle.exact_variance_inverse, MSTYPE = internal, MFINALFUNC = pgtrickle.exact_stddev_pop_final,
    PARALLEL = SAFE
);
CREATE AGGREGATE pgtrickle.exact_corr(double precision, double precision) (
    SFUNC = pgtrickle.exact_regression_accum, STYPE = internal, FINALFUNC = pgtrickle.exact_corr_final,
    COMBINEFUNC = pgtrickle.exact_combine, SERIALFUNC = pgtrickle.exact_serialize, DESERIALFUNC = pgtrickle.exact_deserialize,
    MSFUNC = pgtrickle.exact_regression_accum, MINVFUNC = pgtrickle.exact_regression_inverse, MSTYPE = internal, MFINALFUNC = pgtrickle.exact_corr_final,
    PARALLEL = SAFE
);
CREATE AGGREGATE pgtrickle.exact_covar_pop(double precision, double precision) (
    SFUNC = pgtrickle.exact_regression_accum, STYPE = internal, FINALFUNC = pgtrickle.exact_covar_pop_final,
    COMBINEFUNC = pgtrickle.exact_combine, SERIALFUNC = pgtrickle.exact_serialize, DESERIALFUNC = pgtrickle.exact_deserialize,
    MSFUNC = pgtrickle.exact_regression_accum, MINVFUNC = pgtrickle.exact_regression_inverse, MSTYPE = internal, MFINALFUNC = pgtrickle.exact_covar_pop_final,
    PARALLEL = SAFE
);
CREATE AGGREGATE pgtrickle.exact_covar_samp(double precision, double precision) (
    SFUNC = pgtrickle.exact_regression_accum, STYPE = internal, FINALFUNC = pgtrickle.exact_covar_samp_final,
    COMBINEFUNC = pgtrickle.exact_combine, SERIALFUNC = pgtrickle.exact_serialize, DESERIALFUNC = pgtrickle.exact_deserialize,
    MSFUNC = pgtrickle.exact_regression_accum, MINVFUNC = pgtrickle.exact_regression_inverse, MSTYPE = internal, MFINALFUNC = pgtrickle.exact_covar_samp_final,
    PARALLEL = SAFE
);
CREATE AGGREGATE pgtrickle.exact_regr_avgx(double precision, double precision) (
    SFUNC = pgtrickle.exact_regression_accum, STYPE = internal, FINALFUNC = pgtrickle.exact_regr_avgx_final,
    COMBINEFUNC = pgtrickle.exact_combine, SERIALFUNC = pgtrickle.exact_serialize, DESERIALFUNC = pgtrickle.exact_deserialize,
    MSFUNC = pgtrickle.exact_regression_accum, MINVFUNC = pgtrickle.exact_regression_inverse, MSTYPE = internal, MFINALFUNC = pgtrickle.exact_regr_avgx_final,
    PARALLEL = SAFE
);
CREATE AGGREGATE pgtrickle.exact_regr_avgy(double precision, double precision) (
    SFUNC = pgtrickle.exact_regression_accum, STYPE = internal, FINALFUNC = pgtrickle.exact_regr_avgy_final,
    COMBINEFUNC = pgtrickle.exact_combine, SERIALFUNC = pgtrickle.exact_serialize, DESERIALFUNC = pgtrickle.exact_deserialize,
    MSFUNC = pgtrickle.exact_regression_accum, MINVFUNC = pgtrickle.exact_regression_inverse, MSTYPE = internal, MFINALFUNC = pgtrickle.exact_regr_avgy_final,
    PARALLEL = SAFE
);
CREATE AGGREGATE pgtrickle.exact_regr_count(double precision, double precision) (
    SFUNC = pgtrickle.exact_regression_accum, STYPE = internal, FINALFUNC = pgtrickle.exact_regr_count_final,
    COMBINEFUNC = pgtrickle.exact_combine, SERIALFUNC = pgtrickle.exact_serialize, DESERIALFUNC = pgtrickle.exact_deserialize,
    MSFUNC = pgtrickle.exact_regression_accum, MINVFUNC = pgtrickle.exact_regression_inverse, MSTYPE = internal, MFINALFUNC = pgtrickle.exact_regr_count_final,
    PARALLEL = SAFE
);
CREATE AGGREGATE pgtrickle.exact_regr_intercept(double precision, double precision) (
    SFUNC = pgtrickle.exact_regression_accum, STYPE = internal, FINALFUNC = pgtrickle.exact_regr_intercept_final,
    COMBINEFUNC = pgtrickle.exact_combine, SERIALFUNC = pgtrickle.exact_serialize, DESERIALFUNC = pgtrickle.exact_deserialize,
    MSFUNC = pgtrickle.exact_regression_accum, MINVFUNC = pgtrickle.exact_regression_inverse, MSTYPE = internal, MFINALFUNC = pgtrickle.exact_regr_intercept_final,
    PARALLEL = SAFE
);
CREATE AGGREGATE pgtrickle.exact_regr_r2(double precision, double precision) (
    SFUNC = pgtrickle.exact_regression_accum, STYPE = internal, FINALFUNC = pgtrickle.exact_regr_r2_final,
    COMBINEFUNC = pgtrickle.exact_combine, SERIALFUNC = pgtrickle.exact_serialize, DESERIALFUNC = pgtrickle.exact_deserialize,
    MSFUNC = pgtrickle.exact_regression_accum, MINVFUNC = pgtrickle.exact_regression_inverse, MSTYPE = internal, MFINALFUNC = pgtrickle.exact_regr_r2_final,
    PARALLEL = SAFE
);
CREATE AGGREGATE pgtrickle.exact_regr_slope(double precision, double precision) (
    SFUNC = pgtrickle.exact_regression_accum, STYPE = internal, FINALFUNC = pgtrickle.exact_regr_slope_final,
    COMBINEFUNC = pgtrickle.exact_combine, SERIALFUNC = pgtrickle.exact_serialize, DESERIALFUNC = pgtrickle.exact_deserialize,
    MSFUNC = pgtrickle.exact_regression_accum, MINVFUNC = pgtrickle.exact_regression_inverse, MSTYPE = internal, MFINALFUNC = pgtrickle.exact_regr_slope_final,
    PARALLEL = SAFE
);
CREATE AGGREGATE pgtrickle.exact_regr_sxx(double precision, double precision) (
    SFUNC = pgtrickle.exact_regression_accum, STYPE = internal, FINALFUNC = pgtrickle.exact_regr_sxx_final,
    COMBINEFUNC = pgtrickle.exact_combine, SERIALFUNC = pgtrickle.exact_serialize, DESERIALFUNC = pgtrickle.exact_deserialize,
    MSFUNC = pgtrickle.exact_regression_accum, MINVFUNC = pgtrickle.exact_regression_inverse, MSTYPE = internal, MFINALFUNC = pgtrickle.exact_regr_sxx_final,
    PARALLEL = SAFE
);
CREATE AGGREGATE pgtrickle.exact_regr_sxy(double precision, double precision) (
    SFUNC = pgtrickle.exact_regression_accum, STYPE = internal, FINALFUNC = pgtrickle.exact_regr_sxy_final,
    COMBINEFUNC = pgtrickle.exact_combine, SERIALFUNC = pgtrickle.exact_serialize, DESERIALFUNC = pgtrickle.exact_deserialize,
    MSFUNC = pgtrickle.exact_regression_accum, MINVFUNC = pgtrickle.exact_regression_inverse, MSTYPE = internal, MFINALFUNC = pgtrickle.exact_regr_sxy_final,
    PARALLEL = SAFE
);
CREATE AGGREGATE pgtrickle.exact_regr_syy(double precision, double precision) (
    SFUNC = pgtrickle.exact_regression_accum, STYPE = internal, FINALFUNC = pgtrickle.exact_regr_syy_final,
    COMBINEFUNC = pgtrickle.exact_combine, SERIALFUNC = pgtrickle.exact_serialize, DESERIALFUNC = pgtrickle.exact_deserialize,
    MSFUNC = pgtrickle.exact_regression_accum, MINVFUNC = pgtrickle.exact_regression_inverse, MSTYPE = internal, MFINALFUNC = pgtrickle.exact_regr_syy_final,
    PARALLEL = SAFE
);

---------------------------------------------------------------------------
-- schedule
---------------------------------------------------------------------------

CREATE FUNCTION pgtrickle.parse_duration_seconds(input text) RETURNS float8
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgt_parse_duration_seconds';

-- The first due time after an instant; durations on the grid of phase 0.
CREATE FUNCTION pgtrickle._next_due(schedule text, after timestamptz, timezone text) RETURNS timestamptz
    LANGUAGE C STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgt_next_due';

-- of the whole server
CREATE FUNCTION pgtrickle.worker_pool_status(
    OUT active_workers int, OUT idle_workers int, OUT max_workers int,
    OUT per_db_cap int, OUT queued int, OUT parallel_mode text) RETURNS record
    LANGUAGE C VOLATILE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgt_worker_pool_status';

-- of this database: queued, running and recently finished refreshes
CREATE FUNCTION pgtrickle.parallel_job_status(max_age interval DEFAULT '5 minutes')
    RETURNS TABLE (job_id bigint, unit text, kind text, status text, members text[],
                   attempt int, worker_pid int, enqueued_at timestamptz,
                   started_at timestamptz, finished_at timestamptz,
                   duration_ms float8, outcome text)
    LANGUAGE C VOLATILE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgt_parallel_job_status';

-- Waits until nothing is due and nothing runs; false when the time was too short.
CREATE FUNCTION pgtrickle.drain(timeout interval DEFAULT '60s') RETURNS bool
    LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'pgt_drain';

-- Tells the launcher, at commit, to look at this database.
CREATE FUNCTION pgtrickle._schedule_wake() RETURNS void
    LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'pgt_schedule_wake';
REVOKE ALL ON FUNCTION pgtrickle._schedule_wake() FROM PUBLIC;

-- Rows that arrive by SQL, as a restored dump's do, are built by the scheduler;
-- rows written by the engine fire no trigger.
CREATE FUNCTION pgtrickle._definitions_changed() RETURNS trigger
    LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'pgt_schedule_definitions_changed';
REVOKE ALL ON FUNCTION pgtrickle._definitions_changed() FROM PUBLIC;
CREATE TRIGGER pgt_definitions_changed AFTER INSERT OR UPDATE OR DELETE
    ON pgtrickle.pgt_definitions
    FOR EACH STATEMENT EXECUTE FUNCTION pgtrickle._definitions_changed();
ALTER TABLE pgtrickle.pgt_definitions ENABLE ALWAYS TRIGGER pgt_definitions_changed;

SELECT pgtrickle._schedule_wake();

---------------------------------------------------------------------------
-- monitor
---------------------------------------------------------------------------

-- Functions whose name begins with an underscore are for the ones below them.
-- What resolves a user's name has no search_path of its own; what runs as the
-- extension's owner shows names and numbers only.  Texts of queries and errors
-- go through views, which know who is asking.

SET LOCAL search_path = pg_catalog, pg_temp;

-- What a frontier has not absorbed yet of a captured source.
CREATE FUNCTION pgtrickle._buffer_stats(
    source oid, frontier pg_snapshot, own_xid xid8, own_batches int,
    OUT pending_changes bigint, OUT buffer_bytes bigint,
    OUT oldest_change_at timestamptz, OUT last_change_at timestamptz) RETURNS record
    LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'pgt_monitor_buffer_stats';

-- How often a schedule refreshes; NULL when that is no fixed time.
CREATE FUNCTION pgtrickle._schedule_seconds(schedule text) RETURNS float8
    LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'pgt_monitor_schedule_seconds';

-- Does the result age without any captured change?
CREATE FUNCTION pgtrickle._ages_by_itself(pgt_id bigint) RETURNS bool
    LANGUAGE C STABLE STRICT AS 'MODULE_PATHNAME', 'pgt_monitor_ages_by_itself';

CREATE FUNCTION pgtrickle._workers(
    OUT scheduler_running bool, OUT active int, OUT idle int, OUT queued int,
    OUT starved_since timestamptz) RETURNS record
    LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'pgt_monitor_workers';

-- Freshness of one stream table or, NULL, of all.  The oldest change that has
-- not arrived is looked for in its own sources and in those of the stream
-- tables it reads.
CREATE FUNCTION pgtrickle._freshness(only_id bigint)
    RETURNS TABLE (pgt_id bigint, pending_changes bigint, oldest_change_at timestamptz,
                   staleness interval, stale bool, cdc_modes text[])
    LANGUAGE sql STABLE SECURITY DEFINER ROWS 100
    SET search_path = pg_catalog, pg_temp
    AS $$
WITH RECURSIVE upstream (pgt_id, reads) AS (
    SELECT s.pgt_id, s.pgt_id
      FROM pgtrickle.pgt_state s
     WHERE only_id IS NULL OR s.pgt_id = only_id
    UNION
    SELECT u.pgt_id, s.pgt_id
      FROM upstream u
      JOIN pgtrickle.pgt_dependencies d ON d.pgt_id = u.reads
      JOIN pgtrickle.pgt_state s ON s.relid = d.source_relid
), own AS (
    SELECT d.pgt_id,
           sum(b.pending_changes)::bigint AS pending_changes,
           min(b.oldest_change_at) AS oldest_change_at,
           array_agg(DISTINCT c.cdc_mode ORDER BY c.cdc_mode) AS cdc_modes
      FROM pgtrickle.pgt_dependencies d
      JOIN pgtrickle.pgt_sources c USING (source_relid)
      JOIN pgtrickle.pgt_progress p USING (pgt_id)
     CROSS JOIN LATERAL pgtrickle._buffer_stats(d.source_relid, p.frontier, p.own_xid, p.own_batches) b
     WHERE d.pgt_id IN (SELECT u.reads FROM upstream u)
     GROUP BY d.pgt_id
), pending AS (
    SELECT u.pgt_id,
           max(o.pending_changes) FILTER (WHERE u.reads = u.pgt_id) AS pending_changes,
           min(o.oldest_change_at) AS oldest_change_at,
           (array_agg(o.cdc_modes) FILTER (WHERE u.reads = u.pgt_id AND o.pgt_id IS NOT NULL)) AS modes
      FROM upstream u
      LEFT JOIN own o ON o.pgt_id = u.reads
     GROUP BY u.pgt_id
)
SELECT n.pgt_id,
       coalesce(n.pending_changes, 0),
       n.oldest_change_at,
       a.staleness,
       NOT p.is_populated OR s.needs_reinit OR s.status = 'ERROR'
           OR coalesce(a.staleness > make_interval(secs => greatest(pgtrickle._schedule_seconds(d.schedule), 1)), false),
       coalesce(o.cdc_modes, '{}')
  FROM pending n
  JOIN pgtrickle.pgt_state s USING (pgt_id)
  JOIN pgtrickle.pgt_progress p USING (pgt_id)
  JOIN pgtrickle.pgt_definitions d USING (pgt_id)
  LEFT JOIN own o USING (pgt_id)
 CROSS JOIN LATERAL (
    SELECT CASE
           WHEN NOT p.is_populated THEN NULL
           WHEN s.needs_reinit OR (s.effective_mode = 'FULL' AND pgtrickle._ages_by_itself(n.pgt_id))
               THEN clock_timestamp() - p.data_timestamp
           ELSE greatest(clock_timestamp() - n.oldest_change_at, interval '0')
           END AS staleness) a
 ORDER BY n.pgt_id
$$;

-- Counters and freshness of every stream table.
CREATE VIEW pgtrickle.pg_stat_stream_tables WITH (security_barrier) AS
SELECT d.pgt_id,
       s.relid,
       d.st_schema AS schemaname,
       d.st_name AS relname,
       s.status,
       d.refresh_mode,
       s.effective_mode,
       p.n_differential + p.n_full + p.n_failed AS total_refreshes,
       p.n_differential AS differential_refreshes,
       p.n_full AS full_refreshes,
       p.n_failed AS failed_refreshes,
       p.consecutive_errors,
       p.rows_inserted,
       p.rows_deleted,
       p.changes_consumed,
       p.total_ms,
       p.total_ms / nullif(p.n_differential + p.n_full, 0) AS avg_ms,
       p.max_ms,
       p.last_action,
       p.last_ms,
       p.last_refresh_at,
       p.data_timestamp,
       f.pending_changes,
       f.staleness AS lag,
       f.stale
  FROM pgtrickle.pgt_definitions d
  JOIN pgtrickle.pgt_state s USING (pgt_id)
  JOIN pgtrickle.pgt_progress p USING (pgt_id)
  JOIN pgtrickle._freshness(NULL) f USING (pgt_id);
GRANT SELECT ON pgtrickle.pg_stat_stream_tables TO PUBLIC;

CREATE FUNCTION pgtrickle.st_refresh_stats() RETURNS SETOF pgtrickle.pg_stat_stream_tables
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
    AS $$ SELECT * FROM pgtrickle.pg_stat_stream_tables ORDER BY schemaname, relname $$;

CREATE FUNCTION pgtrickle.pgt_status()
    RETURNS TABLE (name text, status text, refresh_mode text, effective_mode text,
                   is_populated bool, schedule text, data_timestamp timestamptz,
                   staleness interval, stale bool, last_refresh_at timestamptz,
                   consecutive_errors int, last_error text, cdc_modes text[])
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
    AS $$
SELECT format('%I.%I', t.pgt_schema, t.pgt_name),
       t.status, t.refresh_mode, t.effective_mode, t.is_populated,
       CASE WHEN t.refresh_mode <> 'IMMEDIATE' THEN coalesce(t.schedule, 'calculated') END,
       t.data_timestamp, f.staleness, f.stale, t.last_refresh_at,
       t.consecutive_errors, t.last_error, f.cdc_modes
  FROM pgtrickle.pgt_stream_tables t
  JOIN pgtrickle._freshness(NULL) f USING (pgt_id)
 ORDER BY 1
$$;

CREATE FUNCTION pgtrickle._staleness(pgt_id bigint) RETURNS float8
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$ SELECT extract(epoch FROM f.staleness)::float8 FROM pgtrickle._freshness($1) f $$;

-- Age of the oldest change that has not arrived; 0 when none is missing, NULL
-- when the stream table was never filled.
CREATE FUNCTION pgtrickle.get_staleness(name text) RETURNS float8
    LANGUAGE sql STABLE STRICT
    AS $$ SELECT pgtrickle._staleness(pgtrickle._resolve($1)) $$;

-- Refreshes where a change has been waiting longer than max_age, or nothing was
-- ever filled; returns whether it did.
CREATE FUNCTION pgtrickle.refresh_if_stale(name text, max_age interval DEFAULT '5 minutes') RETURNS bool
    LANGUAGE sql VOLATILE STRICT
    AS $$
SELECT CASE WHEN coalesce(pgtrickle.get_staleness($1) OPERATOR(pg_catalog.>)
                          (extract(epoch FROM $2))::pg_catalog.float8, true)
       THEN (SELECT r.action OPERATOR(pg_catalog.<>) 'SKIPPED' FROM pgtrickle.refresh_stream_table($1) r)
       ELSE false END
$$;

-- The history as users see it: errors and reasons may quote data.
CREATE VIEW pgtrickle._history WITH (security_barrier) AS
SELECT h.refresh_id, h.pgt_id, h.start_time, h.end_time,
       pg_catalog.format('%I.%I', d.st_schema, d.st_name) AS stream_table,
       h.action, h.status, h.initiated_by, h.rows_inserted, h.rows_deleted,
       h.changes_consumed, h.duration_ms, h.sqlstate,
       CASE WHEN v.visible THEN h.reason END AS reason,
       CASE WHEN v.visible THEN h.error_message END AS error_message
  FROM pgtrickle.pgt_refresh_history h
  JOIN pgtrickle.pgt_definitions d USING (pgt_id)
  JOIN pgtrickle.pgt_state s USING (pgt_id)
  LEFT JOIN pg_catalog.pg_class c ON c.oid = s.relid
 CROSS JOIN LATERAL (SELECT coalesce(pg_catalog.pg_has_role(c.relowner, 'USAGE'), false)
                         OR pg_catalog.pg_has_role('pg_monitor', 'USAGE') AS visible) v;
GRANT SELECT ON pgtrickle._history TO PUBLIC;

CREATE FUNCTION pgtrickle.refresh_timeline(max_rows int DEFAULT 50)
    RETURNS TABLE (start_time timestamptz, stream_table text, action text, status text,
                   rows_inserted bigint, rows_deleted bigint, duration_ms float8,
                   error_message text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
    AS $$
SELECT h.start_time, h.stream_table, h.action, h.status, h.rows_inserted,
       h.rows_deleted, h.duration_ms, h.error_message
  FROM pgtrickle._history h
 ORDER BY h.start_time DESC, h.refresh_id DESC
 LIMIT max_rows
$$;

CREATE FUNCTION pgtrickle._refresh_history(pgt_id bigint, max_rows int)
    RETURNS TABLE (start_time timestamptz, stream_table text, action text, status text,
                   rows_inserted bigint, rows_deleted bigint, duration_ms float8,
                   error_message text, refresh_id bigint, initiated_by text,
                   changes_consumed bigint, reason text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
    AS $$
SELECT h.start_time, h.stream_table, h.action, h.status, h.rows_inserted,
       h.rows_deleted, h.duration_ms, h.error_message, h.refresh_id,
       h.initiated_by, h.changes_consumed, h.reason
  FROM pgtrickle._history h
 WHERE h.pgt_id = $1
 ORDER BY h.start_time DESC, h.refresh_id DESC
 LIMIT max_rows
$$;

CREATE FUNCTION pgtrickle.get_refresh_history(name text, max_rows int DEFAULT 20)
    RETURNS TABLE (start_time timestamptz, stream_table text, action text, status text,
                   rows_inserted bigint, rows_deleted bigint, duration_ms float8,
                   error_message text, refresh_id bigint, initiated_by text,
                   changes_consumed bigint, reason text)
    LANGUAGE sql STABLE
    AS $$ SELECT * FROM pgtrickle._refresh_history(pgtrickle._resolve($1), $2) $$;

CREATE FUNCTION pgtrickle._diagnose_errors(pgt_id bigint)
    RETURNS TABLE (event_time timestamptz, error_type text, sqlstate text,
                   error_message text, remediation text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
    AS $$
SELECT coalesce(h.end_time, h.start_time), k.error_type, h.sqlstate, h.error_message,
       k.remediation
  FROM pgtrickle._history h
 CROSS JOIN LATERAL (
    SELECT v.error_type, v.remediation
      FROM (VALUES
        (1, '22...', 'data', 'A value of a source makes the query fail, as it would fail run by hand. Correct the row, or guard the expression with NULLIF or CASE; the next refresh goes on from there.'),
        (2, '23...', 'constraint', 'The result breaks a constraint or unique index that was put on the stream table. Drop it, or change the query.'),
        (3, '42501', 'permission', 'The stream table''s owner has lost a right that its query needs. Grant it again, or give the stream table to another owner.'),
        (4, '42...', 'schema', 'What the query reads was changed. Repair it, or give the stream table another query with pgtrickle.alter_stream_table; then pgtrickle.resume_stream_table.'),
        (4, '3F...', 'schema', 'What the query reads was changed. Repair it, or give the stream table another query with pgtrickle.alter_stream_table; then pgtrickle.resume_stream_table.'),
        (4, '0A...', 'schema', 'What the query reads was changed into something that cannot be maintained. pgtrickle.validate_query says what; refresh mode FULL may serve.'),
        (5, '40...', 'concurrency', 'Another transaction was in the way; the refresh is tried again by itself.'),
        (5, '55P03', 'concurrency', 'Another session holds a lock on a source or on the stream table; the refresh is tried again by itself. pg_locks and pg_blocking_pids() show who.'),
        (6, '57...', 'cancelled', 'The refresh was cancelled or the server went down; it is tried again by itself.'),
        (7, '53...', 'resources', 'Memory, disk or connections ran out. See the server log, and pg_trickle.refresh_work_mem.'),
        (9, '.....', 'other', 'See the server log. pgtrickle.refresh_stream_table runs the refresh in your session, with the whole message.')
      ) v (rank, pattern, error_type, remediation)
     WHERE coalesce(h.sqlstate, 'XX000') ~ ('^' || v.pattern || '$')
     ORDER BY v.rank
     LIMIT 1) k
 WHERE h.pgt_id = $1 AND h.status = 'FAILED'
 ORDER BY 1 DESC
 LIMIT 100
$$;

CREATE FUNCTION pgtrickle.diagnose_errors(name text)
    RETURNS TABLE (event_time timestamptz, error_type text, sqlstate text,
                   error_message text, remediation text)
    LANGUAGE sql STABLE
    AS $$ SELECT * FROM pgtrickle._diagnose_errors(pgtrickle._resolve($1)) $$;

-- "plans": those of the steps' SQL too
CREATE FUNCTION pgtrickle._explain(pgt_id bigint, plans bool)
    RETURNS TABLE (property text, value text)
    LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'pgt_monitor_explain';

CREATE FUNCTION pgtrickle.explain_st(name text, "analyze" bool DEFAULT false)
    RETURNS TABLE (property text, value text)
    LANGUAGE sql VOLATILE
    AS $$ SELECT * FROM pgtrickle._explain(pgtrickle._resolve($1), $2) $$;

-- Of those the caller may explain; NULL: all of them.
CREATE FUNCTION pgtrickle._recommend_indexes(only_id bigint)
    RETURNS TABLE (stream_table regclass, create_index text, reason text)
    LANGUAGE sql VOLATILE
    SET search_path = pg_catalog, pg_temp
    AS $$
SELECT t.pgt_relid, e.value,
       format('%s looks rows up by this column; without an index it reads the whole table',
              split_part(e.property, ':', 1))
  FROM pgtrickle.pgt_stream_tables t
  JOIN pg_class c ON c.oid = t.pgt_relid
 CROSS JOIN LATERAL pgtrickle._explain(t.pgt_id, false) e
 WHERE (only_id IS NOT NULL OR pg_has_role(c.relowner, 'USAGE') OR pg_has_role('pg_monitor', 'USAGE'))
   AND (only_id IS NULL OR t.pgt_id = only_id)
   AND e.property LIKE '%index that would help'
 ORDER BY t.pgt_relid::text, e.value
$$;

CREATE FUNCTION pgtrickle.recommend_indexes(name text DEFAULT NULL)
    RETURNS TABLE (stream_table regclass, create_index text, reason text)
    LANGUAGE sql VOLATILE
    AS $$ SELECT * FROM pgtrickle._recommend_indexes(pgtrickle._resolve($1)) $$;

CREATE FUNCTION pgtrickle._list_sources(pgt_id bigint)
    RETURNS TABLE (source_table regclass, source_type text, cdc_mode text,
                   columns_used text[], pending_changes bigint, last_change_at timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$
SELECT d.source_relid::regclass, d.source_type, c.cdc_mode,
       ARRAY(SELECT a.attname::text
               FROM pg_attribute a
              WHERE a.attrelid = d.source_relid AND a.attnum = ANY (d.columns_used)
                AND NOT a.attisdropped
              ORDER BY a.attnum),
       b.pending_changes, b.last_change_at
  FROM pgtrickle.pgt_dependencies d
  JOIN pgtrickle.pgt_progress p USING (pgt_id)
  LEFT JOIN pgtrickle.pgt_sources c USING (source_relid)
  LEFT JOIN LATERAL pgtrickle._buffer_stats(c.source_relid, p.frontier, p.own_xid, p.own_batches) b
    ON c.source_relid IS NOT NULL
 WHERE d.pgt_id = $1
 ORDER BY d.source_relid::regclass::text
$$;

CREATE FUNCTION pgtrickle.list_sources(name text)
    RETURNS TABLE (source_table regclass, source_type text, cdc_mode text,
                   columns_used text[], pending_changes bigint, last_change_at timestamptz)
    LANGUAGE sql STABLE
    AS $$ SELECT * FROM pgtrickle._list_sources(pgtrickle._resolve($1)) $$;

-- What stands below a stream table or, NULL, below all that nobody reads.  A
-- node that several read is unfolded once.
CREATE FUNCTION pgtrickle._dependency_tree(only_id bigint)
    RETURNS TABLE (tree_line text, node text, node_type text, depth int,
                   status text, refresh_mode text)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$
WITH RECURSIVE roots AS (
    SELECT s.relid
      FROM pgtrickle.pgt_state s
     WHERE CASE WHEN only_id IS NOT NULL THEN s.pgt_id = only_id
           ELSE NOT EXISTS (SELECT FROM pgtrickle.pgt_dependencies d WHERE d.source_relid = s.relid) END
), reached (relid) AS (
    SELECT relid FROM roots
    UNION
    SELECT d.source_relid
      FROM reached r
      JOIN pgtrickle.pgt_state s USING (relid)
      JOIN pgtrickle.pgt_dependencies d USING (pgt_id)
), edges AS (
    SELECT s.relid AS parent, d.source_relid AS child, d.source_type,
           row_number() OVER (PARTITION BY d.source_relid ORDER BY s.relid::regclass::text) = 1 AS unfold
      FROM reached r
      JOIN pgtrickle.pgt_state s USING (relid)
      JOIN pgtrickle.pgt_dependencies d USING (pgt_id)
), lines (relid, node, node_type, depth, path, unfold) AS (
    SELECT relid, relid::regclass::text, 'STREAM_TABLE', 0, ARRAY[relid::regclass::text], true
      FROM roots
    UNION ALL
    SELECT e.child, e.child::regclass::text, e.source_type, l.depth + 1,
           l.path || e.child::regclass::text, e.unfold
      FROM lines l
      JOIN edges e ON e.parent = l.relid
     WHERE l.unfold
)
SELECT repeat('    ', l.depth - 1) || CASE WHEN l.depth > 0 THEN '  +-' ELSE '' END || l.node
           || CASE WHEN NOT l.unfold AND s.relid IS NOT NULL THEN ' (...)' ELSE '' END,
       l.node, l.node_type, l.depth, s.status, d.refresh_mode
  FROM lines l
  LEFT JOIN pgtrickle.pgt_state s USING (relid)
  LEFT JOIN pgtrickle.pgt_definitions d USING (pgt_id)
 ORDER BY l.path
$$;

CREATE FUNCTION pgtrickle.dependency_tree(name text DEFAULT NULL)
    RETURNS TABLE (tree_line text, node text, node_type text, depth int,
                   status text, refresh_mode text)
    LANGUAGE sql STABLE
    AS $$ SELECT * FROM pgtrickle._dependency_tree(pgtrickle._resolve($1)) $$;

-- Pending is what the reader that is furthest behind has yet to absorb.
CREATE FUNCTION pgtrickle.change_buffer_sizes()
    RETURNS TABLE (source_table regclass, cdc_mode text, pending_changes bigint,
                   buffer_bytes bigint, oldest_change_at timestamptz, consumers text[])
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$
SELECT c.source_relid::regclass, c.cdc_mode, b.pending_changes, b.buffer_bytes,
       b.oldest_change_at, r.consumers
  FROM pgtrickle.pgt_sources c
 CROSS JOIN LATERAL (
    SELECT array_agg(format('%I.%I', n.st_schema, n.st_name) ORDER BY n.st_schema, n.st_name) AS consumers
      FROM pgtrickle.pgt_dependencies d
      JOIN pgtrickle.pgt_definitions n USING (pgt_id)
     WHERE d.source_relid = c.source_relid) r
 CROSS JOIN LATERAL (
    SELECT p.frontier, p.own_xid, p.own_batches
      FROM pgtrickle.pgt_dependencies d
      JOIN pgtrickle.pgt_progress p USING (pgt_id)
     WHERE d.source_relid = c.source_relid
     ORDER BY p.frontier IS NOT NULL, p.data_timestamp
     LIMIT 1) p
 CROSS JOIN LATERAL pgtrickle._buffer_stats(c.source_relid, p.frontier, p.own_xid, p.own_batches) b
 ORDER BY c.source_relid::regclass::text
$$;

-- The triggers that should be there, on a source and on every table that
-- inherits from it, and whether they are: capture's and, for IMMEDIATE readers,
-- maintenance's (applier/capture/maintain.c says when which form is taken).
CREATE FUNCTION pgtrickle.trigger_inventory()
    RETURNS TABLE (source_table regclass, trigger_name text, trigger_type text,
                   present bool, enabled bool)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$
WITH RECURSIVE maintained (relid) AS (
    SELECT DISTINCT d.source_relid
      FROM pgtrickle.pgt_dependencies d
      JOIN pgtrickle.pgt_definitions n USING (pgt_id)
     WHERE n.refresh_mode = 'IMMEDIATE' AND d.source_type = 'TABLE'
), below (root, relid) AS (
    SELECT m.relid, m.relid FROM maintained m
    UNION
    SELECT b.root, i.inhrelid FROM below b JOIN pg_inherits i ON i.inhparent = b.relid
), tree (fn, relid, form) AS (
    SELECT 'pgtrickle.capture()'::regprocedure, c.source_relid, c.capture_form
      FROM pgtrickle.pgt_sources c
     WHERE c.capture_form <> 'none'
       AND NOT EXISTS (SELECT FROM pgtrickle.pgt_source_gates g
                        WHERE g.source_relid = c.source_relid AND g.stop_capture)
    UNION
    SELECT 'pgtrickle.maintain()'::regprocedure, m.relid,
           CASE WHEN EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = m.relid)
                  OR EXISTS (SELECT FROM below b JOIN pg_class c ON c.oid = b.relid
                              WHERE b.root = m.relid
                                AND (c.relkind = 'f' OR EXISTS (SELECT FROM pg_subscription_rel r WHERE r.srrelid = b.relid)))
                THEN 'row' ELSE 'statement' END
      FROM maintained m
    UNION
    SELECT t.fn, i.inhrelid, t.form
      FROM tree t
      JOIN pg_inherits i ON i.inhparent = t.relid
), wanted AS (
    SELECT DISTINCT t.fn, t.relid, k.name, k.kind, k.tgtype
      FROM tree t
      JOIN pg_class c ON c.oid = t.relid
      JOIN (VALUES ('pgt_capture_insert', 'INSERT', 4, 'statement'),
                   ('pgt_capture_update', 'UPDATE', 16, 'statement'),
                   ('pgt_capture_delete', 'DELETE', 8, 'statement'),
                   ('pgt_capture_row', 'ROW', 29, 'row'),
                   ('pgt_capture_truncate', 'TRUNCATE', 32, NULL),
                   ('pgt_maintain_begin', 'BEGIN', 62, NULL),
                   ('pgt_maintain_insert', 'INSERT', 4, 'statement'),
                   ('pgt_maintain_update', 'UPDATE', 16, 'statement'),
                   ('pgt_maintain_delete', 'DELETE', 8, 'statement'),
                   ('pgt_maintain_row', 'ROW', 29, 'row'),
                   ('pgt_maintain_truncate', 'TRUNCATE', 32, NULL)) k (name, kind, tgtype, form)
        ON k.name LIKE CASE WHEN t.fn = 'pgtrickle.capture()'::regprocedure THEN 'pgt_capture_%' ELSE 'pgt_maintain_%' END
       AND (k.form = t.form AND NOT (k.form = 'row' AND c.relkind = 'p')
            OR k.form IS NULL AND c.relkind <> 'f')
)
SELECT w.relid::regclass, w.name, w.kind, g.oid IS NOT NULL,
       coalesce(g.tgenabled = 'A', false)
  FROM wanted w
  LEFT JOIN pg_trigger g
    ON g.tgrelid = w.relid AND g.tgisinternal AND g.tgtype = w.tgtype AND g.tgfoid = w.fn
 ORDER BY w.relid::regclass::text, w.fn::text, w.tgtype
$$;

-- How a table's changes should be captured and why not from the WAL, decided
-- anew; NULLs for what is not captured, or is a stream table.
CREATE FUNCTION pgtrickle._cdc_decision(source oid, OUT wanted_mode text, OUT blocked_reason text) RETURNS record
    LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'pgt_monitor_cdc_decision';

CREATE FUNCTION pgtrickle._wal_end() RETURNS pg_lsn
    LANGUAGE sql VOLATILE
    SET search_path = pg_catalog, pg_temp
    AS $$ SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END $$;

-- This database's slot as the server shows it, and what there is to say of it;
-- one row, NULLs where there is no slot.
CREATE FUNCTION pgtrickle._slot()
    RETURNS TABLE (slot_name name, plugin name, active bool, active_pid int, restart_lsn pg_lsn,
                   confirmed_flush_lsn pg_lsn, wal_status text, catalog_xmin_age bigint,
                   retained_bytes bigint, lag_bytes bigint, sources int, alert text)
    LANGUAGE sql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$
SELECT s.slot_name, s.plugin, s.active, s.active_pid, s.restart_lsn, s.confirmed_flush_lsn, s.wal_status,
       age(s.catalog_xmin)::bigint, l.retained::bigint, l.lag::bigint, c.capturing + c.coming,
       CASE WHEN c.capturing > 0 AND s.slot_name IS NULL THEN 'lost: the slot is missing'
            WHEN s.wal_status = 'lost' THEN 'lost: WAL that was not decoded has been removed'
            WHEN l.retained > pg_size_bytes(current_setting('pg_trickle.slot_lag_critical_threshold'))
                THEN 'critical: retains more WAL than pg_trickle.slot_lag_critical_threshold'
            WHEN l.retained > pg_size_bytes(current_setting('pg_trickle.slot_lag_warning_threshold'))
                THEN 'warning: retains more WAL than pg_trickle.slot_lag_warning_threshold'
            WHEN c.capturing > 0 AND NOT s.active THEN 'warning: nothing decodes'
       END
  FROM (SELECT count(*) FILTER (WHERE p.cdc_mode = 'WAL')::int AS capturing,
               count(*) FILTER (WHERE p.cdc_mode = 'TRANSITIONING')::int AS coming
          FROM pgtrickle.pgt_sources p) c
  LEFT JOIN pg_replication_slots s
    ON s.slot_name = 'pg_trickle_' || (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
 CROSS JOIN LATERAL (SELECT pg_wal_lsn_diff(pgtrickle._wal_end(), s.restart_lsn) AS retained,
                            pg_wal_lsn_diff(pgtrickle._wal_end(), s.confirmed_flush_lsn) AS lag) l
$$;

-- What this database's decoder says of itself.
CREATE FUNCTION pgtrickle._decoder(
    OUT pid int, OUT reached pg_lsn, OUT changes bigint, OUT bytes bigint,
    OUT caught_up_at timestamptz, OUT message text) RETURNS record
    LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'pgt_monitor_decoder';

-- The slot of this database, no row where there is none and none is missed.
-- Decoded changes and bytes are what has come into buffers since the decoder
-- came up; lag is what it has yet to read, and for how long it has been behind.
CREATE FUNCTION pgtrickle.slot_health()
    RETURNS TABLE (slot_name name, plugin name, active bool, decoder_pid int,
                   confirmed_flush_lsn pg_lsn, retained_wal_bytes bigint, wal_status text,
                   catalog_xmin_age bigint, decoded_changes bigint, decoded_bytes bigint,
                   lag_bytes bigint, lag interval, spill_bytes bigint, sources int, alert text)
    LANGUAGE sql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$
SELECT coalesce(s.slot_name, 'pg_trickle_' || (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())),
       s.plugin, coalesce(s.active, false), d.pid, s.confirmed_flush_lsn, s.retained_bytes, s.wal_status,
       s.catalog_xmin_age, d.changes, d.bytes, l.lag_bytes,
       CASE WHEN l.lag_bytes = 0 THEN interval '0' ELSE clock_timestamp() - d.caught_up_at END,
       t.spill_bytes, s.sources, s.alert
  FROM pgtrickle._slot() s
 CROSS JOIN pgtrickle._decoder() d
 CROSS JOIN LATERAL (SELECT greatest(pg_wal_lsn_diff(pgtrickle._wal_end(), coalesce(d.reached, s.confirmed_flush_lsn)), 0)::bigint AS lag_bytes) l
  LEFT JOIN pg_stat_replication_slots t ON t.slot_name = s.slot_name
 WHERE s.slot_name IS NOT NULL OR s.sources > 0
$$;

CREATE FUNCTION pgtrickle.check_cdc_health()
    RETURNS TABLE (source_table regclass, cdc_mode text, wanted_mode text, blocked_reason text,
                   slot_name name, lag_bytes bigint, alert text)
    LANGUAGE sql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$
SELECT c.source_relid::regclass, c.cdc_mode, d.wanted_mode,
       CASE WHEN c.cdc_mode = 'WAL' THEN d.blocked_reason ELSE coalesce(d.blocked_reason, c.blocked_reason) END,
       CASE WHEN c.cdc_mode <> 'TRIGGER' THEN s.slot_name END,
       CASE WHEN c.cdc_mode <> 'TRIGGER' THEN s.lag_bytes END,
       CASE WHEN c.cdc_mode <> 'TRIGGER' AND s.alert IS NOT NULL THEN s.alert
            WHEN d.wanted_mode = 'wal' AND c.cdc_mode = 'TRIGGER' AND coalesce(d.blocked_reason, c.blocked_reason) IS NOT NULL
                THEN 'warning: asked for from the WAL, captured by triggers'
       END
  FROM pgtrickle.pgt_sources c
 CROSS JOIN LATERAL pgtrickle._cdc_decision(c.source_relid) d
 CROSS JOIN pgtrickle._slot() s
 WHERE c.cdc_mode <> 'STREAM'
 ORDER BY c.source_relid::regclass::text
$$;

CREATE FUNCTION pgtrickle._cdc_status()
    RETURNS TABLE (stream_table regclass, source_table regclass, cdc_mode text,
                   since timestamptz, wanted_mode text, blocked_reason text)
    LANGUAGE sql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$
SELECT s.relid::regclass, h.source_table, h.cdc_mode, c.since, h.wanted_mode, h.blocked_reason
  FROM pgtrickle.check_cdc_health() h
  JOIN pgtrickle.pgt_sources c ON c.source_relid = h.source_table
  JOIN pgtrickle.pgt_dependencies d ON d.source_relid = h.source_table
  JOIN pgtrickle.pgt_state s USING (pgt_id)
 ORDER BY s.relid::regclass::text, h.source_table::text
$$;

-- Stream table x source: how its changes are captured, since when, why not
-- from the WAL.
CREATE VIEW pgtrickle.pgt_cdc_status AS SELECT * FROM pgtrickle._cdc_status();
GRANT SELECT ON pgtrickle.pgt_cdc_status TO PUBLIC;

-- Each check gives one row; what is wrong is named in detail.
CREATE FUNCTION pgtrickle.health_check()
    RETURNS TABLE (check_name text, severity text, detail text, hint text)
    LANGUAGE sql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$
WITH st AS MATERIALIZED (
    SELECT format('%I.%I', d.st_schema, d.st_name) AS name, s.status, s.needs_reinit,
           p.consecutive_errors, f.stale, f.staleness
      FROM pgtrickle.pgt_definitions d
      JOIN pgtrickle.pgt_state s USING (pgt_id)
      JOIN pgtrickle.pgt_progress p USING (pgt_id)
      JOIN pgtrickle._freshness(NULL) f USING (pgt_id)
), bad AS (
    SELECT string_agg(name, ', ' ORDER BY name) FILTER (WHERE status = 'ERROR') AS error,
           string_agg(name, ', ' ORDER BY name) FILTER (WHERE stale AND status NOT IN ('ERROR', 'SUSPENDED')) AS stale,
           string_agg(name, ', ' ORDER BY name) FILTER (WHERE needs_reinit) AS reinit,
           string_agg(format('%s (%s)', name, consecutive_errors), ', ' ORDER BY name)
               FILTER (WHERE consecutive_errors > 0) AS failing,
           string_agg(name, ', ' ORDER BY name) FILTER (WHERE status = 'SUSPENDED') AS suspended
      FROM st
), buffers AS (
    SELECT string_agg(format('%s (%s changes)', b.source_table, b.pending_changes), ', ' ORDER BY b.source_table::text) AS grown
      FROM pgtrickle.change_buffer_sizes() b
     WHERE b.pending_changes > current_setting('pg_trickle.buffer_alert_threshold')::bigint
), triggers AS (
    SELECT string_agg(DISTINCT t.source_table::text, ', ') AS broken
      FROM pgtrickle.trigger_inventory() t
     WHERE NOT (t.present AND t.enabled)
), w AS MATERIALIZED (
    SELECT * FROM pgtrickle._workers()
), slot AS MATERIALIZED (
    SELECT * FROM pgtrickle._slot()
), refused AS (
    SELECT string_agg(format('%s (%s)', c.source_table, c.blocked_reason), '; ' ORDER BY c.source_table::text) AS names
      FROM pgtrickle.check_cdc_health() c
     WHERE c.wanted_mode = 'wal' AND c.cdc_mode = 'TRIGGER' AND c.blocked_reason IS NOT NULL
), checks (rank, check_name, bad, severity, detail, hint) AS (
    SELECT 1, 'scheduler_running', NOT w.scheduler_running OR NOT current_setting('pg_trickle.enabled')::bool,
           CASE WHEN w.scheduler_running THEN 'WARN' ELSE 'ERROR' END,
           CASE WHEN NOT w.scheduler_running THEN 'no scheduler runs in this database'
                WHEN NOT current_setting('pg_trickle.enabled')::bool THEN 'the scheduler of this database is told to rest'
                ELSE 'the scheduler of this database runs' END,
           CASE WHEN NOT current_setting('pg_trickle.enabled')::bool THEN 'pg_trickle.enabled is off.'
                WHEN pg_is_in_recovery() THEN 'This server is a standby; refreshes resume after promotion.'
                ELSE 'See the server log; max_worker_processes may be used up.' END
      FROM w
    UNION ALL
    SELECT 2, 'decoder_running', sources > 0 AND NOT coalesce(active, false), 'ERROR',
           CASE WHEN sources = 0 THEN 'no source uses WAL capture'
                WHEN active THEN format('process %s decodes for %s sources', active_pid, sources)
                ELSE format('nothing decodes for %s sources', sources) END,
           'It is started by itself; the server log says why it is not: max_worker_processes, max_replication_slots, another user of the slot.'
      FROM slot
    UNION ALL
    SELECT 3, 'error_tables', error IS NOT NULL, 'ERROR', coalesce(error, 'none'),
           'pgtrickle.diagnose_errors(name) says what failed; pgtrickle.resume_stream_table(name) tries again.'
      FROM bad
    UNION ALL
    SELECT 4, 'stale_tables', stale IS NOT NULL, 'WARN', coalesce(stale, 'none'),
           'Changes wait longer than the schedules allow: see pgtrickle.refresh_timeline() and pgtrickle.worker_pool_status().'
      FROM bad
    UNION ALL
    SELECT 5, 'suspended_tables', suspended IS NOT NULL, 'WARN', coalesce(suspended, 'none'),
           'pgtrickle.resume_stream_table(name) resumes one.'
      FROM bad
    UNION ALL
    SELECT 6, 'needs_reinit', reinit IS NOT NULL, 'WARN', coalesce(reinit, 'none'),
           'They are rebuilt by their next refresh; pgtrickle.pgt_stream_tables shows the reason.'
      FROM bad
    UNION ALL
    SELECT 6, 'restored_tables', names IS NOT NULL, 'WARN', coalesce(names, 'none waits'),
           'Restored from a dump; built when the session that loaded it has ended and what they read is there. The server log says what is missing.'
      FROM (SELECT string_agg(format('%I.%I', d.st_schema, d.st_name), ', ' ORDER BY d.st_schema, d.st_name)
              FROM pgtrickle.pgt_definitions d
             WHERE NOT EXISTS (SELECT FROM pgtrickle.pgt_state s WHERE s.pgt_id = d.pgt_id)) r (names)
    UNION ALL
    SELECT 7, 'consecutive_errors', failing IS NOT NULL, 'WARN', coalesce(failing, 'none'),
           'pgtrickle.diagnose_errors(name) says what failed.'
      FROM bad
    UNION ALL
    SELECT 8, 'buffer_growth', grown IS NOT NULL, 'WARN', coalesce(grown, 'none'),
           'A stream table that reads it is refreshed too seldom, suspended or failing: see pgtrickle.change_buffer_sizes().'
      FROM buffers
    UNION ALL
    SELECT 9, 'capture_triggers', broken IS NOT NULL, 'ERROR', coalesce(broken, 'none is missing'),
           'Capture is not complete: pgtrickle.trigger_inventory() shows what is missing.'
      FROM triggers
    UNION ALL
    SELECT 10, 'slot_lag', alert ~ '^(critical|warning: retains)', CASE WHEN alert ~ '^critical' THEN 'ERROR' ELSE 'WARN' END,
           CASE WHEN sources = 0 THEN 'no source uses WAL capture'
                WHEN slot_name IS NULL THEN 'there is no slot'
                ELSE format('slot %s retains %s of WAL', slot_name, pg_size_pretty(retained_bytes)) END,
           'See pgtrickle.slot_health(). Past pg_trickle.slot_lag_critical_threshold pg_trickle.slot_wal_limit_action is taken.'
      FROM slot
    UNION ALL
    SELECT 11, 'slot_missing', alert ~ '^lost', 'ERROR',
           CASE WHEN alert ~ '^lost' THEN alert
                WHEN sources = 0 THEN 'no source uses WAL capture'
                WHEN slot_name IS NULL THEN 'the slot has yet to be made'
                ELSE format('slot %s is there', slot_name) END,
           'Its sources go back to triggers and their readers are rebuilt, by themselves.'
      FROM slot
    UNION ALL
    SELECT 11, 'wal_capture', names IS NOT NULL, 'WARN', coalesce(names, 'no source is on triggers against what was asked for'),
           'These sources are asked for from the WAL and stay on triggers until what is named is put right.'
      FROM refused
    UNION ALL
    SELECT 12, 'worker_pool', w.starved_since IS NOT NULL, 'WARN',
           format('%s active, %s idle, %s queued, at most %s here and %s in the server', w.active, w.idle, w.queued,
                  current_setting('pg_trickle.max_concurrent_refreshes'),
                  current_setting('pg_trickle.max_dynamic_refresh_workers')),
           'Workers cannot be started: raise max_worker_processes.'
      FROM w
    UNION ALL
    SELECT 13, 'settings', false, 'OK',
           format('wal_level %s, max_worker_processes %s, max_replication_slots %s, output_plugin_libraries %s',
                  current_setting('wal_level'), current_setting('max_worker_processes'),
                  current_setting('max_replication_slots'),
                  coalesce(current_setting('output_plugin_libraries', true), 'not known to this server')),
           NULL
)
SELECT check_name, CASE WHEN bad THEN severity ELSE 'OK' END, detail,
       CASE WHEN bad THEN hint END
  FROM checks
 ORDER BY rank
$$;

CREATE FUNCTION pgtrickle._quick_health(
    OUT total_stream_tables bigint, OUT error_tables bigint, OUT stale_tables bigint,
    OUT scheduler_running bool, OUT status text) RETURNS record
    LANGUAGE sql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$
SELECT c.total, c.error, c.stale, w.scheduler_running,
       CASE WHEN c.total = 0 THEN 'EMPTY'
            WHEN c.error > 0 OR NOT w.scheduler_running THEN 'CRITICAL'
            WHEN c.stale > 0 THEN 'WARNING'
            ELSE 'OK' END
  FROM pgtrickle._workers() w
 CROSS JOIN (SELECT count(*) AS total,
                    count(*) FILTER (WHERE s.status = 'ERROR') AS error,
                    count(*) FILTER (WHERE f.stale AND s.status <> 'ERROR') AS stale
               FROM pgtrickle.pgt_state s
               JOIN pgtrickle._freshness(NULL) f USING (pgt_id)) c
$$;

CREATE VIEW pgtrickle.quick_health AS SELECT * FROM pgtrickle._quick_health();
GRANT SELECT ON pgtrickle.quick_health TO PUBLIC;

---------------------------------------------------------------------------
-- monitor: coordination
---------------------------------------------------------------------------

-- What a stream table reads, directly or through others.
CREATE FUNCTION pgtrickle._all_sources()
    RETURNS TABLE (pgt_id bigint, source_relid oid)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$
WITH RECURSIVE reads (pgt_id, source_relid) AS (
    SELECT d.pgt_id, d.source_relid FROM pgtrickle.pgt_dependencies d
    UNION
    SELECT r.pgt_id, d.source_relid
      FROM reads r
      JOIN pgtrickle.pgt_state s ON s.relid = r.source_relid
      JOIN pgtrickle.pgt_dependencies d ON d.pgt_id = s.pgt_id
)
SELECT r.pgt_id, r.source_relid FROM reads r
$$;
REVOKE ALL ON FUNCTION pgtrickle._all_sources() FROM PUBLIC;

CREATE FUNCTION pgtrickle.source_gates()
    RETURNS TABLE (source_table regclass, gated bool, stop_capture bool, gated_at timestamptz,
                   gated_by text, affected text[])
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$
SELECT g.source_relid, true, g.stop_capture, g.gated_at, g.gated_by,
       ARRAY(SELECT format('%I.%I', n.st_schema, n.st_name)
               FROM pgtrickle._all_sources() a
               JOIN pgtrickle.pgt_definitions n USING (pgt_id)
              WHERE a.source_relid = g.source_relid
              ORDER BY 1)
  FROM pgtrickle.pgt_source_gates g
  JOIN pg_class c ON c.oid = g.source_relid
 ORDER BY g.source_relid::text
$$;

CREATE FUNCTION pgtrickle.watermarks()
    RETURNS TABLE (source_table regclass, watermark timestamptz, updated_at timestamptz,
                   advanced_by text, lsn pg_lsn)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$
SELECT w.source_relid, w.watermark, w.updated_at, w.advanced_by, w.lsn
  FROM pgtrickle.pgt_watermarks w
  JOIN pg_class c ON c.oid = w.source_relid
 ORDER BY w.source_relid::text
$$;

CREATE FUNCTION pgtrickle.watermark_groups()
    RETURNS TABLE (group_name text, sources text[], tolerance_secs float8, created_at timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$
SELECT g.group_name,
       ARRAY(SELECT r::text FROM unnest(g.sources) r JOIN pg_class c ON c.oid = r ORDER BY 1),
       g.tolerance_secs, g.created_at
  FROM pgtrickle.pgt_watermark_groups g
 ORDER BY g.group_name
$$;

-- A source without a watermark is behind every one that has one.  since: from
-- when on the sources ahead have been too far ahead.
CREATE FUNCTION pgtrickle._watermark_status()
    RETURNS TABLE (group_name text, min_watermark timestamptz, max_watermark timestamptz,
                   lag_secs float8, aligned bool, waiting bigint[], since timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$
SELECT g.group_name, w.least, w.most, w.lag, w.aligned,
       CASE WHEN NOT w.aligned THEN
           ARRAY(SELECT a.pgt_id FROM pgtrickle._all_sources() a
                  WHERE a.source_relid = ANY (g.sources)
                  GROUP BY a.pgt_id HAVING count(*) >= 2)
       ELSE '{}' END,
       CASE WHEN NOT w.aligned THEN
           (SELECT min(m.updated_at)
              FROM pgtrickle.pgt_watermarks m
             WHERE m.source_relid = ANY (g.sources)
               AND (w.missing > 0 OR extract(epoch FROM m.watermark - w.least) > g.tolerance_secs))
       END
  FROM pgtrickle.pgt_watermark_groups g
 CROSS JOIN LATERAL (
    SELECT x.*, x.known = 0 OR x.missing = 0 AND x.lag <= g.tolerance_secs AS aligned
      FROM (SELECT min(m.watermark) AS least, max(m.watermark) AS most,
                   extract(epoch FROM max(m.watermark) - min(m.watermark))::float8 AS lag,
                   count(m.watermark) AS known, count(*) - count(m.watermark) AS missing
              FROM unnest(g.sources) r
              JOIN pg_class c ON c.oid = r
              LEFT JOIN pgtrickle.pgt_watermarks m ON m.source_relid = r) x) w
 ORDER BY g.group_name
$$;

CREATE FUNCTION pgtrickle.watermark_status()
    RETURNS TABLE (group_name text, min_watermark timestamptz, max_watermark timestamptz,
                   lag_secs float8, aligned bool, waiting text[])
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$
SELECT w.group_name, w.min_watermark, w.max_watermark, w.lag_secs, w.aligned,
       ARRAY(SELECT format('%I.%I', n.st_schema, n.st_name)
               FROM pgtrickle.pgt_definitions n
              WHERE n.pgt_id = ANY (w.waiting)
              ORDER BY 1)
  FROM pgtrickle._watermark_status() w
$$;

-- What is refreshed together: refresh groups, diamonds, what lies between.
CREATE FUNCTION pgtrickle._units()
    RETURNS TABLE (unit bigint, pgt_id bigint, is_convergence bool, policy text)
    LANGUAGE C STABLE STRICT AS 'MODULE_PATHNAME', 'pgt_units_status';
REVOKE ALL ON FUNCTION pgtrickle._units() FROM PUBLIC;

-- Every stream table that the scheduler holds back, why and since when.  A
-- member that is held, or out of service, holds all that is refreshed with it.
CREATE FUNCTION pgtrickle._waiting()
    RETURNS TABLE (pgt_id bigint, waiting_for text, since timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$
WITH held AS MATERIALIZED (
    SELECT a.pgt_id, format('gate on %s', g.source_relid) AS reason, g.gated_at AS since
      FROM pgtrickle.pgt_source_gates g
      JOIN pgtrickle._all_sources() a ON a.source_relid = g.source_relid
    UNION ALL
    SELECT i.pgt_id, format('watermark group %I', w.group_name), w.since
      FROM pgtrickle._watermark_status() w
     CROSS JOIN LATERAL unnest(w.waiting) i (pgt_id)
), units AS MATERIALIZED (
    SELECT u.unit, u.pgt_id, s.relid::regclass AS name, s.status, d.updated_at, p.last_refresh_at
      FROM pgtrickle._units() u
      JOIN pgtrickle.pgt_state s USING (pgt_id)
      JOIN pgtrickle.pgt_definitions d USING (pgt_id)
      JOIN pgtrickle.pgt_progress p USING (pgt_id)
)
SELECT h.pgt_id, h.reason, h.since FROM held h
UNION ALL
SELECT m.pgt_id, format('member %s: %s', o.name, h.reason), h.since
  FROM units m
  JOIN units o ON o.unit = m.unit AND o.pgt_id <> m.pgt_id
  JOIN held h ON h.pgt_id = o.pgt_id
UNION ALL
SELECT m.pgt_id, format('member %s: %s', o.name, o.status),
       CASE o.status WHEN 'SUSPENDED' THEN o.updated_at ELSE o.last_refresh_at END
  FROM units m
  JOIN units o ON o.unit = m.unit AND o.pgt_id <> m.pgt_id AND o.status IN ('SUSPENDED', 'ERROR')
$$;

-- Of each stream table, what its last refresh came to.
CREATE FUNCTION pgtrickle._last_result(pgt_id bigint) RETURNS text
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$
SELECT h.status FROM pgtrickle.pgt_refresh_history h
 WHERE h.pgt_id = $1 AND h.status <> 'RUNNING'
 ORDER BY h.refresh_id DESC LIMIT 1
$$;
REVOKE ALL ON FUNCTION pgtrickle._last_result(bigint) FROM PUBLIC;

CREATE FUNCTION pgtrickle.refresh_groups()
    RETURNS TABLE (group_name text, member regclass, isolation text, last_refresh_at timestamptz,
                   last_result text, waiting_for text)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$
WITH waiting AS MATERIALIZED (
    SELECT w.pgt_id, string_agg(w.waiting_for, ', ' ORDER BY w.waiting_for) AS reasons
      FROM pgtrickle._waiting() w GROUP BY w.pgt_id
)
SELECT g.group_name, m, g.isolation, p.last_refresh_at, pgtrickle._last_result(s.pgt_id), w.reasons
  FROM pgtrickle.pgt_refresh_groups g
 CROSS JOIN LATERAL unnest(g.members) m
  JOIN pgtrickle.pgt_state s ON s.relid = m
  JOIN pgtrickle.pgt_progress p USING (pgt_id)
  LEFT JOIN waiting w USING (pgt_id)
 ORDER BY g.group_name, m::text
$$;

CREATE FUNCTION pgtrickle.diamond_groups()
    RETURNS TABLE (group_id bigint, member regclass, is_convergence bool, policy text,
                   last_refresh_at timestamptz, last_result text)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$
SELECT u.unit, s.relid::regclass, u.is_convergence, u.policy, p.last_refresh_at,
       pgtrickle._last_result(u.pgt_id)
  FROM (SELECT *, bool_or(is_convergence) OVER (PARTITION BY unit) AS diamond FROM pgtrickle._units()) u
  JOIN pgtrickle.pgt_state s USING (pgt_id)
  JOIN pgtrickle.pgt_progress p USING (pgt_id)
 WHERE u.diamond
 ORDER BY u.unit, s.relid::regclass::text
$$;

CREATE FUNCTION pgtrickle.waiting_stream_tables()
    RETURNS TABLE (stream_table regclass, waiting_for text, since timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$
SELECT s.relid::regclass, w.waiting_for, w.since
  FROM pgtrickle._waiting() w
  JOIN pgtrickle.pgt_state s USING (pgt_id)
 ORDER BY s.relid::regclass::text, w.waiting_for
$$;
