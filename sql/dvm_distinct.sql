-- SELECT DISTINCT: rows appear with their first origin and go with the last.
CREATE SCHEMA dvm_distinct;
SET search_path = dvm_distinct, public;
SET client_min_messages = warning;

CREATE TABLE t (a int, b text, n numeric);
CREATE TABLE u (a int, c text);
INSERT INTO t SELECT i % 3, 'b' || i % 2, i % 2 FROM generate_series(1, 12) i;
INSERT INTO t VALUES (NULL, NULL, NULL), (NULL, NULL, NULL), (1, NULL, 1.0), (1, NULL, 1.00);
INSERT INTO u SELECT i % 4, 'c' || i % 2 FROM generate_series(1, 8) i;

SELECT oracle.make('d_plain', 'SELECT DISTINCT a, b FROM t');
SELECT oracle.make('d_one', 'SELECT DISTINCT a FROM t');
SELECT oracle.make('d_expr', 'SELECT DISTINCT a + 1 AS a1, upper(b) AS u FROM t WHERE a IS NOT NULL');
SELECT oracle.make('d_join', 'SELECT DISTINCT t.b, u.c FROM t JOIN u ON t.a = u.a');
SELECT oracle.make('d_group', 'SELECT DISTINCT count(*) AS n FROM t GROUP BY a, b');
SELECT oracle.make('d_sorted', 'SELECT DISTINCT b FROM t ORDER BY b DESC');
SELECT oracle.make('d_nested', 'SELECT a, count(*) AS n FROM (SELECT DISTINCT a, b FROM t) q GROUP BY a');
SELECT oracle.make('d_joined', 'SELECT u.c, q.b FROM u JOIN (SELECT DISTINCT a, b FROM t) q ON q.a = u.a');
SELECT oracle.make('d_union', 'SELECT DISTINCT a FROM (SELECT a FROM t UNION ALL SELECT a FROM u) q');
SELECT oracle.make('d_star', 'SELECT DISTINCT * FROM u');
SELECT * FROM oracle.check();
-- one of two duplicates, then the last
DELETE FROM t WHERE ctid = (SELECT min(ctid) FROM t WHERE a = 1 AND b = 'b1');
SELECT * FROM oracle.check();
DELETE FROM t WHERE a = 1 AND b = 'b1';
SELECT * FROM oracle.check();
DELETE FROM t WHERE ctid = (SELECT min(ctid) FROM t WHERE a IS NULL);
SELECT * FROM oracle.check();
DELETE FROM t WHERE a IS NULL;
SELECT * FROM oracle.check();
-- both sides of a join in one batch
BEGIN; DELETE FROM u WHERE a = 2; INSERT INTO u VALUES (1, 'c9'); UPDATE t SET a = 1 WHERE a = 0; COMMIT;
SELECT * FROM oracle.check();
-- gone and back within the batch
BEGIN; DELETE FROM t; INSERT INTO t VALUES (1, 'b1', 1), (1, 'b1', 1), (2, NULL, 2); COMMIT;
SELECT * FROM oracle.check();
-- made and gone within the batch
BEGIN; INSERT INTO t VALUES (77, 'x', 0); DELETE FROM t WHERE a = 77; COMMIT;
SELECT * FROM oracle.check();
INSERT INTO t SELECT i % 1200, 'w', i FROM generate_series(1, 3000) i;
SELECT * FROM oracle.check();
BEGIN; TRUNCATE t; TRUNCATE u; COMMIT;
SELECT * FROM oracle.check();

SELECT oracle.done();

-- keys that are equal but look different: what is shown comes from a row that is there
CREATE TABLE e (n numeric, i interval);
INSERT INTO e VALUES (1.0, '1 mon'), (1.00, '30 days'), (2, '1 day');
SELECT oracle.make('d_image', 'SELECT DISTINCT n FROM e');
SELECT oracle.make('d_image_group', 'SELECT i, count(*) AS c FROM e GROUP BY i');
DELETE FROM e WHERE n::text = (SELECT n::text FROM pgtrickle.d_image WHERE n = 1);
SELECT action FROM pgtrickle.refresh_stream_table('d_image', 'DIFFERENTIAL');
SELECT n IN (SELECT n FROM e) AS equal_one, n::text IN (SELECT n::text FROM e) AS shown_one FROM pgtrickle.d_image ORDER BY n;
SELECT action FROM pgtrickle.refresh_stream_table('d_image_group', 'DIFFERENTIAL');
SELECT i::text IN (SELECT i::text FROM e) AS shown_one, c FROM pgtrickle.d_image_group ORDER BY i;
SELECT oracle.done();
RESET client_min_messages;
DROP SCHEMA dvm_distinct CASCADE;
