-- pg_trickle_pgivm: what a user of pg_ivm types.
-- not beside the real one
BEGIN;
SET LOCAL allow_system_table_mods = on;
INSERT INTO pg_extension SELECT 1, 'pg_ivm', extowner, extnamespace, false, '1.11' FROM pg_extension WHERE extname = 'pg_trickle';
\set SHOW_CONTEXT never
CREATE EXTENSION pg_trickle_pgivm;
\set SHOW_CONTEXT errors
ROLLBACK;
CREATE EXTENSION pg_trickle_pgivm;
CREATE SCHEMA ivm;
CREATE SCHEMA other;
SET search_path = ivm, other, public;
CREATE TABLE accounts (aid int PRIMARY KEY, bid int, balance int);
CREATE TABLE branches (bid int PRIMARY KEY, city text);
INSERT INTO accounts SELECT i, i % 3, i * 10 FROM generate_series(1, 12) i;
INSERT INTO branches VALUES (0, 'A'), (1, 'B'), (2, 'C');
-- results and notices: a key of the output is indexed, as pg_ivm does
SELECT pgivm.create_immv('by_branch', 'SELECT bid, count(*), sum(balance), avg(balance) FROM accounts GROUP BY bid');
SELECT pgivm.create_immv('cities', 'SELECT DISTINCT bid FROM accounts;');
SELECT pgivm.create_immv('other.with_key', 'SELECT a.aid, b.bid, b.city FROM accounts a JOIN branches b ON a.bid = b.bid');
SELECT pgivm.create_immv('no_key', 'SELECT city FROM accounts JOIN branches USING (bid)');
SELECT pgivm.create_immv('named(branch, "How many")', 'SELECT bid, count(*) FROM accounts GROUP BY bid');
SELECT * FROM named ORDER BY 1;
SELECT immvrelid, ispopulated, viewdef FROM pgivm.pg_ivm_immv ORDER BY immvrelid::text;
SELECT pgivm.get_immv_def('by_branch'), pgivm.get_immv_def('accounts') IS NULL AS none;
-- maintained at once, inside the transaction
INSERT INTO accounts VALUES (13, 2, 1000);
SELECT * FROM by_branch ORDER BY 1;
BEGIN; DELETE FROM accounts WHERE bid = 1; SELECT * FROM cities ORDER BY 1; ROLLBACK;
SELECT * FROM cities ORDER BY 1;
UPDATE branches SET city = 'D' WHERE bid = 1;
SELECT city, count(*) FROM no_key GROUP BY city ORDER BY 1;
TRUNCATE accounts;
SELECT count(*) FROM other.with_key;
INSERT INTO accounts SELECT i, i % 3, i * 10 FROM generate_series(1, 12) i;
-- refresh: with data, without, and back
SELECT pgivm.refresh_immv('by_branch', true);
SELECT pgivm.refresh_immv('by_branch', false);
SELECT immvrelid, ispopulated FROM pgivm.pg_ivm_immv WHERE immvrelid = 'by_branch'::regclass;
INSERT INTO accounts VALUES (14, 0, 1);
SELECT count(*) FROM by_branch;
SELECT pgivm.refresh_immv('by_branch', true);
INSERT INTO accounts VALUES (15, 0, 1);
SELECT * FROM by_branch ORDER BY 1;
-- what is refused
SELECT pgivm.create_immv('by_branch', 'SELECT bid FROM accounts');
SELECT pgivm.create_immv('v', 'SELECT bid, random() FROM accounts');
SELECT pgivm.create_immv('v', 'INSERT INTO accounts VALUES (1)');
SELECT pgivm.create_immv(NULL, 'SELECT bid FROM accounts');
SELECT pgivm.refresh_immv('accounts', true);
SELECT pgivm.refresh_immv('missing', true);
INSERT INTO by_branch VALUES (1, 1, 1, 1);
-- ALTER TABLE and DROP TABLE on the result
ALTER TABLE by_branch RENAME TO totals;
ALTER TABLE cities SET SCHEMA other;
INSERT INTO accounts VALUES (16, 7, 1);
SELECT bid, count FROM totals ORDER BY 1;
SELECT * FROM other.cities ORDER BY 1;
DROP TABLE totals;
DROP TABLE accounts;
DROP TABLE accounts CASCADE;
SELECT count(*) FROM pgivm.pg_ivm_immv;
-- it goes, the stream tables stay
SELECT pgivm.create_immv('left_over', 'SELECT bid FROM branches');
DROP EXTENSION pg_trickle_pgivm;
INSERT INTO branches VALUES (9, 'Z');
SELECT * FROM left_over ORDER BY 1;
SET client_min_messages = warning;
DROP SCHEMA ivm CASCADE;
DROP SCHEMA other CASCADE;
