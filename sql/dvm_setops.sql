-- UNION, INTERSECT, EXCEPT, with and without ALL: alone, nested, mixed, below
-- filters, joins and aggregates, with types to resolve, NULLs and rows that
-- are equal but not identical.
CREATE SCHEMA dvm_setops;
SET search_path = dvm_setops, public;
SET client_min_messages = warning;

CREATE TABLE a (id int PRIMARY KEY, v int, s text, n numeric);
CREATE TABLE b (id bigint, v int, s varchar(10), n numeric);
CREATE TABLE c (v int, s text);
INSERT INTO a SELECT i, nullif(i % 5, 4), 's' || i % 4, i % 3 FROM generate_series(1, 20) i;
INSERT INTO b SELECT i, nullif(i % 4, 3), 's' || i % 5, (i % 3)::numeric(10, 2) FROM generate_series(8, 30) i;
INSERT INTO c SELECT i % 3, 's' || i % 2 FROM generate_series(1, 7) i;

SELECT oracle.make('u', 'SELECT v, s FROM a UNION SELECT v, s FROM b');
SELECT oracle.make('u_types', 'SELECT id, n FROM a UNION SELECT id, v FROM b UNION SELECT 7, NULL');
SELECT oracle.make('u_nested', '(SELECT v FROM a UNION ALL SELECT v FROM a) UNION (SELECT v FROM b UNION SELECT v FROM c)');
SELECT oracle.make('u_all_of_u', 'SELECT v FROM a UNION ALL (SELECT v FROM b UNION SELECT v FROM c)');
SELECT oracle.make('u_then_all', '(SELECT v FROM a UNION SELECT v FROM b) UNION ALL SELECT v FROM c');
SELECT oracle.make('i', 'SELECT v, s FROM a INTERSECT SELECT v, s FROM b');
SELECT oracle.make('i_all', 'SELECT v, s FROM a INTERSECT ALL SELECT v, s FROM b');
SELECT oracle.make('i_all_one', 'SELECT v FROM a INTERSECT ALL SELECT v FROM b INTERSECT ALL SELECT v FROM c');
SELECT oracle.make('e', 'SELECT v, s FROM a EXCEPT SELECT v, s FROM b');
SELECT oracle.make('e_all', 'SELECT v, s FROM a EXCEPT ALL SELECT v, s FROM b');
SELECT oracle.make('e_all_one', 'SELECT v FROM a EXCEPT ALL SELECT v FROM c');
SELECT oracle.make('e_types', 'SELECT id, ''s1'' FROM a EXCEPT SELECT id, s FROM b');
SELECT oracle.make('precedence', 'SELECT v FROM a UNION SELECT v FROM b INTERSECT SELECT v FROM c');
SELECT oracle.make('parentheses', '(SELECT v FROM a UNION SELECT v FROM b) INTERSECT SELECT v FROM c');
SELECT oracle.make('mixed', 'SELECT v FROM a UNION ALL SELECT v FROM b EXCEPT SELECT v FROM c');
SELECT oracle.make('mixed_all', 'SELECT v FROM a EXCEPT ALL (SELECT v FROM b INTERSECT ALL SELECT v FROM c) UNION ALL SELECT v FROM c');
SELECT oracle.make('self', 'SELECT v FROM a WHERE id > 5 EXCEPT ALL SELECT v FROM a WHERE id < 12');
SELECT oracle.make('filtered', 'SELECT v + 1 AS w FROM (SELECT v, s FROM a EXCEPT ALL SELECT v, s FROM c) x WHERE s > ''s0''');
SELECT oracle.make('joined', 'SELECT c.s, x.v FROM (SELECT v FROM a INTERSECT SELECT v FROM b) x JOIN c ON c.v = x.v');
SELECT oracle.make('grouped', 'SELECT s, count(*), sum(v), min(v) FROM (SELECT s, v FROM a EXCEPT ALL SELECT s, v FROM b) x GROUP BY s');
SELECT oracle.make('of_groups', 'SELECT v, count(*) FROM a GROUP BY v EXCEPT SELECT v, count(*) FROM b GROUP BY v');
SELECT oracle.make('constants', 'SELECT v FROM c UNION SELECT 1 UNION VALUES (2), (9)');
SELECT oracle.make('sorted', 'SELECT v, s FROM a UNION SELECT v, s FROM c ORDER BY 1, 2');
SELECT * FROM oracle.check();

