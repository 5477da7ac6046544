-- Inner joins of every spelling; changes on any side, in one batch.
CREATE SCHEMA dvm_joins;
SET search_path = dvm_joins, public;
SET client_min_messages = warning;

CREATE TABLE l (id int PRIMARY KEY, k int, g text, a int);
CREATE TABLE r (id int PRIMARY KEY, k bigint, b text, lo int, hi int);
CREATE TABLE s (rid int, c text);                -- no key: a bag
CREATE TABLE cfg (f int);
INSERT INTO l SELECT i, i % 5, 'g' || i % 3, i * 10 FROM generate_series(1, 20) i;
INSERT INTO l VALUES (100, NULL, NULL, NULL);
INSERT INTO r SELECT i, i % 7, 'b' || i, i, i + 30 FROM generate_series(1, 15) i;
INSERT INTO r VALUES (100, NULL, NULL, NULL, NULL);
INSERT INTO s SELECT i % 6, 'c' || i % 2 FROM generate_series(1, 12) i;
INSERT INTO cfg VALUES (3);

-- how each is kept
SELECT oracle.make('j_inner', 'SELECT l.id, r.id AS rid, l.g, r.b FROM l JOIN r ON l.k = r.k');
SELECT oracle.make('j_left_only', 'SELECT l.g FROM l JOIN r ON r.k = l.k');
SELECT oracle.make('j_right_only', 'SELECT r.b FROM l, r WHERE l.k = r.k AND l.a > 30');
SELECT oracle.make('j_chain', 'SELECT l.id, r.b, s.c FROM l JOIN (r JOIN s ON s.rid = r.id) ON l.k = r.k');
SELECT oracle.make('j_self', 'SELECT x.id, y.id AS yid FROM l x JOIN l y ON x.g = y.g');
SELECT oracle.make('j_self3', 'SELECT x.id AS x, y.id AS y, z.id AS z FROM l x JOIN l y ON x.k = y.k JOIN l z ON y.k = z.k WHERE x.id < 5');
SELECT oracle.make('j_using', 'SELECT id, g, b FROM l JOIN r USING (id)');
SELECT oracle.make('j_natural', 'SELECT id, a, b FROM (SELECT id, a FROM l) q NATURAL JOIN (SELECT id, b FROM r) w');
SELECT oracle.make('j_alias', 'SELECT j.a, j.b FROM (l JOIN r USING (id)) AS j (id, k1, g, a, k2, b, lo, hi)');
SELECT oracle.make('j_not_distinct', 'SELECT l.id, r.id AS rid FROM l JOIN r ON l.k IS NOT DISTINCT FROM r.k');
SELECT oracle.make('j_range', 'SELECT l.id, r.id AS rid FROM l JOIN r ON l.a BETWEEN r.lo AND r.hi');
SELECT oracle.make('j_cross', 'SELECT l.id, l.a * cfg.f AS v FROM l CROSS JOIN cfg');
SELECT oracle.make('j_theta', 'SELECT l.id, s.c FROM l, s WHERE l.k < s.rid');
SELECT oracle.make('j_bag', 'SELECT s.c FROM s JOIN r ON r.id = s.rid');
SELECT oracle.make('j_bag2', 'SELECT x.c, y.c AS d FROM s x JOIN s y ON x.rid = y.rid');
SELECT oracle.make('j_constant', 'SELECT 1 AS one FROM l JOIN r ON l.k = r.k');
SELECT oracle.make('j_many', 'SELECT a.id FROM l a JOIN l b ON a.id = b.id JOIN l c ON b.id = c.id JOIN l d ON c.id = d.id JOIN l e ON d.id = e.id JOIN r ON r.id = e.id');
SELECT oracle.make('j_on_join', 'SELECT t.g, u.b, u.c FROM l t JOIN (SELECT r.k, r.b, s.c FROM r JOIN s ON s.rid = r.id WHERE s.c <> ''c9'') u ON u.k = t.k');
SELECT * FROM oracle.check();

-- matching rows deleted on both sides
BEGIN; DELETE FROM l WHERE k = 1; DELETE FROM r WHERE k = 1; COMMIT;
SELECT * FROM oracle.check();
-- partners inserted on both sides
BEGIN; INSERT INTO l VALUES (21, 9, 'g1', 5); INSERT INTO r VALUES (21, 9, 'b21', 0, 9); COMMIT;
SELECT * FROM oracle.check();
-- key moved while the old partner goes
BEGIN; UPDATE l SET k = 2 WHERE k = 3; DELETE FROM r WHERE k = 3; COMMIT;
SELECT * FROM oracle.check();
-- deletions from all, at once
BEGIN; DELETE FROM l WHERE id % 4 = 0; DELETE FROM r WHERE id % 4 = 1; DELETE FROM s WHERE rid = 2; DELETE FROM cfg; COMMIT;
SELECT * FROM oracle.check();
-- back and forth in one batch, rolled-back savepoint in between
BEGIN;
INSERT INTO l SELECT i, i % 5, 'n' || i % 2, i FROM generate_series(30, 40) i;
SAVEPOINT p;
DELETE FROM r;
ROLLBACK TO p;
INSERT INTO r SELECT i, i % 5, 'm', 0, 50 FROM generate_series(30, 36) i;
DELETE FROM l WHERE id BETWEEN 30 AND 32;
UPDATE r SET b = 'mm', k = k + 1 WHERE id > 33;
INSERT INTO s SELECT 31, 'c1' FROM generate_series(1, 3);
INSERT INTO cfg VALUES (7);
COMMIT;
SELECT * FROM oracle.check();
-- self-join: a column of both roles
UPDATE l SET g = 'g0' WHERE id = 2;
SELECT * FROM oracle.check();
-- NULL keys come and go
BEGIN; UPDATE l SET k = 4 WHERE id = 100; UPDATE r SET k = NULL WHERE id = 2; COMMIT;
SELECT * FROM oracle.check();
BEGIN; UPDATE l SET k = NULL; UPDATE r SET k = id % 3; COMMIT;
SELECT * FROM oracle.check();
-- bounds of a range
UPDATE r SET lo = lo - 50, hi = hi + 50;
SELECT * FROM oracle.check();
-- one of several equal rows
DELETE FROM s WHERE ctid = (SELECT min(ctid) FROM s WHERE c = 'c1');
SELECT * FROM oracle.check();
-- a column used only in ON; one used nowhere
UPDATE r SET k = 0 WHERE id = 5;
UPDATE s SET c = c;
SELECT * FROM oracle.check();
-- a batch large enough for the other plan
INSERT INTO l SELECT i, i % 50, 'g' || i % 400, i FROM generate_series(1000, 2300) i;
INSERT INTO cfg VALUES (1);
SELECT * FROM oracle.check();
DELETE FROM l WHERE id >= 1000;
SELECT * FROM oracle.check();
-- nothing left
BEGIN; TRUNCATE l; DELETE FROM r; COMMIT;
SELECT * FROM oracle.check();

SELECT oracle.done();
RESET client_min_messages;
DROP SCHEMA dvm_joins CASCADE;
