-- Subqueries in FROM and CTEs, each read once or several times.
CREATE SCHEMA dvm_sub;
SET search_path = dvm_sub, public;
SET client_min_messages = warning;

CREATE TABLE t (id int PRIMARY KEY, g int, v int);
CREATE TABLE d (g int PRIMARY KEY, name text);
INSERT INTO t SELECT i, i % 5, i FROM generate_series(1, 30) i;
INSERT INTO d SELECT i, 'd' || i FROM generate_series(0, 6) i;

SELECT oracle.make('s_simple', 'SELECT q.id, q.w FROM (SELECT id, v * 2 AS w FROM t WHERE v > 3) q WHERE q.w < 40');
SELECT oracle.make('s_deep', 'SELECT x FROM (SELECT y + 1 AS x FROM (SELECT v * 2 AS y, g FROM (SELECT * FROM t) a WHERE g > 0) b) c');
SELECT oracle.make('s_cte', 'WITH q AS (SELECT g, sum(v) AS s FROM t GROUP BY g) SELECT d.name, q.s FROM q JOIN d USING (g)');
SELECT oracle.make('s_cte_twice', 'WITH q AS (SELECT g, sum(v) AS s FROM t GROUP BY g) SELECT a.g, b.s FROM q a JOIN q b ON a.g = b.g + 1');
SELECT oracle.make('s_cte_chain', 'WITH a AS (SELECT g, v FROM t WHERE v > 2), b AS MATERIALIZED (SELECT g, max(v) AS m FROM a GROUP BY g) SELECT a.v, b.m FROM a JOIN b USING (g)');
SELECT oracle.make('s_cte_nested', 'WITH a AS (SELECT g, v FROM t) SELECT * FROM (WITH b AS (SELECT g, count(*) AS n FROM a GROUP BY g) SELECT b.g, b.n, a.v FROM b JOIN a USING (g)) q WHERE n > 1');
SELECT oracle.make('s_cte_shadow', 'WITH d AS (SELECT g, v AS name FROM t) SELECT name FROM d WHERE g = 1');
SELECT oracle.make('s_cte_unused', 'WITH q AS (SELECT * FROM d) SELECT id FROM t WHERE v < 5');
SELECT oracle.make('s_constant', 'SELECT t.id, c.f FROM t CROSS JOIN (SELECT 7 AS f) c');
SELECT oracle.make('s_same_alias', 'SELECT a.id FROM (SELECT a.id FROM t a WHERE a.g = 1) a JOIN (SELECT a.id FROM t a WHERE a.v < 20) b ON a.id = b.id');
SELECT oracle.make('s_top', 'SELECT t.id FROM t JOIN (SELECT g, max(v) AS m FROM t GROUP BY g) q ON q.g = t.g AND q.m = t.v');
SELECT oracle.make('s_above_avg', 'SELECT t.id FROM t CROSS JOIN (SELECT avg(v) AS a FROM t) q WHERE t.v > q.a');
SELECT * FROM oracle.check();
UPDATE t SET v = v + 10 WHERE g = 1;
SELECT * FROM oracle.check();
BEGIN; DELETE FROM t WHERE id % 7 = 0; UPDATE d SET name = name || 'x'; INSERT INTO t VALUES (99, 6, 500); COMMIT;
SELECT * FROM oracle.check();
UPDATE t SET g = g + 1 WHERE v > 20;
SELECT * FROM oracle.check();
BEGIN; DELETE FROM t WHERE g = 2; DELETE FROM d WHERE g = 3; COMMIT;
SELECT * FROM oracle.check();
DELETE FROM t;
SELECT * FROM oracle.check();
INSERT INTO t SELECT i, i % 3, i FROM generate_series(1, 5) i;
SELECT * FROM oracle.check();

SELECT oracle.done();
RESET client_min_messages;
DROP SCHEMA dvm_sub CASCADE;
