-- Window functions: touched partitions are evaluated anew, what differs is
-- written.  Orders are total, or the function is blind to peers.
CREATE SCHEMA dvm_window;
SET search_path = dvm_window, public;
SET client_min_messages = warning;

CREATE TABLE t (id int PRIMARY KEY, g int, h text, v int, n numeric, f float8, d date, b bool, j json);
INSERT INTO t SELECT i, i % 4, 'h' || i % 3, (i * 7) % 11, (i % 5) / 2.0, i * 0.1, date '2024-01-01' + i % 9, i % 2 = 0, '{"a":1}'
  FROM generate_series(1, 40) i;
INSERT INTO t (id, g, h, v, n) VALUES (100, NULL, NULL, NULL, NULL), (101, NULL, NULL, 3, 1.00), (102, 1, NULL, 3, 1.0);

-- every window function
SELECT oracle.make('w_number', 'SELECT id, row_number() OVER (PARTITION BY g ORDER BY v, id) AS n FROM t');
SELECT oracle.make('w_ranks', 'SELECT id, rank() OVER w AS r, dense_rank() OVER w AS d, percent_rank() OVER w AS p, cume_dist() OVER w AS c FROM t WINDOW w AS (PARTITION BY g ORDER BY v NULLS FIRST)');
SELECT oracle.make('w_ntile', 'SELECT id, ntile(3) OVER (PARTITION BY h ORDER BY id DESC) AS n FROM t');
SELECT oracle.make('w_lag', 'SELECT id, lag(v) OVER w AS a, lag(v, 2, -1) OVER w AS b, lead(h, 1, ''none'') OVER w AS c, lead(n, g) OVER w AS e FROM t WINDOW w AS (PARTITION BY h ORDER BY id)');
SELECT oracle.make('w_values', 'SELECT id, first_value(h) OVER w AS a, last_value(v) OVER w AS b, nth_value(id, 3) OVER w AS c FROM t WINDOW w AS (PARTITION BY g ORDER BY v, id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)');
-- aggregates as windows
SELECT oracle.make('w_sums', 'SELECT id, sum(v) OVER (PARTITION BY g ORDER BY id) AS s, avg(n) OVER (PARTITION BY g) AS a, min(h) OVER (PARTITION BY g ORDER BY id DESC) AS m, count(*) OVER (PARTITION BY g) AS c FROM t');
SELECT oracle.make('w_filter', 'SELECT id, count(*) FILTER (WHERE b) OVER (PARTITION BY g) AS c, sum(v) FILTER (WHERE v > 3 AND h IS NOT NULL) OVER (PARTITION BY g ORDER BY id) AS s FROM t');
SELECT oracle.make('w_agg', 'SELECT id, array_agg(id) OVER (PARTITION BY h ORDER BY id) AS a, string_agg(h, '','') OVER (PARTITION BY g ORDER BY id ROWS 2 PRECEDING) AS s, bool_and(b) OVER (PARTITION BY g) AS b FROM t');
-- frames
SELECT oracle.make('w_rows', 'SELECT id, sum(v) OVER (PARTITION BY g ORDER BY id ROWS BETWEEN 1 PRECEDING AND 2 FOLLOWING) AS a, sum(v) OVER (PARTITION BY g ORDER BY id ROWS BETWEEN 2 FOLLOWING AND UNBOUNDED FOLLOWING) AS b FROM t');
SELECT oracle.make('w_range', 'SELECT id, sum(v) OVER (PARTITION BY g ORDER BY v RANGE BETWEEN 2 PRECEDING AND 1 FOLLOWING) AS a, count(*) OVER (PARTITION BY h ORDER BY d DESC RANGE BETWEEN INTERVAL ''2 days'' PRECEDING AND CURRENT ROW) AS b FROM t');
SELECT oracle.make('w_groups', 'SELECT id, sum(v) OVER (PARTITION BY g ORDER BY v GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS a FROM t');
SELECT oracle.make('w_exclude', 'SELECT id, sum(v) OVER (PARTITION BY g ORDER BY v RANGE UNBOUNDED PRECEDING EXCLUDE CURRENT ROW) AS a, sum(v) OVER (PARTITION BY g ORDER BY v RANGE UNBOUNDED PRECEDING EXCLUDE GROUP) AS b, sum(v) OVER (PARTITION BY g ORDER BY v RANGE UNBOUNDED PRECEDING EXCLUDE TIES) AS c, sum(v) OVER (PARTITION BY g ORDER BY v RANGE UNBOUNDED PRECEDING EXCLUDE NO OTHERS) AS d FROM t');
-- no PARTITION BY: one partition
SELECT oracle.make('w_whole', 'SELECT id, row_number() OVER (ORDER BY v NULLS LAST, id) AS n, sum(v) OVER () AS s FROM t');
-- several windows, each its own partition
SELECT oracle.make('w_several', 'SELECT id, h, rank() OVER (PARTITION BY g ORDER BY v) AS a, rank() OVER (PARTITION BY h ORDER BY v) AS b, rank() OVER (PARTITION BY h, g ORDER BY v) AS c, rank() OVER (PARTITION BY g, h ORDER BY n) AS d, count(*) OVER () AS e FROM t');
-- named and inherited windows
SELECT oracle.make('w_named', 'SELECT id, sum(v) OVER x AS a, sum(v) OVER y AS b, max(v) OVER (x ORDER BY id ROWS 1 PRECEDING) AS c FROM t WINDOW x AS (PARTITION BY g), y AS (x ORDER BY id)');
-- inside of expressions
SELECT oracle.make('w_inside', 'SELECT id, v * 100 / NULLIF(sum(v) OVER (PARTITION BY g), 0) AS share, CASE WHEN rank() OVER (PARTITION BY g ORDER BY v) = 1 THEN ''first'' WHEN v > 5 THEN h ELSE ''rest'' END AS c, CASE rank() OVER (PARTITION BY g ORDER BY v) WHEN v THEN 1 WHEN 2 THEN g ELSE -1 END AS e, COALESCE(lag(h) OVER (PARTITION BY g ORDER BY id), h, ''x'') || id AS l FROM t');
SELECT oracle.make('w_condition', 'SELECT v % 3 AS k, sum(v % 3 + 1) OVER (PARTITION BY v % 3, g IS NULL ORDER BY id + 0) AS s FROM t WHERE v > 2');
-- rows
SELECT oracle.make('w_row', 'SELECT id, count(*) OVER (PARTITION BY (g, h)) AS c, rank() OVER (PARTITION BY g ORDER BY (v, id) DESC) AS r FROM t');
SELECT oracle.make('w_row_limit', 'SELECT DISTINCT ON ((g, h)) g, h, id FROM t ORDER BY (g, h), (v, id) DESC LIMIT 8');
SELECT oracle.make('w_row_column', 'SELECT q.id FROM (SELECT id, ROW(g, v) AS r, rank() OVER (ORDER BY id) AS n FROM t) q WHERE q.r IS NOT NULL AND n < 5');
DELETE FROM oracle.cases WHERE name = 'w_row_column';
SELECT pgtrickle.drop_stream_table('w_row_column');
-- partition keys that are equal but look different, columns without equality
SELECT oracle.make('w_numeric', 'SELECT id, n, count(*) OVER (PARTITION BY n) AS c FROM t');
SELECT oracle.make('w_json', 'SELECT id, j, count(j) OVER (PARTITION BY h ORDER BY id) AS c FROM t');
SELECT oracle.make('w_unused', 'SELECT id, v FROM t WINDOW w AS (PARTITION BY g)');
SELECT oracle.make('w_ordered', 'SELECT id, sum(v) OVER (PARTITION BY g) AS s FROM t ORDER BY rank() OVER (ORDER BY v)');
SELECT * FROM oracle.check();
-- at the head of the order, in the middle, at the end
INSERT INTO t (id, g, h, v) VALUES (0, 1, 'h1', -5), (19 + 100, 1, 'h1', 5), (500, 1, 'h0', 99);
SELECT * FROM oracle.check();
-- a row moves to another partition
UPDATE t SET g = 2 WHERE id = 5;
UPDATE t SET g = NULL, h = NULL WHERE id = 6;
SELECT * FROM oracle.check();
-- peers come and go
UPDATE t SET v = 4 WHERE id % 5 = 0;
SELECT * FROM oracle.check();
-- the last row of a partition leaves, a partition of NULLs goes, one comes
DELETE FROM t WHERE g = 3;
DELETE FROM t WHERE g IS NULL;
INSERT INTO t (id, g, h, v, n) VALUES (600, 77, 'new', 1, 2.50), (601, 77, 'new', 1, 2.5);
SELECT * FROM oracle.check();
-- an image of an equal key
UPDATE t SET n = 2.500 WHERE id = 600;
UPDATE t SET j = '{"a": 1}' WHERE id = 7;
SELECT * FROM oracle.check();
-- come and gone within a batch; nothing at all; everything
BEGIN; INSERT INTO t (id, g, v) VALUES (700, 1, 1); DELETE FROM t WHERE id = 700; UPDATE t SET v = v; COMMIT;
SELECT * FROM oracle.check();
UPDATE t SET id = id + 1000, g = (g + 1) % 4;
SELECT * FROM oracle.check();
TRUNCATE t;
SELECT * FROM oracle.check();
INSERT INTO t (id, g, h, v, n) SELECT i, i % 3, 'h' || i % 2, i, i FROM generate_series(1, 12) i;
SELECT * FROM oracle.check();

-- what is written: one row of a partition changed, its successors' numbers too
CREATE TABLE small (id int PRIMARY KEY, g int, v int);
INSERT INTO small SELECT i, i % 10, i FROM generate_series(1, 100) i;
SELECT oracle.make('w_small', 'SELECT id, row_number() OVER (PARTITION BY g ORDER BY v) AS n FROM small');
INSERT INTO small VALUES (1000, 3, 75);
SELECT action, rows_inserted, rows_deleted FROM pgtrickle.refresh_stream_table('w_small');
UPDATE small SET v = v + 1 WHERE id = 50;
SELECT action, rows_inserted, rows_deleted FROM pgtrickle.refresh_stream_table('w_small');
SELECT oracle.done();
RESET client_min_messages;
DROP SCHEMA dvm_window CASCADE;
