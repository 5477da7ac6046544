-- Aggregates that only the executor can evaluate: the touched groups anew.
CREATE SCHEMA reduce_recompute;
SET search_path = reduce_recompute, public;
SET client_min_messages = warning;

CREATE TABLE src (id int PRIMARY KEY, g int, h text, i int, x text);
CREATE INDEX ON src (g);
INSERT INTO src SELECT i, nullif(i % 5, 4), chr(97 + i % 2), i % 7, nullif('x' || i % 6, 'x3') FROM generate_series(1, 60) i;
-- an aggregate of a user without an inverse
CREATE AGGREGATE product (int) (SFUNC = int4mul, STYPE = int, INITCOND = '1');

SELECT oracle.make('r_lists', 'SELECT g, string_agg(x, '','' ORDER BY id) AS s, array_agg(x ORDER BY id) AS a, json_agg(x ORDER BY id)::text AS j FROM src GROUP BY g');
SELECT oracle.make('r_objects', 'SELECT g, jsonb_object_agg(id, x) AS o, jsonb_agg(i ORDER BY id) AS a FROM src GROUP BY g');
SELECT oracle.make('r_ordered', 'SELECT g, percentile_cont(0.5) WITHIN GROUP (ORDER BY i) AS p, percentile_disc(ARRAY[0.1, 0.9]) WITHIN GROUP (ORDER BY i) AS q, mode() WITHIN GROUP (ORDER BY x) AS m, rank(3) WITHIN GROUP (ORDER BY i) AS r FROM src GROUP BY g');
SELECT oracle.make('r_distinct', 'SELECT g, count(DISTINCT i) AS c, sum(DISTINCT i) AS s, count(DISTINCT x) AS x, count(*) AS n FROM src GROUP BY g');
SELECT oracle.make('r_bits', 'SELECT g, bit_and(i) AS a, bit_or(i) AS o, product(i + 1) AS p FROM src WHERE id < 12 GROUP BY g');
SELECT oracle.make('r_two_keys', 'SELECT h, g, string_agg(x, '''' ORDER BY id) AS s, sum(i) AS i FROM src GROUP BY g, h');
SELECT oracle.make('r_global', 'SELECT count(DISTINCT i) AS c, string_agg(x, '''' ORDER BY id) AS s FROM src');
SELECT * FROM oracle.check();
INSERT INTO src VALUES (101, 1, 'a', 99, 'new'), (102, NULL, 'b', 98, 'null'), (103, 77, 'a', 97, 'group');
SELECT * FROM oracle.check();
UPDATE src SET x = 'middle' WHERE id IN (20, 21);
SELECT * FROM oracle.check();
-- groups vanish and return
DELETE FROM src WHERE g IN (77, 2) OR g IS NULL;
SELECT * FROM oracle.check();
INSERT INTO src VALUES (201, 2, 'b', 1, 'back'), (202, NULL, 'a', NULL, NULL);
SELECT * FROM oracle.check();
UPDATE src SET g = g + 1, h = 'c' WHERE id % 4 = 0;
SELECT * FROM oracle.check();
-- other groups are not written
UPDATE src SET i = i + 100 WHERE id = 201;
SELECT rows_inserted, rows_deleted FROM pgtrickle.refresh_stream_table('r_ordered');
DELETE FROM src;
SELECT * FROM oracle.check();
SELECT * FROM pgtrickle.r_global;
SELECT oracle.done();
DROP SCHEMA reduce_recompute CASCADE;
