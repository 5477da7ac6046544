-- Partitioned sources: every way to name a row's table is seen once.
CREATE SCHEMA capp;
SET search_path = capp, public;
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
CREATE TABLE p (id int, k int, v text) PARTITION BY LIST (k);
CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);
-- other order, a hole
CREATE TABLE p2 (v text, junk int, id int, k int);
ALTER TABLE p2 DROP COLUMN junk;
ALTER TABLE p ATTACH PARTITION p2 FOR VALUES IN (2);
CREATE TABLE p3 PARTITION OF p FOR VALUES IN (3) PARTITION BY RANGE (id);
CREATE TABLE p31 PARTITION OF p3 FOR VALUES FROM (0) TO (100);
-- the root, a leaf and a middle one are sources
SELECT pgtrickle.create_stream_table('capp_root', 'SELECT id, k, v FROM capp.p', refresh_mode => 'DIFFERENTIAL');
SELECT pgtrickle.create_stream_table('capp_leaf', 'SELECT id, k FROM capp.p2', refresh_mode => 'DIFFERENTIAL');
SELECT pgtrickle.create_stream_table('capp_mid', 'SELECT id FROM capp.p3', refresh_mode => 'DIFFERENTIAL');
SELECT source_relid::regclass, capture_form, columns FROM pgtrickle.pgt_sources WHERE source_relid::regclass::text LIKE 'p%' ORDER BY 1;
CREATE VIEW triggers AS
SELECT tgrelid::regclass AS rel, string_agg(substring(tgname, 'pgt_capture_([a-z]+)'), ' ' ORDER BY tgname) AS triggers
  FROM pg_trigger WHERE tgname LIKE 'pgt\_capture%' AND tgrelid::regclass::text LIKE 'p%' GROUP BY 1 ORDER BY 1;
TABLE triggers;

INSERT INTO p VALUES (1, 1, 'a'), (2, 2, 'b'), (3, 3, 'c');
INSERT INTO p2 (id, k, v) VALUES (4, 2, 'leaf');
INSERT INTO p31 VALUES (5, 3, 'deep');
INSERT INTO p3 VALUES (6, 3, 'middle');
SELECT 'p', recorded('p') UNION ALL SELECT 'p2', recorded('p2') UNION ALL SELECT 'p3', recorded('p3');
SELECT follows('capp_root'), follows('capp_leaf'), follows('capp_mid');
-- rows that move
UPDATE p SET k = 2 WHERE id = 1;
UPDATE p SET k = 3 WHERE id = 2;
SELECT 'p', recorded('p') UNION ALL SELECT 'p2', recorded('p2') UNION ALL SELECT 'p3', recorded('p3');
SELECT follows('capp_root'), follows('capp_leaf'), follows('capp_mid');
UPDATE p SET v = v || '!' WHERE id <> 3;
DELETE FROM p WHERE id IN (3, 4);
SELECT 'p', recorded('p') UNION ALL SELECT 'p2', recorded('p2') UNION ALL SELECT 'p3', recorded('p3');
SELECT follows('capp_root'), follows('capp_leaf'), follows('capp_mid');
-- moves that a trigger of the target suppresses
CREATE FUNCTION no_row() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
INSERT INTO p VALUES (20, 1, 'x'), (21, 1, 'y'), (22, 1, 'z');
CREATE TRIGGER t BEFORE INSERT ON p2 FOR EACH ROW WHEN (NEW.id = 20) EXECUTE FUNCTION no_row();
UPDATE p SET k = 2 WHERE id >= 20;
DROP TRIGGER t ON p2;
SELECT follows('capp_root'), follows('capp_leaf'), follows('capp_mid');
-- COPY and MERGE through the root
COPY p FROM stdin;
30	1	copied
31	2	copied
32	3	copied
\.
SELECT count(*) FROM (SELECT recorded('p') UNION ALL SELECT recorded('p2') UNION ALL SELECT recorded('p3')) r;
SELECT follows('capp_root'), follows('capp_leaf'), follows('capp_mid');
MERGE INTO p USING (VALUES (30, 1), (31, 2), (33, 3)) s(id, k) ON p.id = s.id
 WHEN MATCHED AND s.id = 30 THEN DELETE
 WHEN MATCHED THEN UPDATE SET v = 'merged'
 WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.k, 'merged');
SELECT 'p', recorded('p') UNION ALL SELECT 'p2', recorded('p2') UNION ALL SELECT 'p3', recorded('p3');
SELECT follows('capp_root'), follows('capp_leaf'), follows('capp_mid');
-- a leaf is truncated
TRUNCATE p2;
SELECT 'p', recorded('p') UNION ALL SELECT 'p2', recorded('p2') UNION ALL SELECT 'p3', recorded('p3');
SELECT follows('capp_root'), follows('capp_leaf'), follows('capp_mid');

-- new partitions are captured, with the data they bring
CREATE TABLE p4 PARTITION OF p FOR VALUES IN (4);
CREATE TABLE p32 PARTITION OF p3 FOR VALUES FROM (100) TO (200);
TABLE triggers;
INSERT INTO p4 VALUES (40, 4, 'new');
INSERT INTO p32 VALUES (100, 3, 'new');
INSERT INTO p VALUES (41, 4, 'new'), (101, 3, 'new');
SELECT follows('capp_root'), follows('capp_leaf'), follows('capp_mid');
CREATE TABLE p5 (id int, k int, v text);
INSERT INTO p5 VALUES (50, 5, 'brought');
ALTER TABLE p ATTACH PARTITION p5 FOR VALUES IN (5);
INSERT INTO p5 VALUES (51, 5, 'later');
SELECT follows('capp_root');
ALTER TABLE p DETACH PARTITION p5;
INSERT INTO p5 VALUES (52, 5, 'not any more');
SELECT follows('capp_root');
-- a foreign partition cannot be captured
CREATE FOREIGN DATA WRAPPER capp_fdw;
CREATE SERVER capp_server FOREIGN DATA WRAPPER capp_fdw;
CREATE TABLE q (id int, k int) PARTITION BY LIST (k);
CREATE FOREIGN TABLE q1 PARTITION OF q FOR VALUES IN (1) SERVER capp_server;
SELECT pgtrickle.create_stream_table('capp_foreign', 'SELECT id FROM capp.q', refresh_mode => 'DIFFERENTIAL');
SELECT pgtrickle.drop_stream_table('capp_root'), pgtrickle.drop_stream_table('capp_leaf'), pgtrickle.drop_stream_table('capp_mid');
SELECT count(*) FROM triggers;
DROP SCHEMA capp CASCADE;
DROP FOREIGN DATA WRAPPER capp_fdw CASCADE;
