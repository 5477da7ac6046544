-- create_stream_table: arguments, refusals, variants; what is made.
CREATE SCHEMA api_create;
SET search_path = api_create, public;
SET pg_trickle.stream_table_schema = '';

CREATE TABLE orders (id int PRIMARY KEY, customer int, amount numeric(10,2));
INSERT INTO orders SELECT i, i % 3, i FROM generate_series(1, 9) i;

SELECT pgtrickle.create_stream_table('totals', 'SELECT customer, sum(amount) AS total FROM orders GROUP BY customer', '1s');
SELECT * FROM totals ORDER BY customer;
SELECT pgt_schema, pgt_name, schedule, refresh_mode, effective_mode, status, is_populated,
       diamond_consistency, diamond_schedule_policy, requested_cdc_mode, is_append_only
  FROM pgtrickle.pgt_stream_tables WHERE pgt_relid = 'totals'::regclass;
-- the key of the query is the table's key
SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = 'totals'::regclass;
-- the relation itself: no extra columns
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
 WHERE attrelid = 'totals'::regclass AND attnum > 0 ORDER BY attnum;

-- a duplicate, the two ways around it
SELECT pgtrickle.create_stream_table('totals', 'SELECT 1 AS a FROM orders');
SELECT pgtrickle.create_stream_table_if_not_exists('totals', 'SELECT 1 AS a FROM orders');
SELECT pgtrickle.create_stream_table_if_not_exists('orders', 'SELECT 1 AS a FROM orders');
SELECT pgtrickle.create_stream_table_if_not_exists('counts', 'SELECT count(*) AS n FROM orders');

-- create or replace: nothing, settings, query
SELECT pgtrickle.create_or_replace_stream_table('totals', 'select customer, sum(amount) as total from api_create.orders group by customer;', '1s');
SELECT reinit_reason, schedule, refresh_mode FROM pgtrickle.pgt_stream_tables WHERE pgt_name = 'totals';
SELECT pgtrickle.create_or_replace_stream_table('totals', 'SELECT customer, sum(amount) AS total FROM orders GROUP BY customer', '7s', 'FULL');
SELECT schedule, refresh_mode, effective_mode FROM pgtrickle.pgt_stream_tables WHERE pgt_name = 'totals';
SELECT pgtrickle.create_or_replace_stream_table('totals', 'SELECT customer, count(*) AS total FROM orders GROUP BY customer');
SELECT schedule, refresh_mode, effective_mode FROM pgtrickle.pgt_stream_tables WHERE pgt_name = 'totals';
SELECT * FROM totals ORDER BY customer;

-- empty until its first refresh
SELECT pgtrickle.create_stream_table('later', 'SELECT id FROM orders', initialize => false);
SELECT status, is_populated FROM pgtrickle.pgt_stream_tables WHERE pgt_name = 'later';
SELECT count(*) FROM later;
SELECT action, rows_inserted, rows_deleted FROM pgtrickle.refresh_stream_table('later');
SELECT status, is_populated FROM pgtrickle.pgt_stream_tables WHERE pgt_name = 'later';

-- wrong arguments; nothing is left behind
SELECT pgtrickle.create_stream_table('x', 'SELECT id FROM orders', 'now and then');
SELECT pgtrickle.create_stream_table('x', 'SELECT id FROM orders', '* * * *');
SELECT pgtrickle.create_stream_table('x', 'SELECT id FROM orders', refresh_mode => 'SOMETIMES');
SELECT pgtrickle.create_stream_table('x', 'SELECT id FROM orders', diamond_consistency => 'half');
SELECT pgtrickle.create_stream_table('x', 'SELECT id FROM orders', diamond_schedule_policy => 'lazy');
SELECT pgtrickle.create_stream_table('x', 'SELECT id FROM orders', cdc_mode => 'wal');
SELECT pgtrickle.create_stream_table('x', 'SELECT id FROM orders', cdc_mode => 'pigeon');
SELECT pgtrickle.create_stream_table('x', 'SELECT count(*) AS n FROM orders', append_only => true);
SELECT pgtrickle.create_stream_table(NULL, 'SELECT id FROM orders');
SELECT pgtrickle.create_stream_table('x', NULL);
SELECT pgtrickle.create_stream_table('', 'SELECT id FROM orders');
SELECT pgtrickle.create_stream_table('a.b.c', 'SELECT id FROM orders');
SELECT pgtrickle.create_stream_table('nowhere.x', 'SELECT id FROM orders');
SELECT pgtrickle.create_stream_table('pgtrickle_state.x', 'SELECT id FROM orders');
SELECT pgtrickle.create_stream_table('x', 'SELECT id FROM');
SELECT pgtrickle.create_stream_table('x', 'SELECT id FROM orders; SELECT 1');
SELECT pgtrickle.create_stream_table('x', 'DELETE FROM orders');
SELECT pgtrickle.create_stream_table('x', 'SELECT id, id FROM orders');
SELECT pgtrickle.create_stream_table('x', 'SELECT nothing FROM orders');
SELECT pgtrickle.create_stream_table('x', 'SELECT id FROM missing');
SELECT pgtrickle.create_stream_table('x', 'SELECT 1 / (id - 1) AS q FROM orders');
SELECT to_regclass('x');
BEGIN READ ONLY;
SELECT pgtrickle.create_stream_table('x', 'SELECT id FROM orders');
ROLLBACK;

-- names are parsed, not guessed
SELECT pgtrickle.create_stream_table('"Or.der""s"', 'SELECT id AS "The Id" FROM orders');
SELECT * FROM "Or.der""s" ORDER BY 1 LIMIT 1;
SELECT pgtrickle.export_definition('"Or.der""s"');

-- what a query would be, without making it
SELECT * FROM pgtrickle.validate_query('SELECT customer, sum(amount) FROM orders GROUP BY 1');
SELECT * FROM pgtrickle.validate_query('SELECT id FROM orders WHERE random() >= 0');
SELECT * FROM pgtrickle.validate_query('SELECT id FROM orders LIMIT 1');

DROP SCHEMA api_create CASCADE;
SELECT count(*) FROM pgtrickle.pgt_stream_tables;
SELECT count(*) FROM pg_class WHERE relnamespace IN ('pgtrickle_state'::regnamespace, 'pgtrickle_changes'::regnamespace);
