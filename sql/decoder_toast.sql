-- Values stored out of line: a TOAST pointer never leaves the decoder.
SET synchronous_commit = on;
SET client_min_messages = warning;
CREATE SCHEMA dt;
CREATE TABLE dt.t (id int PRIMARY KEY, n int, outside text, packed text);
ALTER TABLE dt.t ALTER outside SET STORAGE EXTERNAL, REPLICA IDENTITY FULL;
CREATE TABLE dt.k (key text PRIMARY KEY, n int, body text);
ALTER TABLE dt.k ALTER key SET STORAGE EXTERNAL, ALTER body SET STORAGE EXTERNAL;
SELECT count(*) FROM pg_create_logical_replication_slot('dt', 'pg_trickle_decoder');

-- what came, with long values as their length and hash
CREATE FUNCTION dt.decoded(VARIADIC options text[]) RETURNS SETOF text LANGUAGE sql SET synchronous_commit = on AS $$
    SELECT regexp_replace(replace(replace(replace(l,
               repeat('a', 3000), '<3000 a>'), repeat('xyz', 10000), '<10000 xyz>'), repeat('k', 2200), '<2200 k>'), 'b{50,}', '<b>', 'g')
      FROM pg_logical_slot_get_binary_changes('dt', NULL, NULL, VARIADIC options) WITH ORDINALITY m(lsn, xid, data, n),
           decoding.change_batch_lines(data) WITH ORDINALITY l(l, k)
     ORDER BY n, k;
$$;

-- inserted; left alone; changed; removed; NULL
INSERT INTO dt.t VALUES (1, 1, repeat('a', 3000), repeat('xyz', 10000));
UPDATE dt.t SET n = 2;
UPDATE dt.t SET id = 10;
UPDATE dt.t SET packed = NULL;
UPDATE dt.t SET outside = outside || '!', packed = repeat('xyz', 10000);
UPDATE dt.t SET outside = outside;
UPDATE dt.t SET outside = NULL;
DELETE FROM dt.t;
SELECT dt.decoded('sources', 'dt.t');

-- columns that are not carried do not matter
INSERT INTO dt.t VALUES (2, 1, repeat('a', 3000), 'short');
UPDATE dt.t SET outside = 'other';
UPDATE dt.t SET n = 3;
SELECT dt.decoded('sources', 'dt.t(id, n)');

-- many versions in one transaction, of one row and of many
BEGIN;
INSERT INTO dt.t SELECT i, 0, repeat('a', 3000), i::text FROM generate_series(100, 102) i;
UPDATE dt.t SET n = n + 1 WHERE id >= 100;
SAVEPOINT s;
UPDATE dt.t SET outside = 'undone' WHERE id >= 100;
ROLLBACK TO s;
UPDATE dt.t SET n = n + 1 WHERE id = 101;
DELETE FROM dt.t WHERE id = 102;
COMMIT;
SELECT dt.decoded('sources', 'dt.t');

-- a value out of line within the identity
INSERT INTO dt.k VALUES (repeat('k', 2200), 1, repeat('a', 3000));
UPDATE dt.k SET n = 2;
UPDATE dt.k SET key = key || 'ey';
DELETE FROM dt.k;
SELECT dt.decoded('sources', 'dt.k(key)');

-- without the old row the value is nowhere: lost, not guessed
INSERT INTO dt.k VALUES ('k', 1, repeat('a', 3000));
UPDATE dt.k SET n = 2;
SELECT dt.decoded('sources', 'dt.k');
ALTER TABLE dt.k REPLICA IDENTITY FULL;
UPDATE dt.k SET n = 3;
SELECT dt.decoded('sources', 'dt.k');

-- compressed in line
INSERT INTO dt.t VALUES (3, 1, NULL, repeat('b', 9000));
UPDATE dt.t SET n = 4 WHERE id = 3;
SELECT dt.decoded('sources', 'dt.t');
SELECT count(*) FROM pg_drop_replication_slot('dt');
DROP SCHEMA dt CASCADE;
