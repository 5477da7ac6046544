-- How a delta meets the stream table: rows with and without a key, triggers,
-- constraints, indexes and publications of the user.
CREATE SCHEMA apply_rows;
SET search_path = apply_rows, public;
SET client_min_messages = warning;

CREATE TABLE src (id int PRIMARY KEY, k int, x text);
INSERT INTO src VALUES (1, 1, 'a'), (2, 2, 'b'), (3, 3, 'a'), (4, 1, 'a'), (5, 1, 'a');
SELECT oracle.make('bag', 'SELECT k, x FROM src');
SELECT oracle.make('keyed', 'SELECT id, k, x FROM src');
SELECT * FROM oracle.check();
SELECT row_identity FROM pgtrickle.pgt_state WHERE relid IN ('pgtrickle.bag'::regclass, 'pgtrickle.keyed'::regclass) ORDER BY 1;
SELECT relname, relreplident FROM pg_class WHERE relname IN ('bag', 'keyed') ORDER BY 1;

-- equal rows are told apart by number only
DELETE FROM src WHERE id = 4;
SELECT rows_inserted, rows_deleted FROM pgtrickle.refresh_stream_table('bag');
SELECT * FROM oracle.check();
INSERT INTO src VALUES (6, 1, 'a'), (7, 1, 'a'), (8, NULL, NULL), (9, NULL, NULL);
SELECT rows_inserted, rows_deleted FROM pgtrickle.refresh_stream_table('bag');
SELECT * FROM oracle.check();
DELETE FROM src WHERE x = 'a' OR id = 8;
SELECT rows_inserted, rows_deleted FROM pgtrickle.refresh_stream_table('bag');
SELECT * FROM oracle.check();
-- nothing changes, nothing is written
UPDATE src SET x = x;
SELECT rows_inserted, rows_deleted FROM pgtrickle.refresh_stream_table('keyed');
SELECT rows_inserted, rows_deleted FROM pgtrickle.refresh_stream_table('bag');

-- keys swapped and shifted, one row updated often
TRUNCATE src;
INSERT INTO src SELECT i, i, chr(96 + i) FROM generate_series(1, 6) i;
SELECT * FROM oracle.check();
ALTER TABLE src DROP CONSTRAINT src_pkey;
ALTER TABLE src ADD PRIMARY KEY (id) DEFERRABLE;
UPDATE src SET id = 3 - id WHERE id IN (1, 2);
SELECT action, rows_inserted, rows_deleted FROM pgtrickle.refresh_stream_table('keyed');
UPDATE src SET id = id + 1;
UPDATE src SET x = x || '!' WHERE k = 3;
UPDATE src SET x = x || '!' WHERE k = 3;
SELECT action FROM pgtrickle.refresh_stream_table('keyed');
SELECT * FROM pgtrickle.keyed ORDER BY id;
SELECT * FROM oracle.check();
SELECT oracle.done();

-- the user's own: a unique index whose values are exchanged, a check, triggers
TRUNCATE src;
ALTER TABLE src REPLICA IDENTITY FULL;
INSERT INTO src VALUES (1, 10, 'a'), (2, 20, 'b'), (3, 30, 'c');
SELECT pgtrickle.create_stream_table('own', 'SELECT k, count(*) AS n, max(x) AS x FROM src GROUP BY k', schedule => '1d');
CREATE UNIQUE INDEX own_x ON pgtrickle.own (x);
CREATE INDEX own_n ON pgtrickle.own (n) WHERE n > 1;
CREATE TABLE log (line int GENERATED ALWAYS AS IDENTITY, what text);
CREATE FUNCTION note_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO apply_rows.log (what)
        VALUES (concat_ws(' ', TG_OP, CASE WHEN TG_OP <> 'INSERT' THEN old::text END, CASE WHEN TG_OP <> 'DELETE' THEN new::text END));
    RETURN NULL;
END $$;
CREATE FUNCTION note_statement() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    n bigint;
BEGIN
    SELECT count(*) INTO n FROM changed;
    INSERT INTO apply_rows.log (what) VALUES (TG_OP || ' statement, ' || n || ' rows');
    RETURN NULL;
