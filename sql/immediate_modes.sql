-- IMMEDIATE: what it may be combined with, how it comes and goes, whom it
-- asks, and tables that rows reach by several names.
CREATE SCHEMA immo;
SET search_path = immo, public;
SET pg_trickle.stream_table_schema = 'immo';
SET client_min_messages = warning;
CREATE FUNCTION verdict() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    st record;
    wrong bigint;
    bad text := '';
    good int := 0;
BEGIN
    FOR st IN SELECT pgt_name, rtrim(defining_query, '; ') AS query FROM pgtrickle.pgt_stream_tables
               WHERE pgt_schema = 'immo' AND effective_mode = 'IMMEDIATE' ORDER BY pgt_id LOOP
        EXECUTE format('WITH q AS MATERIALIZED (SELECT x::text AS image FROM (%s) x),
                             s AS MATERIALIZED (SELECT x::text AS image FROM immo.%I x)
                        SELECT (SELECT count(*) FROM (TABLE q EXCEPT ALL TABLE s) a)
                             + (SELECT count(*) FROM (TABLE s EXCEPT ALL TABLE q) b)', st.query, st.pgt_name)
           INTO wrong;
        IF wrong = 0 THEN good := good + 1; ELSE bad := bad || format(' %s: %s rows differ', st.pgt_name, wrong); END IF;
    END LOOP;
    RETURN good || ' equal' || bad;
END $$;
CREATE TABLE sale (id int PRIMARY KEY, shop int, amount int);
CREATE TABLE shop (shop int PRIMARY KEY, town text);
INSERT INTO shop SELECT s, 'town ' || s % 3 FROM generate_series(1, 6) s;
INSERT INTO sale SELECT i, 1 + i % 6, i FROM generate_series(1, 60) i;

-- cascades: each level reads the one below, one reads two levels
SELECT pgtrickle.create_stream_table('per_shop', 'SELECT shop, sum(amount) AS total, count(*) AS n FROM sale GROUP BY shop', refresh_mode => 'IMMEDIATE');
SELECT pgtrickle.create_stream_table('per_town', 'SELECT town, sum(total) AS total FROM per_shop JOIN shop USING (shop) GROUP BY town', refresh_mode => 'IMMEDIATE');
SELECT pgtrickle.create_stream_table('share', 'SELECT shop, p.total, t.total AS of_town FROM per_shop p JOIN shop USING (shop) JOIN per_town t USING (town)', refresh_mode => 'IMMEDIATE');
SELECT pgtrickle.create_stream_table('best', 'SELECT max(total) AS best FROM per_town', refresh_mode => 'IMMEDIATE');
UPDATE sale SET amount = amount + 1 WHERE id % 4 = 0;
SELECT verdict();
INSERT INTO sale VALUES (100, 2, 1000); DELETE FROM sale WHERE shop = 3;
SELECT verdict();
WITH s AS (UPDATE shop SET town = 'nowhere' WHERE shop = 1) INSERT INTO sale VALUES (101, 1, 7);
SELECT verdict();
BEGIN; TRUNCATE sale; SELECT verdict(), (SELECT count(*) FROM share) AS rows; ROLLBACK;
SELECT verdict();
-- a deferred one on an IMMEDIATE one: its source's changes wait for it
SELECT pgtrickle.create_stream_table('later', 'SELECT shop, total * 2 AS twice FROM per_shop', refresh_mode => 'DIFFERENTIAL', schedule => '1h');
SELECT source_relid::regclass, cdc_mode, capture_form FROM pgtrickle.pgt_sources;
UPDATE sale SET amount = 0 WHERE shop = 2;
SELECT count(*) AS stale FROM (SELECT shop, total * 2 FROM per_shop EXCEPT TABLE later) x;
SELECT action, rows_inserted, rows_deleted FROM pgtrickle.refresh_stream_table('later');
SELECT count(*) AS stale FROM (SELECT shop, total * 2 FROM per_shop EXCEPT TABLE later) x;
-- a rebuild of the source by hand changes nothing above it
SELECT action, rows_inserted, rows_deleted FROM pgtrickle.refresh_stream_table('per_shop');
SELECT action FROM pgtrickle.refresh_stream_table('later');
-- both kinds on one table
SELECT pgtrickle.create_stream_table('sale_copy', 'SELECT id, amount FROM sale', refresh_mode => 'DIFFERENTIAL', schedule => '1h');
INSERT INTO sale VALUES (102, 4, 5);
SELECT verdict();
SELECT action, rows_inserted FROM pgtrickle.refresh_stream_table('sale_copy');
SELECT pgtrickle.drop_stream_table('sale_copy');
SELECT source_relid::regclass, cdc_mode FROM pgtrickle.pgt_sources;

-- what is refused
SELECT pgtrickle.create_stream_table('x', 'SELECT twice FROM later', refresh_mode => 'IMMEDIATE');
SELECT pgtrickle.create_stream_table('x', 'SELECT id, random() AS r FROM sale', refresh_mode => 'IMMEDIATE');
SELECT pgtrickle.create_stream_table('x', 'SELECT id FROM sale', schedule => '5m', refresh_mode => 'IMMEDIATE');
SELECT pgtrickle.create_stream_table('x', 'SELECT id FROM sale', schedule => 'calculated', refresh_mode => 'IMMEDIATE');
SELECT pgtrickle.drop_stream_table('x');
SELECT pgtrickle.alter_stream_table('per_shop', schedule => '5m');
SELECT pgtrickle.alter_stream_table('per_shop', refresh_mode => 'DIFFERENTIAL');
SELECT pgtrickle.alter_stream_table('later', refresh_mode => 'IMMEDIATE', schedule => '5m');

-- changes of mode
SELECT pgtrickle.alter_stream_table('later', refresh_mode => 'IMMEDIATE');
SELECT refresh_mode, effective_mode, schedule, status, needs_reinit FROM pgtrickle.pgt_stream_tables WHERE pgt_name = 'later';
UPDATE sale SET amount = 3 WHERE shop = 5;
SELECT verdict();
SELECT count(*) AS sources FROM pgtrickle.pgt_sources;
SELECT pgtrickle.alter_stream_table('best', refresh_mode => 'AUTO');
SELECT refresh_mode, effective_mode, schedule, status, needs_reinit FROM pgtrickle.pgt_stream_tables WHERE pgt_name = 'best';
UPDATE sale SET amount = 5000 WHERE shop = 6;
SELECT action FROM pgtrickle.refresh_stream_table('best');
SELECT best = (SELECT max(total) FROM per_town) AS right FROM best;
SELECT pgtrickle.alter_stream_table('best', refresh_mode => 'FULL');
SELECT pgtrickle.alter_stream_table('best', refresh_mode => 'IMMEDIATE');
DELETE FROM sale WHERE shop = 6;
SELECT verdict();
SELECT pgtrickle.create_or_replace_stream_table('best', 'SELECT min(total) AS best FROM per_town', refresh_mode => 'IMMEDIATE');
UPDATE sale SET amount = amount - 1;
SELECT verdict();
-- another query, under those that read it
SELECT pgtrickle.alter_stream_table('per_shop', query => 'SELECT shop, sum(amount) + 1 AS total, count(*) AS n FROM sale WHERE amount > 2 GROUP BY shop');
SELECT verdict();
UPDATE sale SET amount = amount + 10;
SELECT verdict();
-- initialize => false: its first refresh fills it, then its writers do
SELECT pgtrickle.create_stream_table('filled_later', 'SELECT count(*) AS n FROM sale', refresh_mode => 'IMMEDIATE', initialize => false);
INSERT INTO sale VALUES (200, 1, 1);
SELECT count(*) FROM filled_later;
SELECT action FROM pgtrickle.refresh_stream_table('filled_later');
INSERT INTO sale VALUES (201, 1, 1);
SELECT verdict();
-- in one transaction with writes before and after; rolled back
BEGIN;
INSERT INTO sale VALUES (300, 1, 1);
SELECT pgtrickle.create_stream_table('in_between', 'SELECT shop FROM sale', refresh_mode => 'IMMEDIATE');
INSERT INTO sale VALUES (301, 1, 1);
SELECT verdict();
SAVEPOINT s;
SELECT pgtrickle.drop_stream_table('in_between');
INSERT INTO sale VALUES (302, 1, 1);
ROLLBACK TO s;
DELETE FROM sale WHERE id = 300;
SELECT verdict();
ROLLBACK;
UPDATE sale SET amount = amount + 1 WHERE shop = 1;
SELECT verdict();
-- DDL on what it reads: rebuilt by the next refresh, as any other
ALTER TABLE sale ALTER amount TYPE bigint;
SELECT pgt_name, needs_reinit FROM pgtrickle.pgt_stream_tables WHERE pgt_schema = 'immo' AND needs_reinit ORDER BY 1;
UPDATE sale SET amount = amount + 1 WHERE shop = 1;
SELECT action FROM pgtrickle.refresh_stream_table('filled_later');
DROP TABLE sale;
DROP TABLE sale CASCADE;
SELECT pgt_name FROM pgtrickle.pgt_stream_tables WHERE pgt_schema = 'immo' ORDER BY 1;
DROP TABLE shop CASCADE;

-- partitions: rows come by the root, by a leaf, and move; a leaf and a middle
-- are sources themselves
CREATE TABLE part (id int, region int, v int) PARTITION BY LIST (region);
CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1);
CREATE TABLE part_2 PARTITION OF part FOR VALUES IN (2, 3) PARTITION BY RANGE (id);
CREATE TABLE part_2_low (v int, id int, region int);
ALTER TABLE part_2 ATTACH PARTITION part_2_low FOR VALUES FROM (0) TO (100);
CREATE TABLE part_2_high PARTITION OF part_2 FOR VALUES FROM (100) TO (200);
SELECT pgtrickle.create_stream_table('of_root', 'SELECT region, sum(v) AS s FROM part GROUP BY region', refresh_mode => 'IMMEDIATE');
SELECT pgtrickle.create_stream_table('of_middle', 'SELECT id, v FROM part_2', refresh_mode => 'IMMEDIATE');
SELECT pgtrickle.create_stream_table('of_leaf', 'SELECT a.id, b.v FROM part_2_low a JOIN part b ON a.id = b.id', refresh_mode => 'IMMEDIATE');
INSERT INTO part SELECT i, 1 + i % 3, i FROM generate_series(0, 199, 7) i;
SELECT verdict();
INSERT INTO part_2_low (id, region, v) VALUES (1, 2, 5), (2, 3, 6);
SELECT verdict();
INSERT INTO part_2 VALUES (150, 2, 5), (3, 3, 6);
SELECT verdict();
UPDATE part SET region = 1 + region % 3;
SELECT verdict();
UPDATE part_2 SET id = (id + 100) % 200;
SELECT verdict();
DELETE FROM part_1 WHERE id > 100;
DELETE FROM part WHERE id % 2 = 0;
SELECT verdict();
BEGIN; SAVEPOINT s; UPDATE part SET v = v + 1; DELETE FROM part_2_low; ROLLBACK TO s; SELECT verdict(); COMMIT;
TRUNCATE part_2_high;
SELECT verdict();
CREATE TABLE part_4 PARTITION OF part FOR VALUES IN (4);
INSERT INTO part_4 VALUES (4, 4, 4); INSERT INTO part VALUES (5, 4, 5);
SELECT verdict();
SELECT source_table, trigger_name, present, enabled FROM pgtrickle.trigger_inventory() WHERE source_table::text LIKE 'part%' ORDER BY 1, 2;
ALTER TABLE part DETACH PARTITION part_2;
SELECT pgtrickle.refresh_stream_table(pgt_name) IS NOT NULL FROM pgtrickle.pgt_stream_tables WHERE pgt_schema = 'immo';
INSERT INTO part_2 VALUES (9, 2, 9); INSERT INTO part VALUES (10, 1, 10);
SELECT verdict();
DROP TABLE part CASCADE;
DROP TABLE part_2 CASCADE;
-- inheritance
CREATE TABLE mother (id int, v int);
CREATE TABLE child (extra text) INHERITS (mother);
SELECT pgtrickle.create_stream_table('of_mother', 'SELECT v, count(*) AS n FROM mother GROUP BY v', refresh_mode => 'IMMEDIATE');
SELECT pgtrickle.create_stream_table('of_child', 'SELECT id, extra FROM child', refresh_mode => 'IMMEDIATE');
INSERT INTO mother VALUES (1, 1); INSERT INTO child VALUES (2, 1, 'a'), (3, 2, 'b');
SELECT verdict();
UPDATE mother SET v = v + 1; UPDATE child SET extra = 'c', v = 1; DELETE FROM ONLY mother;
SELECT verdict();
DELETE FROM mother WHERE id = 2;
SELECT verdict();
DROP TABLE mother CASCADE;

