-- DDL on what stream tables read: harmless changes are ignored, relevant ones
-- mark the readers for rebuild and say why, names are followed.
CREATE SCHEMA ddls;
SET search_path = ddls;
CREATE TABLE src (id int PRIMARY KEY, grp int, val int, unused int);
CREATE TABLE other (grp int PRIMARY KEY, name text);
INSERT INTO src SELECT i, i % 2, i FROM generate_series(1, 4) i;
INSERT INTO other VALUES (0, 'even'), (1, 'odd');
SELECT pgtrickle.create_stream_table('ddls.sums',
    'SELECT grp, sum(val) AS total FROM ddls.src GROUP BY grp', '1d', 'DIFFERENTIAL');
SELECT pgtrickle.create_stream_table('ddls.named',
    'SELECT o.name, s.id FROM ddls.src s JOIN ddls.other o USING (grp)', '1d', 'DIFFERENTIAL');

CREATE FUNCTION marks() RETURNS TABLE (name name, reinit_reason text) LANGUAGE sql AS
    $$ SELECT t.pgt_name, t.reinit_reason FROM pgtrickle.pgt_stream_tables t WHERE t.needs_reinit ORDER BY 1 $$;
CREATE FUNCTION refresh() RETURNS TABLE (name name, action text, differs bigint) LANGUAGE plpgsql AS $$
DECLARE
    t record;
BEGIN
    FOR t IN SELECT * FROM pgtrickle.pgt_stream_tables s ORDER BY s.pgt_id LOOP
        name := t.pgt_name;
        SELECT r.action INTO action FROM pgtrickle.refresh_stream_table(format('%I.%I', t.pgt_schema, t.pgt_name)) r;
        EXECUTE format('SELECT count(*) FROM ((TABLE %1$s EXCEPT ALL (%2$s)) UNION ALL ((%2$s) EXCEPT ALL TABLE %1$s)) d',
                       t.pgt_relid, t.defining_query) INTO differs;
        RETURN NEXT;
    END LOOP;
END $$;

-- harmless
ALTER TABLE src ADD COLUMN more text DEFAULT 'x';
ALTER TABLE src ADD COLUMN changing timestamptz DEFAULT clock_timestamp();
ALTER TABLE src DROP COLUMN changing;
ALTER TABLE src ALTER COLUMN unused TYPE bigint;
ALTER TABLE src DROP COLUMN unused;
ALTER TABLE src ALTER COLUMN val SET STATISTICS 10;
ALTER TABLE src ALTER COLUMN val SET DEFAULT 1;
ALTER TABLE src ALTER COLUMN val SET NOT NULL;
ALTER TABLE src ADD CHECK (id <> 0);
CREATE INDEX ON src (val);
ANALYZE src;
VACUUM FULL src;
CLUSTER src USING src_pkey;
CREATE RULE r AS ON UPDATE TO src WHERE false DO ALSO NOTHING;
DROP RULE r ON src;
COMMENT ON TABLE src IS 'source';
ALTER TABLE src SET (fillfactor = 80);
SELECT * FROM marks();
INSERT INTO src (id, grp, val) VALUES (5, 0, 5);
SELECT * FROM refresh();

-- the type of a used column
ALTER TABLE src ALTER COLUMN val TYPE bigint;
SELECT * FROM marks();
INSERT INTO src (id, grp, val) VALUES (6, 0, 6);
SELECT pgtrickle.refresh_stream_table('ddls.sums');
ALTER TABLE src ALTER COLUMN val TYPE int;
INSERT INTO src (id, grp, val) VALUES (7, 0, 7);
SELECT * FROM refresh();
INSERT INTO src (id, grp, val) VALUES (8, 0, 8);
SELECT * FROM refresh();
ALTER TABLE src ALTER COLUMN id TYPE int USING -id;
SELECT * FROM marks();
SELECT * FROM refresh();

-- rolled back
BEGIN;
ALTER TABLE src ALTER COLUMN id TYPE int USING -id;
ROLLBACK;
BEGIN;
SAVEPOINT s;
ALTER TABLE src ALTER COLUMN id TYPE int USING -id;
ROLLBACK TO s;
ALTER TABLE src ADD COLUMN again int;
COMMIT;
SELECT * FROM marks();

-- a used column is dropped, and comes back
ALTER TABLE other DROP COLUMN name;
SELECT * FROM marks();
SELECT pgtrickle.refresh_stream_table('ddls.named');
ALTER TABLE other ADD COLUMN name text;
UPDATE other SET name = 'n' || grp;
SELECT * FROM refresh();
UPDATE other SET name = 'm' || grp;
SELECT * FROM refresh();

