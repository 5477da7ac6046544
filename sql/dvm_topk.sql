-- ORDER BY with LIMIT and OFFSET: the first rows, a few to spare, and the query
-- again only when deletions have used these up.
CREATE SCHEMA dvm_topk;
SET search_path = dvm_topk, public;
SET client_min_messages = warning;

CREATE TABLE t (id int PRIMARY KEY, g int, v int, n numeric, s text, j json);
CREATE TABLE u (g int, w int);
INSERT INTO t SELECT i, i % 5, (i * 37) % 101, (i % 7) / 2.0, 's' || i % 3, '{}' FROM generate_series(1, 200) i;
INSERT INTO t VALUES (1000, NULL, NULL, NULL, NULL, NULL), (1001, NULL, NULL, 1.00, 'x', '[]'), (1002, 1, 50, 1.0, NULL, '1');
INSERT INTO u SELECT i % 5, i FROM generate_series(1, 10) i;

SELECT oracle.make('k_first', 'SELECT id, v FROM t ORDER BY v DESC NULLS LAST, id LIMIT 5');
SELECT oracle.make('k_offset', 'SELECT id, v FROM t ORDER BY v, id LIMIT 4 OFFSET 3');
SELECT oracle.make('k_nulls', 'SELECT id, n FROM t ORDER BY n NULLS FIRST, id DESC LIMIT 6');
SELECT oracle.make('k_nulls_last', 'SELECT id FROM t ORDER BY v DESC, id FETCH FIRST 3 ROWS ONLY');
SELECT oracle.make('k_hidden', 'SELECT s FROM t WHERE v > 10 ORDER BY v + g, id LIMIT 2 + 3');
SELECT oracle.make('k_ties', 'SELECT v, count(*) OVER (PARTITION BY v) AS c FROM (SELECT v FROM t ORDER BY v DESC NULLS LAST FETCH FIRST 3 ROWS WITH TIES) q');
SELECT oracle.make('k_ties_offset', 'SELECT s, n FROM t ORDER BY n DESC NULLS LAST, s OFFSET 2 FETCH NEXT 4 ROWS WITH TIES');
SELECT oracle.make('k_none', 'SELECT id FROM t ORDER BY id LIMIT 0');
SELECT oracle.make('k_all', 'SELECT id FROM t ORDER BY id LIMIT ALL');
SELECT oracle.make('k_offset_only', 'SELECT id FROM t ORDER BY v, id OFFSET 150');
SELECT oracle.make('k_json', 'SELECT id, j FROM t ORDER BY id DESC LIMIT 4');
SELECT oracle.make('k_join', 'SELECT t.id, u.w FROM t JOIN u ON u.g = t.g ORDER BY u.w DESC, t.v, t.id LIMIT 7');
SELECT oracle.make('k_group', 'SELECT g, sum(v) AS s FROM t GROUP BY g ORDER BY sum(v) DESC NULLS LAST, g LIMIT 2');
SELECT oracle.make('k_total', 'SELECT count(*) AS c FROM t ORDER BY 1 LIMIT 1');
SELECT oracle.make('k_distinct', 'SELECT DISTINCT s, n FROM t ORDER BY n, s LIMIT 5 OFFSET 1');
SELECT oracle.make('k_union', 'SELECT v FROM t UNION ALL SELECT w FROM u ORDER BY 1 DESC NULLS LAST LIMIT 6');
SELECT oracle.make('k_window', 'SELECT id, rank() OVER (PARTITION BY g ORDER BY v) AS r FROM t ORDER BY rank() OVER (PARTITION BY g ORDER BY v) DESC, id LIMIT 5');
SELECT oracle.make('k_under_group', 'SELECT s, count(*) AS c, sum(v) AS sum FROM (SELECT s, v FROM t ORDER BY v DESC NULLS LAST, id LIMIT 10) q GROUP BY s');
SELECT oracle.make('k_under_join', 'SELECT q.id, u.w FROM (SELECT id, g FROM t ORDER BY v, id LIMIT 8) q JOIN u ON u.g = q.g');
SELECT oracle.make('k_both', 'SELECT a.id FROM (SELECT id FROM t ORDER BY v, id LIMIT 50) a JOIN (SELECT id FROM t ORDER BY n, id LIMIT 50) b ON a.id = b.id');
SELECT oracle.make('k_twice', 'SELECT id, v FROM (SELECT id, v FROM t ORDER BY v DESC NULLS LAST, id LIMIT 9) q ORDER BY id LIMIT 3');
SELECT oracle.make('k_cte', 'WITH best AS (SELECT id, v, g FROM t ORDER BY v DESC NULLS LAST, id LIMIT 6) SELECT a.id, b.v FROM best a JOIN best b ON a.g = b.g');
SELECT pgt_name, topk_limit, topk_offset FROM pgtrickle.pgt_stream_tables WHERE topk_limit IS NOT NULL OR topk_offset IS NOT NULL ORDER BY 1;
SELECT * FROM oracle.check();
-- into the top, out of it, within it, behind it
INSERT INTO t VALUES (2000, 1, 999, 9, 's0', '{}'), (2001, 1, -1, -1, 's0', '{}'), (2002, 2, 55, 3, 's1', '{}');
SELECT * FROM oracle.check();
UPDATE t SET v = 54 WHERE id = 2000;
UPDATE t SET v = v + 1 WHERE id IN (SELECT id FROM pgtrickle.k_first);
SELECT * FROM oracle.check();
DELETE FROM t WHERE id IN (SELECT id FROM pgtrickle.k_offset);
UPDATE t SET n = NULL WHERE id = 17;
SELECT * FROM oracle.check();
-- until the rows to spare are used up, and further
DELETE FROM t WHERE v > 80;
DELETE FROM t WHERE v < 15;
SELECT * FROM oracle.check();
DELETE FROM t WHERE id NOT IN (SELECT id FROM t ORDER BY id LIMIT 12);
SELECT * FROM oracle.check();
-- fewer than wanted, none, one
DELETE FROM t WHERE id NOT IN (SELECT id FROM t ORDER BY id LIMIT 2);
SELECT * FROM oracle.check();
DELETE FROM t;
SELECT * FROM oracle.check();
INSERT INTO t VALUES (1, 1, 1, 1, 'one', '1');
SELECT * FROM oracle.check();
-- many at once, ties at the border, the same row many times
INSERT INTO t SELECT i, i % 5, i % 20, i % 3, 's' || i % 4, '{}' FROM generate_series(2, 3000) i;
SELECT * FROM oracle.check();
UPDATE t SET v = 19 WHERE v = 18;
DELETE FROM t WHERE v = 0 OR n = 0 AND id % 2 = 0;
BEGIN; INSERT INTO u SELECT 1, 100 FROM generate_series(1, 40); DELETE FROM u WHERE w < 5; COMMIT;
SELECT * FROM oracle.check();
-- in and out within a batch
BEGIN; INSERT INTO t VALUES (9000, 1, 9999, 99, 'q', '{}'); UPDATE t SET v = 3 WHERE id = 9000; DELETE FROM t WHERE id = 9000; COMMIT;
SELECT * FROM oracle.check();
BEGIN; TRUNCATE t; INSERT INTO t SELECT i, i % 2, -i, i, 'z', '{}' FROM generate_series(1, 30) i; COMMIT;
SELECT * FROM oracle.check();

