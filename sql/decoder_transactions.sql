-- Transactions: what survives of them, once, at their commit.
SET synchronous_commit = on;
SET client_min_messages = warning;
CREATE SCHEMA dx;
CREATE TABLE dx.t (id int PRIMARY KEY, v text);
ALTER TABLE dx.t REPLICA IDENTITY FULL;
CREATE TABLE dx.u (id int);
SELECT count(*) FROM pg_create_logical_replication_slot('dx', 'pg_trickle_decoder');

-- savepoints, nested; PL/pgSQL exception blocks
BEGIN;
INSERT INTO dx.t VALUES (1, 'kept');
SAVEPOINT a;
INSERT INTO dx.t VALUES (2, 'undone with a');
SAVEPOINT b;
INSERT INTO dx.t VALUES (3, 'released into a');
RELEASE b;
ROLLBACK TO a;
INSERT INTO dx.t VALUES (4, 'kept');
SAVEPOINT c;
UPDATE dx.t SET v = 'updated' WHERE id = 1;
RELEASE c;
COMMIT;
DO $$ BEGIN
    FOR i IN 10 .. 15 LOOP
        BEGIN
            INSERT INTO dx.t VALUES (i, 'loop');
            IF i % 2 = 0 THEN RAISE EXCEPTION 'even'; END IF;
        EXCEPTION WHEN raise_exception THEN NULL;
        END;
    END LOOP;
END $$;
SELECT decoding.decoded('dx', 'sources', 'dx.t');
-- more sub-transactions than a process keeps in shared memory
DO $$ BEGIN
    FOR i IN 100 .. 299 LOOP
        BEGIN
            INSERT INTO dx.t VALUES (i, 'sub');
            IF i % 10 = 0 THEN RAISE EXCEPTION 'tenth'; END IF;
        EXCEPTION WHEN raise_exception THEN NULL;
        END;
    END LOOP;
END $$;
SELECT count(*), count(DISTINCT l), min(l), max(l) FROM decoding.decoded('dx', 'sources', 'dx.t') l;

-- one row several times; there and back; gone within the transaction
BEGIN;
INSERT INTO dx.t VALUES (20, 'a');
UPDATE dx.t SET v = 'b' WHERE id = 20;
UPDATE dx.t SET v = 'a' WHERE id = 20;
DELETE FROM dx.t WHERE id = 20;
INSERT INTO dx.t VALUES (20, 'again');
COMMIT;
UPDATE dx.t SET id = id + 60 WHERE id IN (4, 20);
UPDATE dx.t SET v = v WHERE id < 30;
SELECT decoding.decoded('dx', 'sources', 'dx.t');

-- rolled back, whole
BEGIN;
INSERT INTO dx.t SELECT 1000 + i FROM generate_series(1, 1000) i;
ROLLBACK;
SELECT decoding.decoded('dx', 'sources', 'dx.t');

-- larger than decoding memory: spilled, never streamed
SET logical_decoding_work_mem = '64kB';
BEGIN;
INSERT INTO dx.t SELECT 10000 + i, repeat('x', 20) FROM generate_series(1, 5000) i;
SAVEPOINT s;
INSERT INTO dx.t SELECT 20000 + i, repeat('y', 20) FROM generate_series(1, 5000) i;
ROLLBACK TO s;
INSERT INTO dx.u VALUES (1);
UPDATE dx.t SET v = repeat('z', 20) WHERE id BETWEEN 10001 AND 10010;
DELETE FROM dx.t WHERE id BETWEEN 10001 AND 10020;
COMMIT;
SELECT split_part(l, ' ', 1), count(*), count(DISTINCT l) FROM decoding.decoded('dx', 'sources', 'dx.t, dx.u') l GROUP BY 1 ORDER BY 1;
SELECT spill_txns > 0 AS spilled, stream_txns FROM pg_stat_replication_slots WHERE slot_name = 'dx';
RESET logical_decoding_work_mem;

