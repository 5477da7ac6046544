-- A stored frontier is PostgreSQL's own pg_snapshot, readable as text.
CREATE SCHEMA frontier;
SET search_path = frontier, public;
SET pg_trickle.stream_table_schema = '';
CREATE TABLE t (a int);
SELECT pgtrickle.create_stream_table('st', 'SELECT a FROM t');
SELECT frontier::text::pg_snapshot::text = frontier::text AS same_text,
       pg_snapshot_xmin(frontier) <= pg_snapshot_xmax(frontier) AS ordered
  FROM pgtrickle.pgt_stream_tables WHERE pgt_name = 'st';
-- the creating transaction counts as in progress: its batches are told apart by number
SELECT pg_visible_in_snapshot(p.own_xid, p.frontier) AS own_is_visible, p.own_batches
  FROM pgtrickle.pgt_progress p JOIN pgtrickle.pgt_stream_tables USING (pgt_id) WHERE pgt_name = 'st';
-- later ones count as done
INSERT INTO t VALUES (1);
SELECT action FROM pgtrickle.refresh_stream_table('st');
SELECT pg_visible_in_snapshot(t.xmin::text::xid8, s.frontier) AS absorbed
  FROM t, pgtrickle.pgt_stream_tables s WHERE pgt_name = 'st';
-- nothing to do writes nothing
SELECT xmin AS before FROM pgtrickle.pgt_progress ORDER BY pgt_id DESC LIMIT 1 \gset
SELECT action FROM pgtrickle.refresh_stream_table('st');
SELECT xmin::text = :'before' AS untouched FROM pgtrickle.pgt_progress ORDER BY pgt_id DESC LIMIT 1;
DROP SCHEMA frontier CASCADE;
