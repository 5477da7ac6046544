-- Statement triggers: one statement, one batch; what each command records.
CREATE SCHEMA cap;
SET search_path = cap, public;
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
CREATE TABLE src (id int PRIMARY KEY, a text, b int);
INSERT INTO src VALUES (1, 'one', 10), (2, 'two', 20), (3, NULL, NULL);
SELECT pgtrickle.create_stream_table('cap_st', 'SELECT id, a, b FROM cap.src', refresh_mode => 'DIFFERENTIAL');
SELECT follows('cap_st');

-- triggers: internal, always enabled, gone with the extension
SELECT regexp_replace(tgname, '_\d+$', '') AS trigger, tgenabled, tgisinternal, tgnewtable, tgoldtable,
       (SELECT string_agg(deptype::text, '' ORDER BY deptype) FROM pg_depend WHERE classid = 'pg_trigger'::regclass AND objid = t.oid) AS depends
  FROM pg_trigger t WHERE tgrelid = 'src'::regclass ORDER BY 1;
SELECT c.relname ~ '^changes_\d+_[01]$' AS name, c.reltoastrelid, c.relacl, d.deptype
  FROM pg_class c JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_extension'::regclass
 WHERE c.relnamespace = 'pgtrickle_changes'::regnamespace AND c.relname LIKE 'changes\_' || 'src'::regclass::oid || '\_%';
SELECT cdc_mode, capture_form, columns FROM pgtrickle.pgt_sources WHERE source_relid = 'src'::regclass;

INSERT INTO src VALUES (4, 'four', 40), (5, 'five', 50);
UPDATE src SET b = b + 1 WHERE id IN (1, 4);
DELETE FROM src WHERE id = 5;
SELECT recorded('src');
SELECT follows('cap_st');
-- nothing done, nothing changed: nothing recorded
INSERT INTO src SELECT 9, 'x', 1 WHERE false;
UPDATE src SET a = a, b = b;
UPDATE src SET b = 0 WHERE id = 99;
DELETE FROM src WHERE id = 99;
SELECT recorded('src');
SELECT follows('cap_st');
-- NULL to value and back, empty string
UPDATE src SET a = '', b = 30 WHERE id = 3;
UPDATE src SET a = NULL WHERE id = 3;
SELECT recorded('src');
-- writable CTEs, several statements on one table
WITH i AS (INSERT INTO src VALUES (6, 'six', 60) RETURNING id), d AS (DELETE FROM src WHERE id = 4)
UPDATE src SET a = 'cte' WHERE id = 2;
SELECT recorded('src');
SELECT follows('cap_st');
-- BEFORE triggers decide what is stored
CREATE FUNCTION change_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN RETURN NULL; END IF;
    IF NEW.id = 100 THEN RETURN NULL; END IF;
    NEW.a := upper(NEW.a);
    RETURN NEW;
END $$;
CREATE TRIGGER t BEFORE INSERT OR UPDATE OR DELETE ON src FOR EACH ROW EXECUTE FUNCTION change_row();
INSERT INTO src VALUES (7, 'seven', 70), (100, 'never', 0);
DELETE FROM src WHERE id = 7;
SELECT recorded('src');
DROP TRIGGER t ON src;
-- many rows: several batches, each of at most a page
INSERT INTO src SELECT i, 'row ' || i, i FROM generate_series(1000, 2999) i;
SELECT count(*), count(DISTINCT r) FROM recorded('src') r;
DO $$
DECLARE ok bool;
BEGIN
    EXECUTE format('SELECT count(*) > 1 AND max(octet_length(data)) <= 8192 FROM pgtrickle_changes.changes_%s_0', 'cap.src'::regclass::oid) INTO ok;
    RAISE WARNING 'in several pieces: %', ok;
END $$;
SELECT follows('cap_st');
TRUNCATE src;
SELECT recorded('src');
SELECT follows('cap_st');
INSERT INTO src VALUES (1, 'again', 1);
SELECT follows('cap_st');

-- DISABLE TRIGGER USER and replica role do not switch capture off
ALTER TABLE src DISABLE TRIGGER USER;
INSERT INTO src VALUES (2, 'user', 2);
ALTER TABLE src ENABLE TRIGGER USER;
SET session_replication_role = replica;
INSERT INTO src VALUES (3, 'replica', 3);
RESET session_replication_role;
SELECT recorded('src');
SELECT follows('cap_st');

-- a writer without any right on buffers, row security on the source
CREATE ROLE cap_writer;
GRANT USAGE ON SCHEMA cap TO cap_writer;
GRANT INSERT, SELECT ON src TO cap_writer;
SET ROLE cap_writer;
INSERT INTO src VALUES (4, 'writer', 4);
SELECT count(*) FROM pgtrickle_changes.changes_1_0;
RESET ROLE;
SELECT recorded('src');
SELECT follows('cap_st');
-- nobody else may use the trigger function
CREATE TABLE other (id int);
CREATE TRIGGER mine AFTER INSERT ON other EXECUTE FUNCTION pgtrickle.capture();
INSERT INTO other VALUES (1);
SELECT pgtrickle.capture();

-- the last reader takes capture along
SELECT pgtrickle.drop_stream_table('cap_st');
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'src'::regclass;
SELECT count(*) FROM pgtrickle.pgt_sources WHERE source_relid = 'src'::regclass;
SELECT count(*) FROM pg_class WHERE relname LIKE 'changes\_' || 'src'::regclass::oid || '\_%';
INSERT INTO src VALUES (5, 'free', 5);
DROP SCHEMA cap CASCADE;
DROP ROLE cap_writer;