-- names of tables, columns and schemas
ALTER TABLE src RENAME COLUMN val TO value;
ALTER TABLE src RENAME TO source;
ALTER TABLE other RENAME COLUMN grp TO grp_id;
SELECT pgt_name, defining_query FROM pgtrickle.pgt_stream_tables ORDER BY 1;
INSERT INTO source (id, grp, value) VALUES (9, 0, 9);
SELECT * FROM refresh();
CREATE SCHEMA ddls_other;
ALTER TABLE source SET SCHEMA ddls_other;
ALTER SCHEMA ddls_other RENAME TO ddls_moved;
SELECT pgt_name, defining_query FROM pgtrickle.pgt_stream_tables ORDER BY 1;
INSERT INTO ddls_moved.source (id, grp, value) VALUES (10, 0, 10);
SELECT * FROM refresh();
ALTER TABLE ddls_moved.source SET SCHEMA ddls;
ALTER TABLE source RENAME TO src;

-- persistence, row security, policies
ALTER TABLE src SET UNLOGGED;
SELECT * FROM refresh();
ALTER TABLE src SET LOGGED;
SELECT * FROM refresh();
ALTER TABLE other ENABLE ROW LEVEL SECURITY;
SELECT * FROM refresh();
CREATE POLICY p ON other USING (true);
SELECT * FROM refresh();
ALTER POLICY p ON other USING (false);
DROP POLICY p ON other;
ALTER TABLE other DISABLE ROW LEVEL SECURITY;
SELECT * FROM refresh();

-- switching triggers off does not switch capture off
ALTER TABLE src DISABLE TRIGGER ALL;
SELECT count(*), count(*) FILTER (WHERE present AND enabled) AS enabled FROM pgtrickle.trigger_inventory();
INSERT INTO src (id, grp, value) VALUES (11, 1, 11);
ALTER TABLE src ENABLE TRIGGER ALL;
SELECT count(*), count(*) FILTER (WHERE present AND enabled) AS enabled FROM pgtrickle.trigger_inventory();
INSERT INTO src (id, grp, value) VALUES (12, 1, 12);
SELECT * FROM refresh();

-- block_source_ddl
SET pg_trickle.block_source_ddl = on;
ALTER TABLE src ALTER COLUMN value TYPE bigint;
ALTER TABLE src DROP COLUMN value;
ALTER TABLE src ADD COLUMN fine int;
RESET pg_trickle.block_source_ddl;
SELECT * FROM marks();

-- views
CREATE VIEW v AS SELECT id, grp, value FROM src WHERE grp = 0;
SELECT pgtrickle.create_stream_table('ddls.seen', 'SELECT * FROM ddls.v', '1d', 'DIFFERENTIAL');
CREATE OR REPLACE VIEW v AS SELECT id, grp, value FROM src WHERE grp = 1;
SELECT * FROM marks();
SELECT * FROM refresh();
INSERT INTO src (id, grp, value) VALUES (13, 1, 13);
SELECT * FROM refresh();
-- one that reads another table now
CREATE TABLE third (id int PRIMARY KEY, grp int, value int);
INSERT INTO third SELECT i, i, i FROM generate_series(100, 102) i;
CREATE OR REPLACE VIEW v AS SELECT id, grp, value FROM third;
SELECT * FROM refresh();
INSERT INTO third VALUES (103, 103, 103);
SELECT * FROM refresh() WHERE name = 'seen';
SELECT source_table, source_type, cdc_mode, columns_used FROM pgtrickle.list_sources('ddls.seen');
ALTER VIEW v RENAME COLUMN value TO worth;
ALTER VIEW v RENAME TO vv;
SELECT defining_query FROM pgtrickle.pgt_stream_tables WHERE pgt_name = 'seen';
SELECT * FROM refresh() WHERE name = 'seen';
ALTER VIEW vv SET (security_barrier = true);
SELECT * FROM refresh() WHERE name = 'seen';
DROP VIEW vv;
DROP VIEW vv CASCADE;

