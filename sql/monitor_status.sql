-- pgt_status, pg_stat_stream_tables, staleness and health: what is stale is
-- what has not arrived, not what is old.
SET client_min_messages = warning;
CREATE SCHEMA mon;
-- nothing there
SELECT * FROM pgtrickle.pgt_status();
SELECT total_stream_tables, error_tables, stale_tables, status FROM pgtrickle.quick_health;
SELECT count(*) FROM pgtrickle.health_check() WHERE check_name <> 'scheduler_running' AND severity <> 'OK';

CREATE TABLE mon.src (id int PRIMARY KEY, grp int, val int);
INSERT INTO mon.src SELECT i, i % 2, i FROM generate_series(1, 4) i;
SELECT pgtrickle.create_stream_table('mon.sums', 'SELECT grp, sum(val) AS total FROM mon.src GROUP BY grp', '1d', 'DIFFERENTIAL');
SELECT pgtrickle.create_stream_table('mon.tops', 'SELECT max(total) AS top FROM mon.sums', '100ms');
SELECT pgtrickle.create_stream_table('mon.empty', 'SELECT id FROM mon.src', '1d', initialize => false);
SELECT pgtrickle.create_stream_table('mon.aging', 'SELECT id, now() AS seen FROM mon.src', '1d', 'FULL');

CREATE VIEW mon.status AS
SELECT name, status, refresh_mode, effective_mode, is_populated, schedule,
       data_timestamp <= clock_timestamp() AS dated, staleness > '0' AS late, stale,
       last_refresh_at <= clock_timestamp() AS refreshed, consecutive_errors, last_error, cdc_modes
  FROM pgtrickle.pgt_status();
TABLE mon.status;
SELECT total_stream_tables, error_tables, stale_tables FROM pgtrickle.quick_health;
SELECT name, pgtrickle.get_staleness(name) > 0 AS late FROM pgtrickle.pgt_status();

-- an idle source: nothing is missing, however long ago the last change was
SELECT pg_sleep(0.15);
SELECT name, late, stale FROM mon.status WHERE name <> 'mon.empty';
-- a change: missing below, and so above; late only where the schedule says so
INSERT INTO mon.src VALUES (5, 1, 5);
SELECT pg_sleep(1.1);
SELECT name, late, stale FROM mon.status;
SELECT pgtrickle.get_staleness('mon.sums') BETWEEN 1 AND 60 AS since;
SELECT relname, pending_changes, lag > '0' AS late, stale FROM pgtrickle.pg_stat_stream_tables ORDER BY 1;
SELECT name, status, severity FROM pgtrickle.pgt_status() JOIN pgtrickle.health_check() ON check_name = 'stale_tables' AND detail LIKE '%' || name || '%';
SELECT action FROM pgtrickle.refresh_stream_table('mon.sums');
SELECT name, late, stale FROM mon.status WHERE name IN ('mon.sums', 'mon.tops');
SELECT action FROM pgtrickle.refresh_stream_table('mon.tops');
SELECT name, late, stale FROM mon.status WHERE name IN ('mon.sums', 'mon.tops');

-- counters
UPDATE mon.src SET val = val + 1;
SELECT action, rows_inserted, rows_deleted FROM pgtrickle.refresh_stream_table('mon.sums');
SELECT action, rows_inserted, rows_deleted FROM pgtrickle.refresh_stream_table('mon.sums', 'FULL');
SELECT action FROM pgtrickle.refresh_stream_table('mon.sums');
SELECT relname, status, refresh_mode, effective_mode, total_refreshes, differential_refreshes,
       full_refreshes, failed_refreshes, rows_inserted, rows_deleted, changes_consumed,
       total_ms >= max_ms AS total, avg_ms <= max_ms AS avg, last_action, last_ms > 0 AS last
  FROM pgtrickle.st_refresh_stats();
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
 WHERE attrelid = 'pgtrickle.pg_stat_stream_tables'::regclass AND attnum > 0 ORDER BY attnum;

-- states
SELECT pgtrickle.alter_stream_table('mon.tops', enabled => false);
UPDATE pgtrickle.pgt_state SET status = 'ERROR' WHERE relid = 'mon.sums'::regclass;
UPDATE pgtrickle.pgt_progress SET consecutive_errors = 3, last_error = 'division by zero', last_sqlstate = '22012'
 WHERE pgt_id = (SELECT pgt_id FROM pgtrickle.pgt_state WHERE relid = 'mon.sums'::regclass);
ALTER TABLE mon.src ALTER COLUMN id TYPE int USING id;
SELECT name, status, stale, consecutive_errors, last_error FROM pgtrickle.pgt_status();
SELECT total_stream_tables, error_tables, stale_tables, status FROM pgtrickle.quick_health;
SELECT check_name, severity, CASE WHEN check_name NOT IN ('settings', 'worker_pool', 'scheduler_running') THEN detail END AS detail, hint
  FROM pgtrickle.health_check() WHERE check_name <> 'scheduler_running';
ALTER TABLE mon.src DISABLE TRIGGER ALL;
SELECT check_name, severity, detail FROM pgtrickle.health_check() WHERE check_name = 'capture_triggers';

SET client_min_messages = error;
DROP SCHEMA mon CASCADE;
