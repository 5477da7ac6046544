-- Capture is part of the writer's transaction, whatever kind of one that is.
CREATE SCHEMA capt;
SET search_path = capt, public;
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
CREATE TABLE src (id int PRIMARY KEY, v text);
CREATE TABLE ref (id int PRIMARY KEY, src int REFERENCES src ON DELETE CASCADE ON UPDATE CASCADE);
SELECT pgtrickle.create_stream_table('capt_st', 'SELECT id, v FROM capt.src', refresh_mode => 'DIFFERENTIAL');
SELECT pgtrickle.create_stream_table('capt_ref', 'SELECT id, src FROM capt.ref', refresh_mode => 'DIFFERENTIAL');
-- savepoints
BEGIN;
INSERT INTO src VALUES (1, 'kept');
SAVEPOINT a;
INSERT INTO src VALUES (2, 'lost');
ROLLBACK TO a;
SAVEPOINT b;
INSERT INTO src VALUES (3, 'kept too');
SAVEPOINT c;
UPDATE src SET v = 'lost' WHERE id = 1;
ROLLBACK TO b;
INSERT INTO src VALUES (4, 'kept');
RELEASE b;
COMMIT;
BEGIN; INSERT INTO src VALUES (5, 'lost'); ROLLBACK;
DO $$
BEGIN
    INSERT INTO capt.src VALUES (6, 'kept');
    BEGIN
        INSERT INTO capt.src VALUES (7, 'lost');
        RAISE division_by_zero;
    EXCEPTION WHEN division_by_zero THEN NULL;
    END;
END $$;
SELECT recorded('src');
SELECT follows('capt_st');
-- a refresh between two writes of one transaction, and after a rollback
BEGIN;
INSERT INTO src VALUES (10, 'ten');
SELECT follows('capt_st');
SAVEPOINT a;
INSERT INTO src VALUES (11, 'eleven');
SELECT follows('capt_st');
ROLLBACK TO a;
SELECT follows('capt_st');
UPDATE src SET v = 'TEN' WHERE id = 10;
SELECT follows('capt_st');
COMMIT;
SELECT follows('capt_st');
-- create in the middle of a transaction that writes
BEGIN;
INSERT INTO src VALUES (20, 'before');
SELECT pgtrickle.create_stream_table('capt_mid', 'SELECT id, v FROM capt.src WHERE id >= 20', refresh_mode => 'DIFFERENTIAL');
INSERT INTO src VALUES (21, 'after');
COMMIT;
SELECT follows('capt_mid');
TABLE pgtrickle.capt_mid ORDER BY id;
-- prepared transactions
SELECT recorded('src') IS NOT NULL LIMIT 1;
BEGIN;
INSERT INTO src VALUES (30, 'prepared');
PREPARE TRANSACTION 'capt_1';
BEGIN;
INSERT INTO src VALUES (31, 'rolled back');
PREPARE TRANSACTION 'capt_2';
INSERT INTO src VALUES (32, 'plain');
SELECT follows('capt_st');
COMMIT PREPARED 'capt_1';
ROLLBACK PREPARED 'capt_2';
SELECT recorded('src');
SELECT follows('capt_st');
-- COPY, ON CONFLICT, MERGE
COPY src FROM stdin;
40	copied
41	copied
\.
INSERT INTO src VALUES (40, 'conflict'), (42, 'new') ON CONFLICT (id) DO UPDATE SET v = excluded.v;
INSERT INTO src VALUES (40, 'ignored'), (43, 'new') ON CONFLICT DO NOTHING;
MERGE INTO src USING (VALUES (40), (41), (44)) s(i) ON id = i
 WHEN MATCHED AND i = 41 THEN DELETE
 WHEN MATCHED THEN UPDATE SET v = 'merged'
 WHEN NOT MATCHED THEN INSERT VALUES (i, 'merged');
SELECT recorded('src');
SELECT follows('capt_st');
-- foreign key cascades
INSERT INTO ref VALUES (1, 40), (2, 42), (3, 43);
DELETE FROM src WHERE id = 40;
UPDATE src SET id = 420 WHERE id = 42;
SELECT recorded('ref');
SELECT follows('capt_ref'), follows('capt_st');
TRUNCATE src CASCADE;
SELECT follows('capt_ref'), follows('capt_st');
-- deferred constraints, isolation levels, triggers that write
ALTER TABLE ref ALTER CONSTRAINT ref_src_fkey DEFERRABLE INITIALLY DEFERRED;
BEGIN;
INSERT INTO ref VALUES (5, 50);
INSERT INTO src VALUES (50, 'deferred');
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
INSERT INTO src VALUES (51, 'serializable');
SELECT follows('capt_st');
COMMIT;
BEGIN ISOLATION LEVEL REPEATABLE READ;
UPDATE src SET v = 'repeatable' WHERE id = 51;
COMMIT;
CREATE FUNCTION also() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO capt.src VALUES (NEW.id + 1000, 'by trigger') ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER also AFTER INSERT ON ref FOR EACH ROW EXECUTE FUNCTION also();
INSERT INTO ref VALUES (6, 51);
SELECT recorded('src');
SELECT follows('capt_ref'), follows('capt_st');
-- a cursor that is open while its table is written, and one batch number each
BEGIN;
DECLARE c CURSOR FOR SELECT id FROM src ORDER BY id;
FETCH 1 FROM c;
DELETE FROM src WHERE id = 50;
FETCH 1 FROM c;
ROLLBACK;
-- a publication of all tables does not break writing
CREATE PUBLICATION capt_all FOR ALL TABLES;
INSERT INTO src VALUES (60, 'published');
UPDATE src SET v = 'published!' WHERE id = 60;
SELECT follows('capt_st');
DROP PUBLICATION capt_all;
-- buffers are nothing to logical decoding
SET synchronous_commit = on;
SELECT 1 FROM pg_create_logical_replication_slot('capt', 'pg_trickle_decoder');
INSERT INTO src VALUES (61, 'decoded');
SELECT change_batch_lines(data)
  FROM pg_logical_slot_get_binary_changes('capt', NULL, NULL, 'sources',
           (SELECT string_agg(oid::text, ',') FROM pg_class
             WHERE oid = 'src'::regclass OR relname ~ ('^changes_' || 'src'::regclass::oid || '_.$')));
SELECT 1 FROM pg_drop_replication_slot('capt');
-- many subtransactions
DO $$
BEGIN
    FOR i IN 1 .. 200 LOOP
        BEGIN
            INSERT INTO capt.src VALUES (5000 + i, 'sub');
            IF i % 2 = 0 THEN RAISE division_by_zero; END IF;
        EXCEPTION WHEN division_by_zero THEN NULL;
        END;
    END LOOP;
END $$;
SELECT follows('capt_st');
SELECT pgtrickle.drop_stream_table('capt_mid'), pgtrickle.drop_stream_table('capt_ref'), pgtrickle.drop_stream_table('capt_st');
DROP SCHEMA capt CASCADE;
