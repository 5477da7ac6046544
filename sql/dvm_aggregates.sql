-- Grouping and aggregates of every kind.
CREATE SCHEMA dvm_agg;
SET search_path = dvm_agg, public;
SET client_min_messages = warning;

CREATE TABLE t (id int PRIMARY KEY, g int, h text, v int, n numeric, x numeric(8,2), b bool, i interval, j jsonb, m money);
CREATE TABLE d (id int PRIMARY KEY, name text, doc json);
INSERT INTO t SELECT i, i % 4, chr(97 + i % 3), i, i * 1.5, i, i % 2 = 0, i * interval '1 hour', jsonb_build_object('i', i), i::text::money
  FROM generate_series(1, 30) i;
INSERT INTO t (id) VALUES (100), (101);
INSERT INTO t VALUES (102, 9, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO d SELECT i, 'd' || i, '{}' FROM generate_series(0, 4) i;

CREATE FUNCTION fsum_state(a bigint, b int) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT $1 + coalesce($2, 0)';
CREATE FUNCTION fsum_inv(a bigint, b int) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT $1 - coalesce($2, 0)';
CREATE AGGREGATE fsum (int) (sfunc = fsum_state, stype = bigint, initcond = 0,
    msfunc = fsum_state, minvfunc = fsum_inv, mstype = bigint, minitcond = 0);
CREATE AGGREGATE fsum_plain (int) (sfunc = fsum_state, stype = bigint, initcond = 0);

SELECT oracle.make('a_basic', 'SELECT g, count(*) AS n, count(v) AS nv, sum(v) AS sv, avg(v) AS av, min(v) AS lo, max(v) AS hi FROM t GROUP BY g');
SELECT oracle.make('a_only_count', 'SELECT count(*) FROM t GROUP BY g');
SELECT oracle.make('a_global', 'SELECT count(*) AS n, count(1) AS one, sum(v) AS s, min(h) AS lo, max(n) AS hi FROM t');
SELECT oracle.make('a_global_having', 'SELECT sum(v) AS s FROM t HAVING count(*) > 20');
SELECT oracle.make('a_numeric', 'SELECT g, sum(n) AS s, avg(n) AS a, sum(x) AS sx, avg(x) AS ax, stddev(n) AS sd, var_pop(v) AS vp FROM t GROUP BY g');
SELECT oracle.make('a_bool', 'SELECT g, bool_and(b) AS a, bool_or(b) AS o, every(v > 3) AS e, bit_or(v) AS bo, bit_and(v) AS ba FROM t GROUP BY g');
SELECT oracle.make('a_interval', 'SELECT h, sum(i) AS s, avg(i) AS a, sum(m) AS money, max(i) AS hi FROM t GROUP BY h');
SELECT oracle.make('a_filter', 'SELECT g, count(*) FILTER (WHERE v > 10) AS n, sum(v) FILTER (WHERE b) AS s FROM t GROUP BY g');
SELECT oracle.make('a_distinct', 'SELECT g, count(DISTINCT v % 3) AS dv, sum(DISTINCT v % 5) AS ds, count(DISTINCT h) AS dh FROM t GROUP BY g');
SELECT oracle.make('a_ordered', 'SELECT g, string_agg(h, '','' ORDER BY v DESC, id) AS s, array_agg(v ORDER BY id) AS arr, jsonb_agg(j ORDER BY id) AS js FROM t GROUP BY g');
SELECT oracle.make('a_within', 'SELECT g, percentile_disc(0.5) WITHIN GROUP (ORDER BY v) AS med, mode() WITHIN GROUP (ORDER BY h) AS mo, rank(10) WITHIN GROUP (ORDER BY v) AS rk FROM t GROUP BY g');
SELECT oracle.make('a_direct', 'SELECT g, percentile_disc(g / 10.0) WITHIN GROUP (ORDER BY v) AS p FROM t WHERE g < 10 GROUP BY g');
SELECT oracle.make('a_user', 'SELECT g, fsum(v) AS f, fsum_plain(v) AS p FROM t GROUP BY g');
SELECT oracle.make('a_expr_key', 'SELECT v / 10 AS bucket, upper(h) AS u, count(*) AS n FROM t GROUP BY v / 10, upper(h)');
SELECT oracle.make('a_key_not_shown', 'SELECT sum(v) AS s FROM t GROUP BY g, h');
SELECT oracle.make('a_expr_over', 'SELECT g * 2 AS gg, 100 * sum(v) / nullif(count(v), 0) AS ratio, CASE WHEN max(v) > 20 THEN ''big'' ELSE h END AS w FROM t GROUP BY g, h');
SELECT oracle.make('a_having', 'SELECT g, count(*) AS n FROM t GROUP BY g HAVING sum(v) > 100 AND max(v) IS NOT NULL');
SELECT oracle.make('a_dependent', 'SELECT d.id, d.name, count(*) AS n FROM d JOIN t ON t.g = d.id GROUP BY d.id');
SELECT oracle.make('a_join', 'SELECT d.name, sum(t.v) AS s FROM t JOIN d ON d.id = t.g GROUP BY d.name');
SELECT oracle.make('a_nested', 'SELECT n, count(*) AS groups, max(s) AS top FROM (SELECT g, count(*) AS n, sum(v) AS s FROM t GROUP BY g) q GROUP BY n');
SELECT oracle.make('a_join_agg', 'SELECT t.id, t.v, q.s FROM t JOIN (SELECT g, sum(v) AS s FROM t GROUP BY g) q ON q.g = t.g');
SELECT oracle.make('a_agg_agg', 'SELECT q.g, q.s, w.n FROM (SELECT g, sum(v) AS s FROM t GROUP BY g) q JOIN (SELECT g, count(*) AS n FROM t WHERE b GROUP BY g) w USING (g)');
SELECT oracle.make('a_no_agg', 'SELECT g, h FROM t GROUP BY g, h');
SELECT oracle.make('a_row', 'SELECT g, count((v, h)) AS n FROM t GROUP BY g');
SELECT oracle.make('a_having_only', 'SELECT 1 AS one FROM t HAVING true');
-- a type without equality beside the keys
SELECT oracle.make('a_json_dependent', 'SELECT id, doc, count(*) FROM d GROUP BY id');
DELETE FROM oracle.cases WHERE name = 'a_json_dependent';
SELECT pgtrickle.drop_stream_table('a_json_dependent');
SELECT * FROM oracle.check();

-- rows move between groups; extremes and displayed values change
UPDATE t SET g = (g + 1) % 4 WHERE id % 3 = 0;
SELECT * FROM oracle.check();
BEGIN; DELETE FROM t WHERE v = 30; UPDATE t SET v = 1 WHERE v = 29; INSERT INTO t VALUES (31, 1, 'z', 99, 2.25, 7, true, '1 day', '{}', '3'); COMMIT;
SELECT * FROM oracle.check();
-- NULLs come and go
UPDATE t SET v = NULL WHERE g = 2;
SELECT * FROM oracle.check();
UPDATE t SET v = id, h = NULL, b = NOT b WHERE g = 2;
SELECT * FROM oracle.check();
UPDATE t SET g = 7 WHERE g IS NULL;
UPDATE t SET g = NULL WHERE g = 3;
SELECT * FROM oracle.check();
-- display scale of a numeric sum
INSERT INTO t (id, g, n) VALUES (200, 1, 0.12345);
SELECT * FROM oracle.check();
DELETE FROM t WHERE id = 200;
SELECT * FROM oracle.check();
INSERT INTO t (id, g, n) VALUES (201, 1, 'NaN'), (202, 2, 'Infinity'), (203, 2, '-Infinity');
SELECT * FROM oracle.check();
DELETE FROM t WHERE id IN (201, 203);
SELECT * FROM oracle.check();
DELETE FROM t WHERE id = 202;
SELECT * FROM oracle.check();
-- one group goes, another is made and gone within the batch
BEGIN; DELETE FROM t WHERE g = 1; INSERT INTO t (id, g, v) VALUES (300, 55, 1); DELETE FROM t WHERE id = 300; COMMIT;
SELECT * FROM oracle.check();
-- touched but unchanged
UPDATE t SET v = v + 0, h = h;
SELECT * FROM oracle.check();
-- the name of a group
UPDATE d SET name = 'renamed' WHERE id IN (0, 2);
SELECT * FROM oracle.check();
-- both sides of a join under an aggregate
BEGIN; DELETE FROM d WHERE id = 0; INSERT INTO t (id, g, v) VALUES (400, 0, 5); INSERT INTO d VALUES (9, 'nine'); COMMIT;
SELECT * FROM oracle.check();
-- large batch
INSERT INTO t SELECT i, i % 11, chr(97 + i % 5), i, i / 4.0, 1, i % 3 = 0, '1 minute', '{}', '1' FROM generate_series(1000, 3000) i;
SELECT * FROM oracle.check();
DELETE FROM t WHERE id BETWEEN 1500 AND 2800;
SELECT * FROM oracle.check();
-- empty
DELETE FROM t;
SELECT * FROM oracle.check();
TABLE pgtrickle.a_global;
INSERT INTO t (id, g, v) VALUES (1, 1, 1);
SELECT * FROM oracle.check();

-- state tables say the same when built anew
SELECT action FROM pgtrickle.refresh_stream_table('a_basic', 'FULL');
SELECT * FROM oracle.check();

SELECT oracle.done();
RESET client_min_messages;
DROP SCHEMA dvm_agg CASCADE;
