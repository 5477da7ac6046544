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
    diff_change_ms float8                   -- cost model: and per change
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
    handover pg_snapshot,                   -- H of DESIGN.md section 4
    blocked_reason text,
    since timestamptz NOT NULL
);

CREATE TABLE pgtrickle.pgt_dependencies (
    pgt_id bigint NOT NULL,
    source_relid oid NOT NULL,
    source_type text NOT NULL CHECK (source_type IN ('TABLE', 'STREAM_TABLE', 'VIEW', 'MATVIEW', 'FOREIGN_TABLE')),
    columns_used int2[] NOT NULL,           -- attribute numbers, ascending
    PRIMARY KEY (pgt_id, source_relid)
);
CREATE INDEX pgt_dependencies_source ON pgtrickle.pgt_dependencies (source_relid);

CREATE SEQUENCE pgtrickle.pgt_refresh_id_seq CACHE 100;
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

SELECT pg_catalog.pg_extension_config_dump('pgtrickle.pgt_definitions', '');
SELECT pg_catalog.pg_extension_config_dump('pgtrickle.pgt_id_seq', '');

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

CREATE FUNCTION pgtrickle.export_definition(name text) RETURNS text
    LANGUAGE C STABLE STRICT AS 'MODULE_PATHNAME', 'pgt_export_definition';

CREATE FUNCTION pgtrickle.validate_query(
    query text, OUT check_name text, OUT result text, OUT detail text) RETURNS SETOF record
    LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'pgt_validate_query';

-- the id of a stream table by the name rules of the API
CREATE FUNCTION pgtrickle._resolve(name text) RETURNS bigint
    LANGUAGE C STABLE STRICT AS 'MODULE_PATHNAME', 'pgt_resolve';

---------------------------------------------------------------------------
-- capture
---------------------------------------------------------------------------

-- Only triggers made by the extension may call it; see applier/capture/trigger.c.
CREATE FUNCTION pgtrickle.capture() RETURNS trigger
    LANGUAGE C AS 'MODULE_PATHNAME', 'pgt_capture';
REVOKE ALL ON FUNCTION pgtrickle.capture() FROM PUBLIC;

---------------------------------------------------------------------------
-- dvm
---------------------------------------------------------------------------

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
