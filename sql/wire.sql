-- The reader of change batches believes nothing: batches whose bytes were
-- changed are either still well-formed or refused with 08P01, and nothing
-- crashes.  Batches come from the output plugin here.
SET synchronous_commit = on;
CREATE FUNCTION change_batch_lines(batch bytea) RETURNS SETOF text
    LANGUAGE C STRICT AS 'pg_trickle', 'pgt_change_batch_lines';
-- reads, but prints nothing: what is inside a value is its type's business
CREATE FUNCTION change_batch_check(batch bytea) RETURNS bigint
    LANGUAGE C STRICT AS 'pg_trickle', 'pgt_change_batch_check';

CREATE TABLE wire_t (id int PRIMARY KEY, b bool, s int2, n numeric, t text, c "char", d float8, a int[], u uuid);
ALTER TABLE wire_t REPLICA IDENTITY FULL;
SELECT count(*) FROM pg_create_logical_replication_slot('wire', 'pg_trickle_decoder');
INSERT INTO wire_t VALUES
    (1, true, 2, 3.5, 'text', 'c', 0.25, '{1,2,3}', '00000000-0000-0000-0000-000000000001'),
    (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    (3, false, -1, 1e100, repeat('long ', 100), 'x', '-Infinity', '{}', NULL);
UPDATE wire_t SET t = t || '!' WHERE id <> 2;
DELETE FROM wire_t WHERE id = 2;
TRUNCATE wire_t;
CREATE TABLE wire_batches AS
    SELECT row_number() OVER () AS n, data
      FROM pg_logical_slot_get_binary_changes('wire', NULL, NULL, 'sources', 'public.wire_t');
SELECT count(*) FROM pg_drop_replication_slot('wire');
SELECT n, left(l, 90) AS line FROM wire_batches, change_batch_lines(data) l ORDER BY n;

-- every way to be cut short
DO $$
DECLARE
    batch bytea;
    refused int := 0;
    cuts int := 0;
BEGIN
    FOR batch IN SELECT data FROM wire_batches LOOP
        FOR i IN 0 .. length(batch) - 1 LOOP
            cuts := cuts + 1;
            BEGIN
                PERFORM change_batch_check(substr(batch, 1, i));
            EXCEPTION WHEN protocol_violation THEN
                refused := refused + 1;
            END;
        END LOOP;
    END LOOP;
    RAISE NOTICE 'all refused: %', cuts = refused;
END $$;

-- bytes too many, wrong magic, version, reserved bits, flags that deny changes
\set VERBOSITY sqlstate
SELECT change_batch_lines(data || '\x00') FROM wire_batches WHERE n = 1;
\set VERBOSITY default
SELECT change_batch_lines(set_byte(data, 0, 0)) FROM wire_batches WHERE n = 1;
SELECT change_batch_lines(set_byte(data, 4, 2)) FROM wire_batches WHERE n = 1;
SELECT change_batch_lines(set_byte(data, 6, 8)) FROM wire_batches WHERE n = 1;
SELECT change_batch_lines(set_byte(data, 38, 1)) FROM wire_batches WHERE n = 1;
SELECT change_batch_lines(set_byte(data, 6, 0)) FROM wire_batches WHERE n = 2;
SELECT change_batch_lines(set_byte(data, 16, get_byte(data, 16) # 1)) FROM wire_batches WHERE n = 1;

-- random bytes at random places
DO $$
DECLARE
    batch bytea;
    mutant bytea;
    place int;
    accepted int := 0;
    refused int := 0;
    other text[] := '{}';
BEGIN
    PERFORM setseed(0.42);
    FOR round IN 1 .. 20000 LOOP
        SELECT data INTO batch FROM wire_batches WHERE n = 1 + round % 3;
        mutant := batch;
        FOR i IN 1 .. 1 + (random() * 3)::int LOOP
            -- not source, signature and columns: they say what the bytes are
            LOOP
                place := floor(random() * length(mutant));
                EXIT WHEN place NOT BETWEEN 16 AND 23 AND place NOT BETWEEN 28 AND 31
                      AND place NOT BETWEEN 36 AND 57;
            END LOOP;
            mutant := set_byte(mutant, place, floor(random() * 256)::int);
        END LOOP;
        BEGIN
            PERFORM change_batch_check(mutant);
            accepted := accepted + 1;
        EXCEPTION
            WHEN protocol_violation THEN
                refused := refused + 1;
            WHEN OTHERS THEN
                other := other || (SQLSTATE || ' ' || SQLERRM);
        END;
    END LOOP;
    RAISE NOTICE 'other errors: %', other;
    RAISE NOTICE 'accepted some: %, refused many: %', accepted > 100, refused > 100;
END $$;
DROP TABLE wire_batches, wire_t;
DROP FUNCTION change_batch_lines, change_batch_check;
