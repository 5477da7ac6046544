-- Aggregates kept by forward and inverse transition functions.
CREATE SCHEMA reduce_moving;
SET search_path = reduce_moving, public;
SET client_min_messages = warning;

CREATE TABLE src (id int PRIMARY KEY, g int, i2 int2, i4 int, i8 int8, n numeric,
                  iv interval, m money, t text);
INSERT INTO src VALUES
    (1, 1, 1, 10, 100, 1.50, '1 hour', 1, 'a'),
    (2, 1, 2, 20, 200, 2.25, '2 hours', 2, 'b'),
    (3, 1, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    (4, 2, 3, 30, 9223372036854775807, 'NaN', '1 day', 3, 'c'),
    (5, 2, 4, 40, 9223372036854775807, 'Infinity', '-1 day', 4, 'd'),
    (6, NULL, 5, 50, 500, 5, NULL, NULL, 'e');

-- strict, no initial value: the first input is the state
CREATE AGGREGATE strict_sum (int) (
    SFUNC = int4pl, STYPE = int,
    MSFUNC = int4pl, MINVFUNC = int4mi, MSTYPE = int);
-- not strict: counts NULLs; extra arguments for the final function
CREATE FUNCTION loose_add(int8[], anyelement) RETURNS int8[] LANGUAGE sql IMMUTABLE AS
    'SELECT ARRAY[$1[1] + 1, $1[2] + ($2 IS NULL)::int]';
CREATE FUNCTION loose_sub(int8[], anyelement) RETURNS int8[] LANGUAGE sql IMMUTABLE AS
    'SELECT ARRAY[$1[1] - 1, $1[2] - ($2 IS NULL)::int]';
CREATE FUNCTION loose_out(int8[], anyelement) RETURNS text LANGUAGE sql IMMUTABLE AS
    'SELECT $1[2] || '' of '' || $1[1]';
CREATE AGGREGATE nulls_of (anyelement) (
    SFUNC = loose_add, STYPE = int8[], FINALFUNC = loose_out, FINALFUNC_EXTRA, INITCOND = '{0,0}',
    MSFUNC = loose_add, MINVFUNC = loose_sub, MSTYPE = int8[], MFINALFUNC = loose_out,
    MFINALFUNC_EXTRA, MINITCOND = '{0,0}');
-- a state of any array type, and an inverse that can forget only the newest
CREATE FUNCTION stack_sub(anyarray, anyelement) RETURNS anyarray LANGUAGE sql IMMUTABLE AS
    'SELECT CASE WHEN $1[cardinality($1)] IS NOT DISTINCT FROM $2 THEN trim_array($1, 1) END';
CREATE FUNCTION stack_add(anyarray, anyelement) RETURNS anyarray LANGUAGE sql IMMUTABLE AS
    'SELECT ARRAY(SELECT x FROM unnest($1 || $2) x ORDER BY x)';
CREATE AGGREGATE stack (anyelement) (
    SFUNC = stack_add, STYPE = anyarray, INITCOND = '{}',
    MSFUNC = stack_add, MINVFUNC = stack_sub, MSTYPE = anyarray, MINITCOND = '{}');

SELECT oracle.make('m_sums', 'SELECT g, count(*) AS c, count(n) AS cn, sum(i2) AS s2, sum(i4) AS s4, sum(i8) AS s8, sum(n) AS sn, sum(iv) AS siv, sum(m) AS sm FROM src GROUP BY g');
SELECT oracle.make('m_averages', 'SELECT g, avg(i2) AS a2, avg(i4) AS a4, avg(i8) AS a8, avg(n) AS an, avg(iv) AS aiv FROM src GROUP BY g');
SELECT oracle.make('m_spread', 'SELECT g, variance(i2) AS v2, var_pop(i4) AS v4, stddev(i8) AS s8, stddev_pop(n) AS sn FROM src GROUP BY g');
SELECT oracle.make('m_filter', 'SELECT g, sum(n) FILTER (WHERE i4 > 15) AS s, count(*) FILTER (WHERE t <> ''b'') AS c FROM src GROUP BY g');
SELECT oracle.make('m_user', 'SELECT g, strict_sum(i4) AS s, nulls_of(t) AS nt, nulls_of(n) AS nn FROM src GROUP BY g');
SELECT oracle.make('m_stack', 'SELECT g, stack(i4) AS i, stack(t) AS t FROM src GROUP BY g');
SELECT oracle.make('m_global', 'SELECT sum(i4) AS s, avg(n) AS a, strict_sum(i4) AS u, nulls_of(t) AS nt FROM src');
SELECT * FROM oracle.check();
SELECT * FROM pgtrickle.m_sums ORDER BY g;
SELECT * FROM pgtrickle.m_user ORDER BY g;

-- the display scale goes with the last value that had it
DELETE FROM src WHERE id = 2;
SELECT * FROM oracle.check();
SELECT g, sn FROM pgtrickle.m_sums WHERE g = 1;
-- NaN and Infinity leave
DELETE FROM src WHERE id = 4;
SELECT * FROM oracle.check();
SELECT g, s8, sn FROM pgtrickle.m_sums WHERE g = 2;
UPDATE src SET n = '-Infinity' WHERE id = 5;
INSERT INTO src VALUES (7, 2, -4, -40, -9223372036854775807, 'Infinity', '1 mon', -1, 'f');
SELECT * FROM oracle.check();
SELECT g, s8, sn FROM pgtrickle.m_sums WHERE g = 2;
UPDATE src SET n = 1.125 WHERE g = 2;
SELECT * FROM oracle.check();
-- all non-null inputs leave: NULL, not 0
UPDATE src SET i2 = NULL, i4 = NULL, i8 = NULL, n = NULL, iv = NULL, m = NULL WHERE g = 1;
SELECT * FROM oracle.check();
SELECT * FROM pgtrickle.m_sums WHERE g = 1;
-- and come back
UPDATE src SET i2 = id, i4 = id, n = id * 0.001 WHERE g = 1;
SELECT * FROM oracle.check();
-- groups vanish, appear, move
DELETE FROM src WHERE g IS NULL;
UPDATE src SET g = 3 WHERE g = 2;
INSERT INTO src SELECT i, i % 5, i, i, i, i * 0.01, make_interval(secs => i), i, i::text FROM generate_series(10, 60) i;
SELECT * FROM oracle.check();
UPDATE src SET g = (g + 1) % 5, n = n * 10, i4 = -i4 WHERE id % 2 = 0;
SELECT * FROM oracle.check();
DELETE FROM src WHERE id % 3 = 0;
SELECT * FROM oracle.check();
DELETE FROM src;
SELECT * FROM oracle.check();
SELECT * FROM pgtrickle.m_global;
INSERT INTO src (id, g, i4, n) VALUES (1, 1, 7, 0.5), (2, 1, 8, 0.25);
SELECT * FROM oracle.check();

-- nothing but the changes is read: the table itself is not scanned
INSERT INTO src (id, g, i4, i8, n) VALUES (3, 1, 9, 1, 0.75);
DELETE FROM src WHERE id = 2;
BEGIN;
SELECT coalesce(sum(seq_scan + coalesce(idx_scan, 0)), 0) AS scans
  FROM pg_stat_xact_user_tables WHERE relid = 'src'::regclass \gset
SELECT action, rows_inserted, rows_deleted FROM pgtrickle.refresh_stream_table('m_averages');
SELECT action, rows_inserted, rows_deleted FROM pgtrickle.refresh_stream_table('m_spread');
SELECT action, rows_inserted, rows_deleted FROM pgtrickle.refresh_stream_table('m_user');
SELECT coalesce(sum(seq_scan + coalesce(idx_scan, 0)), 0) - :scans AS scans
  FROM pg_stat_xact_user_tables WHERE relid = 'src'::regclass;
COMMIT;
SELECT * FROM oracle.check();

-- what is taken back before the refresh leaves no trace
INSERT INTO src (id, g, i4) VALUES (50, 1, 1), (51, 9, 1);
DELETE FROM src WHERE id IN (50, 51);
SELECT rows_inserted, rows_deleted FROM pgtrickle.refresh_stream_table('m_sums');

SELECT oracle.done();
DROP SCHEMA reduce_moving CASCADE;
