-- append_only: which queries may be, insertions, how it ends.
CREATE SCHEMA ao;
SET search_path = ao;
CREATE TABLE log (id int, k int, v int);
CREATE TABLE kinds (k int, name text);
INSERT INTO kinds VALUES (1, 'one'), (2, 'two');
INSERT INTO log SELECT i, i % 3, i FROM generate_series(1, 300) i;

CREATE FUNCTION pg_temp.refused(q text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pgtrickle.create_stream_table('ao.x', q, append_only => true);
	RETURN 'created';
EXCEPTION WHEN others THEN RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
SELECT q, pg_temp.refused(q)
  FROM unnest(ARRAY['SELECT k, sum(v) AS s FROM log GROUP BY k', 'SELECT count(*) FROM log', 'SELECT DISTINCT k FROM log',
                    'SELECT l.id, n.name FROM log l LEFT JOIN kinds n USING (k)',
                    'SELECT id FROM log WHERE k IN (SELECT k FROM kinds)', 'SELECT id FROM log UNION SELECT k FROM kinds',
                    'SELECT id FROM log ORDER BY v LIMIT 3', 'SELECT id, row_number() OVER (ORDER BY v) FROM log',
                    'SELECT s.k FROM (SELECT k, count(*) FROM log GROUP BY k) s', 'SELECT id, random() FROM log']) q;

SELECT pgtrickle.create_stream_table('ao.st', 'SELECT l.id, l.v, n.name FROM log l JOIN kinds n USING (k) WHERE l.v <> 7 UNION ALL SELECT id, v, NULL FROM log WHERE v < 0', append_only => true);
SELECT pgtrickle.create_stream_table('ao.reader', 'SELECT name, count(*) AS n FROM st GROUP BY name');
CREATE FUNCTION pg_temp.wrong() RETURNS bigint LANGUAGE sql AS $$
	SELECT count(*) FROM ((SELECT l.id, l.v, n.name FROM log l JOIN kinds n USING (k) WHERE l.v <> 7 UNION ALL SELECT id, v, NULL FROM log WHERE v < 0
	                       EXCEPT ALL TABLE st)
	                      UNION ALL
	                      (TABLE st EXCEPT ALL (SELECT l.id, l.v, n.name FROM log l JOIN kinds n USING (k) WHERE l.v <> 7 UNION ALL SELECT id, v, NULL FROM log WHERE v < 0))) d $$;
-- duplicates, both sources at once, nothing that fits
INSERT INTO log VALUES (1001, 1, 1), (1001, 1, 1), (1002, 2, -5);
SELECT action, rows_inserted, rows_deleted FROM pgtrickle.refresh_stream_table('st');
INSERT INTO log VALUES (1003, 4, 1), (1004, 2, 1); INSERT INTO kinds VALUES (4, 'four'), (0, 'zero');
SELECT action, rows_inserted, rows_deleted FROM pgtrickle.refresh_stream_table('st');
INSERT INTO log VALUES (1005, 9, 1);
SELECT action, rows_inserted, rows_deleted FROM pgtrickle.refresh_stream_table('st');
SELECT pg_temp.wrong();
SELECT action FROM pgtrickle.refresh_stream_table('reader');
SELECT * FROM reader ORDER BY name;
SELECT is_append_only FROM pgtrickle.pgt_stream_tables WHERE pgt_name = 'st';
SELECT pgtrickle.export_definition('st') LIKE '%append_only => true%' AS exported;

-- a deletion ends it
DELETE FROM log WHERE id = 1001 AND ctid = (SELECT min(ctid) FROM log WHERE id = 1001);
INSERT INTO log VALUES (1006, 1, 6);
SELECT action, rows_inserted, rows_deleted FROM pgtrickle.refresh_stream_table('st');
SELECT pg_temp.wrong();
SELECT is_append_only FROM pgtrickle.pgt_stream_tables WHERE pgt_name = 'st';
-- again; an update, a truncation
SELECT pgtrickle.alter_stream_table('st', append_only => true);
UPDATE log SET v = v + 1 WHERE id = 1006;
SELECT action, rows_inserted, rows_deleted FROM pgtrickle.refresh_stream_table('st');
SELECT pgtrickle.alter_stream_table('st', append_only => true);
TRUNCATE log;
INSERT INTO log VALUES (1, 1, 1);
SELECT action FROM pgtrickle.refresh_stream_table('st');
SELECT pg_temp.wrong();
SELECT is_append_only FROM pgtrickle.pgt_stream_tables WHERE pgt_name = 'st';
-- not with a query or a mode that cannot
SELECT pgtrickle.alter_stream_table('reader', append_only => true);
SELECT pgtrickle.alter_stream_table('st', append_only => true);
SELECT pgtrickle.alter_stream_table('st', refresh_mode => 'FULL');
SELECT pgtrickle.alter_stream_table('st', query => 'SELECT k AS id, max(v) AS v, NULL::text AS name FROM log GROUP BY k');
SELECT pgtrickle.alter_stream_table('st', append_only => false, refresh_mode => 'FULL');
SELECT is_append_only, effective_mode FROM pgtrickle.pgt_stream_tables WHERE pgt_name = 'st';
DROP SCHEMA ao CASCADE;
