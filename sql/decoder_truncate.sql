-- TRUNCATE comes at its place among the changes of its transaction.
SET synchronous_commit = on;
SET client_min_messages = warning;
CREATE SCHEMA dtr;
CREATE TABLE dtr.a (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text);
CREATE TABLE dtr.b (id int REFERENCES dtr.a);
CREATE TABLE dtr.other (id int);
CREATE TABLE dtr.parent (id int);
CREATE TABLE dtr.child () INHERITS (dtr.parent);
SELECT count(*) FROM pg_create_logical_replication_slot('dtr', 'pg_trickle_decoder');

-- alone; with rows before and after; several times
TRUNCATE dtr.a CASCADE;
SELECT decoding.decoded('dtr', 'sources', 'dtr.a, dtr.b');
BEGIN;
INSERT INTO dtr.a (v) VALUES ('before');
TRUNCATE dtr.a RESTART IDENTITY CASCADE;
INSERT INTO dtr.a (v) VALUES ('between');
INSERT INTO dtr.b VALUES (1);
TRUNCATE dtr.a CASCADE;
INSERT INTO dtr.a (v) VALUES ('after');
COMMIT;
SELECT decoding.decoded('dtr', 'sources', 'dtr.a');
-- CASCADE reaches a table that alone is wanted
INSERT INTO dtr.b SELECT id FROM dtr.a;
TRUNCATE dtr.a CASCADE;
SELECT decoding.decoded('dtr', 'sources', 'dtr.b');
-- several tables, wanted and not; with and without ONLY
TRUNCATE dtr.other, dtr.a, dtr.b;
TRUNCATE ONLY dtr.parent;
TRUNCATE dtr.child;
TRUNCATE dtr.parent;
TRUNCATE dtr.other;
SELECT decoding.decoded('dtr', 'sources', 'dtr.a, dtr.parent');
-- rolled back, whole or to a savepoint
BEGIN;
TRUNCATE dtr.parent;
ROLLBACK;
BEGIN;
INSERT INTO dtr.parent VALUES (1);
SAVEPOINT s;
TRUNCATE dtr.parent;
ROLLBACK TO s;
INSERT INTO dtr.parent VALUES (2);
COMMIT;
SELECT decoding.decoded('dtr', 'sources', 'dtr.parent');
-- a table made, filled and emptied within the transaction, and filled again
BEGIN;
CREATE TABLE dtr.fresh (id int);
INSERT INTO dtr.fresh VALUES (1);
TRUNCATE dtr.fresh;
INSERT INTO dtr.fresh VALUES (2);
COMMIT;
SELECT decoding.decoded('dtr', 'sources', 'dtr.fresh');
SELECT count(*) FROM pg_drop_replication_slot('dtr');
DROP SCHEMA dtr CASCADE;
