-- Sources of many forms: partitions, inheritance, other stream tables, tables
-- with dropped columns, keywords for names; errors that come and go.
CREATE SCHEMA dvm_src;
SET search_path = dvm_src, public;
SET client_min_messages = warning;

CREATE TABLE part (id int, k int, v text) PARTITION BY RANGE (id);
CREATE TABLE part1 PARTITION OF part FOR VALUES FROM (0) TO (100);
CREATE TABLE part2 (v text, dropped int, k int, id int);
ALTER TABLE part2 DROP COLUMN dropped;
ALTER TABLE part ATTACH PARTITION part2 FOR VALUES FROM (100) TO (200);
CREATE TABLE par (id int, v text);
CREATE TABLE child (extra int) INHERITS (par);
CREATE TABLE "Select" ("from" int, "a b" text, "é" int, gone int, "group" int);
ALTER TABLE "Select" DROP COLUMN gone;
CREATE TABLE num (id int, a int, b int);
CREATE TABLE wide (id int);
DO $$ BEGIN FOR i IN 1..200 LOOP EXECUTE format('ALTER TABLE dvm_src.wide ADD COLUMN c%s int DEFAULT %s', i, i); END LOOP; END $$;
INSERT INTO part SELECT i * 9, i % 4, 'v' || i FROM generate_series(0, 20) i;
INSERT INTO par SELECT i, 'p' || i FROM generate_series(1, 5) i;
INSERT INTO child SELECT i, 'c' || i, i FROM generate_series(3, 8) i;
INSERT INTO "Select" SELECT i, 'x' || i, i, i % 3 FROM generate_series(1, 9) i;
INSERT INTO num VALUES (1, 1, 1), (2, 2, 2);
INSERT INTO wide SELECT i FROM generate_series(1, 5) i;

SELECT oracle.make('x_part', 'SELECT id, v FROM part');
SELECT oracle.make('x_part_join', 'SELECT a.id, b.id AS other, a.v FROM part a JOIN part b ON a.k = b.k AND a.id < b.id');
SELECT oracle.make('x_part_agg', 'SELECT k, count(*) AS n, min(v) AS lo, array_agg(id ORDER BY id) AS ids FROM part GROUP BY k');
SELECT oracle.make('x_leaf', 'SELECT k, v FROM part2');
SELECT oracle.make('x_inherit', 'SELECT par.v, c.extra FROM par JOIN child c USING (id)');
SELECT oracle.make('x_inherit_distinct', 'SELECT DISTINCT id FROM par');
SELECT oracle.make('x_names', 'SELECT "group", max("a b") AS "select", sum("é") AS "é" FROM "Select" AS "where" GROUP BY "group"');
SELECT oracle.make('x_names2', 'SELECT "order"."from" FROM "Select" "order" JOIN (SELECT "from" FROM "Select") "limit" ON "limit"."from" = "order"."group"');
SELECT oracle.make('x_divide', 'SELECT num.id, num.a / num.b AS q FROM num');
SELECT oracle.make('x_wide', 'SELECT c3, c100, sum(c200) AS s FROM wide GROUP BY c3, c100');
SELECT oracle.make('x_wide_all', 'SELECT * FROM wide');
SELECT oracle.make('x_stack', 'SELECT n, count(*) AS groups FROM pgtrickle.x_part_agg GROUP BY n');
SELECT oracle.make('x_stack_join', 'SELECT s.n, p.v FROM pgtrickle.x_part_agg s JOIN part p USING (k)');
SELECT * FROM oracle.check();
-- in a leaf, across leaves, through the root
UPDATE part2 SET v = 'leaf' WHERE id = 108;
UPDATE part SET id = id + 100 WHERE id < 30;
DELETE FROM part1 WHERE k = 2;
SELECT * FROM oracle.check();
BEGIN; UPDATE par SET v = v || '!' WHERE id IN (4, 7); DELETE FROM ONLY par WHERE id = 1; INSERT INTO child VALUES (1, 'new', 9); COMMIT;
SELECT * FROM oracle.check();
UPDATE "Select" SET "from" = "from" + 1, "a b" = 'y', "group" = 2 WHERE "é" > 4;
UPDATE wide SET c3 = id, c200 = NULL WHERE id < 3;
UPDATE wide SET c7 = 0;
SELECT * FROM oracle.check();
-- an error of the query is an error of the refresh, until it is repaired
UPDATE num SET b = 0 WHERE id = 2;
SELECT action FROM pgtrickle.refresh_stream_table('x_divide', 'DIFFERENTIAL');
SELECT * FROM pgtrickle.x_divide ORDER BY id;
UPDATE num SET b = 1 WHERE id = 2;
SELECT * FROM oracle.check();
SELECT oracle.done();

-- rows that never existed together divide by zero: the query does not
CREATE TABLE a (k int, x int);
CREATE TABLE b (k int, y int);
INSERT INTO a VALUES (1, 10);
INSERT INTO b VALUES (2, 0);
SELECT oracle.make('x_mixed', 'SELECT a.x / b.y AS q FROM a JOIN b ON a.k = b.k');
BEGIN; UPDATE b SET y = 5; UPDATE b SET k = 1; COMMIT;
SELECT * FROM oracle.check();
BEGIN; UPDATE b SET y = 0 WHERE k = 1; DELETE FROM a WHERE k = 1; COMMIT;
SELECT * FROM oracle.check();
BEGIN; INSERT INTO a VALUES (1, 7); UPDATE b SET y = 1; COMMIT;
SELECT * FROM oracle.check();
SELECT oracle.done();

RESET client_min_messages;
\set VERBOSITY terse
DROP SCHEMA dvm_src CASCADE;
