-- The history of refreshes and what it says about errors.
SET client_min_messages = warning;
CREATE SCHEMA mon;
CREATE TABLE mon.src (id int PRIMARY KEY, a int, b int);
INSERT INTO mon.src VALUES (1, 1, 1);
SELECT pgtrickle.create_stream_table('mon.quot', 'SELECT id, a / b AS q FROM mon.src', '1d');
SELECT pgtrickle.create_stream_table('mon.other', 'SELECT id FROM mon.src', '1d');
SELECT * FROM pgtrickle.diagnose_errors('mon.quot');

INSERT INTO mon.src VALUES (2, 4, 2);
SELECT action FROM pgtrickle.refresh_stream_table('mon.quot');
SELECT action FROM pgtrickle.refresh_stream_table('mon.quot', 'FULL');
SELECT action FROM pgtrickle.refresh_stream_table('mon.quot');
-- fails in the caller's session: told to the caller, not to the history
INSERT INTO mon.src VALUES (3, 1, 0);
SELECT action FROM pgtrickle.refresh_stream_table('mon.quot');
-- as the workers record it
INSERT INTO pgtrickle.pgt_refresh_history
    (refresh_id, pgt_id, start_time, end_time, action, status, initiated_by, duration_ms, sqlstate, error_message)
SELECT -row_number() OVER (), pgt_id, clock_timestamp(), clock_timestamp(), 'REFRESH', 'FAILED', 'SCHEDULER', 1, s, 'message of ' || s
  FROM pgtrickle.pgt_definitions, unnest('{22012,23505,42501,42703,3F000,0A000,40001,55P03,57014,53200,XX000}'::text[]) s
 WHERE st_name = 'quot';
INSERT INTO pgtrickle.pgt_refresh_history
    (refresh_id, pgt_id, start_time, action, status, initiated_by)
SELECT -100, pgt_id, clock_timestamp(), 'REFRESH', 'RUNNING', 'SCHEDULER'
  FROM pgtrickle.pgt_definitions WHERE st_name = 'other';

SELECT start_time <= clock_timestamp() AS started, stream_table, action, status, rows_inserted, rows_deleted,
       duration_ms >= 0 AS timed, error_message
  FROM pgtrickle.refresh_timeline();
SELECT stream_table, status, error_message FROM pgtrickle.refresh_timeline(2);
SELECT * FROM pgtrickle.refresh_timeline(0);
SELECT stream_table, action, status, rows_inserted, rows_deleted, refresh_id > 0 AS id, initiated_by, changes_consumed, reason
  FROM pgtrickle.get_refresh_history('mon.quot') WHERE status <> 'FAILED';
SELECT count(*) FROM pgtrickle.get_refresh_history('mon.quot', 3);
SELECT status FROM pgtrickle.get_refresh_history('mon.other', 1);
SELECT error_type, sqlstate, error_message FROM pgtrickle.diagnose_errors('mon.quot');
SELECT DISTINCT error_type, remediation FROM pgtrickle.diagnose_errors('mon.quot') ORDER BY 1;
SELECT * FROM pgtrickle.diagnose_errors('mon.missing');

SET client_min_messages = error;
DROP SCHEMA mon CASCADE;
SELECT count(*) FROM pgtrickle.refresh_timeline();
