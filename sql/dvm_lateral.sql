-- LATERAL subqueries and functions in FROM; changes on every side.
CREATE SCHEMA dvm_lateral;
SET search_path = dvm_lateral, public;
SET client_min_messages = warning;

CREATE TABLE l (id int PRIMARY KEY, k int, g text, a int, arr int[]);
CREATE TABLE r (id int PRIMARY KEY, k int, b int, c text);
CREATE TABLE s (rid int, x int);                 -- no key: a bag
INSERT INTO l SELECT i, i % 8, 'g' || i % 3, i * 10, ARRAY[i % 3, 7, i % 3] FROM generate_series(1, 20) i;
INSERT INTO l VALUES (100, NULL, NULL, NULL, NULL), (101, 1, NULL, 3, '{}');
INSERT INTO r SELECT i, i % 5, i * 15, 'c' || i FROM generate_series(1, 9) i;
INSERT INTO s SELECT i % 6, i FROM generate_series(1, 12) i;

SELECT oracle.make('a_plain', 'SELECT l.id, q.c FROM l CROSS JOIN LATERAL (SELECT r.c FROM r WHERE r.k = l.k) q');
SELECT oracle.make('a_comma', 'SELECT l.id, q.c, s.x FROM l, LATERAL (SELECT r.c, r.id FROM r WHERE r.k = l.k AND r.b > l.a) q, s WHERE s.rid = q.id');
SELECT oracle.make('a_left', 'SELECT l.id, q.c FROM l LEFT JOIN LATERAL (SELECT r.c FROM r WHERE r.k = l.k) q ON true');
SELECT oracle.make('a_left_on', 'SELECT l.id, q.c FROM l LEFT JOIN LATERAL (SELECT r.c, r.b FROM r WHERE r.k = l.k) q ON q.b > 50');
SELECT oracle.make('a_output', 'SELECT l.id, q.v FROM l CROSS JOIN LATERAL (SELECT r.b + l.a AS v FROM r WHERE r.k = l.k) q');
SELECT oracle.make('a_left_output', 'SELECT l.id, q.v FROM l LEFT JOIN LATERAL (SELECT coalesce(r.b + l.a, 0) AS v FROM r WHERE r.k = l.k) q ON q.v > 100');
SELECT oracle.make('a_agg', 'SELECT l.id, q.n, q.m FROM l CROSS JOIN LATERAL (SELECT count(*) AS n, max(b) AS m FROM r WHERE r.k = l.k) q');
SELECT oracle.make('a_agg_where', 'SELECT l.id, q.n FROM l, LATERAL (SELECT count(*) AS n FROM r WHERE r.k = l.k) q WHERE q.n <> 1');
SELECT oracle.make('a_agg_left', 'SELECT l.id, q.n, coalesce(q.s, -1) AS s FROM l LEFT JOIN LATERAL (SELECT count(*) AS n, sum(b) AS s FROM r WHERE r.k = l.k) q ON true');
SELECT oracle.make('a_agg_having', 'SELECT l.id, q.n FROM l, LATERAL (SELECT count(*) AS n FROM r WHERE r.k = l.k HAVING count(*) <> 1) q');
SELECT oracle.make('a_agg_on', 'SELECT l.id, q.n FROM l JOIN LATERAL (SELECT count(*) AS n FROM r WHERE r.k = l.k) q ON q.n > l.k');
SELECT oracle.make('a_group', 'SELECT l.id, q.k, q.n FROM l CROSS JOIN LATERAL (SELECT r.k, count(*) AS n FROM r WHERE r.b > l.a GROUP BY r.k) q');
SELECT oracle.make('a_top', 'SELECT l.id, q.c FROM l CROSS JOIN LATERAL (SELECT c FROM r WHERE r.k = l.k ORDER BY b DESC LIMIT 1) q');
SELECT oracle.make('a_top_left', 'SELECT l.id, q.c, q.b FROM l LEFT JOIN LATERAL (SELECT c, b FROM r WHERE r.k = l.k ORDER BY b LIMIT 2) q ON true');
SELECT oracle.make('a_two', 'SELECT l.id, q.c, w.x FROM l CROSS JOIN LATERAL (SELECT c, id FROM r WHERE r.k = l.k ORDER BY b LIMIT 1) q LEFT JOIN LATERAL (SELECT x FROM s WHERE s.rid = q.id AND s.x > l.k ORDER BY x LIMIT 1) w ON true');
SELECT oracle.make('a_of_two', 'SELECT l.id, r.id AS rid, q.n FROM l JOIN r ON r.k = l.k CROSS JOIN LATERAL (SELECT count(*) AS n FROM s WHERE s.rid = r.id AND s.x > l.k) q');
SELECT oracle.make('a_distinct', 'SELECT l.id, q.x FROM l, LATERAL (SELECT DISTINCT s.x % 3 AS x FROM s WHERE s.rid <= l.k) q');
SELECT oracle.make('a_union', 'SELECT l.id, q.v FROM l, LATERAL (SELECT b AS v FROM r WHERE r.k = l.k UNION SELECT x FROM s WHERE s.rid = l.k) q');
SELECT oracle.make('a_window', 'SELECT l.id, q.b, q.n FROM l, LATERAL (SELECT b, row_number() OVER (ORDER BY b) AS n FROM r WHERE r.k = l.k) q WHERE q.n <= 2');
SELECT oracle.make('a_nested', 'SELECT l.id, q.n FROM l, LATERAL (SELECT count(*) AS n FROM r, LATERAL (SELECT x FROM s WHERE s.rid = r.id AND s.x > l.k) w WHERE r.k = l.k) q');
SELECT oracle.make('a_grouped', 'SELECT l.g, sum(q.n) AS n FROM l, LATERAL (SELECT count(*) AS n FROM r WHERE r.k = l.k) q GROUP BY l.g');
SELECT oracle.make('a_sublink', 'SELECT l.id, q.n FROM l, LATERAL (SELECT count(*) AS n FROM r WHERE r.k = l.k) q WHERE EXISTS (SELECT 1 FROM s WHERE s.rid = q.n)');
-- functions
SELECT oracle.make('f_unnest', 'SELECT l.id, u FROM l CROSS JOIN LATERAL unnest(l.arr) u');
SELECT oracle.make('f_left_unnest', 'SELECT l.id, u.v, u.o FROM l LEFT JOIN LATERAL unnest(l.arr) WITH ORDINALITY u (v, o) ON true');
SELECT oracle.make('f_left_on', 'SELECT l.id, u FROM l LEFT JOIN LATERAL unnest(l.arr) u ON u > 1 AND l.k > 2');
SELECT oracle.make('f_left_values', 'SELECT l.id, v.x FROM l LEFT JOIN LATERAL (VALUES (l.a), (l.k)) v (x) ON v.x > 3');
SELECT oracle.make('f_join', 'SELECT l.id, u, r.c FROM l LEFT JOIN LATERAL unnest(l.arr) u ON true LEFT JOIN r ON r.id = u');
SELECT * FROM oracle.check();

