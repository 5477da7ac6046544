-- The first rows under many small writes near the head of the order: peers,
-- duplicates, rows to spare used up and read again.
CREATE SCHEMA dvm_topk_random;
SET search_path = dvm_topk_random, public;
SET client_min_messages = warning;

CREATE TABLE t (k int, v int, w int);
CREATE INDEX ON t (v, w);
INSERT INTO t SELECT i % 3, i * 7 % 40, i * 13 % 11 FROM generate_series(1, 300) i;
SELECT oracle.make('r_first', 'SELECT v, w FROM t ORDER BY v, w LIMIT 3');
SELECT oracle.make('r_offset', 'SELECT v, w FROM t ORDER BY v, w DESC LIMIT 2 OFFSET 4');
SELECT oracle.make('r_last', 'SELECT w, v FROM t ORDER BY w DESC NULLS LAST, v NULLS FIRST LIMIT 5');
SELECT oracle.make('r_ties', 'SELECT v FROM t ORDER BY v FETCH FIRST 2 ROWS WITH TIES');
SELECT oracle.make('r_ties_offset', 'SELECT v FROM t ORDER BY v OFFSET 3 FETCH FIRST 4 ROWS WITH TIES');
SELECT oracle.make('r_keyed', 'SELECT DISTINCT ON (k) k, v, w FROM t ORDER BY k, v, w');
SELECT oracle.make('r_under', 'SELECT k, count(*) AS c, sum(v) AS s FROM (SELECT k, v, w FROM t ORDER BY v, w, k LIMIT 6) q GROUP BY k');
-- peers that differ: the order's columns are compared, and that the rows exist
SELECT oracle.make('r_peers', 'SELECT v, w FROM t ORDER BY v LIMIT 4');

CREATE FUNCTION wrong(name text, query text) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    IF name <> 'r_peers' THEN
        RETURN oracle.difference(name, query);
    END IF;
    RETURN oracle.difference('r_peers_v', 'SELECT v FROM dvm_topk_random.t ORDER BY v LIMIT 4')
        + (SELECT count(*) FROM (TABLE pgtrickle.r_peers EXCEPT ALL SELECT v, w FROM dvm_topk_random.t) x);
END $$;
CREATE VIEW pgtrickle.r_peers_v AS SELECT v FROM pgtrickle.r_peers;

CREATE PROCEDURE storm(rounds int, seed int) LANGUAGE plpgsql AS $$
DECLARE
    x bigint := seed;
    what int;
    low int;
    c record;
    n bigint;
    action text;
    differential int := 0;
BEGIN
    FOR i IN 1..rounds LOOP
        FOR j IN 1..1 + x / 64 % 4 LOOP
            x := (x * 1103515245 + 12345) % 2147483648;
            what := x / 256 % 10;
            low := x / 4096 % 12;
            CASE
                WHEN what < 3 THEN DELETE FROM t WHERE ctid IN (SELECT ctid FROM t ORDER BY v, w LIMIT 1 + low % 5);
                WHEN what < 4 THEN DELETE FROM t WHERE ctid IN (SELECT ctid FROM t ORDER BY w DESC, v LIMIT 1 + low);
                WHEN what < 5 THEN UPDATE t SET v = v + 1 + low % 3 WHERE ctid IN (SELECT ctid FROM t ORDER BY v, w LIMIT 2);
                WHEN what < 6 THEN UPDATE t SET w = NULLIF(low, 5) WHERE v = low;
                WHEN what < 7 THEN INSERT INTO t VALUES (low % 3, NULLIF(low, 7), x / 65536 % 11);
                WHEN what < 8 THEN INSERT INTO t SELECT 1, low, 3 FROM generate_series(1, 3);
                WHEN what < 9 THEN INSERT INTO t SELECT g % 3, 15 + g % 20, g % 11 FROM generate_series(1, 8 + low) g;
                ELSE DELETE FROM t WHERE k = low % 3 AND v < 5;
            END CASE;
        END LOOP;
        FOR c IN SELECT * FROM oracle.cases ORDER BY id LOOP
            SELECT r.action INTO action FROM pgtrickle.refresh_stream_table(c.name, 'DIFFERENTIAL') r;
            differential := differential + (action = 'DIFFERENTIAL')::int;
            n := wrong(c.name, c.query);
            IF n <> 0 THEN
                RAISE EXCEPTION '% is wrong in round % of seed %: % rows', c.name, i, seed, n;
            END IF;
        END LOOP;
    END LOOP;
    RAISE INFO 'seed %: % rounds right, mostly differential: %', seed, rounds, differential > rounds * 4;
END $$;
CALL storm(120, 1);
CALL storm(120, 2);
-- few rows left
DELETE FROM t WHERE ctid NOT IN (SELECT ctid FROM t ORDER BY v DESC LIMIT 15);
CALL storm(120, 3);
DROP VIEW pgtrickle.r_peers_v;
SELECT oracle.done();
RESET client_min_messages;
DROP SCHEMA dvm_topk_random CASCADE;