END $$;
CREATE TRIGGER r AFTER INSERT OR UPDATE OR DELETE ON pgtrickle.own FOR EACH ROW EXECUTE FUNCTION note_row();
CREATE TRIGGER si AFTER INSERT ON pgtrickle.own REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_statement();
CREATE TRIGGER su AFTER UPDATE ON pgtrickle.own REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_statement();
CREATE TRIGGER sd AFTER DELETE ON pgtrickle.own REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_statement();
INSERT INTO src VALUES (4, 10, 'aa'), (5, 40, 'd');
DELETE FROM src WHERE k = 30;
SELECT rows_inserted, rows_deleted FROM pgtrickle.refresh_stream_table('own');
SELECT what FROM log ORDER BY what;
TRUNCATE log;
INSERT INTO src VALUES (6, 20, '0');
SELECT rows_inserted, rows_deleted FROM pgtrickle.refresh_stream_table('own');
SELECT what FROM log ORDER BY what;
-- values under another unique index change places
UPDATE src SET x = CASE k WHEN 20 THEN 'd' ELSE 'b' END WHERE k IN (20, 40);
SELECT rows_inserted, rows_deleted FROM pgtrickle.refresh_stream_table('own');
SELECT * FROM pgtrickle.own ORDER BY k;
-- a violated constraint undoes the whole refresh; it succeeds once that is gone
ALTER TABLE pgtrickle.own ADD CONSTRAINT few CHECK (n < 3);
INSERT INTO src VALUES (7, 10, 'x'), (8, 50, 'y');
SELECT rows_inserted, rows_deleted FROM pgtrickle.refresh_stream_table('own');
SELECT * FROM pgtrickle.own ORDER BY k;
ALTER TABLE pgtrickle.own DROP CONSTRAINT few;
SELECT rows_inserted, rows_deleted FROM pgtrickle.refresh_stream_table('own');
SELECT * FROM pgtrickle.own ORDER BY k;
-- a trigger may not change what the query says
CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        new.n := 0;
        RETURN new;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER m BEFORE INSERT OR UPDATE ON pgtrickle.own FOR EACH ROW EXECUTE FUNCTION meddle();
INSERT INTO src VALUES (9, 50, 'a');
SELECT rows_inserted, rows_deleted FROM pgtrickle.refresh_stream_table('own');
INSERT INTO src VALUES (10, 60, 'zz');
DELETE FROM src WHERE id = 9;
SELECT rows_inserted, rows_deleted FROM pgtrickle.refresh_stream_table('own');
DROP TRIGGER m ON pgtrickle.own;
SELECT rows_inserted, rows_deleted FROM pgtrickle.refresh_stream_table('own');

-- publications do not stop refreshes
CREATE PUBLICATION everything FOR ALL TABLES;
INSERT INTO src VALUES (11, 10, 'q');
DELETE FROM src WHERE id = 10;
SELECT rows_inserted, rows_deleted FROM pgtrickle.refresh_stream_table('own');
DROP PUBLICATION everything;

-- FULL writes the difference only
UPDATE src SET x = 'changed' WHERE k = 50;
SELECT action, rows_inserted, rows_deleted FROM pgtrickle.refresh_stream_table('own', 'FULL');
SELECT count(*) FROM ((TABLE pgtrickle.own EXCEPT ALL SELECT k, count(*), max(x) FROM src GROUP BY k)
                      UNION ALL (SELECT k, count(*), max(x) FROM src GROUP BY k EXCEPT ALL TABLE pgtrickle.own)) d;
SELECT pgtrickle.drop_stream_table('own');

-- a large part of the rows: found by one scan instead of look-ups
CREATE TABLE large (id int PRIMARY KEY, g int, v int);
INSERT INTO large SELECT i, i % 1500, i FROM generate_series(1, 6000) i;
SELECT oracle.make('large_keyed', 'SELECT g, sum(v) AS s FROM large GROUP BY g');
SELECT oracle.make('large_bag', 'SELECT g, v / 2 AS h FROM large');
ANALYZE pgtrickle.large_keyed, pgtrickle.large_bag;
UPDATE large SET v = v + 1 WHERE id % 4 <> 0;
DELETE FROM large WHERE g % 5 = 0 OR id > 5000;
SELECT * FROM oracle.check();
SELECT oracle.done();

-- a hash of many columns
CREATE TABLE wide (id int PRIMARY KEY);
SELECT format('ALTER TABLE wide %s', string_agg(format('ADD COLUMN c%s int', i), ', ')) FROM generate_series(1, 120) i \gexec
INSERT INTO wide (id, c1, c120) VALUES (1, 1, 1), (2, 1, 1), (3, 1, 2);
SELECT oracle.make('broad', format('SELECT %s FROM wide', string_agg('c' || i, ', '))) FROM generate_series(1, 120) i;
DELETE FROM wide WHERE id = 1;
UPDATE wide SET c99 = 5 WHERE id = 3;
SELECT * FROM oracle.check();
SELECT oracle.done();

-- the hash: of bytes, not of text or storage
SELECT pgtrickle.row_hash(1, 'a'::text, NULL::int) = pgtrickle.row_hash(1, 'a'::text, NULL::int) AS same,
       pgtrickle.row_hash(1, 'a'::text) = pgtrickle.row_hash(1, NULL::text) AS nulls,
       pgtrickle.row_hash(1.0) = pgtrickle.row_hash(1.00) AS scale,
       pgtrickle.row_hash(ROW(1, 'a'::text)) = pgtrickle.row_hash(ROW(1, 'a'::text)) AS rows;
DROP SCHEMA apply_rows CASCADE;
