-- Aggregates of distinct values: kept by counts, not by evaluating groups anew.
CREATE SCHEMA dvm_count_distinct;
SET search_path = dvm_count_distinct, public;
SET client_min_messages = warning;

CREATE TABLE t (id int, g int, h text, v int, n numeric, f float8, b bool);
CREATE TABLE d (id int PRIMARY KEY, name text);
INSERT INTO t SELECT i, i % 4, 'h' || i % 3, i % 7, (i % 5)::numeric, i % 3 / 2.0, i % 2 = 0 FROM generate_series(1, 60) i;
INSERT INTO t (id, g) VALUES (100, 1), (101, NULL), (102, NULL);
INSERT INTO t (id, g, v, n) VALUES (103, NULL, 1, 1.00), (104, NULL, 1, 1.0), (105, 9, NULL, NULL);
INSERT INTO d SELECT i, 'd' || i FROM generate_series(0, 3) i;

SELECT oracle.make('c_one', 'SELECT g, count(DISTINCT v) AS c FROM t GROUP BY g');
SELECT oracle.make('c_many', 'SELECT g, count(*) AS n, sum(v) AS s, count(DISTINCT v) AS cv, sum(DISTINCT v) AS sv, avg(DISTINCT v) AS av, count(DISTINCT h) AS ch, variance(DISTINCT v) AS var FROM t GROUP BY g');
SELECT oracle.make('c_total', 'SELECT count(DISTINCT v) AS a, count(DISTINCT h) AS b, sum(DISTINCT v + 1) AS c FROM t');
SELECT oracle.make('c_filter', 'SELECT g, count(DISTINCT v) FILTER (WHERE b) AS a, count(DISTINCT v) FILTER (WHERE NOT b) AS c, count(DISTINCT v) AS e, count(*) FILTER (WHERE v > 3) AS n FROM t GROUP BY g');
SELECT oracle.make('c_same', 'SELECT h, min(DISTINCT v) AS lo, max(DISTINCT v) AS hi, bool_and(DISTINCT b) AS b FROM t GROUP BY h');
SELECT oracle.make('c_with_others', 'SELECT g, count(DISTINCT v) AS c, string_agg(h, '','' ORDER BY id) AS s, array_agg(DISTINCT v) AS a, percentile_disc(0.5) WITHIN GROUP (ORDER BY v) AS p FROM t GROUP BY g');
SELECT oracle.make('c_having', 'SELECT g + 1 AS g1, count(DISTINCT h) AS c FROM t GROUP BY g + 1 HAVING count(DISTINCT v) > 2');
SELECT oracle.make('c_hidden', 'SELECT count(DISTINCT v) * 2 AS c FROM t GROUP BY g, h');
SELECT oracle.make('c_join', 'SELECT d.name, count(DISTINCT t.v) AS c, count(*) AS n FROM t JOIN d ON d.id = t.g GROUP BY d.name');
SELECT oracle.make('c_dependent', 'SELECT d.id, d.name, count(DISTINCT t.h) AS c FROM t JOIN d ON d.id = t.g GROUP BY d.id');
SELECT oracle.make('c_key_value', 'SELECT v, count(DISTINCT v) AS one, count(DISTINCT g) AS c FROM t GROUP BY v');
SELECT oracle.make('c_case', 'SELECT g, count(DISTINCT CASE WHEN v > 3 THEN h END) AS c, CASE WHEN count(DISTINCT v) > 5 THEN ''many'' ELSE ''few'' END AS w FROM t GROUP BY g');
SELECT oracle.make('c_nested', 'SELECT c, count(DISTINCT s) AS cs FROM (SELECT g, count(DISTINCT v) AS c, sum(v) AS s FROM t GROUP BY g) q GROUP BY c');
SELECT oracle.make('c_window', 'SELECT g, count(DISTINCT v) AS c, rank() OVER (ORDER BY count(DISTINCT v), g) AS r FROM t GROUP BY g');
SELECT oracle.make('c_limit', 'SELECT g, count(DISTINCT v) AS c FROM t GROUP BY g ORDER BY count(DISTINCT v) DESC, g LIMIT 2');
SELECT oracle.make('c_distinct', 'SELECT DISTINCT count(DISTINCT v) AS c FROM t GROUP BY g');
SELECT oracle.make('c_float', 'SELECT g, count(DISTINCT f) AS c, count(DISTINCT n) AS cn FROM t GROUP BY g');
SELECT oracle.make('c_sets', 'SELECT g, h, count(DISTINCT v) AS c FROM t GROUP BY ROLLUP (g, h)');
SELECT oracle.make('c_text', 'SELECT count(DISTINCT h COLLATE "C") AS c FROM t');
-- a row without a name cannot be a column of the state: groups are evaluated
SELECT oracle.make('c_row', 'SELECT g, count(DISTINCT (h, v)) AS r, count(DISTINCT v) AS c FROM t GROUP BY g');
SELECT * FROM oracle.check();
-- one of several equal values goes, then the last; a NULL; a new one
DELETE FROM t WHERE id IN (1, 2, 3);
SELECT * FROM oracle.check();
DELETE FROM t WHERE v = 5 AND g = 1;
UPDATE t SET v = NULL WHERE id = 4;
INSERT INTO t VALUES (200, 1, 'new', 77, 77, 77, true), (201, 1, 'new', 77, 77.0, 77, false);
SELECT * FROM oracle.check();
-- filters, groups and both sides of a join at once
BEGIN; UPDATE t SET b = NOT b WHERE id % 3 = 0; UPDATE t SET g = (g + 1) % 4 WHERE id < 20; DELETE FROM d WHERE id = 2; UPDATE d SET name = 'd0' WHERE id = 3; COMMIT;
SELECT * FROM oracle.check();
DELETE FROM t WHERE g = 2;
DELETE FROM t WHERE g IS NULL;
INSERT INTO d VALUES (2, 'two'), (9, 'nine');
SELECT * FROM oracle.check();
BEGIN; DELETE FROM t; INSERT INTO t SELECT i, i % 2, 'x', i % 3, i % 3, i, true FROM generate_series(1, 9) i; COMMIT;
SELECT * FROM oracle.check();
DELETE FROM t;
SELECT * FROM oracle.check();
INSERT INTO t (id, g, v) VALUES (1, 1, 1), (2, 1, 1);
SELECT * FROM oracle.check();

