-- Nobody writes to a stream table, to state or to buffers but the engine:
-- superusers included, whatever the statement.
SET client_min_messages = warning;
CREATE SCHEMA guard;
SET search_path = guard;
CREATE TABLE orders (id int PRIMARY KEY, customer int, amount int);
INSERT INTO orders SELECT i, i % 3, i * 10 FROM generate_series(1, 9) i;
SELECT pgtrickle.create_stream_table('guard.totals',
    'SELECT customer, sum(amount) AS total FROM guard.orders GROUP BY customer',
    '1d', 'DIFFERENTIAL');

-- direct DML
INSERT INTO totals VALUES (7, 7);
INSERT INTO totals SELECT * FROM totals WHERE false;
INSERT INTO totals VALUES (7, 7) ON CONFLICT DO NOTHING;
UPDATE totals SET total = 0;
UPDATE totals SET total = 0 WHERE false;
DELETE FROM totals;
DELETE FROM totals USING orders;
MERGE INTO totals t USING orders o ON t.customer = o.customer WHEN MATCHED THEN DELETE;
WITH gone AS (DELETE FROM totals RETURNING *) SELECT * FROM gone;
WITH x AS (SELECT 1) INSERT INTO totals SELECT 1, 1 FROM x;
COPY totals FROM '/dev/null';
COPY totals (customer) FROM '/dev/null';
TRUNCATE totals;
TRUNCATE orders, totals;
EXPLAIN (ANALYZE, COSTS off) DELETE FROM totals;
EXPLAIN (COSTS off) DELETE FROM totals;
PREPARE p AS DELETE FROM totals;
EXECUTE p;
DO $$ BEGIN DELETE FROM guard.totals; END $$;

-- through something else
CREATE VIEW over_totals AS SELECT * FROM totals;
UPDATE over_totals SET total = 0;
CREATE TABLE elsewhere (customer int);
CREATE RULE r AS ON INSERT TO elsewhere DO ALSO DELETE FROM guard.totals;
INSERT INTO elsewhere VALUES (1);
DROP TABLE elsewhere;
CREATE TABLE customers (id int PRIMARY KEY);
INSERT INTO customers VALUES (0), (1), (2);
ALTER TABLE totals ADD FOREIGN KEY (customer) REFERENCES customers ON DELETE CASCADE;
DELETE FROM customers;
TRUNCATE customers CASCADE;
ALTER TABLE totals DROP CONSTRAINT totals_customer_fkey;
DROP TABLE customers;

-- session settings of a superuser do not help
SET session_replication_role = replica;
DELETE FROM totals;
RESET session_replication_role;
SET row_security = off;
DELETE FROM totals;
RESET row_security;

-- buffers and state tables
SELECT relname ~ '^changes_' AS named FROM pg_class
 WHERE relnamespace = 'pgtrickle_changes'::regnamespace AND relkind = 'r' ORDER BY relname LIMIT 1;
DO $$
DECLARE
    t regclass;
BEGIN
    FOR t IN SELECT oid FROM pg_class
              WHERE relnamespace IN ('pgtrickle_changes'::regnamespace, 'pgtrickle_state'::regnamespace)
                AND relkind = 'r'
    LOOP
        BEGIN
            EXECUTE format('DELETE FROM %s', t);
            RAISE EXCEPTION 'DELETE FROM % passed', t;
        EXCEPTION WHEN insufficient_privilege THEN NULL;
        END;
        BEGIN
            EXECUTE format('TRUNCATE %s', t);
            RAISE EXCEPTION 'TRUNCATE % passed', t;
        EXCEPTION WHEN insufficient_privilege THEN NULL;
        END;
        BEGIN
            EXECUTE format('ALTER TABLE %s ADD COLUMN x int', t);
            RAISE EXCEPTION 'ALTER TABLE % passed', t;
        EXCEPTION WHEN insufficient_privilege THEN NULL;
        END;
        BEGIN
            EXECUTE format('DROP TABLE %s', t);
            RAISE EXCEPTION 'DROP TABLE % passed', t;
        EXCEPTION WHEN dependent_objects_still_exist THEN NULL;
        END;
    END LOOP;
