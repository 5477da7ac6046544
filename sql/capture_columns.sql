-- Only columns that are used are carried; widening; long values; altered columns.
CREATE SCHEMA capc;
SET search_path = capc, public;
CREATE FUNCTION change_batch_lines(batch bytea) RETURNS SETOF text
    LANGUAGE C STRICT AS 'pg_trickle', 'pgt_change_batch_lines';
-- what was recorded for a source since the last look
CREATE TABLE seen (source oid, xid xid8, batch int);
CREATE FUNCTION recorded(source regclass) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format(
        'WITH b AS (SELECT xid, batch, string_agg(data, NULL ORDER BY chunk) AS data
                      FROM (TABLE pgtrickle_changes.changes_%1$s_0 UNION ALL TABLE pgtrickle_changes.changes_%1$s_1) p
                     GROUP BY xid, batch),
              new AS (INSERT INTO seen SELECT %1$s, xid, batch FROM b
                       WHERE (%1$s, xid, batch) NOT IN (SELECT s.source, s.xid, s.batch FROM seen s)
                      RETURNING xid, batch)
         SELECT CASE WHEN length(l) > 70 THEN left(l, 30) || ''... '' || length(l) ELSE l END
           FROM b JOIN new USING (xid, batch), change_batch_lines(b.data) WITH ORDINALITY c(l, n)
          ORDER BY xid, batch, n', source::oid);
END $$;
-- refresh, and compare with the query; the action says whether it was differential
CREATE FUNCTION follows(st text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    action text;
    query text;
    differs bool;
BEGIN
    SELECT r.action INTO action FROM pgtrickle.refresh_stream_table(st) r;
    SELECT defining_query INTO query FROM pgtrickle.pgt_stream_tables WHERE pgt_name = st;
    query := rtrim(query, '; ');
    EXECUTE format('SELECT EXISTS ((TABLE pgtrickle.%1$I EXCEPT ALL (%2$s)) UNION ALL ((%2$s) EXCEPT ALL TABLE pgtrickle.%1$I))', st, query) INTO differs;
    RETURN action || CASE WHEN differs THEN ': WRONG' ELSE ': equal' END;
END $$;
SET client_min_messages = warning;
CREATE TABLE src (id int PRIMARY KEY, gone int, a text, b int, big text, gen int GENERATED ALWAYS AS (b * 2) STORED);
ALTER TABLE src DROP COLUMN gone;
ALTER TABLE src ALTER big SET STORAGE EXTERNAL;
-- no column at all: only how many rows there are
SELECT pgtrickle.create_stream_table('capc_count', 'SELECT count(*) AS n FROM capc.src', refresh_mode => 'DIFFERENTIAL');
SELECT columns FROM pgtrickle.pgt_sources WHERE source_relid = 'src'::regclass;
INSERT INTO src VALUES (1, 'one', 10, 'x'), (2, 'two', 20, repeat('y', 10000));
UPDATE src SET a = 'uno', b = 11 WHERE id = 1;
DELETE FROM src WHERE id = 1;
SELECT recorded('src');
SELECT follows('capc_count');
-- widened by another reader
SELECT pgtrickle.create_stream_table('capc_ab', 'SELECT a, gen FROM capc.src WHERE id > 0', refresh_mode => 'DIFFERENTIAL');
SELECT columns FROM pgtrickle.pgt_sources WHERE source_relid = 'src'::regclass;
INSERT INTO src VALUES (3, 'three', 30, 'z');
UPDATE src SET big = 'not used' WHERE id = 3;
UPDATE src SET b = 31 WHERE id = 3;
SELECT recorded('src');
SELECT follows('capc_count'), follows('capc_ab');
-- an update of what one reads is nothing to the other
UPDATE src SET a = 'THREE' WHERE id = 3;
SELECT follows('capc_count'), follows('capc_ab');
-- not narrower, not widened: the columns stay
SELECT pgtrickle.create_stream_table('capc_a', 'SELECT a FROM capc.src', refresh_mode => 'DIFFERENTIAL');
SELECT columns FROM pgtrickle.pgt_sources WHERE source_relid = 'src'::regclass;
-- values stored out of line
SELECT pgtrickle.create_stream_table('capc_big', 'SELECT id, big, b FROM capc.src', refresh_mode => 'DIFFERENTIAL');
SELECT recorded('src');
INSERT INTO src VALUES (4, 'four', 40, repeat('abc', 50000));
UPDATE src SET b = 41 WHERE id = 4;
UPDATE src SET big = repeat('abc', 50000) WHERE id = 4;
UPDATE src SET big = repeat('abd', 50000) WHERE id = 4;
UPDATE src SET big = 'short' WHERE id = 2;
SELECT recorded('src');
SELECT follows('capc_big');
DELETE FROM src WHERE id = 4;
SELECT follows('capc_big');
-- compressed ones
ALTER TABLE src ALTER big SET STORAGE EXTENDED;
INSERT INTO src VALUES (5, 'five', 50, repeat('compress ', 500)), (6, 'six', 60, (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 1000) i));
UPDATE src SET b = b + 1 WHERE id > 4;
SELECT recorded('src');
SELECT follows('capc_big');
-- a value of 100 MB goes through
INSERT INTO src VALUES (7, 'seven', 70, repeat('x', 100 * 1024 * 1024));
SELECT follows('capc_big');
DELETE FROM src WHERE id = 7;
SELECT follows('capc_big');
SELECT count(*) FROM recorded('src');
-- columns added and dropped beside, a captured one altered
ALTER TABLE src ADD COLUMN extra text DEFAULT 'fast';
INSERT INTO src VALUES (8, 'eight', 80, 'e');
SELECT follows('capc_big'), follows('capc_ab');
ALTER TABLE src DROP COLUMN extra;
INSERT INTO src VALUES (9, 'nine', 90, 'n');
SELECT follows('capc_big'), follows('capc_ab');
SELECT pgtrickle.drop_stream_table('capc_count'), pgtrickle.drop_stream_table('capc_ab'),
       pgtrickle.drop_stream_table('capc_a'), pgtrickle.drop_stream_table('capc_big');
