-- What a change of one row reads: its partition, the rows kept; not the table.
CREATE SCHEMA dvm_window_cost;
SET search_path = dvm_window_cost, public;
SET client_min_messages = warning;

CREATE TABLE big (id int PRIMARY KEY, g int, v int);
INSERT INTO big SELECT i, i % 5000, i % 977 FROM generate_series(1, 50000) i;
CREATE INDEX ON big (g);
CREATE INDEX ON big (v);
ANALYZE big;
SELECT oracle.make('c_window', 'SELECT id, rank() OVER (PARTITION BY g ORDER BY v) AS r, sum(v) OVER (PARTITION BY g) AS s FROM big');
SELECT oracle.make('c_first', 'SELECT DISTINCT ON (g) g, id, v FROM big ORDER BY g, v DESC, id');
SELECT oracle.make('c_limit', 'SELECT id, v FROM big ORDER BY v, id LIMIT 10');
SELECT oracle.make('c_wrapper', 'SELECT g, id FROM (SELECT g, id, row_number() OVER (PARTITION BY g ORDER BY v, id) AS n FROM big) q WHERE n = 1');

-- rows of big read by a refresh
CREATE FUNCTION rows_read(st text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    before bigint;
    action text;
    rows_read bigint;
BEGIN
    SELECT coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) INTO before FROM pg_stat_xact_user_tables WHERE relid = 'dvm_window_cost.big'::regclass;
    SELECT r.action INTO action FROM pgtrickle.refresh_stream_table(st, 'DIFFERENTIAL') r;
    SELECT coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) - before INTO rows_read FROM pg_stat_xact_user_tables WHERE relid = 'dvm_window_cost.big'::regclass;
    RETURN action || CASE WHEN rows_read <= 100 THEN ', few rows read' ELSE ', ' || rows_read || ' rows read' END;
END $$;
UPDATE big SET v = v + 3 WHERE id = 4711;
INSERT INTO big VALUES (60000, 17, -1);
DELETE FROM big WHERE id = 5;
SELECT name, rows_read(name) FROM oracle.cases ORDER BY id;
SELECT * FROM oracle.check();
-- the rows to spare are used up: the first rows are read by the index on their order
DELETE FROM big WHERE id IN (SELECT id FROM big ORDER BY v, id LIMIT 35);
SELECT name, rows_read(name) FROM oracle.cases WHERE name = 'c_limit';
SELECT * FROM oracle.check();
-- state is as after a fresh build
CREATE FUNCTION state_of(st text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    tab text;
BEGIN
    FOR tab IN SELECT split_part(value, ',', 1) FROM pgtrickle.explain_st(st) WHERE property LIKE '%state table' LOOP
        RETURN QUERY EXECUTE format('SELECT (s)::text FROM %s s ORDER BY 1', tab);
    END LOOP;
END $$;
CREATE TEMP TABLE kept AS SELECT state_of('c_window') AS s;
SELECT action FROM pgtrickle.refresh_stream_table('c_window', 'FULL');
SELECT count(*) > 0 AS some, (SELECT count(*) FROM (SELECT s FROM kept EXCEPT ALL SELECT state_of('c_window')) d) AS differ FROM kept;
SELECT name, (SELECT string_agg(property || ': ' || value, '; ' ORDER BY property) FROM pgtrickle.explain_st(name) WHERE property ~ 'index that|cost$')
  FROM oracle.cases ORDER BY id;
SELECT oracle.done();

-- over groups: their state has an index for the look-ups from above
SELECT oracle.make('c_over_groups', 'SELECT g, v % 7 AS m, rank() OVER (PARTITION BY v % 7 ORDER BY count(*), g) AS r FROM big GROUP BY g, v % 7');
SELECT oracle.make('c_group_of_groups', 'SELECT c, string_agg(g::text, '','' ORDER BY g) AS s FROM (SELECT g, count(*) AS c FROM big GROUP BY g) q GROUP BY c');
UPDATE big SET v = v + 1 WHERE id = 77;
SELECT * FROM oracle.check();
SELECT name, property, value !~ 'Seq Scan' AS by_index FROM oracle.cases, pgtrickle.explain_st(name, true) WHERE property ~ '(partitions|groups): plan for small' ORDER BY 1;
SELECT oracle.done();

-- more than fits into memory: keys in batches, rows in passes
DELETE FROM big WHERE id > 8000;
SET pg_trickle.refresh_work_mem = '64kB';
SELECT oracle.make('c_memory', 'SELECT id, v, count(*) OVER (PARTITION BY g) AS c, repeat(''x'', v % 50) AS x FROM big');
SELECT oracle.make('c_whole', 'SELECT id, repeat(''y'', v % 40) AS y, row_number() OVER (ORDER BY v, id) AS n FROM big WHERE g < 900');
SELECT oracle.make('c_top', 'SELECT id, repeat(''z'', v % 40) AS z FROM big ORDER BY v DESC, id LIMIT 300');
SELECT oracle.make('c_tops', 'SELECT DISTINCT ON (g) g, id, repeat(''z'', v % 40) AS z FROM big ORDER BY g, v, id');
UPDATE big SET v = v + 1 WHERE id % 3 = 0;
DELETE FROM big WHERE id % 7 = 0;
SELECT * FROM oracle.check();
UPDATE big SET v = 977 - v;
SELECT * FROM oracle.check();
RESET pg_trickle.refresh_work_mem;
SELECT oracle.done();
RESET client_min_messages;
DROP SCHEMA dvm_window_cost CASCADE;
