-- Subqueries in expressions: EXISTS, IN, ANY, ALL, scalars; correlated by
-- conditions, or not; changes on every side, in one batch.
CREATE SCHEMA dvm_sublinks;
SET search_path = dvm_sublinks, public;
SET client_min_messages = warning;

CREATE TABLE l (id int PRIMARY KEY, k int, g text, a int);
CREATE TABLE r (id int PRIMARY KEY, k int, b int, c text);
CREATE TABLE s (rid int, x int);                 -- no key: a bag
CREATE TABLE cfg (name text PRIMARY KEY, v int);
INSERT INTO l SELECT i, i % 8, 'g' || i % 3, i * 10 FROM generate_series(1, 20) i;
INSERT INTO l VALUES (100, NULL, NULL, NULL);
INSERT INTO r SELECT i, i % 5, i * 15, 'c' || i FROM generate_series(1, 9) i;
INSERT INTO s SELECT i % 6, i FROM generate_series(1, 12) i;
INSERT INTO cfg VALUES ('low', 50), ('high', 150);

-- semi- and anti-joins
SELECT oracle.make('e_exists', 'SELECT id, g FROM l WHERE EXISTS (SELECT 1 FROM r WHERE r.k = l.k)');
SELECT oracle.make('e_exists_bag', 'SELECT g FROM l WHERE EXISTS (SELECT * FROM r WHERE r.k = l.k)');
SELECT oracle.make('e_not_exists', 'SELECT id, g FROM l WHERE NOT EXISTS (SELECT 1 FROM r WHERE r.k = l.k AND r.b > 30)');
SELECT oracle.make('e_both', 'SELECT id FROM l WHERE EXISTS (SELECT 1 FROM r WHERE r.k = l.k) AND NOT EXISTS (SELECT 1 FROM r WHERE r.k = l.k AND r.b > l.a)');
SELECT oracle.make('e_same', 'SELECT id FROM l WHERE EXISTS (SELECT 1 FROM l y WHERE y.g = l.g AND y.id <> l.id) AND NOT EXISTS (SELECT 1 FROM l z WHERE z.g = l.g AND z.id <> l.id AND z.a > l.a)');
SELECT oracle.make('e_uncorrelated', 'SELECT id FROM l WHERE EXISTS (SELECT 1 FROM s WHERE x > 11)');
SELECT oracle.make('e_not_uncorrelated', 'SELECT id FROM l WHERE NOT EXISTS (SELECT 1 FROM s WHERE x > 12)');
SELECT oracle.make('e_left_only', 'SELECT id FROM l WHERE EXISTS (SELECT 1 FROM r WHERE l.a > 100)');
SELECT oracle.make('e_inequality', 'SELECT id FROM l WHERE EXISTS (SELECT 1 FROM r WHERE r.b < l.a AND r.id > 7)');
SELECT oracle.make('e_joined', 'SELECT id FROM l WHERE EXISTS (SELECT 1 FROM r JOIN s ON s.rid = r.id WHERE r.k = l.k AND s.x > l.k)');
SELECT oracle.make('e_limit', 'SELECT id FROM l WHERE EXISTS (SELECT DISTINCT r.b FROM r WHERE r.k = l.k ORDER BY r.b LIMIT 1)');
SELECT oracle.make('e_outer', 'SELECT l.id, s.x FROM l LEFT JOIN s ON s.rid = l.id WHERE EXISTS (SELECT 1 FROM r WHERE r.k = s.x)');
SELECT oracle.make('e_join', 'SELECT l.id, s.x FROM l JOIN s ON s.rid = l.k WHERE EXISTS (SELECT 1 FROM r WHERE r.k = l.k AND r.id = s.x)');
SELECT oracle.make('e_nested', 'SELECT id FROM l WHERE EXISTS (SELECT 1 FROM r WHERE r.k = l.k AND EXISTS (SELECT 1 FROM s WHERE s.rid = r.id))');
SELECT oracle.make('e_in', 'SELECT id FROM l WHERE k IN (SELECT k FROM r)');
SELECT oracle.make('e_in_expr', 'SELECT id FROM l WHERE k + 1 IN (SELECT b / 15 FROM r WHERE r.id <> l.id)');
SELECT oracle.make('e_in_group', 'SELECT id FROM l WHERE k IN (SELECT k FROM r GROUP BY k HAVING count(*) > 1)');
SELECT oracle.make('e_in_union', 'SELECT id FROM l WHERE k IN (SELECT k FROM r UNION SELECT rid FROM s)');
SELECT oracle.make('e_in_row', 'SELECT id FROM l WHERE (k, id) IN (SELECT k, id FROM r)');
SELECT oracle.make('e_not_in', 'SELECT id, k FROM l WHERE k NOT IN (SELECT k FROM r)');
SELECT oracle.make('e_not_in_empty', 'SELECT id, k FROM l WHERE k NOT IN (SELECT k FROM r WHERE b > 130)');
SELECT oracle.make('e_not_in_row', 'SELECT id FROM l WHERE (k, a) NOT IN (SELECT k, b FROM r)');
SELECT oracle.make('e_any', 'SELECT id FROM l WHERE a < ANY (SELECT b FROM r WHERE r.k = l.k)');
SELECT oracle.make('e_all', 'SELECT id FROM l WHERE a > ALL (SELECT b FROM r WHERE r.k = l.k)');
SELECT oracle.make('e_not_all', 'SELECT id FROM l WHERE NOT a > ALL (SELECT b FROM r)');
SELECT oracle.make('e_not_any', 'SELECT id FROM l WHERE NOT a = ANY (SELECT b FROM r)');
SELECT oracle.make('e_equal_all', 'SELECT id FROM l WHERE k = ALL (SELECT rid FROM s WHERE s.x = l.id)');
-- marks
SELECT oracle.make('m_exists', 'SELECT id, EXISTS (SELECT 1 FROM r WHERE r.k = l.k) AS e FROM l');
SELECT oracle.make('m_or', 'SELECT id FROM l WHERE a > 150 OR EXISTS (SELECT 1 FROM r WHERE r.k = l.k AND r.b > 100)');
SELECT oracle.make('m_not_or', 'SELECT id FROM l WHERE NOT (a > 150 OR EXISTS (SELECT 1 FROM r WHERE r.k = l.k))');
SELECT oracle.make('m_case', 'SELECT id, CASE WHEN k IN (SELECT k FROM r) THEN ''in'' WHEN k NOT IN (SELECT k FROM r) THEN ''out'' ELSE ''unknown'' END AS c FROM l');
SELECT oracle.make('m_in', 'SELECT id, k IN (SELECT k FROM r) AS i, k NOT IN (SELECT rid FROM s) AS n, (k, a) IN (SELECT k, b FROM r) AS row FROM l');
SELECT oracle.make('m_any_all', 'SELECT id, a < ANY (SELECT b FROM r) AS y, a >= ALL (SELECT b FROM r WHERE b > 15) AS z, a <> ALL (SELECT b FROM r WHERE r.k = l.k) AS w FROM l');
SELECT oracle.make('m_group', 'SELECT EXISTS (SELECT 1 FROM r WHERE r.k = l.k) AS e, count(*) AS n, sum(a) AS s FROM l GROUP BY 1');
SELECT oracle.make('m_argument', 'SELECT g, count(*) FILTER (WHERE EXISTS (SELECT 1 FROM r WHERE r.k = l.k)) AS n, sum(CASE WHEN k IN (SELECT rid FROM s) THEN a END) AS s FROM l GROUP BY g');
SELECT oracle.make('m_coalesce', 'SELECT id, coalesce(k IN (SELECT k FROM r), false) AS c FROM l');
SELECT oracle.make('m_having', 'SELECT g, count(*) AS n FROM l GROUP BY g HAVING count(*) > (SELECT count(*) FROM r WHERE b > 100) OR EXISTS (SELECT 1 FROM r WHERE r.c = l.g)');
SELECT oracle.make('m_over_group', 'SELECT k, sum(a) AS s, EXISTS (SELECT 1 FROM r WHERE r.k = l.k AND r.b > sum(l.a)) AS e FROM l GROUP BY k');
SELECT oracle.make('m_pure', 'SELECT id, k IN (SELECT unnest(ARRAY[1, 2])) AS p, EXISTS (SELECT 1 FROM generate_series(1, l.k) n WHERE n = 3) AS q FROM l WHERE EXISTS (SELECT 1 FROM r WHERE r.k = l.k)');
-- scalars
SELECT oracle.make('v_max', 'SELECT id, (SELECT max(b) FROM r) AS m, (SELECT count(*) FROM s WHERE x > 5) AS n FROM l');
SELECT oracle.make('v_above', 'SELECT id FROM l WHERE a > (SELECT avg(b) FROM r)');
SELECT oracle.make('v_having', 'SELECT g, sum(a) AS s FROM l GROUP BY g HAVING sum(a) > (SELECT sum(b) / 10 FROM r)');
SELECT oracle.make('v_cfg', 'SELECT id FROM l WHERE a BETWEEN (SELECT v FROM cfg WHERE name = ''low'') AND (SELECT v FROM cfg WHERE name = ''high'')');
SELECT oracle.make('v_none', 'SELECT id, (SELECT v FROM cfg WHERE name = ''nothing'') AS v FROM l');
SELECT oracle.make('v_lookup', 'SELECT id, (SELECT r.c FROM r WHERE r.id = l.k) AS c FROM l');
SELECT oracle.make('v_lookup_case', 'SELECT id, CASE WHEN a > 50 THEN (SELECT r.c FROM r WHERE r.id = l.k) ELSE g END AS c FROM l');
SELECT oracle.make('v_lookup_where', 'SELECT id FROM l WHERE (SELECT r.b FROM r WHERE r.id = l.k AND r.b < 100) > a / 3');
SELECT * FROM oracle.check();