-- types of every layout
CREATE TYPE pair AS (x int8, y text);
CREATE DOMAIN small AS int2 CHECK (VALUE < 100);
CREATE TYPE mood AS ENUM ('sad', 'glad');
CREATE TABLE types (id int, b bool, i2 int2, i8 int8, f4 float4, f8 float8, n numeric, c "char", bp char(5), nm name,
                    t text, by bytea, d date, ts timestamptz, iv interval, u uuid, m macaddr8, j json, jb jsonb, x xml,
                    ar int8[], p pair, dm small, e mood, r int4range, pt point, bt varbit);
SELECT pgtrickle.create_stream_table('capc_types', 'SELECT * FROM capc.types', refresh_mode => 'DIFFERENTIAL');
INSERT INTO types VALUES (1, true, 2, 8, 'NaN', '-0', 'NaN', 'c', 'bp', 'name', 'text', '\x0001', '2026-01-01', '2026-01-01 00:00+00', '1 day',
    '00000000-0000-0000-0000-000000000001', '08:00:2b:01:02:03:04:05', '{"a" : 1}', '{"a": 1}', '<a/>', '{1,NULL}', '(1,y)', 5, 'glad', '[1,5)', '(1,2)', B'101');
INSERT INTO types (id) VALUES (2);
INSERT INTO types (id, c, i8) VALUES (3, '', 3);
UPDATE types SET e = 'sad', iv = iv * 2, id = id + 10 WHERE id = 1;
SELECT action FROM pgtrickle.refresh_stream_table('capc_types');
SELECT string_agg(st_row::text, ',' ORDER BY id) = (SELECT string_agg(src_row::text, ',' ORDER BY id) FROM types src_row) AS equal FROM pgtrickle.capc_types st_row;
DELETE FROM types WHERE id <> 2;
SELECT action FROM pgtrickle.refresh_stream_table('capc_types');
SELECT count(*) FROM pgtrickle.capc_types;
SELECT pgtrickle.drop_stream_table('capc_types');
DROP SCHEMA capc CASCADE;
