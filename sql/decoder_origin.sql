-- What came by replication is decoded, or left out where asked for.
SET synchronous_commit = on;
SET client_min_messages = warning;
CREATE SCHEMA dor;
CREATE TABLE dor.t (id int);
SELECT pg_replication_origin_create('dor_origin') > 0;
SELECT count(*) FROM pg_create_logical_replication_slot('dor', 'pg_trickle_decoder');
INSERT INTO dor.t VALUES (1);
SELECT pg_replication_origin_session_setup('dor_origin');
INSERT INTO dor.t VALUES (2);
-- rows made here, in a transaction that is marked at its end only
SELECT pg_replication_origin_session_reset();
BEGIN;
INSERT INTO dor.t VALUES (3);
SELECT pg_replication_origin_session_setup('dor_origin');
INSERT INTO dor.t VALUES (4);
COMMIT;
SELECT pg_replication_origin_session_reset();
INSERT INTO dor.t VALUES (5);
SELECT l FROM pg_logical_slot_peek_binary_changes('dor', NULL, NULL, 'sources', 'dor.t', 'origin', 'any'),
       decoding.change_batch_lines(data) l;
SELECT decoding.decoded('dor', 'sources', 'dor.t', 'origin', 'none');
SELECT count(*) FROM pg_drop_replication_slot('dor');
SELECT pg_replication_origin_drop('dor_origin');
DROP SCHEMA dor CASCADE;
