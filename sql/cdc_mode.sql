-- How a source is to be captured: who asks for what, what the WAL would tell.
SET client_min_messages = warning;
CREATE SCHEMA cdc;
SET search_path = cdc, public;
SET pg_trickle.stream_table_schema = '';
CREATE TABLE plain (id int PRIMARY KEY, v int);
CREATE TABLE keyed (id int PRIMARY KEY, v int);
CREATE TABLE whole (id int PRIMARY KEY, v int);
ALTER TABLE whole REPLICA IDENTITY FULL;
CREATE TABLE log (id int, v int);
ALTER TABLE log REPLICA IDENTITY NOTHING;
CREATE UNLOGGED TABLE scratch (id int, v int);
ALTER TABLE scratch REPLICA IDENTITY FULL;
CREATE TABLE parts (id int, v int, PRIMARY KEY (id, v)) PARTITION BY LIST (v);
CREATE TABLE part_1 PARTITION OF parts FOR VALUES IN (1);
CREATE TABLE part_2 (junk int, v int NOT NULL, id int NOT NULL);
ALTER TABLE part_2 DROP COLUMN junk;
ALTER TABLE parts ATTACH PARTITION part_2 FOR VALUES IN (2);
CREATE TABLE picked (id int, u int NOT NULL, v int);
CREATE UNIQUE INDEX picked_u ON picked (u);
ALTER TABLE picked REPLICA IDENTITY USING INDEX picked_u;

CREATE VIEW seen AS
SELECT source_table, wanted_mode, blocked_reason FROM pgtrickle.check_cdc_health();

-- auto: decided by the replica identity, and the reason is shown
SELECT pgtrickle.create_stream_table('a_plain', 'SELECT id, v FROM plain');
SELECT pgtrickle.create_stream_table('a_keyed', 'SELECT id FROM keyed');
SELECT pgtrickle.create_stream_table('a_whole', 'SELECT id, v FROM whole');
SELECT pgtrickle.create_stream_table('a_log', 'SELECT id, v FROM log');
SELECT pgtrickle.create_stream_table('a_scratch', 'SELECT id, v FROM scratch');
SELECT pgtrickle.create_stream_table('a_parts', 'SELECT v, count(*) AS n FROM parts GROUP BY v');
SELECT pgtrickle.create_stream_table('a_picked', 'SELECT u FROM picked');
TABLE seen;
-- a stream table that others read has no cdc_mode of its own
SELECT pgtrickle.create_stream_table('a_above', 'SELECT count(*) AS n FROM a_plain');
SELECT count(*) FROM pgtrickle.pgt_cdc_status WHERE source_table = 'a_plain'::regclass;

-- a reader that needs more columns than the key has
SELECT pgtrickle.create_stream_table('b_keyed', 'SELECT id, v FROM keyed');
SELECT pgtrickle.create_stream_table('b_picked', 'SELECT u, v FROM picked');
TABLE seen;
SELECT stream_table, source_table, cdc_mode, since <= now() AS since, blocked_reason
  FROM pgtrickle.pgt_cdc_status WHERE source_table IN ('keyed'::regclass, 'plain'::regclass);
-- one leaf is enough
ALTER TABLE part_2 REPLICA IDENTITY NOTHING;
ALTER TABLE part_1 REPLICA IDENTITY FULL;
SELECT pgtrickle.create_stream_table('b_parts', 'SELECT id, v FROM parts');
ALTER TABLE part_2 REPLICA IDENTITY DEFAULT;
ALTER TABLE part_2 DROP CONSTRAINT part_2_pkey;
ALTER TABLE parts DROP CONSTRAINT parts_pkey;
SELECT * FROM seen WHERE source_table = 'parts'::regclass;

-- wal is refused where it cannot be, and nothing is left of it
SELECT pgtrickle.create_stream_table('c', 'SELECT id, v FROM plain', cdc_mode => 'wal');
SELECT pgtrickle.create_stream_table('c', 'SELECT id, v FROM scratch', cdc_mode => 'WAL');
SELECT pgtrickle.create_stream_table('c', 'SELECT p.id, k.v FROM keyed k JOIN whole p USING (id)', cdc_mode => 'wal');
SELECT pgtrickle.create_stream_table('c', 'SELECT relname FROM pg_class', cdc_mode => 'wal', refresh_mode => 'FULL');
SELECT to_regclass('c');
SELECT pgtrickle.alter_stream_table('a_plain', cdc_mode => 'wal');
SELECT requested_cdc_mode FROM pgtrickle.pgt_stream_tables WHERE pgt_name = 'a_plain';
SET pg_trickle.cdc_mode = 'wal';
SELECT pgtrickle.create_stream_table('c', 'SELECT id, v FROM plain');
SELECT pgtrickle.create_stream_table('c', 'SELECT id, v FROM whole', cdc_mode => 'trigger');
SELECT source_table, wanted_mode, alert FROM pgtrickle.check_cdc_health() WHERE source_table = 'plain'::regclass;
SELECT severity, detail LIKE '%cdc.plain (the WAL lacks old rows of cdc.plain: its replica identity is DEFAULT)%' AS plain
  FROM pgtrickle.health_check() WHERE check_name = 'wal_capture';
RESET pg_trickle.cdc_mode;

-- one that asks for triggers has them for all; one that asks for wal hears of it
SELECT * FROM seen WHERE source_table = 'whole'::regclass;
SET client_min_messages = notice;
SELECT pgtrickle.alter_stream_table('a_whole', cdc_mode => 'wal');
SET client_min_messages = warning;
SELECT * FROM seen WHERE source_table = 'whole'::regclass;
SELECT pgtrickle.alter_stream_table('c', cdc_mode => 'auto');
SELECT * FROM seen WHERE source_table = 'whole'::regclass;
SELECT pgtrickle.create_or_replace_stream_table('c', 'SELECT id, v FROM whole', cdc_mode => 'trigger');
SELECT * FROM seen WHERE source_table = 'whole'::regclass;
SELECT pgtrickle.drop_stream_table('c');
SET pg_trickle.cdc_mode = 'trigger';
SELECT * FROM seen WHERE source_table IN ('log'::regclass, 'whole'::regclass);
RESET pg_trickle.cdc_mode;

-- export and import keep what was asked for
SELECT substring(pgtrickle.export_definition('a_whole') FROM 'cdc_mode => ''\w+''');
SELECT substring(pgtrickle.export_definition('a_log') FROM 'cdc_mode => ''\w+''');

-- names only: everybody may look
CREATE ROLE regress_cdc_nobody;
SET ROLE regress_cdc_nobody;
SELECT count(*) > 0 AS rows FROM pgtrickle.pgt_cdc_status;
SELECT count(*) > 0 AS rows FROM pgtrickle.check_cdc_health();
SELECT count(*) FROM pgtrickle.slot_health();
RESET ROLE;
DROP ROLE regress_cdc_nobody;

SET client_min_messages = error;
DROP SCHEMA cdc CASCADE;
