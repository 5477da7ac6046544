-- Rows of tables, views and subqueries as values.
CREATE SCHEMA dvm_rows;
SET search_path = dvm_rows, public;
SET client_min_messages = warning;

CREATE TABLE t (id int PRIMARY KEY, gone int, v int, s text);
ALTER TABLE t DROP COLUMN gone;
CREATE TABLE u (id int, k int);
CREATE VIEW w AS SELECT id, v + 1 AS v1 FROM t;
INSERT INTO t SELECT i, i % 3, 's' || i FROM generate_series(1, 8) i;
INSERT INTO u SELECT i % 5, i FROM generate_series(1, 9) i;

SELECT oracle.make('w_row', 'SELECT t FROM t');
SELECT oracle.make('w_json', 'SELECT id, row_to_json(t) AS j FROM t WHERE v > 0');
SELECT oracle.make('w_text', 'SELECT t::text AS x, u::text AS y FROM t JOIN u USING (id)');
SELECT oracle.make('w_subquery', 'SELECT to_jsonb(q) AS j FROM (SELECT id, v * 2 AS twice FROM t) q');
SELECT oracle.make('w_view', 'SELECT w, (w).v1 FROM w');
SELECT oracle.make('w_group', 'SELECT v, jsonb_agg(t ORDER BY id) AS rows, count(t) FROM t GROUP BY v');
SELECT oracle.make('w_key', 'SELECT u, count(*) FROM u GROUP BY u');
SELECT oracle.make('w_distinct', 'SELECT DISTINCT u FROM u');
SELECT oracle.make('w_compare', 'SELECT a.id FROM u a JOIN u b ON a = b');
SELECT oracle.make('w_null', 'SELECT id, t IS NULL AS n, t IS NOT NULL AS nn FROM t');
SELECT oracle.make('w_cte', 'WITH c AS (SELECT id, s FROM t) SELECT c::text AS c FROM c');
SELECT oracle.make('w_join_row', 'SELECT j::text AS j FROM (t JOIN u USING (id)) j');
SELECT oracle.make('w_left', 'SELECT u.k, row_to_json(u) AS j, t.s FROM u LEFT JOIN t USING (id)');
SELECT oracle.make('w_union', 'SELECT u FROM u UNION SELECT u FROM u WHERE k > 3');
SELECT oracle.make('w_row_output', 'SELECT id, ROW(id, v)::u AS r FROM t');
-- absent rows; rows of no declared type as keys
SELECT oracle.make('w_optional', 'SELECT u.k, row_to_json(t) AS j FROM u LEFT JOIN t USING (id)');
SELECT oracle.make('w_record_key', 'SELECT count(*) FROM t GROUP BY ROW(v, s)');
SELECT count(pgtrickle.drop_stream_table(name)) AS dropped FROM oracle.cases WHERE name IN ('w_optional', 'w_record_key');
DELETE FROM oracle.cases WHERE name IN ('w_optional', 'w_record_key');
SELECT * FROM oracle.check();
INSERT INTO t VALUES (20, NULL, NULL), (21, 1, 'new');
SELECT * FROM oracle.check();
BEGIN; UPDATE t SET s = s || '!' WHERE v = 1; DELETE FROM u WHERE k < 4; INSERT INTO u VALUES (NULL, NULL), (NULL, NULL); COMMIT;
SELECT * FROM oracle.check();
-- a column more is a column of the row
SELECT count(pgtrickle.drop_stream_table(name)) AS dropped FROM oracle.cases WHERE name NOT IN ('w_json', 'w_group');
DELETE FROM oracle.cases WHERE name NOT IN ('w_json', 'w_group');
ALTER TABLE t ADD COLUMN more int;
SELECT name, action FROM oracle.cases, pgtrickle.refresh_stream_table(name) ORDER BY name;
SELECT * FROM oracle.check();
UPDATE t SET more = id WHERE id < 4;
SELECT * FROM oracle.check();
ALTER TABLE t RENAME COLUMN more TO less;
SELECT name, action FROM oracle.cases, pgtrickle.refresh_stream_table(name) ORDER BY name;
SELECT * FROM oracle.check();
SELECT oracle.done();
RESET client_min_messages;
DROP SCHEMA dvm_rows CASCADE;
