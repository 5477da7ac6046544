-- Correlated subqueries whose references stand anywhere: aggregates, GROUP BY,
-- DISTINCT, LIMIT, set operations, two levels; changes on every side.
CREATE SCHEMA dvm_correlated;
SET search_path = dvm_correlated, public;
SET client_min_messages = warning;

CREATE TABLE l (id int PRIMARY KEY, k int, g text, a int, n numeric);
CREATE TABLE r (id int PRIMARY KEY, k int, b int, c text);
CREATE TABLE s (rid int, x int);                 -- no key: a bag
INSERT INTO l SELECT i, i % 8, 'g' || i % 3, i * 10, i % 4 FROM generate_series(1, 20) i;
INSERT INTO l VALUES (100, NULL, NULL, NULL, NULL);
INSERT INTO r SELECT i, i % 5, i * 15, 'c' || i FROM generate_series(1, 9) i;
INSERT INTO s SELECT i % 6, i FROM generate_series(1, 12) i;

SELECT oracle.make('c_max', 'SELECT id, (SELECT max(b) FROM r WHERE r.k = l.k) AS m FROM l');
SELECT oracle.make('c_count', 'SELECT id, (SELECT count(*) FROM r WHERE r.k = l.k) AS n, (SELECT count(b) + 1 FROM r WHERE r.k = l.k AND b > 50) AS n1 FROM l');
SELECT oracle.make('c_coalesce', 'SELECT id, (SELECT coalesce(sum(b), -1) FROM r WHERE r.k = l.k) AS s FROM l');
SELECT oracle.make('c_where', 'SELECT id FROM l WHERE a > (SELECT avg(b) FROM r WHERE r.k = l.k)');
SELECT oracle.make('c_q17', 'SELECT sum(l.a) / 7.0 AS avg FROM l, r WHERE l.k = r.id AND r.b > 15 AND l.a < (SELECT 1.5 * avg(a) FROM l x WHERE x.k = r.id)');
SELECT oracle.make('c_min_join', 'SELECT l.id, r.id AS rid FROM l JOIN r ON r.k = l.k WHERE r.b = (SELECT min(b) FROM r y WHERE y.k = l.k)');
SELECT oracle.make('c_having', 'SELECT id, (SELECT sum(b) FROM r WHERE r.k = l.k HAVING count(*) > 1) AS s, (SELECT count(*) FROM r WHERE r.k = l.k HAVING count(*) = 0) AS z FROM l');
SELECT oracle.make('c_exists_having', 'SELECT id FROM l WHERE EXISTS (SELECT 1 FROM r WHERE r.k = l.k HAVING count(*) <> 1)');
SELECT oracle.make('c_exists_group', 'SELECT id FROM l WHERE EXISTS (SELECT 1 FROM s WHERE s.rid = l.k GROUP BY x % 2 HAVING count(*) > 1)');
SELECT oracle.make('c_in_group', 'SELECT id FROM l WHERE a IN (SELECT max(b) FROM r WHERE r.k <> l.k GROUP BY r.k)');
SELECT oracle.make('c_inequality', 'SELECT id, (SELECT count(*) FROM r WHERE r.b < l.a) AS n FROM l');
SELECT oracle.make('c_output', 'SELECT id, (SELECT l.a + max(b) FROM r WHERE r.k = l.k) AS m, (SELECT l.g || r.c FROM r WHERE r.id = l.k) AS t FROM l');
SELECT oracle.make('c_no_condition', 'SELECT id, (SELECT sum(b + l.a) FROM r) AS s FROM l');
SELECT oracle.make('c_two_levels', 'SELECT id FROM l WHERE EXISTS (SELECT 1 FROM r WHERE r.k = l.k AND EXISTS (SELECT 1 FROM s WHERE s.rid = r.id AND s.x > l.k))');
SELECT oracle.make('c_two_levels_agg', 'SELECT id, (SELECT max(b) FROM r WHERE r.k = l.k AND r.b > (SELECT avg(x) FROM s WHERE s.rid = r.id OR s.rid = l.k)) AS m FROM l');
SELECT oracle.make('c_from', 'SELECT id, (SELECT sum(q.n) FROM (SELECT k, count(*) AS n FROM r WHERE r.b < l.a GROUP BY k) q WHERE q.n > 1) AS s FROM l');
SELECT oracle.make('c_union', 'SELECT id FROM l WHERE EXISTS (SELECT b FROM r WHERE r.k = l.k EXCEPT SELECT x FROM s WHERE s.rid = l.k)');
SELECT oracle.make('c_in_union', 'SELECT id FROM l WHERE a IN (SELECT b FROM r WHERE r.k = l.k UNION ALL SELECT x * 10 FROM s WHERE s.rid = l.k)');
SELECT oracle.make('c_limit', 'SELECT id, (SELECT c FROM r WHERE r.k = l.k ORDER BY b DESC LIMIT 1) AS c FROM l');
SELECT oracle.make('c_offset', 'SELECT id, (SELECT b FROM r WHERE r.k = l.k ORDER BY b OFFSET 1 LIMIT 1) AS b FROM l');
SELECT oracle.make('c_in_limit', 'SELECT id FROM l WHERE a IN (SELECT b FROM r WHERE r.id < l.id ORDER BY b DESC FETCH FIRST 2 ROWS WITH TIES)');
SELECT oracle.make('c_distinct', 'SELECT id, (SELECT DISTINCT r.k FROM r WHERE r.k = l.k) AS k FROM l');
SELECT oracle.make('c_outer', 'SELECT id, (SELECT count(s.x) FROM r LEFT JOIN s ON s.rid = r.id WHERE r.k = l.k) AS n FROM l');
SELECT oracle.make('c_text', 'SELECT g, count(*) AS n, (SELECT string_agg(c, '','' ORDER BY c) FROM r WHERE ''g'' || r.k = l.g) AS s FROM l GROUP BY g');
SELECT oracle.make('c_numeric', 'SELECT id, (SELECT max(b) FROM r WHERE r.k = l.n) AS m FROM l');
SELECT oracle.make('c_nullable', 'SELECT id, (SELECT count(*) FROM r WHERE r.k IS NOT DISTINCT FROM l.k) AS n FROM l');
SELECT oracle.make('c_case', 'SELECT id, CASE WHEN (SELECT count(*) FROM r WHERE r.k = l.k) > 1 THEN ''many'' WHEN EXISTS (SELECT 1 FROM s WHERE s.rid = l.k) THEN ''s'' ELSE ''none'' END AS c FROM l');
SELECT oracle.make('c_rank', 'SELECT id, (SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY b) FROM r WHERE r.k = l.k) AS p FROM l');
-- arrays, rows, tests of aggregates, conditions of outer joins
SELECT oracle.make('x_array', 'SELECT id, ARRAY(SELECT c FROM r WHERE r.k = l.k ORDER BY b DESC) AS c, ARRAY(SELECT x FROM s ORDER BY x) AS x FROM l');
SELECT oracle.make('x_array_limit', 'SELECT id, ARRAY(SELECT b FROM r WHERE r.k = l.k ORDER BY b DESC LIMIT 2) AS b, ARRAY(SELECT DISTINCT k % 2 FROM r WHERE r.id < l.id AND k IS NOT NULL ORDER BY 1) AS k FROM l');
SELECT oracle.make('x_row', 'SELECT id, (k, a) = (SELECT r.k, r.b FROM r WHERE r.id = l.id) AS e, (k, a) < (SELECT max(r.k), max(r.b) FROM r WHERE r.id <> l.id) AS l FROM l');
SELECT oracle.make('x_any_agg', 'SELECT id, a > ALL (SELECT max(b) FROM r WHERE r.k = l.k) AS m, k IN (SELECT count(*) FROM r WHERE r.k = l.k HAVING count(*) > 0) AS i FROM l WHERE NOT a < ANY (SELECT min(b) FROM r WHERE r.k = l.k)');
SELECT oracle.make('x_on_right', 'SELECT l.id, r.id AS rid FROM l LEFT JOIN r ON r.k = l.k AND EXISTS (SELECT 1 FROM s WHERE s.rid = r.id)');
SELECT oracle.make('x_on_left', 'SELECT l.id, r.id AS rid FROM l LEFT JOIN r ON r.k = l.k AND l.k NOT IN (SELECT rid FROM s WHERE rid IS NOT NULL)');
SELECT oracle.make('x_on_both', 'SELECT l.id, r.id AS rid, r.b FROM l LEFT JOIN r ON r.k = l.k AND l.a > (SELECT min(x) FROM s WHERE s.rid = l.k) AND r.b < (SELECT 10 * max(x) FROM s) WHERE coalesce(r.b, 0) < 100');
SELECT * FROM oracle.check();

