-- What stream tables read, what waits for them, how they are kept.
SET client_min_messages = warning;
CREATE SCHEMA mon;
CREATE TABLE mon.orders (id int PRIMARY KEY, customer int, amount int, note text);
CREATE TABLE mon.customers (id int, name text) PARTITION BY LIST (id);
CREATE TABLE mon.customers_rest PARTITION OF mon.customers DEFAULT;
CREATE VIEW mon.big AS SELECT * FROM mon.orders WHERE amount > 10;
INSERT INTO mon.orders SELECT i, i % 3, i * 5, 'n' FROM generate_series(1, 9) i;
INSERT INTO mon.customers VALUES (0, 'a'), (1, 'b'), (2, 'c');
SELECT pgtrickle.create_stream_table('mon.sums', 'SELECT customer, sum(amount) AS total, max(id) AS last FROM mon.big GROUP BY customer', '1d', 'DIFFERENTIAL');
SELECT pgtrickle.create_stream_table('mon.named', 'SELECT c.name, s.total FROM mon.sums s JOIN mon.customers c ON c.id = s.customer', '1d', 'DIFFERENTIAL');
SELECT pgtrickle.create_stream_table('mon.best', 'SELECT max(total) AS top FROM mon.named', '1d', 'DIFFERENTIAL');
SELECT pgtrickle.create_stream_table('mon.pairs', 'SELECT n.name, s.last FROM mon.sums s, mon.named n WHERE s.total = n.total', '1d', 'FULL');

SELECT * FROM pgtrickle.list_sources('mon.sums');
SELECT * FROM pgtrickle.list_sources('mon.named');
SELECT * FROM pgtrickle.list_sources('mon.pairs');
INSERT INTO mon.orders VALUES (10, 0, 100), (11, 0, 7);
UPDATE mon.orders SET note = 'unused';
UPDATE mon.customers SET name = upper(name);
SELECT source_table, pending_changes, last_change_at <= clock_timestamp() AS changed FROM pgtrickle.list_sources('mon.sums');
SELECT source_table, cdc_mode, pending_changes, buffer_bytes > 0 AS bytes, oldest_change_at <= clock_timestamp() AS oldest, consumers
  FROM pgtrickle.change_buffer_sizes();
SELECT action FROM pgtrickle.refresh_stream_table('mon.sums');
SELECT source_table, cdc_mode, pending_changes, oldest_change_at IS NOT NULL AS oldest, consumers
  FROM pgtrickle.change_buffer_sizes();
SELECT action FROM pgtrickle.refresh_stream_table('mon.named');
SELECT action FROM pgtrickle.refresh_stream_table('mon.pairs');
SELECT action FROM pgtrickle.refresh_stream_table('mon.best');
SELECT source_table, pending_changes FROM pgtrickle.change_buffer_sizes();

SELECT * FROM pgtrickle.trigger_inventory();
SELECT * FROM pgtrickle.dependency_tree();
SELECT tree_line FROM pgtrickle.dependency_tree('mon.best');
SELECT tree_line FROM pgtrickle.dependency_tree('mon.sums');
SELECT * FROM pgtrickle.dependency_tree('mon.orders');

SELECT property, value FROM pgtrickle.explain_st('mon.sums') WHERE property !~ '^step|^full query';
SELECT count(*) > 0 AS steps FROM pgtrickle.explain_st('mon.sums') WHERE property ~ '^step .*SQL';
SELECT count(*) FROM pgtrickle.explain_st('mon.pairs') WHERE property ~ '^step';
SELECT bool_or(property LIKE '%plan%') AS plans FROM pgtrickle.explain_st('mon.named', true);
SELECT * FROM pgtrickle.recommend_indexes('mon.named');
SELECT * FROM pgtrickle.recommend_indexes();

SET client_min_messages = error;
DROP SCHEMA mon CASCADE;