-- prepared: with COMMIT PREPARED, in the order of commits
BEGIN;
INSERT INTO dx.t VALUES (30, 'prepared');
PREPARE TRANSACTION 'dx_1';
BEGIN;
INSERT INTO dx.t VALUES (31, 'given up');
PREPARE TRANSACTION 'dx_2';
INSERT INTO dx.t VALUES (32, 'between');
SELECT decoding.decoded('dx', 'sources', 'dx.t');
ROLLBACK PREPARED 'dx_2';
INSERT INTO dx.t VALUES (33, 'after');
COMMIT PREPARED 'dx_1';
SELECT decoding.decoded('dx', 'sources', 'dx.t');
-- the same with a slot made for two-phase commit: it says nothing sooner
SELECT count(*) FROM pg_create_logical_replication_slot('dx2', 'pg_trickle_decoder', false, true);
BEGIN;
INSERT INTO dx.t VALUES (34, 'prepared');
PREPARE TRANSACTION 'dx_3';
SELECT decoding.decoded('dx2', 'sources', 'dx.t');
COMMIT PREPARED 'dx_3';
SELECT decoding.decoded('dx2', 'sources', 'dx.t');
SELECT count(*) FROM pg_drop_replication_slot('dx2');
SELECT decoding.decoded('dx', 'sources', 'dx.t');

-- speculative insertions: what ON CONFLICT did, not what it tried
INSERT INTO dx.t VALUES (40, 'first') ON CONFLICT DO NOTHING;
INSERT INTO dx.t VALUES (40, 'second') ON CONFLICT DO NOTHING;
INSERT INTO dx.t VALUES (40, 'third'), (41, 'new') ON CONFLICT (id) DO UPDATE SET v = excluded.v;
INSERT INTO dx.t VALUES (40, 'fourth') ON CONFLICT (id) DO UPDATE SET v = excluded.v WHERE t.v = 'no';
SELECT decoding.decoded('dx', 'sources', 'dx.t');

-- COPY, with and without FREEZE; MERGE; a trigger that changes the row, a cascade
COPY dx.t FROM stdin;
50	copied
51	copied
\.
BEGIN;
CREATE TABLE dx.frozen (id int);
COPY dx.frozen FROM stdin WITH (FREEZE);
1
2
\.
COMMIT;
CREATE FUNCTION dx.shout() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF new.v = 'drop me' THEN RETURN NULL; END IF;
    new.v := upper(new.v);
    RETURN new;
END $$;
CREATE TRIGGER shout BEFORE INSERT OR UPDATE ON dx.t FOR EACH ROW EXECUTE FUNCTION dx.shout();
MERGE INTO dx.t USING (VALUES (50, 'merged'), (51, NULL), (52, 'merged'), (53, 'drop me')) s(id, v) ON s.id = t.id
    WHEN MATCHED AND s.v IS NULL THEN DELETE
    WHEN MATCHED THEN UPDATE SET v = s.v
    WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.v);
DROP TRIGGER shout ON dx.t;
CREATE TABLE dx.child (t int REFERENCES dx.t ON DELETE CASCADE ON UPDATE CASCADE);
ALTER TABLE dx.child REPLICA IDENTITY FULL;
INSERT INTO dx.child VALUES (50), (52);
UPDATE dx.t SET id = 54 WHERE id = 50;
DELETE FROM dx.t WHERE id = 52;
SET session_replication_role = replica;
INSERT INTO dx.child VALUES (99);
RESET session_replication_role;
SELECT decoding.decoded('dx', 'sources', 'dx.t, dx.frozen, dx.child');

-- messages, sequences, unlogged and temporary tables: nothing
SELECT pg_logical_emit_message(false, 'p', 'text') IS NULL, pg_logical_emit_message(true, 'p', 'text') IS NULL;
CREATE UNLOGGED TABLE dx.unlogged (id int);
INSERT INTO dx.unlogged VALUES (1);
CREATE TEMP TABLE temporary_t (id int);
INSERT INTO temporary_t VALUES (1);
CREATE SEQUENCE dx.s;
SELECT nextval('dx.s');
SELECT decoding.decoded('dx', 'sources', 'dx.t, dx.unlogged');
SELECT count(*) FROM pg_drop_replication_slot('dx');
DROP SCHEMA dx CASCADE;
DROP TABLE temporary_t;
