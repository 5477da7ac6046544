-- Expressions of many kinds, in filters, outputs, join conditions and keys.
CREATE SCHEMA dvm_expr;
SET search_path = dvm_expr, public;
SET client_min_messages = warning;

CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TYPE pair AS (x int, y text);
CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 2 * $1';
CREATE TABLE t (id int PRIMARY KEY, a int, b int, s text, c char(5), d date, ts timestamptz,
                arr int[], r int4range, js jsonb, m mood, p pair, f float8, bin bytea, net inet,
                gen int GENERATED ALWAYS AS (a * 2) STORED, pos positive, x xml, pt point);
INSERT INTO t (id, a, b, s, c, d, ts, arr, r, js, m, p, f, bin, net, pos, pt)
  SELECT i, i, i % 3, 'S' || i, 'c' || i % 4, date '2026-01-01' + i, timestamptz '2026-01-01 12:00+00' + i * interval '1 hour',
         ARRAY[i, i % 2], int4range(i, i + 5), jsonb_build_object('k', i, 'l', jsonb_build_array(i)), (ARRAY['sad', 'ok', 'happy'])[1 + i % 3]::mood,
         row(i, 'y' || i)::pair, i / 4.0, decode('00ff' || lpad(i::text, 2, '0'), 'hex'), ('10.0.0.' || i)::inet, i, point(i, i)
    FROM generate_series(1, 20) i;
INSERT INTO t (id) VALUES (100);
ALTER TABLE t DROP COLUMN x;
ALTER TABLE t ADD COLUMN late int DEFAULT 7;