SELECT property, value FROM pgtrickle.explain_st('c_one') WHERE property ~ '^step' AND property !~ 'state table';
SELECT property, value FROM pgtrickle.explain_st('c_many') WHERE property ~ 'aggregate \d';
SELECT oracle.done();

-- a value of 2.0 and 2.00: once, and the image that is summed is taken back
CREATE TABLE e (n numeric);
INSERT INTO e VALUES (2.0), (2.00), (3);
SELECT oracle.make('c_image', 'SELECT sum(DISTINCT n) AS s, count(DISTINCT n) AS c FROM e');
DELETE FROM e WHERE n = 2 AND scale(n) = 1;
SELECT action FROM pgtrickle.refresh_stream_table('c_image', 'DIFFERENTIAL');
SELECT s = 5 AS five, scale(s) AS scale, c FROM pgtrickle.c_image;
INSERT INTO e VALUES (2);
DELETE FROM e WHERE scale(n) = 2;
SELECT action FROM pgtrickle.refresh_stream_table('c_image', 'DIFFERENTIAL');
SELECT s = 5 AS five, scale(s) AS scale, c FROM pgtrickle.c_image;
SELECT oracle.done();

-- one row of a large group: the group is not read
CREATE TABLE big (id int PRIMARY KEY, g int, v int);
INSERT INTO big SELECT i, i % 3, i % 1000 FROM generate_series(1, 20000) i;
SELECT oracle.make('c_big', 'SELECT g, count(DISTINCT v) AS c, sum(DISTINCT v) AS s, count(*) AS n FROM big GROUP BY g');
UPDATE big SET v = 5000 WHERE id = 17;
BEGIN;
CREATE FUNCTION rows_read() RETURNS bigint LANGUAGE sql AS $$SELECT coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables WHERE relname = 'big'$$;
SELECT rows_read() AS before \gset
SELECT action FROM pgtrickle.refresh_stream_table('c_big', 'DIFFERENTIAL');
SELECT rows_read() - :before AS rows_read;
COMMIT;
SELECT * FROM oracle.check();
SELECT oracle.done();
RESET client_min_messages;
DROP SCHEMA dvm_count_distinct CASCADE;
