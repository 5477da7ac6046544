-- min, max and the truth aggregates: what they keep, and when they look again.
CREATE SCHEMA reduce_extremes;
SET search_path = reduce_extremes, public;
SET client_min_messages = warning;

CREATE TABLE src (id int PRIMARY KEY, g int, i int, n numeric, x text, f float8, d date, b bool, a int[]);
INSERT INTO src SELECT i, i % 3, i, i / 4.0, 'x' || i, i, '2020-01-01'::date + i, i % 2 = 0, ARRAY[i % 4, i]
  FROM generate_series(1, 100) i;
SELECT oracle.make('e_plain', 'SELECT g, min(i) AS a, max(i) AS b, min(n) AS c, max(n) AS d, min(x) AS e, max(x) AS f FROM src GROUP BY g');
SELECT oracle.make('e_types', 'SELECT g, min(f) AS a, max(f) AS b, min(d) AS c, max(d) AS d, min(a) AS e, max(a) AS f FROM src GROUP BY g');
SELECT oracle.make('e_filter', 'SELECT g, max(i) FILTER (WHERE b) AS a, min(DISTINCT n) AS c FROM src GROUP BY g');
SELECT oracle.make('e_global', 'SELECT min(i) AS a, max(x COLLATE "C") AS b FROM src');
SELECT oracle.make('e_truth', 'SELECT g, bool_and(b) AS a, bool_or(b) AS o, every(i > 10) AS e, bool_and(b) FILTER (WHERE i > 50) AS f FROM src GROUP BY g');
SELECT * FROM oracle.check();
-- the best value goes, one of two ties goes, both go
DELETE FROM src WHERE id IN (100, 1);
SELECT * FROM oracle.check();
INSERT INTO src SELECT id + 1000, g, i, n, x, f, d, b, a FROM src WHERE i IN (2, 99);
SELECT * FROM oracle.check();
DELETE FROM src WHERE id IN (2, 99);
SELECT * FROM oracle.check();
DELETE FROM src WHERE id IN (1002, 1099);
SELECT * FROM oracle.check();
-- in one batch: the best goes and a worse one comes; a better one comes and goes
BEGIN;
DELETE FROM src WHERE i = (SELECT max(i) FROM src);
INSERT INTO src (id, g, i) VALUES (2001, 2, 50), (2002, 2, 5000);
DELETE FROM src WHERE id = 2002;
COMMIT;
SELECT * FROM oracle.check();
UPDATE src SET i = -i, n = -n, b = NOT b WHERE id % 10 = 0;
SELECT * FROM oracle.check();
-- more goes than is remembered: the groups are read again
DELETE FROM src WHERE i < 75;
SELECT * FROM oracle.check();
-- special values, and none at all
INSERT INTO src (id, g, n, f, x) VALUES (3001, 1, 'NaN', 'NaN', ''), (3002, 1, 'Infinity', '-Infinity', NULL), (3003, 1, '-Infinity', '-0', 'Z');
SELECT * FROM oracle.check();
DELETE FROM src WHERE id IN (3001, 3003);
SELECT * FROM oracle.check();
UPDATE src SET i = NULL, n = NULL, x = NULL, f = NULL, d = NULL, b = NULL, a = NULL WHERE g = 1;
SELECT * FROM oracle.check();
SELECT * FROM pgtrickle.e_plain WHERE g = 1;
SELECT * FROM pgtrickle.e_truth WHERE g = 1;
-- long values are remembered in smaller numbers
INSERT INTO src (id, g, x) SELECT 4000 + i, 7, repeat(chr(97 + i), 5000) FROM generate_series(0, 9) i;
SELECT * FROM oracle.check();
DELETE FROM src WHERE id IN (4000, 4009, 4001, 4008);
SELECT * FROM oracle.check();
SELECT g, left(e, 3) AS e, left(f, 3) AS f FROM pgtrickle.e_plain WHERE g = 7;
-- equal but not identical: what is shown is there
CREATE TABLE eq (id int PRIMARY KEY, n numeric);
INSERT INTO eq VALUES (1, 1.0), (2, 1.00);
SELECT pgtrickle.create_stream_table('e_equal', 'SELECT min(n) AS lo FROM eq', schedule => '1d');
DELETE FROM eq WHERE n::text = (SELECT lo::text FROM pgtrickle.e_equal);
SELECT action FROM pgtrickle.refresh_stream_table('e_equal');
SELECT lo::text = (SELECT n::text FROM eq) AS remaining FROM pgtrickle.e_equal;
SELECT pgtrickle.drop_stream_table('e_equal');
SELECT oracle.done();
DROP SCHEMA reduce_extremes CASCADE;
