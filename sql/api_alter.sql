-- alter, drop, resume.
CREATE SCHEMA api_alter;
SET search_path = api_alter, public;
SET pg_trickle.stream_table_schema = '';
SET client_min_messages = warning;

CREATE TABLE t (id int PRIMARY KEY, g int, v int);
INSERT INTO t SELECT i, i % 3, i FROM generate_series(1, 9) i;
SELECT pgtrickle.create_stream_table('st', 'SELECT g, sum(v) AS s FROM t GROUP BY g', '1h');
CREATE INDEX st_s ON st (s);
COMMENT ON TABLE st IS 'kept';
CREATE VIEW over_st AS SELECT g FROM st;

SELECT pgtrickle.alter_stream_table('st', schedule => '5m');
SELECT pgtrickle.alter_stream_table('st', schedule => 'whenever');
SELECT schedule, refresh_mode FROM pgtrickle.pgt_stream_tables;
SELECT pgtrickle.alter_stream_table('st', schedule => 'calculated');
SELECT schedule IS NULL AS calculated FROM pgtrickle.pgt_stream_tables;

-- to FULL and back, contents right all the time
SELECT pgtrickle.alter_stream_table('st', refresh_mode => 'FULL');
INSERT INTO t VALUES (10, 1, 10);
SELECT action FROM pgtrickle.refresh_stream_table('st');
SELECT action FROM pgtrickle.refresh_stream_table('st', 'DIFFERENTIAL');
SELECT pgtrickle.alter_stream_table('st', refresh_mode => 'DIFFERENTIAL');
INSERT INTO t VALUES (11, 1, 11);
SELECT action FROM pgtrickle.refresh_stream_table('st');
TABLE st EXCEPT ALL SELECT g, sum(v) FROM t GROUP BY g;

-- another query with the same columns: the table stays what it is
SELECT pgtrickle.alter_stream_table('st', query => 'SELECT g, sum(v) AS s FROM t WHERE v > 3 GROUP BY g');
SELECT * FROM st ORDER BY g;
INSERT INTO t VALUES (12, 1, 12);
SELECT action FROM pgtrickle.refresh_stream_table('st');
SELECT * FROM st ORDER BY g;
SELECT obj_description('st'::regclass), to_regclass('st_s');
-- another column that something hangs on, then one that nothing does
SELECT pgtrickle.alter_stream_table('st', query => 'SELECT g::text, sum(v) AS s FROM t GROUP BY g');
SELECT * FROM st ORDER BY g;
DROP INDEX st_s;
SELECT pgtrickle.alter_stream_table('st', query => 'SELECT g, max(v) AS m, count(*) AS n FROM t GROUP BY g');
SELECT * FROM st ORDER BY g;
UPDATE t SET v = -v WHERE id = 12;
SELECT action FROM pgtrickle.refresh_stream_table('st');
TABLE st EXCEPT ALL SELECT g, max(v), count(*) FROM t GROUP BY g;
-- a query that is refused changes nothing
SELECT pgtrickle.alter_stream_table('st', query => 'SELECT g FROM t LEFT JOIN t b USING (id)');
SELECT pgtrickle.alter_stream_table('st', query => 'SELECT g FROM st');
SELECT action FROM pgtrickle.refresh_stream_table('st');

-- suspend and resume
SELECT pgtrickle.alter_stream_table('st', enabled => false);
SELECT status FROM pgtrickle.pgt_stream_tables;
SELECT action FROM pgtrickle.refresh_stream_table('st');
SELECT pgtrickle.resume_stream_table('st');
SELECT status FROM pgtrickle.pgt_stream_tables;
SELECT pgtrickle.alter_stream_table('st', status => 'SUSPENDED');
SELECT pgtrickle.alter_stream_table('st', status => 'ACTIVE', enabled => false);
SELECT pgtrickle.alter_stream_table('st', status => 'SLEEPY');
SELECT pgtrickle.alter_stream_table('st', status => 'ACTIVE');
SELECT action FROM pgtrickle.refresh_stream_table('st');

-- rename
SELECT pgtrickle.alter_stream_table('st', name => 'other.st2');
SELECT pgtrickle.alter_stream_table('st', name => 'st2');
SELECT action FROM pgtrickle.refresh_stream_table('st2');
SELECT action FROM pgtrickle.refresh_stream_table('st');
SELECT action FROM pgtrickle.refresh_stream_table('t');
SELECT action FROM pgtrickle.refresh_stream_table('st2', 'QUICK');

-- a cycle
SELECT pgtrickle.create_stream_table('up', 'SELECT g, m FROM st2');
SELECT pgtrickle.alter_stream_table('st2', query => 'SELECT g, m::int AS m, 1::bigint AS n FROM up');

-- drop: restrictive, then all
SELECT pgtrickle.drop_stream_table('st2');
SELECT pgtrickle.drop_stream_table('st2', cascade => true);
SELECT pgtrickle.drop_stream_table('st2');
SELECT to_regclass('up'), to_regclass('over_st');
SELECT tgname FROM pg_trigger WHERE tgrelid = 't'::regclass;
SELECT count(*) FROM pgtrickle.pgt_dependencies;
SELECT count(*) FROM pg_class WHERE relnamespace IN ('pgtrickle_state'::regnamespace, 'pgtrickle_changes'::regnamespace);
DROP SCHEMA api_alter CASCADE;