-- a row of both branches leaves one; a row of the right side comes and goes
DELETE FROM a WHERE id IN (8, 9, 10);
SELECT * FROM oracle.check();
BEGIN; INSERT INTO b VALUES (1, 1, 's1', 1), (1, 1, 's1', 1); DELETE FROM c WHERE v = 0; INSERT INTO c VALUES (1, 's1'); COMMIT;
SELECT * FROM oracle.check();
BEGIN; DELETE FROM b WHERE v = 1 OR id < 12; INSERT INTO c VALUES (NULL, NULL), (NULL, 's1'); COMMIT;
SELECT * FROM oracle.check();
BEGIN; UPDATE a SET v = v + 1 WHERE id % 2 = 0; UPDATE b SET s = 's2', id = id - 7; UPDATE c SET v = 2 WHERE s = 's0'; COMMIT;
SELECT * FROM oracle.check();
-- nothing but a change that is taken back
BEGIN; INSERT INTO c VALUES (77, 'x'); DELETE FROM c WHERE v = 77; UPDATE a SET v = v + 1; UPDATE a SET v = v - 1; COMMIT;
SELECT * FROM oracle.check();
TRUNCATE b;
SELECT * FROM oracle.check();
BEGIN; INSERT INTO b SELECT id, v, s, n FROM a; DELETE FROM c; COMMIT;
SELECT * FROM oracle.check();
BEGIN; DELETE FROM a; INSERT INTO a VALUES (1, NULL, NULL, NULL); COMMIT;
SELECT * FROM oracle.check();
SELECT oracle.done();

-- a result's row is shown as a row of the left side has it
CREATE TABLE l (n numeric);
CREATE TABLE r (n numeric);
INSERT INTO r VALUES (1.00), (2.000);
SELECT oracle.make('image_e', 'SELECT n FROM l EXCEPT SELECT n FROM r');
SELECT oracle.make('image_e_all', 'SELECT n FROM l EXCEPT ALL SELECT n FROM r');
SELECT oracle.make('image_i', 'SELECT n FROM l INTERSECT SELECT n FROM r');
INSERT INTO l VALUES (1), (1), (2.0), (3);
SELECT pgtrickle.refresh_stream_table(n) IS NOT NULL AS done FROM unnest(ARRAY['image_e', 'image_e_all', 'image_i']) n;
SELECT 'e' AS st, n FROM pgtrickle.image_e UNION ALL SELECT 'e_all', n FROM pgtrickle.image_e_all UNION ALL SELECT 'i', n FROM pgtrickle.image_i ORDER BY 1, 2;
BEGIN; INSERT INTO r VALUES (3.000); DELETE FROM r WHERE n = 2; UPDATE l SET n = 1.0 WHERE ctid = '(0,1)'; COMMIT;
SELECT pgtrickle.refresh_stream_table(n) IS NOT NULL AS done FROM unnest(ARRAY['image_e', 'image_e_all', 'image_i']) n;
SELECT 'e' AS st, n FROM pgtrickle.image_e UNION ALL SELECT 'e_all', n FROM pgtrickle.image_e_all UNION ALL SELECT 'i', n FROM pgtrickle.image_i ORDER BY 1, 2;
BEGIN; DELETE FROM l WHERE n = 1.0; INSERT INTO l VALUES (1.0000); DELETE FROM r; INSERT INTO r VALUES (1.0); COMMIT;
SELECT pgtrickle.refresh_stream_table(n) IS NOT NULL AS done FROM unnest(ARRAY['image_e', 'image_e_all', 'image_i']) n;
SELECT 'e' AS st, n FROM pgtrickle.image_e UNION ALL SELECT 'e_all', n FROM pgtrickle.image_e_all UNION ALL SELECT 'i', n FROM pgtrickle.image_i ORDER BY 1, 2;
SELECT oracle.done();

-- a row that occurs often: its count moves by one, so do the rows written
CREATE TABLE often (v int);
CREATE TABLE seldom (v int);
INSERT INTO often SELECT 1 FROM generate_series(1, 5000);
INSERT INTO seldom VALUES (1);
SELECT oracle.make('multiplicity', 'SELECT v FROM often EXCEPT ALL SELECT v FROM seldom');
INSERT INTO often VALUES (1), (1);
SELECT action, rows_inserted, rows_deleted FROM pgtrickle.refresh_stream_table('multiplicity', 'DIFFERENTIAL');
INSERT INTO seldom VALUES (1), (2);
SELECT action, rows_inserted, rows_deleted FROM pgtrickle.refresh_stream_table('multiplicity', 'DIFFERENTIAL');
SELECT * FROM oracle.check();
SELECT property, value FROM pgtrickle.explain_st('multiplicity')
 WHERE property LIKE 'step %' AND property NOT LIKE '%state table' AND value NOT LIKE '%pgt_source%';
SELECT oracle.done();

-- what has no equality or no order is refused or kept as PostgreSQL does it
CREATE TABLE odd (j json, x xid, p point);
SELECT oracle.make('refused', 'SELECT j FROM odd EXCEPT SELECT j FROM odd');
SELECT oracle.make('hash_only', 'SELECT x FROM odd UNION SELECT x FROM odd');
SELECT oracle.make('payload', 'SELECT j, p FROM odd UNION ALL SELECT j, p FROM odd');
INSERT INTO odd VALUES ('{"a": 1}', '7', '(1,2)'), (NULL, '7', NULL), (NULL, NULL, NULL);
SELECT * FROM oracle.check();
DELETE FROM odd WHERE j IS NOT NULL;
SELECT * FROM oracle.check();
SELECT oracle.done();
RESET client_min_messages;
DROP SCHEMA dvm_setops CASCADE;
