-- DDL between the changes: each is decoded with the columns of its time, and
-- rows that ALTER TABLE writes anew are no insertions.
SET synchronous_commit = on;
SET client_min_messages = warning;
CREATE SCHEMA dd;
CREATE TABLE dd.t (id int PRIMARY KEY, v int, w text);
ALTER TABLE dd.t REPLICA IDENTITY FULL;
SELECT count(*) FROM pg_create_logical_replication_slot('dd', 'pg_trickle_decoder');

-- batches by signature: which columns, and are they those of now?
CREATE FUNCTION dd.shapes(VARIADIC options text[]) RETURNS TABLE (attnums int[], changes int, readable text)
LANGUAGE plpgsql SET synchronous_commit = on AS $$
DECLARE
    batch bytea;
BEGIN
    FOR batch IN SELECT data FROM pg_logical_slot_get_binary_changes('dd', NULL, NULL, VARIADIC options) LOOP
        attnums := (SELECT array_agg(get_byte(batch, 40 + 2 * i) ORDER BY i) FROM generate_series(0, get_byte(batch, 36) - 1) i);
        changes := get_byte(batch, 32);
        BEGIN
            readable := (SELECT string_agg(l, '; ') FROM decoding.change_batch_lines(batch) l);
        EXCEPTION WHEN object_not_in_prerequisite_state THEN
            readable := 'other columns now';
        WHEN undefined_table THEN
            readable := 'gone';
        END;
        RETURN NEXT;
    END LOOP;
END $$;

-- in one transaction, in several: columns come and go, types change
INSERT INTO dd.t VALUES (1, 1, 'a');
BEGIN;
INSERT INTO dd.t VALUES (2, 2, 'b');
ALTER TABLE dd.t ADD x int;
INSERT INTO dd.t VALUES (3, 3, 'c', 3);
ALTER TABLE dd.t DROP COLUMN v;
UPDATE dd.t SET x = 1 WHERE id = 1;
SAVEPOINT s;
ALTER TABLE dd.t DROP COLUMN w;
INSERT INTO dd.t VALUES (4, 4);
ROLLBACK TO s;
INSERT INTO dd.t VALUES (5, 'e', 5);
COMMIT;
ALTER TABLE dd.t RENAME COLUMN w TO renamed;
INSERT INTO dd.t VALUES (6, 'f', 6);
SELECT * FROM dd.shapes('sources', 'dd.t');
INSERT INTO dd.t VALUES (7, 'g', 7);
ALTER TABLE dd.t ALTER x TYPE bigint;
INSERT INTO dd.t VALUES (8, 'h', 8);
ALTER TABLE dd.t ALTER renamed TYPE varchar;
INSERT INTO dd.t VALUES (9, 'i', 9);
SELECT * FROM dd.shapes('sources', 'dd.t');

-- a column asked for by name that is not there (any more)
INSERT INTO dd.t VALUES (10, 'j', 10);
ALTER TABLE dd.t RENAME COLUMN renamed TO w;
INSERT INTO dd.t VALUES (11, 'k', 11);
INSERT INTO dd.t VALUES (12, 'l', 12);
SELECT * FROM dd.shapes('sources', 'dd.t(id, renamed)');

-- rewrites: said to have lost the change where rows were written
ALTER TABLE dd.t ALTER id TYPE int USING id + 100;
SELECT decoding.decoded('dd', 'sources', 'dd.t');
BEGIN;
INSERT INTO dd.t VALUES (1, 'before', 1);
ALTER TABLE dd.t ADD volatile float8 DEFAULT random();
INSERT INTO dd.t VALUES (2, 'after', 2, 0);
COMMIT;
INSERT INTO dd.t VALUES (3, 'next', 3, 0);
SELECT decoding.decoded('dd', 'sources', 'dd.t(id)');
-- of a partition, of a table without rows, of an unwanted one
CREATE TABLE dd.p (a int, b int) PARTITION BY LIST (a);
CREATE TABLE dd.p1 PARTITION OF dd.p FOR VALUES IN (1);
CREATE TABLE dd.empty (a int);
CREATE TABLE dd.unwanted (a int);
INSERT INTO dd.p VALUES (1, 1);
INSERT INTO dd.unwanted VALUES (1);
SELECT decoding.decoded('dd', 'sources', 'dd.p, dd.empty');
ALTER TABLE dd.p ALTER b TYPE int USING b + 1;
ALTER TABLE dd.empty ALTER a TYPE text;
ALTER TABLE dd.unwanted ALTER a TYPE text;
SELECT decoding.decoded('dd', 'sources', 'dd.p, dd.empty');
-- those that change no row: nothing
CREATE INDEX t_w ON dd.t (w);
CLUSTER dd.t USING t_w;
VACUUM FULL dd.t;
ALTER TABLE dd.t SET TABLESPACE pg_default;
REINDEX TABLE dd.t;
UPDATE dd.t SET w = 'clustered' WHERE id = 3;
SELECT decoding.decoded('dd', 'sources', 'dd.t(id, w)');
CREATE MATERIALIZED VIEW dd.m AS SELECT id FROM dd.t;
REFRESH MATERIALIZED VIEW dd.m;
SELECT decoding.decoded('dd', 'sources', 'dd.t(id, w)');

-- renamed: an oid follows, a name means who has it at the time
CREATE TABLE dd.named (id int);
SELECT 'dd.named'::regclass::oid AS oid \gset
INSERT INTO dd.named VALUES (1);
ALTER TABLE dd.named RENAME TO other;
INSERT INTO dd.other VALUES (2);
CREATE TABLE dd.named (id int, second text);
INSERT INTO dd.named VALUES (3, 'three');
CREATE SCHEMA dd2;
ALTER TABLE dd.named SET SCHEMA dd2;
INSERT INTO dd2.named VALUES (4, 'four');
ALTER SCHEMA dd2 RENAME TO dd3;
INSERT INTO dd3.named VALUES (5, 'five');
SELECT count(*) AS by_oid FROM pg_logical_slot_peek_binary_changes('dd', NULL, NULL, 'sources', :'oid');
SELECT count(*) AS by_new_name FROM pg_logical_slot_peek_binary_changes('dd', NULL, NULL, 'sources', 'dd3.named');
SELECT decoding.decoded('dd', 'sources', 'dd.named');
-- dropped and made again, with changes of both to come
INSERT INTO dd.other VALUES (6);
DROP TABLE dd.other;
CREATE TABLE dd.other (id bigint);
INSERT INTO dd.other VALUES (7);
SELECT * FROM dd.shapes('sources', 'dd.other');
SELECT count(*) FROM pg_drop_replication_slot('dd');
DROP SCHEMA dd, dd3 CASCADE;
