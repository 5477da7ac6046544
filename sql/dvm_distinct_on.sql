-- DISTINCT ON: the first row of each group by the order given.
CREATE SCHEMA dvm_distinct_on;
SET search_path = dvm_distinct_on, public;
SET client_min_messages = warning;

CREATE TABLE t (id int PRIMARY KEY, g int, h text, v int, n numeric);
CREATE TABLE u (g int, w int);
INSERT INTO t SELECT i, i % 5, 'h' || i % 2, (i * 7) % 11, (i % 3)::numeric FROM generate_series(1, 40) i;
INSERT INTO t VALUES (100, NULL, NULL, 5, NULL), (101, NULL, NULL, 4, 1.00), (102, 1, NULL, NULL, 1.0);
INSERT INTO u SELECT i % 5, i FROM generate_series(1, 10) i;

SELECT oracle.make('o_plain', 'SELECT DISTINCT ON (g) g, id, v FROM t ORDER BY g, v DESC NULLS LAST, id');
SELECT oracle.make('o_hidden', 'SELECT DISTINCT ON (g, h) id FROM t ORDER BY g, h, v, id');
SELECT oracle.make('o_expr', 'SELECT DISTINCT ON (v % 3) v % 3 AS m, upper(h) AS u, id FROM t ORDER BY v % 3, n DESC, id');
SELECT oracle.make('o_no_order', 'SELECT DISTINCT ON (g) g FROM t');
SELECT oracle.make('o_join', 'SELECT DISTINCT ON (u.g) u.g, u.w, t.id FROM t JOIN u ON u.g = t.g ORDER BY u.g, u.w DESC, t.id');
SELECT oracle.make('o_group', 'SELECT DISTINCT ON (h) h, g, sum(v) AS s FROM t GROUP BY h, g ORDER BY h, sum(v) DESC NULLS LAST, g');
SELECT oracle.make('o_window', 'SELECT DISTINCT ON (h) h, id, rank() OVER (PARTITION BY g ORDER BY v) AS r FROM t ORDER BY h, rank() OVER (PARTITION BY g ORDER BY v) DESC, id');
SELECT oracle.make('o_nested', 'SELECT h, count(*) AS c, max(v) AS m FROM (SELECT DISTINCT ON (g) h, v FROM t ORDER BY g, v, id) q GROUP BY h');
SELECT oracle.make('o_joined', 'SELECT u.w, q.id FROM u JOIN (SELECT DISTINCT ON (g) g, id FROM t ORDER BY g, id DESC) q ON q.g = u.g');
SELECT oracle.make('o_union', 'SELECT DISTINCT ON (g) g, w FROM (SELECT g, w FROM u UNION ALL SELECT g, v FROM t) q ORDER BY g, w NULLS FIRST');
SELECT oracle.make('o_limited', 'SELECT DISTINCT ON (g) g, id FROM t ORDER BY g DESC NULLS LAST, v, id LIMIT 3 OFFSET 1');
SELECT oracle.make('o_numeric', 'SELECT DISTINCT ON (n) id FROM t ORDER BY n, id');
SELECT * FROM oracle.check();
-- the first row goes: the next is promoted
DELETE FROM t WHERE id IN (SELECT id FROM pgtrickle.o_plain);
SELECT * FROM oracle.check();
-- a new first, a change behind the first, a group of one, its end
INSERT INTO t VALUES (200, 2, 'h0', 1000, 9), (201, 88, 'h9', 1, 8);
UPDATE t SET v = v - 1 WHERE id = 8;
SELECT * FROM oracle.check();
DELETE FROM t WHERE g = 88;
UPDATE t SET g = NULL WHERE g = 1;
SELECT * FROM oracle.check();
BEGIN; UPDATE u SET w = -w WHERE w % 2 = 0; UPDATE t SET g = 4 - g; COMMIT;
SELECT * FROM oracle.check();
BEGIN; TRUNCATE t; TRUNCATE u; COMMIT;
SELECT * FROM oracle.check();

-- among equals any may be first
CREATE TABLE tie (g int, v int, who text);
INSERT INTO tie VALUES (1, 1, 'a'), (1, 1, 'b'), (1, 1, 'c'), (2, 5, 'x');
SELECT oracle.make('o_tie', 'SELECT DISTINCT ON (g) g, v, who FROM tie ORDER BY g, v');
SELECT who AS first FROM pgtrickle.o_tie WHERE g = 1 \gset
INSERT INTO tie VALUES (1, 1, 'd'), (1, 2, 'e');
SELECT action FROM pgtrickle.refresh_stream_table('o_tie', 'DIFFERENTIAL');
SELECT g, v, who IN (SELECT who FROM tie WHERE tie.g = o.g AND tie.v = o.v) AS is_there FROM pgtrickle.o_tie o ORDER BY g;
DELETE FROM tie WHERE who = :'first';
SELECT action FROM pgtrickle.refresh_stream_table('o_tie', 'DIFFERENTIAL');
SELECT g, v, who IN (SELECT who FROM tie WHERE tie.g = o.g AND tie.v = o.v) AS is_there FROM pgtrickle.o_tie o ORDER BY g;
SELECT property, value FROM pgtrickle.explain_st('o_tie') WHERE property ~ 'cost|key|row identity|index that';
SELECT oracle.done();
RESET client_min_messages;
DROP SCHEMA dvm_distinct_on CASCADE;
