-- Rows of partitions and inheritance children come under their ancestor.
SET synchronous_commit = on;
SET client_min_messages = warning;
CREATE SCHEMA dp;
CREATE TABLE dp.root (id int, gone text, k int, v text, g int GENERATED ALWAYS AS (k * 10) STORED) PARTITION BY LIST (k);
ALTER TABLE dp.root DROP COLUMN gone;
CREATE TABLE dp.plain PARTITION OF dp.root FOR VALUES IN (1);
-- other order, more holes
CREATE TABLE dp.other (x int, v text, g int GENERATED ALWAYS AS (k * 10) STORED, y text, k int, id int);
ALTER TABLE dp.other DROP COLUMN x, DROP COLUMN y;
ALTER TABLE dp.root ATTACH PARTITION dp.other FOR VALUES IN (2);
-- a level more
CREATE TABLE dp.mid (v text, id int, k int, g int GENERATED ALWAYS AS (k * 10) STORED) PARTITION BY RANGE (id);
ALTER TABLE dp.root ATTACH PARTITION dp.mid FOR VALUES IN (3, NULL);
CREATE TABLE dp.low PARTITION OF dp.mid FOR VALUES FROM (0) TO (100);
CREATE TABLE dp.rest PARTITION OF dp.mid DEFAULT;
DO $$ DECLARE t text; BEGIN
    FOREACH t IN ARRAY '{plain,other,low,rest}'::text[] LOOP
        EXECUTE format('ALTER TABLE dp.%I REPLICA IDENTITY FULL', t);
    END LOOP;
END $$;
SELECT count(*) FROM pg_create_logical_replication_slot('dp', 'pg_trickle_decoder');

-- one transaction: one batch, in order
BEGIN;
INSERT INTO dp.root (id, k, v) VALUES (1, 1, 'a'), (2, 2, 'b'), (3, 3, 'c'), (300, 3, 'd'), (4, NULL, 'e');
INSERT INTO dp.other (id, k, v) VALUES (5, 2, 'leaf');
UPDATE dp.root SET v = v || '!' WHERE id <> 2;
UPDATE dp.root SET k = 3 WHERE id = 2;
DELETE FROM dp.root WHERE id IN (1, 300);
COMMIT;
SELECT count(*) FROM pg_logical_slot_peek_binary_changes('dp', NULL, NULL, 'sources', 'dp.root');
SELECT decoding.decoded('dp', 'sources', 'dp.root');

-- each listed ancestor, with columns of its own
INSERT INTO dp.root (id, k, v) VALUES (6, 3, 'f');
SELECT decoding.decoded('dp', 'sources', 'dp.root(v, g), dp.mid(k, v), dp.low(id)');

-- one leaf without whole old rows
ALTER TABLE dp.plain REPLICA IDENTITY DEFAULT;
INSERT INTO dp.root (id, k, v) VALUES (7, 1, 'g'), (8, 2, 'h');
UPDATE dp.other SET v = 'hh' WHERE id = 8;
UPDATE dp.root SET v = 'gg' WHERE id = 7;
SELECT decoding.decoded('dp', 'sources', 'dp.root');

-- TRUNCATE: of all, of a partition, with changes around it
BEGIN;
INSERT INTO dp.root (id, k, v) VALUES (9, 2, 'before');
TRUNCATE dp.plain;
INSERT INTO dp.root (id, k, v) VALUES (10, 2, 'between');
TRUNCATE dp.root;
INSERT INTO dp.root (id, k, v) VALUES (11, 2, 'after');
COMMIT;
SELECT decoding.decoded('dp', 'sources', 'dp.root');

-- a new partition is part of it at once
BEGIN;
CREATE TABLE dp.new PARTITION OF dp.root FOR VALUES IN (4);
INSERT INTO dp.root (id, k, v) VALUES (12, 4, 'new');
COMMIT;
SELECT decoding.decoded('dp', 'sources', 'dp.root');

-- inheritance: children with more columns, two parents, a parent without columns
CREATE TABLE dp.pa (a int, c text);
CREATE TABLE dp.pb (b int, a int);
CREATE TABLE dp.none ();
CREATE TABLE dp.child (z int) INHERITS (dp.pb, dp.pa, dp.none);
CREATE TABLE dp.grand (y int) INHERITS (dp.child);
ALTER TABLE dp.grand REPLICA IDENTITY FULL;
INSERT INTO dp.pa VALUES (1, 'own');
INSERT INTO dp.child (a, b, c, z) VALUES (2, 20, 'child', 0);
INSERT INTO dp.grand (a, b, c, z, y) VALUES (3, 30, 'grand', 0, 0);
UPDATE dp.grand SET y = 1;
UPDATE dp.pa SET a = 4 WHERE a = 3;
DELETE FROM dp.pb WHERE a = 4;
SELECT decoding.decoded('dp', 'sources', 'dp.pa, dp.pb(b), dp.none');
SELECT count(*) FROM pg_drop_replication_slot('dp');
DROP SCHEMA dp CASCADE;
