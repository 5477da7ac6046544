-- Gates and watermarks: arguments, rights, what is shown.  The scheduler stands
-- still here; t/361_coordination.pl shows what they hold back.
\set VERBOSITY terse
CREATE SCHEMA coord;
SET search_path = coord;
CREATE ROLE coord_loader;
CREATE ROLE coord_other;
GRANT USAGE ON SCHEMA coord TO coord_loader, coord_other;
CREATE TABLE orders (id int, v int);
CREATE TABLE lines (id int, n int);
CREATE VIEW vw AS SELECT id FROM orders;
CREATE MATERIALIZED VIEW mv AS SELECT 1 AS a;
GRANT INSERT ON orders TO coord_loader;
SELECT pgtrickle.create_stream_table('coord.st', 'SELECT o.id, sum(l.n) AS n FROM orders o JOIN lines l USING (id) GROUP BY o.id');
SELECT pgtrickle.create_stream_table('coord.top', 'SELECT count(*) AS c FROM st');

-- gates
SELECT pgtrickle.gate_source(NULL);
SELECT pgtrickle.gate_source('nothing');
SELECT pgtrickle.gate_source('a.b.c');
SELECT pgtrickle.gate_source('vw');
SELECT pgtrickle.gate_source('pg_catalog.pg_class_oid_index');
SELECT pgtrickle.gate_source('coord.orders');
SELECT pgtrickle.gate_source('orders');
SELECT pgtrickle.gate_source('orders', false);
SELECT pgtrickle.gate_source('st');
SELECT pgtrickle.gate_source('mv');
SELECT source_table, gated, stop_capture, affected FROM pgtrickle.source_gates();
SELECT stream_table, waiting_for FROM pgtrickle.waiting_stream_tables();
SELECT pgtrickle.ungate_source('orders');
SELECT pgtrickle.ungate_source('orders');
SELECT pgtrickle.ungate_source('lines');
SELECT pgtrickle.ungate_source('mv');
SELECT pgtrickle.ungate_source('coord.st');
SELECT count(*) FROM pgtrickle.source_gates();
BEGIN READ ONLY;
SELECT pgtrickle.gate_source('orders');
ROLLBACK;
-- a gate whose table is dropped goes with it
CREATE TABLE gone (a int);
SELECT pgtrickle.gate_source('gone');
DROP TABLE gone;
SELECT count(*) FROM pgtrickle.source_gates();
SELECT pgtrickle.gate_source('lines', false);
SELECT count(*) FROM pgtrickle.pgt_source_gates;
SELECT pgtrickle.ungate_source('lines');

-- watermarks
SELECT pgtrickle.advance_watermark('orders', NULL);
SELECT pgtrickle.advance_watermark('orders', 'infinity');
SELECT pgtrickle.advance_watermark('orders', '2026-01-01 10:00+00');
SELECT pgtrickle.advance_watermark('orders', '2026-01-01 10:00+00');
SELECT pgtrickle.advance_watermark('orders', '2026-01-01 09:59:59.999999+00');
SELECT source_table, watermark AT TIME ZONE 'UTC' AS watermark, advanced_by = current_user AS me FROM pgtrickle.watermarks();
SELECT pgtrickle.create_watermark_group('g', '{orders}');
SELECT pgtrickle.create_watermark_group('g', '{orders,coord.orders}');
SELECT pgtrickle.create_watermark_group('g', '{orders,NULL}');
SELECT pgtrickle.create_watermark_group('g', '{orders,lines}', -1);
SELECT pgtrickle.create_watermark_group('g', '{orders,lines}', 'nan');
SELECT pgtrickle.create_watermark_group('', '{orders,lines}');
SELECT pgtrickle.create_watermark_group('g', '{orders,lines}', 1.5);
SELECT pgtrickle.create_watermark_group('g', '{orders,lines}', 1.5);
SELECT group_name, sources, tolerance_secs FROM pgtrickle.watermark_groups();
SELECT group_name, lag_secs, aligned, waiting FROM pgtrickle.watermark_status();
SELECT pgtrickle.advance_watermark('lines', '2026-01-01 10:00:01.5+00');
SELECT group_name, lag_secs, aligned, waiting FROM pgtrickle.watermark_status();
SELECT pgtrickle.advance_watermark('lines', '2026-01-01 10:00:01.500001+00');
SELECT group_name, lag_secs, aligned, waiting FROM pgtrickle.watermark_status();
SELECT stream_table, waiting_for, since IS NOT NULL AS known FROM pgtrickle.waiting_stream_tables();

-- rights
SET ROLE coord_loader;
SELECT pgtrickle.gate_source('orders');
SELECT pgtrickle.advance_watermark('orders', '2026-01-01 11:00+00');
SELECT pgtrickle.advance_watermark('lines', '2026-01-01 11:00+00');
SELECT pgtrickle.create_watermark_group('h', '{orders,lines}');
SELECT pgtrickle.drop_watermark_group('g');
SELECT count(*) FROM pgtrickle.source_gates();
SELECT count(*) FROM pgtrickle.pgt_source_gates;
RESET ROLE;
SET ROLE coord_other;
SELECT pgtrickle.ungate_source('orders');
SELECT pgtrickle.advance_watermark('orders', '2026-01-01 12:00+00');
SELECT count(*) FROM pgtrickle.watermark_status();
RESET ROLE;
SELECT pgtrickle.drop_watermark_group('nothing');
SELECT pgtrickle.drop_watermark_group('g');
SELECT count(*) FROM pgtrickle.watermark_groups();

DELETE FROM pgtrickle.pgt_watermarks;
DROP SCHEMA coord CASCADE;
DROP ROLE coord_loader, coord_other;
