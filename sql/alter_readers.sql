-- A new query for a stream table that others read: what they are left with.
CREATE SCHEMA ar;
SET search_path = ar;
CREATE TABLE t (id int, v int);
INSERT INTO t SELECT i, i * 10 FROM generate_series(1, 3) i;
SELECT pgtrickle.create_stream_table('ar.a', 'SELECT id, v FROM t');
SELECT pgtrickle.create_stream_table('ar.b', 'SELECT id, v FROM a');
SELECT pgtrickle.create_stream_table('ar.n', 'SELECT count(*) AS n FROM a');
SELECT pgtrickle.create_stream_table('ar.c', 'SELECT max(v) AS m FROM b');

-- a column that keeps its name and gets another type
SELECT pgtrickle.alter_stream_table('ar.a', query => 'SELECT id, v::text || ''!'' AS v FROM t');
SELECT pgt_name, status, needs_reinit, reinit_reason FROM pgtrickle.pgt_stream_tables WHERE pgt_schema = 'ar' ORDER BY 1;
SELECT action FROM pgtrickle.refresh_stream_table('ar.b');
SELECT action FROM pgtrickle.refresh_stream_table('ar.n');
SELECT * FROM b ORDER BY id;
-- who reads it is given a query for it, and so on
SELECT pgtrickle.alter_stream_table('ar.b', query => 'SELECT id, v FROM a WHERE id > 1');
SELECT action FROM pgtrickle.refresh_stream_table('ar.c');
SELECT pgtrickle.alter_stream_table('ar.c', query => 'SELECT max(v) AS m FROM b');
INSERT INTO t VALUES (4, 40), (5, 50);
SELECT action FROM pgtrickle.refresh_stream_table('ar.a');
SELECT action FROM pgtrickle.refresh_stream_table('ar.b');
SELECT action FROM pgtrickle.refresh_stream_table('ar.n');
SELECT action FROM pgtrickle.refresh_stream_table('ar.c');
SELECT * FROM b ORDER BY id;
SELECT n, m FROM n, c;
-- columns of the same types: the readers go on
SELECT pgtrickle.alter_stream_table('ar.a', query => 'SELECT id, v::text AS v FROM t WHERE id <> 5');
SELECT pgt_name, needs_reinit FROM pgtrickle.pgt_stream_tables WHERE pgt_schema = 'ar' AND needs_reinit;
SELECT action FROM pgtrickle.refresh_stream_table('ar.b');
SELECT action FROM pgtrickle.refresh_stream_table('ar.n');
SELECT * FROM b ORDER BY id;
SELECT n FROM n;
DROP SCHEMA ar CASCADE;
