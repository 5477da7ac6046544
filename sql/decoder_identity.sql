-- Old rows: whole, by key, or missing, and then said to be missing.
SET synchronous_commit = on;
SET client_min_messages = warning;
CREATE SCHEMA di;
CREATE TABLE di.t (id int PRIMARY KEY, u int NOT NULL, v int);
CREATE UNIQUE INDEX t_u ON di.t (u);
CREATE TABLE di.nokey (a int, b int);
CREATE TABLE di.late (id int, v int, PRIMARY KEY (id) DEFERRABLE INITIALLY DEFERRED);
SELECT count(*) FROM pg_create_logical_replication_slot('di', 'pg_trickle_decoder');

-- FULL
ALTER TABLE di.t REPLICA IDENTITY FULL;
INSERT INTO di.t VALUES (1, 10, 100), (2, 20, 200), (3, 30, NULL);
UPDATE di.t SET v = v + 1;
UPDATE di.t SET id = 4 WHERE id = 3;
DELETE FROM di.t WHERE id = 1;
SELECT decoding.decoded('di', 'sources', 'di.t');
-- DEFAULT: enough where only the key is carried
ALTER TABLE di.t REPLICA IDENTITY DEFAULT;
UPDATE di.t SET v = 0;
UPDATE di.t SET id = 5 WHERE id = 4;
DELETE FROM di.t WHERE id = 2;
INSERT INTO di.t VALUES (6, 60, 600);
SELECT count(*) FROM pg_logical_slot_peek_binary_changes('di', NULL, NULL, 'sources', 'di.t');
SELECT decoding.decoded('di', 'sources', 'di.t(id)');
-- USING INDEX
ALTER TABLE di.t REPLICA IDENTITY USING INDEX t_u;
UPDATE di.t SET v = 1;
UPDATE di.t SET u = 61 WHERE id = 6;
DELETE FROM di.t WHERE id = 5;
SELECT decoding.decoded('di', 'sources', 'di.t(u)');
UPDATE di.t SET u = 62 WHERE id = 6;
SELECT decoding.decoded('di', 'sources', 'di.t(id, u)');
-- its index dropped: as NOTHING
DROP INDEX di.t_u;
UPDATE di.t SET u = 63 WHERE id = 6;
INSERT INTO di.t VALUES (7, 70, 700);
SELECT decoding.decoded('di', 'sources', 'di.t(u)');
-- NOTHING
ALTER TABLE di.t REPLICA IDENTITY NOTHING;
INSERT INTO di.t VALUES (8, 80, 800);
DELETE FROM di.t WHERE id = 8;
SELECT decoding.decoded('di', 'sources', 'di.t(id)');

-- changed under way, between transactions and inside one
DELETE FROM di.t;
SELECT count(*) FROM pg_logical_slot_get_binary_changes('di', NULL, NULL, 'sources', 'di.t');
INSERT INTO di.t VALUES (1, 1, 1);
ALTER TABLE di.t REPLICA IDENTITY FULL;
UPDATE di.t SET v = 2;
ALTER TABLE di.t REPLICA IDENTITY DEFAULT;
UPDATE di.t SET v = 3;
ALTER TABLE di.t REPLICA IDENTITY FULL;
UPDATE di.t SET v = 4;
SELECT decoding.decoded('di', 'sources', 'di.t');
BEGIN;
UPDATE di.t SET v = 5;
ALTER TABLE di.t REPLICA IDENTITY NOTHING;
INSERT INTO di.t VALUES (2, 2, 2);
SAVEPOINT s;
ALTER TABLE di.t REPLICA IDENTITY FULL;
UPDATE di.t SET v = 6;
ROLLBACK TO s;
INSERT INTO di.t VALUES (3, 3, 3);
ALTER TABLE di.t REPLICA IDENTITY FULL;
DELETE FROM di.t;
COMMIT;
SELECT decoding.decoded('di', 'sources', 'di.t');
BEGIN;
ALTER TABLE di.t REPLICA IDENTITY DEFAULT;
INSERT INTO di.t VALUES (1, 1, 1);
DELETE FROM di.t;
ALTER TABLE di.t REPLICA IDENTITY FULL;
INSERT INTO di.t VALUES (2, 2, 2);
COMMIT;
INSERT INTO di.t VALUES (3, 3, 3);
SELECT decoding.decoded('di', 'sources', 'di.t');

-- no key, and a key that is no identity
INSERT INTO di.nokey VALUES (1, 1);
DELETE FROM di.nokey;
INSERT INTO di.late VALUES (1, 1), (2, 2);
UPDATE di.late SET id = 3 - id;
SELECT decoding.decoded('di', 'sources', 'di.nokey, di.late(id)');
ALTER TABLE di.late REPLICA IDENTITY FULL;
ALTER TABLE di.nokey REPLICA IDENTITY FULL;
UPDATE di.late SET id = 3 - id;
INSERT INTO di.nokey VALUES (1, 1), (1, 1), (1, 1);
DELETE FROM di.nokey WHERE ctid = (SELECT min(ctid) FROM di.nokey);
UPDATE di.nokey SET b = 2 WHERE ctid = (SELECT max(ctid) FROM di.nokey);
SELECT decoding.decoded('di', 'sources', 'di.nokey, di.late(id)');

SELECT count(*) FROM pg_drop_replication_slot('di');
DROP SCHEMA di CASCADE;
