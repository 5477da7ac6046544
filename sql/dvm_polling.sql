-- Materialized views and foreign tables: compared at each refresh where the
-- settings ask for it, FULL otherwise.
CREATE SCHEMA dvm_poll;
SET search_path = dvm_poll, public;
SET client_min_messages = warning;

CREATE TABLE t (id int PRIMARY KEY, g int, v int);
CREATE TABLE far (id int, note text, unused int);
INSERT INTO t SELECT i, i % 3, i FROM generate_series(1, 9) i;
INSERT INTO far SELECT i, 'n' || i % 2, i FROM generate_series(1, 6) i;
CREATE MATERIALIZED VIEW m AS SELECT g, sum(v) AS s FROM t GROUP BY g;
CREATE UNIQUE INDEX ON m (g);
CREATE EXTENSION postgres_fdw;
DO $$ BEGIN
    EXECUTE format('CREATE SERVER loop FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host %L, port %L, dbname %L)',
                   split_part(current_setting('unix_socket_directories'), ',', 1), current_setting('port'), current_database());
END $$;
CREATE USER MAPPING FOR CURRENT_USER SERVER loop;
CREATE FOREIGN TABLE f (id int, note text, unused int) SERVER loop OPTIONS (schema_name 'dvm_poll', table_name 'far');

SELECT oracle.make('p_full', 'SELECT g, s FROM m');
SELECT oracle.make('p_full_foreign', 'SELECT note, count(*) FROM f GROUP BY note');
SET pg_trickle.matview_polling = on;
SET pg_trickle.foreign_table_polling = on;
SELECT oracle.make('p_matview', 'SELECT g, s + 1 AS s1 FROM m WHERE s > 10');
SELECT oracle.make('p_join', 'SELECT t.id, m.s FROM t JOIN m USING (g)');
SELECT oracle.make('p_foreign', 'SELECT note, count(*), max(id) FROM f GROUP BY note');
SELECT oracle.make('p_both', 'SELECT t.v, f.note, m.s FROM t JOIN f USING (id) LEFT JOIN m ON m.g = t.g');
SELECT oracle.make('p_twice', 'SELECT a.id FROM f a JOIN f b ON a.id = b.id + 1');
RESET pg_trickle.matview_polling;
RESET pg_trickle.foreign_table_polling;
SELECT pgtrickle.drop_stream_table(name) IS NOT NULL AS dropped FROM oracle.cases WHERE name LIKE 'p_full%';
DELETE FROM oracle.cases WHERE name LIKE 'p_full%';
SELECT * FROM oracle.check();
-- what changes nothing there changes nothing here
UPDATE t SET v = v + 1 WHERE g = 1;
INSERT INTO far VALUES (7, 'n1', NULL), (8, NULL, NULL);
SELECT * FROM oracle.check();
SELECT action, rows_inserted, rows_deleted FROM pgtrickle.refresh_stream_table('p_matview', 'DIFFERENTIAL');
REFRESH MATERIALIZED VIEW m;
SELECT action, rows_inserted, rows_deleted FROM pgtrickle.refresh_stream_table('p_matview', 'DIFFERENTIAL');
SELECT * FROM oracle.check();
BEGIN; UPDATE far SET unused = 9; DELETE FROM t WHERE id < 3; COMMIT;
SELECT action, rows_inserted, rows_deleted FROM pgtrickle.refresh_stream_table('p_foreign', 'DIFFERENTIAL');
REFRESH MATERIALIZED VIEW m;
DELETE FROM far WHERE id = 3;
SELECT * FROM oracle.check();
SELECT property, value FROM pgtrickle.explain_st('p_foreign') WHERE property LIKE 'step 1%' AND property NOT LIKE '%table';
SET pg_trickle.matview_polling = on;
SELECT pgtrickle.create_stream_table('p_now', 'SELECT g FROM m', refresh_mode => 'IMMEDIATE');
RESET pg_trickle.matview_polling;
SELECT oracle.done();
RESET client_min_messages;
DROP SCHEMA dvm_poll CASCADE;
