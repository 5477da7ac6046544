-- bulk_create: any order of dependencies, all or none; refresh_if_stale.
\set VERBOSITY default
CREATE SCHEMA bulk;
SET search_path = bulk;
CREATE TABLE items (id int PRIMARY KEY, g int, v int);
INSERT INTO items SELECT i, i % 3, i FROM generate_series(1, 30) i;

-- the last first; schemas with and without, CTEs of the same name, all arguments
SELECT * FROM pgtrickle.bulk_create($$[
  {"name": "bulk.top", "query": "SELECT max(s) AS m FROM middle WHERE EXISTS (SELECT FROM bulk.base)", "schedule": "1h"},
  {"name": "bulk.middle", "query": "WITH top AS (SELECT g, s FROM \"bulk\".\"base\") SELECT g, s * 2 AS s FROM top", "refresh_mode": "FULL", "schedule": 30},
  {"name": "bulk.base", "query": "SELECT g, sum(v) AS s FROM items GROUP BY g", "initialize": true, "diamond_consistency": "none", "cdc_mode": null},
  {"name": "bulk.aside", "query": "SELECT count(*) AS n FROM items", "initialize": false}
]$$);
SELECT pgt_name, schedule, refresh_mode, is_populated, diamond_consistency FROM pgtrickle.pgt_stream_tables
 WHERE pgt_schema = 'bulk' ORDER BY pgt_id;
SELECT * FROM top;
SELECT * FROM pgtrickle.bulk_create('[]');
SELECT * FROM pgtrickle.bulk_create(NULL);

-- none, when one cannot be
SELECT * FROM pgtrickle.bulk_create('[{"name": "bulk.a1", "query": "SELECT id FROM items"}, {"name": "bulk.a2", "query": "SELECT nothing FROM bulk.a1"}]');
SELECT * FROM pgtrickle.bulk_create('[{"name": "bulk.a1", "query": "SELECT id FROM items"}, {"name": "bulk.a2", "query": "SELECT"}, {"name": "bulk.a3", "query": "SELECT FROM FROM"}]');
SELECT * FROM pgtrickle.bulk_create('[{"name": "bulk.a1", "query": "SELECT id FROM items", "schedule": "often"}]');
SELECT * FROM pgtrickle.bulk_create('[{"name": "bulk.a1", "query": "SELECT id FROM items"}, {"name": "bulk.base", "query": "SELECT id FROM items"}]');
SELECT to_regclass('a1');
-- cycles
SELECT * FROM pgtrickle.bulk_create('[{"name": "bulk.z", "query": "SELECT * FROM bulk.c1"}, {"name": "bulk.c1", "query": "SELECT * FROM c2"}, {"name": "bulk.c2", "query": "SELECT * FROM items JOIN bulk.c1 USING (id)"}]');
-- what is wrong with the definitions
\set VERBOSITY terse
SELECT * FROM pgtrickle.bulk_create('{}');
SELECT * FROM pgtrickle.bulk_create('1');
\set VERBOSITY default
\set SHOW_CONTEXT never
SELECT * FROM pgtrickle.bulk_create('[1]');
SELECT * FROM pgtrickle.bulk_create('[{"name": "a"}]');
SELECT * FROM pgtrickle.bulk_create('[{"query": "SELECT 1", "name": null}]');
SELECT * FROM pgtrickle.bulk_create('[{"name": "a", "query": "SELECT 1", "shedule": "1s"}]');
SELECT * FROM pgtrickle.bulk_create('[{"name": "a", "query": "SELECT 1", "initialize": "yes"}]');
SELECT * FROM pgtrickle.bulk_create('[{"name": "a", "query": ["SELECT 1"]}]');
SELECT * FROM pgtrickle.bulk_create('[{"name": "bulk.a", "query": "SELECT 1"}, {"name": "BULK.A", "query": "SELECT 1"}]');

-- refresh_if_stale
SELECT pgtrickle.refresh_if_stale('bulk.base');
SELECT pgtrickle.refresh_if_stale('bulk.aside');
SELECT n FROM aside;
INSERT INTO items VALUES (100, 1, 1000);
SELECT pgtrickle.refresh_if_stale('base'), pgtrickle.refresh_if_stale('base', '1 hour');
SELECT pgtrickle.refresh_if_stale('base', '0');
SELECT sum(s) FROM base;
SELECT pgtrickle.refresh_if_stale('base', '0');
SELECT pgtrickle.refresh_if_stale('nothing');
-- nobody to wait for
SELECT pgtrickle.drain('1s');

DROP SCHEMA bulk CASCADE;