END $$;

-- reading and locking rows is fine
SELECT * FROM totals ORDER BY customer FOR UPDATE;
SELECT * FROM totals ORDER BY customer FOR KEY SHARE;
BEGIN;
LOCK TABLE totals IN SHARE MODE;
COMMIT;
COPY (SELECT * FROM totals ORDER BY 1) TO stdout;

-- nothing was changed by all that, and refreshes pass
SELECT count(*) FROM orders;
INSERT INTO orders VALUES (10, 0, 1);
SELECT action, rows_inserted, rows_deleted FROM pgtrickle.refresh_stream_table('guard.totals');
TABLE totals ORDER BY customer;

-- the same after errors: nothing of the engine's licence is left behind
BEGIN;
SAVEPOINT s;
SELECT pgtrickle.refresh_stream_table('guard.nonsense');
ROLLBACK TO s;
DELETE FROM totals;
ROLLBACK;

-- a stream table stays what it is
ALTER TABLE totals ADD COLUMN x int;
ALTER TABLE totals DROP COLUMN total;
ALTER TABLE totals ALTER COLUMN total TYPE int;
ALTER TABLE totals RENAME COLUMN total TO sum;
ALTER TABLE totals SET UNLOGGED;
CREATE TABLE child () INHERITS (totals);
CREATE TABLE child (customer int, total bigint);
ALTER TABLE child INHERIT totals;
ALTER TABLE totals INHERIT child;
DROP TABLE child;
CREATE TABLE parted (customer int, total bigint) PARTITION BY LIST (customer);
ALTER TABLE parted ATTACH PARTITION totals DEFAULT;
DROP TABLE parted;
CREATE RULE r AS ON INSERT TO totals DO INSTEAD NOTHING;
DO $$
DECLARE
    i regclass;
BEGIN
    SELECT indexrelid INTO i FROM pg_index WHERE indrelid = 'guard.totals'::regclass;
    EXECUTE format('DROP INDEX %s', i);
    RAISE EXCEPTION 'DROP INDEX passed';
EXCEPTION WHEN dependent_objects_still_exist THEN
    RAISE WARNING '%', regexp_replace(SQLERRM, '"[^"]*"', '"..."');
END $$;

-- what its owner may do with it as with any table
CREATE INDEX totals_by_total ON totals (total);
COMMENT ON TABLE totals IS 'by customer';
COMMENT ON COLUMN totals.total IS 'sum';
ALTER TABLE totals ALTER COLUMN total SET STATISTICS 500;
ALTER TABLE totals SET (fillfactor = 70);
ALTER TABLE totals CLUSTER ON totals_by_total;
CLUSTER totals;
DROP INDEX totals_by_total;
GRANT SELECT ON totals TO PUBLIC;
ALTER TABLE totals ENABLE ROW LEVEL SECURITY;
CREATE POLICY everybody ON totals USING (true);
DROP POLICY everybody ON totals;
ALTER TABLE totals DISABLE ROW LEVEL SECURITY;
CREATE STATISTICS totals_stats ON customer, total FROM totals;
ANALYZE totals;
VACUUM FULL totals;
REINDEX TABLE totals;
CREATE FUNCTION seen() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE WARNING '% %', TG_OP, coalesce(new, old); RETURN NULL; END $$;
CREATE TRIGGER seen AFTER INSERT OR UPDATE OR DELETE ON totals FOR EACH ROW EXECUTE FUNCTION seen();
INSERT INTO orders VALUES (11, 1, 1);
SELECT action, rows_inserted, rows_deleted FROM pgtrickle.refresh_stream_table('guard.totals');

-- renaming the extension's schemas would hide its tables
ALTER SCHEMA pgtrickle RENAME TO mine;

RESET search_path;
SET client_min_messages = error;
DROP SCHEMA guard CASCADE;
SELECT count(*) FROM pgtrickle.pgt_definitions WHERE st_schema = 'guard';