BEGIN; INSERT INTO r VALUES (20, 6, 1, 'x'), (21, 7, 160, 'y'); INSERT INTO s VALUES (20, 20), (11, 4), (6, 1); COMMIT;
SELECT * FROM oracle.check();
INSERT INTO r VALUES (22, 6, 200, 'z');
SELECT * FROM oracle.check();
DELETE FROM r WHERE id = 20;
SELECT * FROM oracle.check();
BEGIN; DELETE FROM r WHERE k = 6; DELETE FROM s WHERE x > 11; COMMIT;
SELECT * FROM oracle.check();
BEGIN; INSERT INTO r VALUES (30, NULL, NULL, NULL); INSERT INTO s VALUES (NULL, 3); COMMIT;
SELECT * FROM oracle.check();
BEGIN; UPDATE r SET k = 2, b = 31 WHERE id = 30; UPDATE l SET n = n * 1.00 WHERE id < 5; COMMIT;
SELECT * FROM oracle.check();
-- left rows with values of their own, new and gone
BEGIN; INSERT INTO l VALUES (40, 50, 'n', 5, 50), (41, 51, 'n', 500, 1); INSERT INTO r VALUES (40, 50, 20, 'n'), (51, 41, 0, 'm'); COMMIT;
SELECT * FROM oracle.check();
BEGIN; DELETE FROM l WHERE k = 50; DELETE FROM r WHERE k = 50; DELETE FROM l WHERE k = 3; COMMIT;
SELECT * FROM oracle.check();
BEGIN; UPDATE l SET k = k + 1, a = 210 - a WHERE id % 2 = 0; UPDATE r SET k = 4 - k, b = b + 35 WHERE id < 30; COMMIT;
SELECT * FROM oracle.check();
BEGIN; UPDATE l SET k = NULL WHERE id = 5; UPDATE l SET k = 3, g = 'g1' WHERE id = 100; UPDATE s SET rid = rid + 1; COMMIT;
SELECT * FROM oracle.check();
BEGIN; DELETE FROM r; DELETE FROM s; COMMIT;
SELECT * FROM oracle.check();
BEGIN; INSERT INTO r SELECT i, i % 4, i * 9, 'c' || i FROM generate_series(1, 12) i; INSERT INTO s SELECT i, i FROM generate_series(1, 5) i; DELETE FROM l; COMMIT;
SELECT * FROM oracle.check();
BEGIN; INSERT INTO l SELECT i, i % 6, 'g' || i % 2, i * 7, 1 FROM generate_series(1, 15) i; INSERT INTO l VALUES (99, NULL, NULL, NULL, NULL); COMMIT;
SELECT * FROM oracle.check();
SELECT oracle.done();
DROP SCHEMA dvm_correlated CASCADE;
