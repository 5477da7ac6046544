-- UNION ALL: alone, nested, under joins and aggregates, with types to unify.
CREATE SCHEMA dvm_union;
SET search_path = dvm_union, public;
SET client_min_messages = warning;

CREATE TABLE t (id int PRIMARY KEY, v int, s varchar(10));
CREATE TABLE u (id bigint, v numeric, s text);
CREATE TABLE w (k int, label text);
INSERT INTO t SELECT i, i, 's' || i FROM generate_series(1, 12) i;
INSERT INTO u SELECT i, i * 1.5, 's' || i FROM generate_series(8, 16) i;
INSERT INTO w SELECT i, 'w' || i % 3 FROM generate_series(1, 20) i;

SELECT oracle.make('u_plain', 'SELECT v FROM t UNION ALL SELECT k FROM w');
SELECT oracle.make('u_overlap', 'SELECT id, v FROM t WHERE v > 5 UNION ALL SELECT id, v FROM t WHERE v < 10');
SELECT oracle.make('u_types', 'SELECT id, v, s FROM t UNION ALL SELECT id, v, s FROM u UNION ALL SELECT k, NULL, label FROM w');
SELECT oracle.make('u_literals', 'SELECT ''t'' AS src, id::text AS id FROM t UNION ALL SELECT ''w'', label FROM w');
SELECT oracle.make('u_nested', '(SELECT v FROM t UNION ALL (SELECT k FROM w UNION ALL SELECT id FROM t)) UNION ALL SELECT 0 FROM u');
SELECT oracle.make('u_joined', 'SELECT q.id, w.label FROM (SELECT id FROM t UNION ALL SELECT id FROM u) q JOIN w ON w.k = q.id');
SELECT oracle.make('u_grouped', 'SELECT s, count(*) AS n, sum(v) AS sv FROM (SELECT s, v FROM t UNION ALL SELECT s, v FROM u) q GROUP BY s');
SELECT oracle.make('u_of_groups', 'SELECT label AS s, count(*) AS n FROM w GROUP BY label UNION ALL SELECT s, count(*) FROM t GROUP BY s');
SELECT oracle.make('u_distinct', 'SELECT DISTINCT v FROM (SELECT v FROM t UNION ALL SELECT v FROM u) q');
SELECT oracle.make('u_sorted', 'SELECT v FROM t UNION ALL SELECT k FROM w ORDER BY 1');
SELECT oracle.make('u_distinct_types', 'SELECT DISTINCT v FROM t UNION ALL SELECT DISTINCT v FROM u');
SELECT oracle.make('u_same', 'SELECT * FROM w UNION ALL SELECT * FROM w');
SELECT * FROM oracle.check();
DELETE FROM t WHERE v IN (7, 8);
SELECT * FROM oracle.check();
BEGIN; INSERT INTO t VALUES (50, 9, 's9'); UPDATE u SET v = 9 WHERE id = 10; DELETE FROM w WHERE k < 4; COMMIT;
SELECT * FROM oracle.check();
BEGIN; UPDATE t SET id = id + 1000; UPDATE t SET v = v + 1; COMMIT;
SELECT * FROM oracle.check();
BEGIN; UPDATE t SET id = id - 1000; UPDATE w SET k = k + 1, label = 's9' WHERE k > 15; INSERT INTO u VALUES (8, NULL, NULL), (8, NULL, NULL); COMMIT;
SELECT * FROM oracle.check();
DELETE FROM u WHERE ctid = (SELECT max(ctid) FROM u WHERE v IS NULL);
SELECT * FROM oracle.check();
BEGIN; TRUNCATE u; DELETE FROM t; COMMIT;
SELECT * FROM oracle.check();

SELECT oracle.done();
RESET client_min_messages;
DROP SCHEMA dvm_union CASCADE;
