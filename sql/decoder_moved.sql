-- Rows that come to a source and go without being written: LOST, and the reason.
SET synchronous_commit = on;
SET client_min_messages = warning;
CREATE SCHEMA dm;
CREATE TABLE dm.root (id int, k int) PARTITION BY LIST (k);
CREATE TABLE dm.p1 PARTITION OF dm.root FOR VALUES IN (1);
CREATE TABLE dm.full_p (id int, k int);
CREATE TABLE dm.sub (id int, k int) PARTITION BY LIST (id);
CREATE TABLE dm.sub1 PARTITION OF dm.sub DEFAULT;
CREATE TABLE dm.parent (a int);
CREATE TABLE dm.child (a int);
CREATE TABLE dm.other (a int);
CREATE TABLE dm.plain (a int);
INSERT INTO dm.full_p VALUES (2, 2);
INSERT INTO dm.sub VALUES (3, 3);
INSERT INTO dm.child VALUES (1);
SELECT count(*) FROM pg_create_logical_replication_slot('dm', 'pg_trickle_decoder');

-- partitions: new, attached, with one below, detached, dropped
CREATE TABLE dm.p4 PARTITION OF dm.root FOR VALUES IN (4);
INSERT INTO dm.root VALUES (4, 4);
SELECT decoding.decoded('dm', 'sources', 'dm.root');
ALTER TABLE dm.root ATTACH PARTITION dm.full_p FOR VALUES IN (2);
INSERT INTO dm.root VALUES (22, 2);
SELECT decoding.decoded('dm', 'sources', 'dm.root');
ALTER TABLE dm.root ATTACH PARTITION dm.sub FOR VALUES IN (3);
INSERT INTO dm.root VALUES (33, 3);
SELECT decoding.decoded('dm', 'sources', 'dm.root, dm.sub');
BEGIN;
INSERT INTO dm.root VALUES (5, 1);
ALTER TABLE dm.root DETACH PARTITION dm.full_p;
INSERT INTO dm.full_p VALUES (6, 2);
INSERT INTO dm.root VALUES (7, 1);
COMMIT;
INSERT INTO dm.full_p VALUES (8, 2);
SELECT decoding.decoded('dm', 'sources', 'dm.root');
DROP TABLE dm.p4;
SELECT decoding.decoded('dm', 'sources', 'dm.root');

-- made and attached in one transaction: only what was written before counts
BEGIN;
CREATE TABLE dm.p5 (id int, k int);
ALTER TABLE dm.root ATTACH PARTITION dm.p5 FOR VALUES IN (5);
INSERT INTO dm.root VALUES (50, 5);
COMMIT;
SELECT decoding.decoded('dm', 'sources', 'dm.root');
BEGIN;
CREATE TABLE dm.p6 (id int, k int);
INSERT INTO dm.p6 VALUES (60, 6);
ALTER TABLE dm.root ATTACH PARTITION dm.p6 FOR VALUES IN (6);
INSERT INTO dm.root VALUES (61, 6);
COMMIT;
SELECT decoding.decoded('dm', 'sources', 'dm.root');

-- children
ALTER TABLE dm.child INHERIT dm.parent;
INSERT INTO dm.child VALUES (2);
SELECT decoding.decoded('dm', 'sources', 'dm.parent');
ALTER TABLE dm.child NO INHERIT dm.parent;
INSERT INTO dm.child VALUES (3);
SELECT decoding.decoded('dm', 'sources', 'dm.parent');
BEGIN;
ALTER TABLE dm.child INHERIT dm.parent;
SAVEPOINT s;
ALTER TABLE dm.other INHERIT dm.parent;
ROLLBACK TO s;
ALTER TABLE dm.child NO INHERIT dm.parent;
COMMIT;
SELECT decoding.decoded('dm', 'sources', 'dm.parent');

-- out of the WAL and back
INSERT INTO dm.plain VALUES (1);
ALTER TABLE dm.plain SET UNLOGGED;
INSERT INTO dm.plain VALUES (2);
SELECT decoding.decoded('dm', 'sources', 'dm.plain');
ALTER TABLE dm.plain SET LOGGED;
INSERT INTO dm.plain VALUES (3);
SELECT decoding.decoded('dm', 'sources', 'dm.plain');

-- harmless: what alters the relations, and no row's place; the source itself goes
ALTER TABLE dm.root ADD c int;
CREATE INDEX ON dm.root (id);
ALTER TABLE dm.p1 RENAME TO p1_renamed;
ALTER TABLE dm.parent OWNER TO CURRENT_USER, SET (fillfactor = 50);
CREATE TABLE dm.made AS SELECT 1 AS a;
SELECT decoding.decoded('dm', 'sources', 'dm.root, dm.parent, dm.plain');
DROP TABLE dm.root, dm.parent CASCADE;
SELECT decoding.decoded('dm', 'sources', 'dm.root, dm.parent, dm.plain');
SELECT count(*) FROM pg_drop_replication_slot('dm');
DROP SCHEMA dm CASCADE;