-- what is kept is bounded, and says so
SELECT property, value FROM pgtrickle.explain_st('k_offset') WHERE property ~ '^step' AND property !~ 'state table';
SELECT oracle.done();

-- peers at the border: one of the answers the query may give, and no others
-- take the place of those shown while they are there
CREATE TABLE peers (id int, v int);
INSERT INTO peers SELECT i, 1 FROM generate_series(1, 100) i;
SELECT oracle.make('k_peers', 'SELECT id, v FROM peers ORDER BY v LIMIT 3');
CREATE TABLE shown AS SELECT id FROM pgtrickle.k_peers;
INSERT INTO peers SELECT i, 1 FROM generate_series(101, 150) i;
DELETE FROM peers WHERE id IN (SELECT i FROM generate_series(1, 100) i WHERE i NOT IN (SELECT id FROM shown) LIMIT 60);
SELECT action, rows_inserted, rows_deleted FROM pgtrickle.refresh_stream_table('k_peers', 'DIFFERENTIAL');
SELECT count(*), count(*) FILTER (WHERE id IN (SELECT id FROM shown)) AS stayed FROM pgtrickle.k_peers;
DELETE FROM peers WHERE id = (SELECT min(id) FROM shown);
SELECT action, rows_inserted, rows_deleted FROM pgtrickle.refresh_stream_table('k_peers', 'DIFFERENTIAL');
SELECT count(*), count(*) FILTER (WHERE id IN (SELECT id FROM shown)) AS stayed, count(*) FILTER (WHERE id IN (SELECT id FROM peers)) AS there FROM pgtrickle.k_peers;
-- all that is left, one by one
DO $$
BEGIN
    FOR i IN 1..90 LOOP
        DELETE FROM dvm_topk.peers WHERE id = (SELECT min(id) FROM pgtrickle.k_peers);
        PERFORM pgtrickle.refresh_stream_table('k_peers', 'DIFFERENTIAL');
        IF (SELECT count(*) FROM pgtrickle.k_peers) <> least(3, (SELECT count(*) FROM dvm_topk.peers))
           OR EXISTS (SELECT FROM pgtrickle.k_peers k WHERE NOT EXISTS (SELECT FROM dvm_topk.peers p WHERE p.id = k.id)) THEN
            RAISE EXCEPTION 'wrong after % deletions', i;
        END IF;
    END LOOP;
END $$;
SELECT (SELECT count(*) FROM peers) AS in_table, (SELECT count(*) FROM pgtrickle.k_peers) AS shown;
SELECT oracle.done();
RESET client_min_messages;
DROP SCHEMA dvm_topk CASCADE;
