-- WITH: referenced several times, MATERIALIZED, chained, hiding names; one
-- operator and one delta for what is the same.
CREATE SCHEMA dvm_cte;
SET search_path = dvm_cte, public;
SET client_min_messages = warning;

CREATE TABLE t (id int PRIMARY KEY, g int, v int);
CREATE TABLE u (id int, g int);
INSERT INTO t SELECT i, i % 4, i FROM generate_series(1, 20) i;
INSERT INTO u SELECT i, i % 3 FROM generate_series(1, 9) i;

SELECT oracle.make('c_once', 'WITH x AS (SELECT g, v FROM t WHERE v > 3) SELECT g, sum(v) FROM x GROUP BY g');
SELECT oracle.make('c_twice', 'WITH x AS (SELECT g, sum(v) AS s, count(*) AS n FROM t GROUP BY g) SELECT a.g, b.g AS h, a.s - b.s AS d FROM x a JOIN x b ON a.n = b.n');
SELECT oracle.make('c_thrice', 'WITH x AS (SELECT g FROM t UNION SELECT g FROM u) SELECT g FROM x UNION ALL SELECT g + 1 FROM x EXCEPT ALL SELECT g FROM x WHERE g > 1');
SELECT oracle.make('c_materialized', 'WITH x AS MATERIALIZED (SELECT g, max(v) AS m FROM t GROUP BY g) SELECT t.id FROM t JOIN x ON x.g = t.g AND x.m = t.v');
SELECT oracle.make('c_not_materialized', 'WITH x AS NOT MATERIALIZED (SELECT * FROM t) SELECT a.id, b.id AS other FROM x a JOIN x b ON a.v = b.v + 1');
SELECT oracle.make('c_chained', 'WITH x AS (SELECT g, sum(v) AS s FROM t GROUP BY g), y AS (SELECT s, count(*) AS n FROM x GROUP BY s), z AS (SELECT x.g, y.n FROM x JOIN y USING (s)) SELECT z.*, x.s FROM z JOIN x USING (g)');
SELECT oracle.make('c_shadow', 'WITH t AS (SELECT id, g FROM u WHERE g > 0) SELECT t.id, q.n FROM t JOIN (WITH t AS (SELECT g, count(*) AS n FROM t GROUP BY g) SELECT * FROM t) q USING (g)');
SELECT oracle.make('c_same_name', 'SELECT a.n, b.n AS m FROM (WITH x AS (SELECT g, count(*) AS n FROM t GROUP BY g) SELECT * FROM x) a JOIN (WITH x AS (SELECT g, count(*) AS n FROM u GROUP BY g) SELECT * FROM x) b USING (g)');
SELECT oracle.make('c_unused', 'WITH x AS (SELECT 1 / 0 FROM u) SELECT id FROM t');
SELECT oracle.make('c_columns', 'WITH x (k, total) AS (SELECT g, sum(v) FROM t GROUP BY g) SELECT total FROM x WHERE k < 2');
SELECT oracle.make('c_in_branch', 'SELECT g FROM u UNION (WITH x AS (SELECT g FROM t) SELECT a.g FROM x a JOIN x b USING (g))');
-- the same subquery written twice is one, too
SELECT oracle.make('c_no_with', 'SELECT a.g, a.s FROM (SELECT g, sum(v) AS s FROM t GROUP BY g) a JOIN (SELECT g, sum(v) AS s FROM t GROUP BY g) b ON a.s >= b.s');
SELECT * FROM oracle.check();
INSERT INTO t VALUES (30, 1, 11), (31, 5, 2);
SELECT * FROM oracle.check();
BEGIN; UPDATE t SET g = 2 WHERE g = 3; DELETE FROM u WHERE id < 4; COMMIT;
SELECT * FROM oracle.check();
BEGIN; UPDATE t SET v = v + 1; INSERT INTO u SELECT i, i FROM generate_series(1, 3) i; DELETE FROM t WHERE id % 7 = 0; COMMIT;
SELECT * FROM oracle.check();
DELETE FROM t WHERE g = 1;
SELECT * FROM oracle.check();
SELECT name, count(*) FILTER (WHERE value LIKE 'aggregate%') AS aggregates, count(*) FILTER (WHERE property LIKE '%state table') AS states
  FROM oracle.cases, pgtrickle.explain_st(name) WHERE name IN ('c_twice', 'c_chained', 'c_same_name', 'c_no_with') GROUP BY name ORDER BY name;
SELECT oracle.done();
RESET client_min_messages;
DROP SCHEMA dvm_cte CASCADE;
