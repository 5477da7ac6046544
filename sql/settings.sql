-- Every setting has a type, a range, a unit; wrong values are refused.
SELECT name, setting, unit, vartype, context, min_val, max_val, enumvals
  FROM pg_settings WHERE name LIKE 'pg\_trickle.%' AND name <> 'pg_trickle.enabled' ORDER BY name;
SET pg_trickle.cdc_mode = 'pigeon';
\set VERBOSITY sqlstate
SET pg_trickle.refresh_work_mem = '1kB';
\set VERBOSITY default
SET pg_trickle.refresh_work_mem = '64MB';
SHOW pg_trickle.refresh_work_mem;
\set VERBOSITY sqlstate
SET pg_trickle.differential_max_change_ratio = -1;
\set VERBOSITY default
SET pg_trickle.max_concurrent_refreshes = 2;
SET pg_trickle.no_such_setting = 1;
ALTER SYSTEM SET pg_trickle.default_schedule = 'sometimes';
-- an ordinary user changes only what concerns its own statements
CREATE ROLE regress_settings_user;
SET ROLE regress_settings_user;
SET pg_trickle.stream_table_schema = 'public';
SET pg_trickle.cdc_mode = 'trigger';
SET pg_trickle.block_source_ddl = on;
RESET ROLE;
DROP ROLE regress_settings_user;