-- rights: triggers on another's table are that owner's business; whoever writes
-- needs none on the stream table
CREATE ROLE immo_owner;
CREATE ROLE immo_maker;
CREATE ROLE immo_writer;
GRANT USAGE, CREATE ON SCHEMA immo TO immo_owner, immo_maker, immo_writer;
SET ROLE immo_owner;
CREATE TABLE owned (id int, v int);
GRANT SELECT ON owned TO immo_maker;
GRANT INSERT, UPDATE, SELECT ON owned TO immo_writer;
SET ROLE immo_maker;
SELECT pgtrickle.create_stream_table('made', 'SELECT v, 100 / count(v) AS n FROM owned GROUP BY v', refresh_mode => 'IMMEDIATE');
SET ROLE immo_owner;
GRANT TRIGGER ON owned TO immo_maker;
SET ROLE immo_maker;
SELECT pgtrickle.create_stream_table('made', 'SELECT v, 100 / count(v) AS n FROM owned GROUP BY v', refresh_mode => 'IMMEDIATE');
SET ROLE immo_writer;
INSERT INTO owned VALUES (1, 1);
SELECT * FROM made;
-- the query is not shown to those who may not see it
INSERT INTO owned VALUES (2, NULL);
RESET ROLE;
SELECT verdict();
INSERT INTO owned VALUES (2, NULL);
-- as a row of the owner's stream table, for a third stream table
SET ROLE immo_writer;
SELECT pgtrickle.create_stream_table('third', 'SELECT v FROM made', refresh_mode => 'IMMEDIATE');
RESET ROLE;
SELECT pgtrickle.drop_stream_table('made');
DROP TABLE owned;
DROP SCHEMA immo CASCADE;
DROP ROLE immo_owner, immo_maker, immo_writer;