-- functions
CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2';
CREATE FUNCTION apart(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1';
CREATE VIEW doubled AS SELECT id, ddls.twice(value) AS t FROM src;
SELECT pgtrickle.create_stream_table('ddls.direct', 'SELECT id, ddls.twice(value) AS t FROM ddls.src', '1d', 'DIFFERENTIAL');
SELECT pgtrickle.create_stream_table('ddls.through', 'SELECT * FROM ddls.doubled', '1d', 'DIFFERENTIAL');
CREATE OR REPLACE FUNCTION apart(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 7';
SELECT * FROM marks();
CREATE OR REPLACE FUNCTION twice(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 3';
SELECT * FROM marks();
SELECT * FROM refresh();
ALTER FUNCTION twice(int) COST 10;
SELECT * FROM refresh() WHERE name IN ('direct', 'through');
ALTER FUNCTION twice(int) RENAME TO thrice;
SELECT pgt_name, defining_query FROM pgtrickle.pgt_stream_tables WHERE pgt_name = 'direct';
DROP FUNCTION thrice;
SELECT pgtrickle.drop_stream_table('ddls.direct');
SELECT pgtrickle.drop_stream_table('ddls.through');

-- what an aggregate is made of
CREATE FUNCTION add_twice(int, int) RETURNS int LANGUAGE sql IMMUTABLE STRICT AS 'SELECT $1 + 2 * $2';
CREATE FUNCTION as_is(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1';
CREATE AGGREGATE sum_twice(int) (sfunc = add_twice, stype = int, initcond = '0', finalfunc = as_is);
SELECT pgtrickle.create_stream_table('ddls.aggregated', 'SELECT ddls.sum_twice(id) AS s FROM ddls.src', '1d', 'DIFFERENTIAL');
CREATE OR REPLACE FUNCTION add_twice(int, int) RETURNS int LANGUAGE sql IMMUTABLE STRICT AS 'SELECT $1 + 3 * $2';
SELECT * FROM refresh() WHERE name = 'aggregated';
SELECT s = (SELECT sum_twice(id) FROM src) AS same FROM aggregated;
CREATE OR REPLACE FUNCTION as_is(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT -$1';
SELECT * FROM refresh() WHERE name = 'aggregated';
SELECT s = (SELECT sum_twice(id) FROM src) AS same FROM aggregated;
SELECT pgtrickle.drop_stream_table('ddls.aggregated');

-- types
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TABLE moods (id int PRIMARY KEY, m mood, ms mood[]);
INSERT INTO moods VALUES (1, 'sad', '{ok}');
SELECT pgtrickle.create_stream_table('ddls.texts', 'SELECT id, m::text AS m, ms::text AS ms FROM ddls.moods', '1d', 'DIFFERENTIAL');
ALTER TYPE mood ADD VALUE 'happy';
SELECT * FROM marks();
ALTER TYPE mood RENAME VALUE 'sad' TO 'gloomy';
SELECT * FROM marks();
SELECT * FROM refresh() WHERE name = 'texts';
TABLE texts;

-- keys of sources that identify rows of the result
SELECT pgtrickle.create_stream_table('ddls.keyed', 'SELECT id, m FROM ddls.moods', '1d', 'DIFFERENTIAL');
ALTER TABLE moods DROP CONSTRAINT moods_pkey;
INSERT INTO moods VALUES (1, 'gloomy'), (1, 'gloomy');
SELECT * FROM refresh() WHERE name IN ('texts', 'keyed');
TABLE keyed;

-- partitions and children
CREATE TABLE parted (id int, part int, v int) PARTITION BY LIST (part);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
INSERT INTO parted VALUES (1, 1, 1);
SELECT pgtrickle.create_stream_table('ddls.of_parts', 'SELECT part, sum(v) AS v FROM ddls.parted GROUP BY part', '1d', 'DIFFERENTIAL');
CREATE TABLE parted_2 PARTITION OF parted FOR VALUES IN (2);
SELECT * FROM marks();
INSERT INTO parted_2 VALUES (2, 2, 2);
SELECT * FROM refresh() WHERE name = 'of_parts';
CREATE TABLE parted_3 (id int, part int, v int);
INSERT INTO parted_3 VALUES (3, 3, 3);
ALTER TABLE parted ATTACH PARTITION parted_3 FOR VALUES IN (3);
SELECT * FROM marks();
SELECT * FROM refresh() WHERE name = 'of_parts';
INSERT INTO parted_3 VALUES (4, 3, 4);
SELECT * FROM refresh() WHERE name = 'of_parts';
ALTER TABLE parted DETACH PARTITION parted_3;
SELECT * FROM refresh() WHERE name = 'of_parts';
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'parted_3'::regclass;
DROP TABLE parted_2;
SELECT * FROM marks();
SELECT * FROM refresh() WHERE name = 'of_parts';
TABLE of_parts;
CREATE TABLE parent (id int, v int);
SELECT pgtrickle.create_stream_table('ddls.of_children', 'SELECT id, v FROM ddls.parent', '1d', 'DIFFERENTIAL');
CREATE TABLE kid (extra int) INHERITS (parent);
INSERT INTO kid VALUES (1, 1, 1);
SELECT * FROM refresh() WHERE name = 'of_children';
ALTER TABLE kid NO INHERIT parent;
SELECT * FROM refresh() WHERE name = 'of_children';
ALTER TABLE kid INHERIT parent;
SELECT * FROM refresh() WHERE name = 'of_children';
UPDATE kid SET v = 2;
SELECT * FROM refresh() WHERE name = 'of_children';
ALTER TABLE parent ALTER COLUMN v TYPE int USING v + 1;
SELECT * FROM refresh() WHERE name = 'of_children';
TABLE of_children;

RESET search_path;
SET client_min_messages = error;
DROP SCHEMA ddls CASCADE;
DROP SCHEMA ddls_moved CASCADE;
SELECT count(*) FROM pgtrickle.pgt_sources;