BEGIN; INSERT INTO r VALUES (20, 6, 1, 'x'), (21, 7, 160, 'y'); INSERT INTO s VALUES (20, 20), (11, 4), (6, 1); UPDATE l SET arr = ARRAY[id, 2] WHERE id < 3; COMMIT;
SELECT * FROM oracle.check();
INSERT INTO r VALUES (22, 6, 200, 'z');
SELECT * FROM oracle.check();
DELETE FROM r WHERE id = 20;
SELECT * FROM oracle.check();
BEGIN; DELETE FROM r WHERE k = 6; DELETE FROM s WHERE x > 11; UPDATE l SET arr = NULL WHERE id = 4; COMMIT;
SELECT * FROM oracle.check();
BEGIN; INSERT INTO r VALUES (30, NULL, NULL, NULL); INSERT INTO s VALUES (NULL, 3); COMMIT;
SELECT * FROM oracle.check();
BEGIN; INSERT INTO l VALUES (40, 50, 'n', 5, '{50}'), (41, 51, 'n', 500, '{1,1}'); INSERT INTO r VALUES (40, 50, 20, 'n'), (51, 41, 0, 'm'); COMMIT;
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
BEGIN; INSERT INTO l SELECT i, i % 6, 'g' || i % 2, i * 7, ARRAY[i] FROM generate_series(1, 15) i; INSERT INTO l VALUES (99, NULL, NULL, NULL, NULL); COMMIT;
SELECT * FROM oracle.check();
SELECT oracle.done();
DROP SCHEMA dvm_lateral CASCADE;
