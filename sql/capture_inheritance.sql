-- Inheritance: parents see their children's rows, with columns by name.
CREATE SCHEMA capi;
SET search_path = capi, public;
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
CREATE TABLE parent (a int, b text);
CREATE TABLE child (c int) INHERITS (parent);
CREATE TABLE grandchild (d int) INHERITS (child);
CREATE TABLE other (z int, b text, a int);
CREATE TABLE both_of () INHERITS (other, parent);
SELECT pgtrickle.create_stream_table('capi_parent', 'SELECT a, b FROM capi.parent', refresh_mode => 'DIFFERENTIAL');
SELECT pgtrickle.create_stream_table('capi_child', 'SELECT c FROM capi.child', refresh_mode => 'DIFFERENTIAL');
SELECT source_relid::regclass, capture_form FROM pgtrickle.pgt_sources WHERE source_relid IN ('parent'::regclass, 'child'::regclass) ORDER BY 1;
INSERT INTO parent VALUES (1, 'p');
INSERT INTO child VALUES (2, 'c', 22);
INSERT INTO grandchild VALUES (3, 'g', 33, 333);
INSERT INTO both_of (a, b, z) VALUES (4, 'm', 44);
SELECT 'parent', recorded('parent') UNION ALL SELECT 'child', recorded('child');
SELECT follows('capi_parent'), follows('capi_child');
UPDATE parent SET b = b || '!';
UPDATE child SET c = c + 1;
UPDATE ONLY parent SET b = b || '?';
DELETE FROM parent WHERE a = 3;
DELETE FROM both_of;
SELECT 'parent', recorded('parent') UNION ALL SELECT 'child', recorded('child');
SELECT follows('capi_parent'), follows('capi_child');
TRUNCATE grandchild;
SELECT follows('capi_parent'), follows('capi_child');
TRUNCATE parent;
SELECT follows('capi_parent'), follows('capi_child');
-- a child that comes and goes
CREATE TABLE late (e int) INHERITS (parent);
INSERT INTO late VALUES (7, 'late', 1);
SELECT follows('capi_parent');
ALTER TABLE late NO INHERIT parent;
INSERT INTO late VALUES (8, 'gone', 1);
SELECT follows('capi_parent');
SELECT pgtrickle.drop_stream_table('capi_parent'), pgtrickle.drop_stream_table('capi_child');
SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'pgt\_capture%';
DROP SCHEMA capi CASCADE;
