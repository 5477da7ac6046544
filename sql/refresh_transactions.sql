-- Refreshes and writes in one transaction: each change absorbed exactly once.
CREATE SCHEMA refresh_transactions;
SET search_path = refresh_transactions, public;
SET pg_trickle.stream_table_schema = '';
SET client_min_messages = warning;

CREATE TABLE t (id int PRIMARY KEY, g int, v numeric);
CREATE FUNCTION wrong() RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT count(*) FROM (TABLE st EXCEPT ALL SELECT g, count(*), sum(v) FROM t GROUP BY g) a)
         + (SELECT count(*) FROM (SELECT g, count(*), sum(v) FROM t GROUP BY g EXCEPT ALL TABLE st) b);
END $$;

-- insert, create, insert: all of it, once
BEGIN;
INSERT INTO t VALUES (1, 1, 1);
SELECT pgtrickle.create_stream_table('st', 'SELECT g, count(*) AS n, sum(v) AS s FROM t GROUP BY g');
INSERT INTO t VALUES (2, 1, 1);
COMMIT;
SELECT action FROM pgtrickle.refresh_stream_table('st');
SELECT * FROM st;

-- refreshes between writes of one transaction
BEGIN;
INSERT INTO t VALUES (3, 1, 1);
SELECT action FROM pgtrickle.refresh_stream_table('st');
SELECT wrong();
INSERT INTO t VALUES (4, 2, 1);
UPDATE t SET g = 2 WHERE id = 3;
SELECT action FROM pgtrickle.refresh_stream_table('st');
SELECT wrong();
DELETE FROM t WHERE id = 4;
COMMIT;
SELECT action FROM pgtrickle.refresh_stream_table('st');
SELECT wrong();
SELECT action FROM pgtrickle.refresh_stream_table('st');

-- savepoints: what is rolled back was never there
BEGIN;
INSERT INTO t VALUES (10, 3, 1);
SAVEPOINT a;
INSERT INTO t VALUES (11, 3, 1);
SELECT action FROM pgtrickle.refresh_stream_table('st');
ROLLBACK TO a;
SELECT action FROM pgtrickle.refresh_stream_table('st');
SELECT wrong();
SAVEPOINT b;
INSERT INTO t VALUES (12, 3, 1);
RELEASE b;
ROLLBACK TO a;
INSERT INTO t VALUES (13, 3, 1);
COMMIT;
SELECT action FROM pgtrickle.refresh_stream_table('st');
SELECT wrong();

-- a refresh that is rolled back happens again
BEGIN;
INSERT INTO t VALUES (20, 4, 1);
SELECT action FROM pgtrickle.refresh_stream_table('st');
ROLLBACK;
INSERT INTO t VALUES (21, 4, 1);
SELECT action FROM pgtrickle.refresh_stream_table('st');
SELECT wrong();

-- REPEATABLE READ: the fill is left to the scheduler
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT pgtrickle.create_stream_table('rr', 'SELECT id FROM t');
SELECT count(*) FROM rr;
COMMIT;
SELECT action, rows_inserted FROM pgtrickle.refresh_stream_table('rr');
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO t VALUES (30, 5, 1);
SELECT action, rows_inserted FROM pgtrickle.refresh_stream_table('rr');
COMMIT;
SELECT action FROM pgtrickle.refresh_stream_table('rr');

-- truncate, in every order
BEGIN; TRUNCATE t; INSERT INTO t VALUES (1, 1, 1); COMMIT;
SELECT action FROM pgtrickle.refresh_stream_table('st');
SELECT wrong();
BEGIN; INSERT INTO t VALUES (2, 1, 1); TRUNCATE t; COMMIT;
SELECT action FROM pgtrickle.refresh_stream_table('st');
SELECT wrong();
BEGIN; TRUNCATE t; ROLLBACK;
INSERT INTO t VALUES (3, 1, 1.5);
SELECT action FROM pgtrickle.refresh_stream_table('st');
SELECT wrong();

-- a chain in one transaction
SELECT pgtrickle.create_stream_table('chain', 'SELECT count(*) AS groups, sum(n) AS n FROM st');
BEGIN;
INSERT INTO t VALUES (40, 7, 1);
SELECT action FROM pgtrickle.refresh_stream_table('st');
SELECT action FROM pgtrickle.refresh_stream_table('chain');
SELECT * FROM chain;
INSERT INTO t VALUES (41, 8, 1);
SELECT action FROM pgtrickle.refresh_stream_table('st');
COMMIT;
SELECT action FROM pgtrickle.refresh_stream_table('chain');
SELECT * FROM chain;

-- an error that appears and is repaired
SELECT pgtrickle.create_stream_table('ratio', 'SELECT id, 100 / (v - 9) AS q FROM t');
INSERT INTO t VALUES (50, 1, 9), (51, 1, 10);
SELECT action FROM pgtrickle.refresh_stream_table('ratio');
SELECT count(*) FROM ratio WHERE id >= 50;
SELECT action FROM pgtrickle.refresh_stream_table('st');
SELECT wrong();
DELETE FROM t WHERE id = 50;
SELECT action FROM pgtrickle.refresh_stream_table('ratio');
TABLE ratio EXCEPT ALL SELECT id, 100 / (v - 9) FROM t;

-- a pair that never existed together must not fail the refresh
CREATE TABLE num (k int, a int);
CREATE TABLE den (k int, b int);
INSERT INTO num VALUES (1, 10);
INSERT INTO den VALUES (2, 0);
SELECT pgtrickle.create_stream_table('quotient', 'SELECT a / b AS q FROM num JOIN den USING (k)', refresh_mode => 'DIFFERENTIAL');
BEGIN; DELETE FROM den; INSERT INTO den VALUES (2, 5); INSERT INTO num VALUES (2, 50); COMMIT;
SELECT action FROM pgtrickle.refresh_stream_table('quotient');
SELECT * FROM quotient;

-- in the middle of a statement its changes are not captured yet
CREATE TABLE busy (id int, other int) PARTITION BY RANGE (id);
CREATE TABLE busy_low PARTITION OF busy FOR VALUES FROM (0) TO (100);
SELECT pgtrickle.create_stream_table('of_busy', 'SELECT id FROM busy', refresh_mode => 'DIFFERENTIAL');
CREATE FUNCTION refresh_busy() RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pgtrickle.refresh_stream_table('of_busy', 'FULL');
	RETURN 7;
END $$;
CREATE FUNCTION refresh_after() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM refresh_busy();
	RETURN NULL;
END $$;
\set VERBOSITY terse
INSERT INTO busy SELECT i, CASE i WHEN 3 THEN refresh_busy() END FROM generate_series(1, 3) i;
CREATE TRIGGER a_row AFTER INSERT ON busy FOR EACH ROW EXECUTE FUNCTION refresh_after();
INSERT INTO busy VALUES (4);
INSERT INTO busy_low VALUES (4);
COPY busy FROM stdin WITH (DELIMITER ',');
5,5
\.
DROP TRIGGER a_row ON busy;
CREATE CONSTRAINT TRIGGER later AFTER INSERT ON busy_low DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION refresh_after();
INSERT INTO busy VALUES (6), (7);
\set VERBOSITY default
SELECT action FROM pgtrickle.refresh_stream_table('of_busy');
SELECT * FROM of_busy ORDER BY id;

-- read-only transactions cannot refresh
BEGIN READ ONLY;
SELECT pgtrickle.refresh_stream_table('st');
ROLLBACK;
DROP SCHEMA refresh_transactions CASCADE;
