-- What a change of one row reads of the tables: what an index finds, whatever
-- the kind of join or subquery; and that large deltas are joined, not looped.
CREATE SCHEMA dvm_outer_cost;
SET search_path = dvm_outer_cost, public;
SET client_min_messages = warning;

CREATE TABLE l (id int PRIMARY KEY, k int, a int);
CREATE TABLE r (id int PRIMARY KEY, k int, b int);
INSERT INTO l SELECT i, i % 20000, i FROM generate_series(1, 40000) i;
INSERT INTO r SELECT i, i % 15000, i FROM generate_series(1, 30000) i;
-- one key with very many rows
INSERT INTO r SELECT i, -1, i FROM generate_series(40001, 60000) i;
INSERT INTO l VALUES (50000, -1, 0);
CREATE INDEX ON l (k);
CREATE INDEX ON r (k);
ANALYZE l, r;
SELECT oracle.make('c_left', 'SELECT l.id, l.a, r.id AS rid, r.b FROM l LEFT JOIN r ON r.k = l.k WHERE l.k >= 0');
SELECT oracle.make('c_left_and', 'SELECT l.id, r.id AS rid FROM l LEFT JOIN r ON r.k = l.k AND r.b <> l.a WHERE l.k >= 0');
SELECT oracle.make('c_full', 'SELECT l.id, r.id AS rid FROM l FULL JOIN r ON r.k = l.k');
SELECT oracle.make('c_exists', 'SELECT id FROM l WHERE EXISTS (SELECT 1 FROM r WHERE r.k = l.k)');
SELECT oracle.make('c_not_exists', 'SELECT id FROM l WHERE NOT EXISTS (SELECT 1 FROM r WHERE r.k = l.k AND r.b > 100)');
SELECT oracle.make('c_in', 'SELECT id FROM l WHERE k IN (SELECT k FROM r)');
SELECT oracle.make('c_not_in', 'SELECT id FROM l WHERE k NOT IN (SELECT k FROM r)');
SELECT oracle.make('c_mark', 'SELECT id, EXISTS (SELECT 1 FROM r WHERE r.k = l.k AND r.b <> l.a) AS e FROM l');
SELECT oracle.make('c_lookup', 'SELECT id, (SELECT r.b FROM r WHERE r.id = l.k) AS b FROM l');
SELECT oracle.make('c_count', 'SELECT id, (SELECT count(*) FROM r WHERE r.k = l.k) AS n FROM l WHERE l.k >= 0');
SELECT oracle.make('c_lateral', 'SELECT l.id, q.b FROM l LEFT JOIN LATERAL (SELECT b FROM r WHERE r.k = l.k ORDER BY b DESC LIMIT 1) q ON true WHERE l.k >= 0');

-- rows of both tables read by a refresh
CREATE FUNCTION rows_read(st text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    before bigint;
    action text;
    rows_read bigint;
BEGIN
    SELECT sum(seq_tup_read + idx_tup_fetch) INTO before FROM pg_stat_xact_user_tables WHERE relid IN ('l'::regclass, 'r'::regclass);
    SELECT x.action INTO action FROM pgtrickle.refresh_stream_table(st, 'DIFFERENTIAL') x;
    SELECT sum(seq_tup_read + idx_tup_fetch) - before INTO rows_read FROM pg_stat_xact_user_tables WHERE relid IN ('l'::regclass, 'r'::regclass);
    RETURN action || CASE WHEN rows_read <= 60 THEN ', few rows read' ELSE ', ' || rows_read || ' rows read' END;
END $$;
-- a row on the right: another match, the first one, none any more
INSERT INTO r VALUES (70000, 77, 1), (70001, 17777, 5);
SELECT name, rows_read(name) FROM oracle.cases ORDER BY id;
DELETE FROM r WHERE id IN (70001, 16);
SELECT name, rows_read(name) FROM oracle.cases ORDER BY id;
-- a row on the left
BEGIN; INSERT INTO l VALUES (70000, 18000, 3); UPDATE l SET k = 5 WHERE id = 7; DELETE FROM l WHERE id = 9; COMMIT;
SELECT name, rows_read(name) FROM oracle.cases ORDER BY id;
-- both
BEGIN; INSERT INTO l VALUES (70002, 30000, 3); INSERT INTO r VALUES (70002, 30000, 8); UPDATE r SET k = 8 WHERE id = 200; COMMIT;
SELECT name, rows_read(name) FROM oracle.cases ORDER BY id;
-- one of very many matches more or less: not all of them are counted
INSERT INTO r VALUES (70003, -1, 200);
DELETE FROM r WHERE id = 40500;
SELECT name, rows_read(name) FROM oracle.cases WHERE name IN ('c_exists', 'c_not_exists', 'c_in', 'c_not_in', 'c_mark') ORDER BY id;
SELECT * FROM oracle.check();
-- what would help where there is no index
DROP INDEX r_k_idx;
SELECT DISTINCT value FROM pgtrickle.explain_st('c_exists') WHERE property LIKE '%index that would help';
CREATE INDEX ON r (k);
SELECT oracle.make('c_range', 'SELECT l.id FROM l WHERE l.id < 3 AND EXISTS (SELECT 1 FROM r WHERE r.b < l.a - 49990)');
SELECT property, value FROM pgtrickle.explain_st('c_range') WHERE property LIKE '%note';
SELECT pgtrickle.drop_stream_table('c_range');
DELETE FROM oracle.cases WHERE name = 'c_range';
-- tens of thousands of changes at once, on either side
UPDATE r SET k = k + 1, b = b + 1 WHERE id <= 20000;
SELECT * FROM oracle.check();
UPDATE l SET k = k + 2 WHERE id <= 20000;
SELECT * FROM oracle.check();
SELECT oracle.done();
DROP SCHEMA dvm_outer_cost CASCADE;