BEGIN; INSERT INTO r VALUES (20, 6, 1, 'x'), (21, 7, 160, 'y'); INSERT INTO s VALUES (20, 20), (11, 4); COMMIT;
SELECT * FROM oracle.check();
-- a second match, one of two goes, the last goes
INSERT INTO r VALUES (22, 6, 200, 'z');
SELECT * FROM oracle.check();
DELETE FROM r WHERE id = 20;
SELECT * FROM oracle.check();
BEGIN; DELETE FROM r WHERE k = 6; DELETE FROM s WHERE x > 11; COMMIT;
SELECT * FROM oracle.check();
-- NULL comes to the right side, and goes
BEGIN; INSERT INTO r VALUES (30, NULL, NULL, NULL); INSERT INTO s VALUES (NULL, 3); COMMIT;
SELECT * FROM oracle.check();
UPDATE r SET k = 2 WHERE id = 30;
SELECT * FROM oracle.check();
BEGIN; UPDATE r SET b = 77, k = NULL WHERE id = 30; DELETE FROM s WHERE rid IS NULL; COMMIT;
SELECT * FROM oracle.check();
DELETE FROM r WHERE id = 30;
SELECT * FROM oracle.check();
-- a left row and its match, or its blocker, in one batch
BEGIN; INSERT INTO l VALUES (40, 50, 'n', 5), (41, 51, 'n', 500); INSERT INTO r VALUES (40, 50, 20, 'n'), (51, 41, 0, 'm'); COMMIT;
SELECT * FROM oracle.check();
BEGIN; DELETE FROM l WHERE k = 50; DELETE FROM r WHERE k = 50; COMMIT;
SELECT * FROM oracle.check();
-- keys and values move on both sides
BEGIN; UPDATE l SET k = k + 1, a = 210 - a WHERE id % 2 = 0; UPDATE r SET k = 4 - k, b = b + 35 WHERE id < 30; UPDATE cfg SET v = 160 - v; COMMIT;
SELECT * FROM oracle.check();
BEGIN; UPDATE l SET k = NULL WHERE id = 5; UPDATE l SET k = 3 WHERE id = 100; UPDATE s SET rid = rid + 1; COMMIT;
SELECT * FROM oracle.check();
DELETE FROM cfg;
SELECT * FROM oracle.check();
-- empty, and back
BEGIN; DELETE FROM r; DELETE FROM s; COMMIT;
SELECT * FROM oracle.check();
BEGIN; INSERT INTO r SELECT i, i % 4, i * 9, 'c' || i FROM generate_series(1, 12) i; INSERT INTO s SELECT i, i FROM generate_series(1, 5) i; INSERT INTO cfg VALUES ('low', 0); DELETE FROM l; COMMIT;
SELECT * FROM oracle.check();
BEGIN; INSERT INTO l SELECT i, i % 6, 'g' || i % 2, i * 7 FROM generate_series(1, 15) i; INSERT INTO l VALUES (99, NULL, NULL, NULL); INSERT INTO cfg VALUES ('high', 70); COMMIT;
SELECT * FROM oracle.check();
SELECT oracle.done();