SELECT oracle.make('e_arith', 'SELECT id, a * (1 - b) AS v, -a AS n, a / (b + 1) AS q, a % 2 AS r FROM t WHERE NOT (a > 3 AND b = 1)');
SELECT oracle.make('e_text', 'SELECT id, s || ''_'' || coalesce(c, ''?'') AS j, upper(s) AS u, s LIKE ''S1%'' AS l, s ~ ''[24]$'' AS re, substring(s FROM 2 FOR 1) AS sub FROM t');
SELECT oracle.make('e_case', 'SELECT id, CASE b WHEN 0 THEN ''zero'' WHEN 1 THEN ''one'' ELSE ''more'' END AS w, CASE WHEN a > 5 THEN a END AS x FROM t');
SELECT oracle.make('e_null', 'SELECT id, nullif(b, 1) AS n, coalesce(a, -1) AS c, a IS DISTINCT FROM b AS d, (a > 3) IS NOT TRUE AS t, greatest(a, b) AS g FROM t');
SELECT oracle.make('e_list', 'SELECT id FROM t WHERE a IN (1, 3, 5) OR b = ANY (ARRAY[2]) OR (a, b) < (3, 1)');
SELECT oracle.make('e_between', 'SELECT id FROM t WHERE a BETWEEN SYMMETRIC 10 AND 5 AND s COLLATE "C" > ''S'' ');
SELECT oracle.make('e_array', 'SELECT id, arr[1] AS first, array_length(arr, 1) AS len, arr || a AS more, arr @> ARRAY[1] AS has FROM t');
SELECT oracle.make('e_json', 'SELECT id, js ->> ''k'' AS k, js #> ''{l,0}'' AS l, js ? ''k'' AS q FROM t');
SELECT oracle.make('e_time', 'SELECT id, d + 1 AS next, extract(day FROM d) AS day, date_trunc(''day'', ts) AS t0, ts AT TIME ZONE ''UTC'' AS utc, to_char(ts, ''HH24'') AS h FROM t');
SELECT oracle.make('e_range', 'SELECT x.id, y.id AS yid FROM t x JOIN t y ON x.r && y.r AND x.id < y.id');
SELECT oracle.make('e_types', 'SELECT id, m, (p).y AS py, p, f * 2 AS ff, bin, host(net) AS h, pt, gen, late, pos FROM t');
SELECT oracle.make('e_cast', 'SELECT id, a::text AS at, s::varchar(2) AS sv, a::numeric(10,2) AS an, b::bool AS bb, a::positive AS ap FROM t WHERE a > 0');
SELECT oracle.make('e_function', 'SELECT id, twice(a) AS v, twice(twice(b)) AS w FROM t WHERE twice(a) > 6');
SELECT oracle.make('e_char_join', 'SELECT x.id FROM t x JOIN t y ON x.c = y.c AND y.id = 3');
SELECT oracle.make('e_text_char', 'SELECT x.id, y.id AS yid FROM t x JOIN t y ON x.s = y.c::text || ''''');
SELECT oracle.make('e_key', 'SELECT date_trunc(''day'', ts) AS day, m, count(*) AS n FROM t GROUP BY 1, 2');
SELECT oracle.make('e_constant', 'SELECT ''it''''s FROM "x" --'' AS c, 1.50 AS n, NULL::int AS z FROM t');
SELECT oracle.make('e_row', 'SELECT id, row(a, s)::text AS r, ROW(a, b) = ROW(b, a) AS e FROM t');
SELECT oracle.make('e_quoted', 'SELECT id AS "Select", a AS "mixed Case", b AS "é""q" FROM t');
SELECT * FROM oracle.check();
UPDATE t SET a = a + 1, s = lower(s), b = (b + 1) % 3 WHERE id % 2 = 0;
SELECT * FROM oracle.check();
-- a filter that turns unknown
UPDATE t SET a = NULL, arr = NULL, js = NULL, ts = NULL, c = NULL WHERE id IN (4, 5, 6);
SELECT * FROM oracle.check();
UPDATE t SET a = 3, m = 'sad', p = row(NULL, 'n'), f = 'NaN', pt = NULL WHERE id IN (4, 7);
SELECT * FROM oracle.check();
INSERT INTO t (id, a, b, s, late) VALUES (200, 1, 1, '', 9), (201, 1, 1, NULL, NULL);
SELECT * FROM oracle.check();
BEGIN; UPDATE t SET id = id + 1000; UPDATE t SET id = id - 1000; COMMIT;
SELECT * FROM oracle.check();
ALTER TYPE mood ADD VALUE 'elated';
UPDATE t SET m = 'elated' WHERE id < 4;
SELECT * FROM oracle.check();
DELETE FROM t WHERE id < 10;
SELECT * FROM oracle.check();

-- long values, carried whole
CREATE TABLE big (id int, v text, w bytea);
INSERT INTO big SELECT i, (SELECT string_agg(md5(i::text || j), '') FROM generate_series(1, 400) j), NULL FROM generate_series(1, 3) i;
SELECT oracle.make('e_big', 'SELECT id, v, length(v) AS n FROM big');
SELECT oracle.make('e_big_key', 'SELECT v, count(*) AS n FROM big GROUP BY v');
UPDATE big SET id = id + 10;
SELECT * FROM oracle.check();
SELECT pgt_name, row_identity FROM pgtrickle.pgt_state JOIN pgtrickle.pgt_stream_tables s USING (pgt_id) WHERE pgt_name LIKE 'e_big%' ORDER BY 1;
UPDATE big SET v = v || 'x' WHERE id = 11;
DELETE FROM big WHERE id = 12;
SELECT * FROM oracle.check();
-- a key grows too long for a btree later on: one FULL refresh, then as before
CREATE TABLE short (v text);
INSERT INTO short VALUES ('a'), ('b');
SELECT oracle.make('e_grows', 'SELECT v, count(*) AS n FROM short GROUP BY v');
INSERT INTO short SELECT v FROM big;
SELECT * FROM oracle.check();
DELETE FROM short WHERE v <> 'a';
SELECT * FROM oracle.check();

SELECT oracle.done();
RESET client_min_messages;
DROP SCHEMA dvm_expr CASCADE;
