-- The output plugin: what of a transaction becomes which change batch.
SET synchronous_commit = on;
CREATE FUNCTION decoded(VARIADIC options text[]) RETURNS SETOF text LANGUAGE sql AS
    $$ SELECT decoding.decoded('dec', VARIADIC options) $$;

CREATE SCHEMA dec;
CREATE TABLE dec.full_t (id int PRIMARY KEY, gone int, a text, b text);
ALTER TABLE dec.full_t DROP COLUMN gone;
ALTER TABLE dec.full_t ALTER b SET STORAGE EXTERNAL, REPLICA IDENTITY FULL;
CREATE TABLE dec.key_t (id int PRIMARY KEY, a int);
CREATE TABLE dec."Odd ""name" (id int PRIMARY KEY);
CREATE TABLE dec.unwanted (id int);
SELECT count(*) FROM pg_create_logical_replication_slot('dec', 'pg_trickle_decoder');

-- rows, long values, updates that change nothing
INSERT INTO dec.full_t VALUES (1, 'one', 'x'), (2, 'two', repeat('long', 5000)), (3, NULL, NULL);
INSERT INTO dec.unwanted VALUES (1);
UPDATE dec.full_t SET a = a || '!' WHERE id < 3;
UPDATE dec.full_t SET a = a;
DELETE FROM dec.full_t WHERE id = 3;
INSERT INTO dec."Odd ""name" VALUES (7);
SELECT decoded('sources', 'dec.full_t, dec."Odd ""name"', 'format_version', '1');

-- one transaction: batches at its commit, no savepoint that was rolled back
BEGIN;
INSERT INTO dec.key_t VALUES (1, 1);
SAVEPOINT s;
INSERT INTO dec.key_t VALUES (2, 2);
ROLLBACK TO s;
INSERT INTO dec.full_t VALUES (10, 'ten', NULL);
INSERT INTO dec.key_t VALUES (3, 3);
COMMIT;
BEGIN;
INSERT INTO dec.key_t VALUES (4, 4);
ROLLBACK;
BEGIN;
INSERT INTO dec.key_t VALUES (5, 5);
PREPARE TRANSACTION 'dec_prepared';
SELECT decoded('sources', 'DEC.Key_T,dec.full_t');
COMMIT PREPARED 'dec_prepared';
SELECT decoded('sources', 'dec.key_t');

-- without whole old rows: lost, once per transaction ...
BEGIN;
UPDATE dec.key_t SET a = a + 1;
UPDATE dec.key_t SET a = a + 1;
INSERT INTO dec.key_t VALUES (6, 6);
COMMIT;
DELETE FROM dec.key_t WHERE id = 6;
SELECT decoded('sources', 'dec.key_t');
-- ... unless the identity holds what is carried
UPDATE dec.key_t SET a = a + 1;
UPDATE dec.key_t SET id = 50 WHERE id = 5;
DELETE FROM dec.key_t WHERE id = 3;
SELECT decoded('sources', 'dec.key_t', 'columns', 'id');
ALTER TABLE dec.key_t REPLICA IDENTITY NOTHING;
INSERT INTO dec.key_t VALUES (8, 8);
DELETE FROM dec.key_t WHERE id = 8;
SELECT decoded('sources', 'dec.key_t', 'columns', 'id');
ALTER TABLE dec.key_t REPLICA IDENTITY DEFAULT;

-- partitions and children come under every ancestor that is listed
CREATE TABLE dec.part (id int, k int, v text) PARTITION BY LIST (k);
CREATE TABLE dec.part1 PARTITION OF dec.part FOR VALUES IN (1);
CREATE TABLE dec.part2 (v text, k int, id int);
ALTER TABLE dec.part ATTACH PARTITION dec.part2 FOR VALUES IN (2);
ALTER TABLE dec.part1 REPLICA IDENTITY FULL;
ALTER TABLE dec.part2 REPLICA IDENTITY FULL;
CREATE TABLE dec.parent (a int);
CREATE TABLE dec.child (b int) INHERITS (dec.parent);
INSERT INTO dec.part VALUES (1, 1, 'p'), (2, 2, 'q');
INSERT INTO dec.part2 VALUES ('leaf', 2, 3);
UPDATE dec.part SET k = 2 WHERE id = 1;
INSERT INTO dec.child VALUES (1, 2);
SELECT decoded('sources', 'dec.part,dec.part2,dec.parent');

-- truncate
BEGIN;
INSERT INTO dec.part VALUES (9, 1, 'r');
TRUNCATE dec.part, dec.key_t;
INSERT INTO dec.part VALUES (9, 1, 's');
COMMIT;
SELECT decoded('sources', 'dec.part, dec.key_t');

-- a batch is decoded with the columns of its time, and read with those of now
INSERT INTO dec.key_t VALUES (1, 1);
ALTER TABLE dec.key_t ADD c text DEFAULT 'fast';
INSERT INTO dec.key_t VALUES (2, 2, 'two');
BEGIN;
INSERT INTO dec.key_t VALUES (3, 3, 'three');
ALTER TABLE dec.key_t DROP COLUMN a;
INSERT INTO dec.key_t VALUES (4, 'four');
COMMIT;
SELECT decoded('sources', 'dec.key_t', 'columns', 'id,"c"');
INSERT INTO dec.key_t VALUES (5, 'five');
ALTER TABLE dec.key_t ALTER c DROP DEFAULT, ALTER c TYPE int USING length(c);
SELECT decoded('sources', 'dec.key_t');
INSERT INTO dec.key_t VALUES (6, 6);
SELECT decoded('sources', 'dec.key_t');

-- sources by oid; many changes in one transaction
INSERT INTO dec.key_t SELECT i, i FROM generate_series(100, 20099) i;
SELECT count(*) > 5 AS several, sum(length(data)) < 20000 * 14 AS compact
  FROM pg_logical_slot_peek_binary_changes('dec', NULL, NULL, 'sources', 'dec.key_t'::regclass::oid::text);
SELECT count(*), count(DISTINCT l) FROM (
    SELECT decoding.change_batch_lines(data) AS l
      FROM pg_logical_slot_get_binary_changes('dec', NULL, NULL, 'sources', 'dec.key_t'::regclass::oid::text)) x;

-- options
SELECT decoded('sources', 'dec.full_t', 'nonsense', '1');
SELECT decoded('columns', 'a');
SELECT decoded('sources', 'unqualified');
SELECT decoded('sources', 'a.b,');
SELECT decoded('sources', 'a."b');
SELECT decoded('sources', '99999999999');
SELECT decoded('sources', 'a.b c');
SELECT decoded('sources', 'a.b', 'columns', '');
SELECT decoded('sources', 'a.b', 'sources', 'c.d');
SELECT decoded('sources', 'a.b', 'format_version', '2');
SELECT pg_logical_slot_peek_changes('dec', NULL, NULL, 'sources', 'a.b');
SELECT count(*) FROM pg_drop_replication_slot('dec');
SET client_min_messages = warning;
DROP SCHEMA dec CASCADE;
DROP FUNCTION decoded;