-- two rows for a scalar: an error as the query's own; recovery
DELETE FROM r WHERE k IN (1, 2);
SELECT oracle.make('v_two', 'SELECT id, (SELECT r.c FROM r WHERE r.k = l.id) AS c FROM l WHERE id < 3');
INSERT INTO r VALUES (60, 1, 1, 'one');
SELECT * FROM oracle.check();
INSERT INTO r VALUES (61, 1, 1, 'two');
SELECT pgtrickle.refresh_stream_table('v_two', 'DIFFERENTIAL');
SELECT id, (SELECT r.c FROM r WHERE r.k = l.id) AS c FROM l WHERE id < 3;
TABLE pgtrickle.v_two ORDER BY id;
INSERT INTO r VALUES (62, 2, 1, 'three');
DELETE FROM r WHERE id = 60;
SELECT * FROM oracle.check();
-- not asked for, so no error
SELECT oracle.make('v_lazy', 'SELECT id, CASE WHEN a > 0 THEN (SELECT r.c FROM r WHERE r.k = l.id) END AS c FROM l WHERE id < 3');
UPDATE l SET a = 0 WHERE id = 2;
SELECT * FROM oracle.check();
INSERT INTO r VALUES (63, 2, 1, 'four');
SELECT pgtrickle.drop_stream_table('v_two');
DELETE FROM oracle.cases WHERE name = 'v_two';
SELECT * FROM oracle.check();
DELETE FROM r WHERE id = 62;
SELECT * FROM oracle.check();
SELECT oracle.done();
DROP SCHEMA dvm_sublinks CASCADE;
