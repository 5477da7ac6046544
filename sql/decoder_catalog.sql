-- The output plugin with "catalog": what is wanted is what pgt_sources said at
-- the change's place in the WAL.
SET synchronous_commit = on;
SET client_min_messages = warning;
CREATE SCHEMA cat;
CREATE TABLE cat.a (id int PRIMARY KEY, g int, unused text, v int);
CREATE TABLE cat.b (id int PRIMARY KEY, v int);
CREATE TABLE cat.p (id int, k int, v int) PARTITION BY LIST (k);
CREATE TABLE cat.p1 (v int, k int, id int);
ALTER TABLE cat.p ATTACH PARTITION cat.p1 FOR VALUES IN (1);
ALTER TABLE cat.a REPLICA IDENTITY FULL;
ALTER TABLE cat.b REPLICA IDENTITY FULL;
ALTER TABLE cat.p1 REPLICA IDENTITY FULL;
SELECT pgtrickle.create_stream_table('cat.sums', 'SELECT g, sum(v) FROM cat.a GROUP BY g', schedule => '1d');
SELECT pgtrickle.create_stream_table('cat.copy', 'SELECT id FROM cat.b', schedule => '1d');
SELECT pgtrickle.create_stream_table('cat.parts', 'SELECT id, v FROM cat.p', schedule => '1d');
SELECT source_relid::regclass, cdc_mode, columns FROM pgtrickle.pgt_sources
 WHERE source_relid::regclass::text LIKE 'cat.%' ORDER BY 1;
SELECT count(*) FROM pg_create_logical_replication_slot('cat', 'pg_trickle_decoder');

-- as a hand-over does it: the row, and an invalidation of the source
CREATE FUNCTION cat.capture_by(source regclass, mode text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE pgtrickle.pgt_sources SET cdc_mode = mode WHERE source_relid = source;
    EXECUTE format('ALTER TABLE %s SET (autovacuum_enabled = %s)', source, mode = 'WAL');
EXCEPTION WHEN invalid_parameter_value OR wrong_object_type THEN       -- a partitioned table has no such setting
    UPDATE pgtrickle.pgt_sources SET cdc_mode = mode WHERE source_relid = source;
    EXECUTE format('ALTER TABLE %s ALTER id SET STATISTICS %s', source, length(mode));
END $$;

-- captured by triggers: nothing
INSERT INTO cat.a VALUES (1, 1, 'x', 10);
INSERT INTO cat.p VALUES (1, 1, 10);
SELECT decoding.decoded('cat', 'catalog', 'on');

-- from the WAL, from here on; only the columns that are used
INSERT INTO cat.a VALUES (2, 1, 'x', 10);
SELECT cat.capture_by('cat.a', 'WAL');
INSERT INTO cat.a VALUES (3, 1, 'x', 10);
UPDATE cat.a SET unused = 'y';
UPDATE cat.a SET v = 11 WHERE id = 3;
INSERT INTO cat.b VALUES (1, 1);
SELECT decoding.decoded('cat', 'catalog', 'on');
-- the same, when all of it lies in one stretch of the WAL, and in one transaction
INSERT INTO cat.b VALUES (2, 2);
SELECT cat.capture_by('cat.b', 'TRANSITIONING');
INSERT INTO cat.b VALUES (3, 3);
SELECT cat.capture_by('cat.b', 'TRIGGER');
INSERT INTO cat.b VALUES (4, 4);
BEGIN;
INSERT INTO cat.b VALUES (5, 5);
SELECT cat.capture_by('cat.b', 'WAL');
INSERT INTO cat.b VALUES (6, 6);
SAVEPOINT s;
SELECT cat.capture_by('cat.b', 'TRIGGER');
INSERT INTO cat.b VALUES (7, 7);
ROLLBACK TO s;
INSERT INTO cat.b VALUES (8, 8);
COMMIT;
-- partitions, mapped to the root
SELECT cat.capture_by('cat.p', 'WAL');
INSERT INTO cat.p VALUES (2, 1, 20);
INSERT INTO cat.p1 VALUES (30, 1, 3);
DELETE FROM cat.p WHERE id = 1;
SELECT decoding.decoded('cat', 'catalog', 'on');

-- prepared before, committed after: as of its own place in the WAL
BEGIN;
INSERT INTO cat.b VALUES (9, 9);
PREPARE TRANSACTION 'cat_open';
INSERT INTO cat.a VALUES (4, 2, 'x', 40);
COMMIT PREPARED 'cat_open';
SELECT decoding.decoded('cat', 'catalog', 'on');

-- widened by a second reader; a column that goes away
SELECT pgtrickle.create_stream_table('cat.wider', 'SELECT id, unused FROM cat.a', schedule => '1d');
INSERT INTO cat.a VALUES (5, 2, 'wide', 50);
SELECT decoding.decoded('cat', 'catalog', 'on');
SELECT pgtrickle.drop_stream_table('cat.wider');
ALTER TABLE cat.a DROP COLUMN unused;
INSERT INTO cat.a VALUES (6, 2, 60);
INSERT INTO cat.b VALUES (10, 10);
SELECT decoding.decoded('cat', 'catalog', 'on');

-- stream tables, state and buffers are never wanted
SELECT count(*) FROM pgtrickle.pgt_sources WHERE cdc_mode = 'WAL' AND source_relid::regclass::text LIKE 'cat.%';
SELECT cat.capture_by('cat.a', 'TRIGGER');
SELECT (pgtrickle.refresh_stream_table('cat.sums')).action;
SELECT decoding.decoded('cat', 'catalog', 'on');

-- columns that nobody reads: a deletion needs no old row
TRUNCATE cat.b;
SELECT pgtrickle.drop_stream_table('cat.copy');
SELECT pgtrickle.create_stream_table('cat.number', 'SELECT count(*) FROM cat.b', schedule => '1d');
SELECT cat.capture_by('cat.b', 'WAL');
ALTER TABLE cat.b REPLICA IDENTITY NOTHING;
INSERT INTO cat.b VALUES (11, 11), (12, 12);
UPDATE cat.b SET v = 0;
DELETE FROM cat.b WHERE id = 11;
SELECT decoding.decoded('cat', 'catalog', 'on');

-- a source that is dropped, its last changes still to be decoded
INSERT INTO cat.b VALUES (13, 13);
DROP TABLE cat.b CASCADE;
SELECT count(data) FROM pg_logical_slot_get_binary_changes('cat', NULL, NULL, 'catalog', 'on');

-- asked for by name or number they are refused
CREATE TABLE pgtrickle_state.cat_internal AS SELECT 1 AS a;
SELECT 'pgtrickle_state.cat_internal'::regclass::oid AS oid \gset
\set SHOW_CONTEXT never
SELECT decoding.decoded('cat', 'sources', 'pgtrickle_state.cat_internal');
SELECT decoding.decoded('cat', 'sources', :'oid');
\set SHOW_CONTEXT errors
DROP TABLE pgtrickle_state.cat_internal;

-- options
SELECT decoding.decoded('cat', 'catalog', 'on', 'sources', 'cat.a');
SELECT decoding.decoded('cat', 'catalog', 'on', 'columns', 'id');
SELECT decoding.decoded('cat', 'catalog', 'perhaps');
SELECT decoding.decoded('cat', 'catalog', 'off');
SELECT decoding.decoded('cat', 'origin', 'some', 'catalog', 'on');
SELECT count(*) FROM pg_drop_replication_slot('cat');
DROP SCHEMA cat CASCADE;
