-- WITH RECURSIVE: trees, graphs with alternative paths and cycles, UNION and
-- UNION ALL; what is kept by levels and what is run anew; the guard.
CREATE SCHEMA dvm_rec;
SET search_path = dvm_rec, public;
SET client_min_messages = warning;

CREATE TABLE e (src int, dst int, w int);
CREATE TABLE emp (id int PRIMARY KEY, boss int, name text, pay numeric);
CREATE TABLE flag (id int PRIMARY KEY, ok bool);
INSERT INTO e VALUES (1, 2, 1), (2, 3, 1), (3, 4, 2), (2, 4, 5), (4, 5, 1), (1, 6, 7), (6, 5, 1);
INSERT INTO emp SELECT i, nullif(i / 2, 0), 'n' || i, i * 1.5 FROM generate_series(1, 14) i;
INSERT INTO flag SELECT i, i % 4 > 0 FROM generate_series(1, 14) i;

SELECT oracle.make('r_reach', 'WITH RECURSIVE r(n) AS (SELECT dst FROM e WHERE src = 1 UNION SELECT e.dst FROM r JOIN e ON e.src = r.n) SELECT n FROM r');
SELECT oracle.make('r_closure', 'WITH RECURSIVE r(a, b) AS (SELECT src, dst FROM e UNION SELECT r.a, e.dst FROM r, e WHERE r.b = e.src) SELECT a, b FROM r');
SELECT oracle.make('r_tree', 'WITH RECURSIVE r AS (SELECT id, boss, 1 AS depth, name AS path, pay FROM emp WHERE boss IS NULL UNION ALL SELECT x.id, x.boss, r.depth + 1, r.path || ''/'' || x.name, x.pay + r.pay FROM emp x JOIN r ON x.boss = r.id) SELECT * FROM r');
SELECT oracle.make('r_walks', 'WITH RECURSIVE r(n, len) AS (SELECT src, 0 FROM e WHERE src = 1 UNION ALL SELECT e.dst, r.len + e.w FROM r JOIN e ON e.src = r.n WHERE r.len < 9) SELECT n, count(*), min(len), max(len) FROM r GROUP BY n');
SELECT oracle.make('r_three_way', 'WITH RECURSIVE r(n) AS (SELECT id FROM emp WHERE boss IS NULL UNION SELECT x.id FROM r JOIN emp x ON x.boss = r.n JOIN flag f ON f.id = x.id AND f.ok) SELECT emp.name FROM r JOIN emp ON emp.id = r.n');
SELECT oracle.make('r_over_groups', 'WITH RECURSIVE s AS (SELECT src, max(dst) AS dst FROM e GROUP BY src), r(n) AS (SELECT 1 FROM flag WHERE id = 1 UNION SELECT s.dst FROM r JOIN s ON s.src = r.n) SELECT n FROM r');
SELECT oracle.make('r_nested_from', 'WITH RECURSIVE r(n, d) AS (SELECT 1, 0 FROM flag WHERE id = 1 UNION ALL SELECT q.dst, q.d + 1 FROM (SELECT e.dst, r.d FROM r JOIN e ON e.src = r.n WHERE e.w < 6) q WHERE q.d < 5) SELECT n, d FROM r');
SELECT oracle.make('r_twice', 'WITH RECURSIVE r(n) AS (SELECT dst FROM e WHERE src = 1 UNION SELECT e.dst FROM r JOIN e ON e.src = r.n) SELECT a.n, count(*) FROM r a JOIN r b ON b.n <= a.n GROUP BY a.n');
SELECT oracle.make('r_series', 'WITH RECURSIVE d(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM d WHERE x < 5) SELECT e.src, d.x FROM e JOIN d ON d.x = e.dst');
SELECT oracle.make('r_srf', 'WITH RECURSIVE r(n, d) AS (SELECT src, 1 FROM e UNION SELECT g, r.d + 1 FROM r, generate_series(r.n, r.n + 1) g WHERE r.d < 3) SELECT n, d FROM r');
SELECT oracle.make('r_two', 'WITH RECURSIVE up(n) AS (SELECT 11 FROM flag WHERE id = 1 UNION ALL SELECT emp.boss FROM up JOIN emp ON emp.id = up.n WHERE emp.boss IS NOT NULL), down(n) AS (SELECT n FROM up UNION SELECT emp.id FROM down JOIN emp ON emp.boss = down.n) SELECT n FROM down EXCEPT SELECT n FROM up');
SELECT oracle.make('r_group_above', 'WITH RECURSIVE r AS (SELECT id AS root, id FROM emp UNION ALL SELECT r.root, emp.id FROM r JOIN emp ON emp.boss = r.id) SELECT root, count(*), sum(emp.pay) FROM r JOIN emp USING (id) GROUP BY root');
-- run anew and compared
SELECT oracle.make('r_cycle', 'WITH RECURSIVE r(n, d) AS (SELECT 1, 0 FROM flag WHERE id = 1 UNION ALL SELECT e.dst, r.d + 1 FROM r JOIN e ON e.src = r.n) CYCLE n SET again USING path SELECT n, d, again FROM r');
SELECT oracle.make('r_search', 'WITH RECURSIVE r(id) AS (SELECT id FROM emp WHERE boss IS NULL UNION ALL SELECT emp.id FROM r JOIN emp ON emp.boss = r.id) SEARCH DEPTH FIRST BY id SET place SELECT id FROM r ORDER BY place');
SELECT oracle.make('r_outer', 'WITH RECURSIVE r(id, name) AS (SELECT id, name FROM emp WHERE boss IS NULL UNION SELECT x.id, coalesce(f.ok::text, ''none'') FROM r JOIN emp x ON x.boss = r.id LEFT JOIN flag f ON f.id = x.id) SELECT * FROM r');
SELECT oracle.make('r_distinct', 'WITH RECURSIVE r(n, d) AS (SELECT 1, 0 FROM flag WHERE id = 1 UNION ALL SELECT q.dst, q.d + 1 FROM (SELECT DISTINCT e.dst, r.d FROM r JOIN e ON e.src = r.n) q WHERE q.d < 4) SELECT n, d FROM r');
SELECT oracle.make('r_numeric', 'WITH RECURSIVE r(id, pay) AS (SELECT id, pay FROM emp WHERE boss IS NULL UNION SELECT x.id, x.pay + r.pay FROM r JOIN emp x ON x.boss = r.id) SELECT sum(pay) FROM r');
SELECT oracle.make('r_both', 'WITH RECURSIVE a(n) AS (SELECT 1 FROM flag WHERE id = 1 UNION SELECT e.dst FROM a JOIN e ON e.src = a.n), b(n, d) AS (SELECT n, 0 FROM a UNION ALL SELECT e.dst, b.d + 1 FROM b JOIN e ON e.src = b.n WHERE b.d < 2) CYCLE n SET again USING path, c(n, pay) AS (SELECT id, pay FROM emp WHERE boss IS NULL UNION SELECT emp.id, emp.pay FROM c JOIN emp ON emp.boss = c.n) SELECT b.n, b.d, b.again, c.pay FROM b LEFT JOIN c USING (n)');
SELECT oracle.make('r_tested', 'SELECT id, name FROM emp WHERE id IN (WITH RECURSIVE r(n) AS (SELECT dst FROM e WHERE src = 1 UNION SELECT e.dst FROM r JOIN e ON e.src = r.n) SELECT n FROM r)');
SELECT oracle.make('r_same_name', 'SELECT a.n, b.n AS m FROM (WITH RECURSIVE r(n) AS (SELECT 1 FROM flag WHERE id = 1 UNION SELECT e.dst FROM (SELECT n FROM r) q JOIN e ON e.src = q.n) SELECT n FROM r) a JOIN (WITH RECURSIVE r(n) AS (SELECT 2 FROM flag WHERE id = 1 UNION SELECT e.dst FROM (SELECT n FROM r) q JOIN e ON e.src = q.n) SELECT n FROM r) b ON a.n <= b.n');
SELECT oracle.make('r_outer_with', 'WITH s AS (SELECT src, dst, w FROM e WHERE w < 6) SELECT q.n, count(*) FROM (WITH RECURSIVE r(n, d) AS (SELECT src, 0 FROM s UNION ALL SELECT s.dst, r.d + 1 FROM r JOIN s ON s.src = r.n WHERE r.d < 3) SELECT n FROM r) q GROUP BY q.n');
SELECT oracle.make('r_outer_with_anew', 'WITH s AS (SELECT src, dst, w FROM e WHERE w < 6) SELECT q.n, q.again FROM (SELECT * FROM (WITH RECURSIVE r(n) AS (SELECT src FROM s UNION ALL SELECT s.dst FROM r JOIN s ON s.src = r.n) CYCLE n SET again USING path SELECT n, again FROM r) x) q WHERE q.n IN (SELECT dst FROM s)');
SELECT oracle.make('r_within', 'WITH RECURSIVE r(n, d) AS (SELECT 1, 0 FROM flag WHERE id = 1 UNION ALL SELECT q.n, q.d + 1 FROM (WITH RECURSIVE i(n, d) AS (SELECT n, d FROM r UNION SELECT e.dst, i.d FROM i JOIN e ON e.src = i.n) SELECT n, d FROM i) q WHERE q.d < 2) SELECT n, d FROM r');
SELECT oracle.make('r_record', 'WITH RECURSIVE r(n) AS (SELECT 1 FROM flag WHERE id = 1 UNION ALL SELECT e.dst FROM r JOIN e ON e.src = r.n) CYCLE n SET again USING path SELECT n, path::text FROM r');
SELECT name, value FROM oracle.cases, pgtrickle.explain_st(name) WHERE property LIKE 'step%: method' AND value LIKE ANY (ARRAY['derivations%', 'run anew%']) ORDER BY id;
SELECT oracle.make('r_correlated', 'SELECT id FROM emp WHERE EXISTS (WITH RECURSIVE r(n) AS (SELECT emp.boss UNION SELECT x.boss FROM r JOIN emp x ON x.id = r.n) SELECT FROM r WHERE n = 2)');
SELECT count(pgtrickle.drop_stream_table(name)) AS dropped FROM oracle.cases WHERE name IN ('r_record', 'r_correlated');
DELETE FROM oracle.cases WHERE name IN ('r_record', 'r_correlated');
SELECT * FROM oracle.check();

-- a cycle, closed and opened; the way to a node that has another way; and all
-- support of a cycle goes
INSERT INTO e VALUES (5, 1, 1);
SELECT * FROM oracle.check();
DELETE FROM e WHERE (src, dst) = (2, 4);
SELECT * FROM oracle.check();
BEGIN; DELETE FROM e WHERE (src, dst) = (1, 2); INSERT INTO e VALUES (3, 2, 1); COMMIT;
SELECT * FROM oracle.check();
DELETE FROM e WHERE src = 1;
SELECT * FROM oracle.check();
BEGIN; INSERT INTO e VALUES (1, 2, 1), (1, 1, 1), (1, 2, 1), (2, 2, 3); DELETE FROM e WHERE (src, dst) = (5, 1); COMMIT;
SELECT * FROM oracle.check();
DELETE FROM e WHERE ctid = (SELECT min(ctid) FROM e WHERE (src, dst) = (1, 2));
SELECT * FROM oracle.check();
-- a subtree moves, is renamed, is cut off
BEGIN; UPDATE emp SET boss = 3 WHERE id = 2; UPDATE emp SET name = 'chief' WHERE id = 1; COMMIT;
SELECT * FROM oracle.check();
BEGIN; UPDATE emp SET boss = NULL WHERE id = 5; UPDATE flag SET ok = NOT ok; UPDATE emp SET pay = pay + 0.10; COMMIT;
SELECT * FROM oracle.check();
BEGIN; DELETE FROM emp WHERE id = 3; DELETE FROM e; INSERT INTO flag VALUES (20, true); COMMIT;
SELECT * FROM oracle.check();
BEGIN; INSERT INTO e VALUES (1, 2, 1), (2, 1, 1); DELETE FROM emp; COMMIT;
SELECT * FROM oracle.check();
BEGIN; DELETE FROM flag; INSERT INTO emp SELECT i, i - 1, 'm' || i, i FROM generate_series(1, 9) i; UPDATE emp SET boss = NULL WHERE id = 1; COMMIT;
SELECT * FROM oracle.check();

-- graphs at random
CREATE FUNCTION rewire(seed int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    i int;
BEGIN
    FOR i IN 1 .. 3 LOOP
        DELETE FROM e WHERE ctid IN (SELECT ctid FROM e ORDER BY md5(ctid::text || seed || i) LIMIT 2);
        INSERT INTO e SELECT 1 + abs(hashint4(seed * 31 + i * 7 + j)) % 7, 1 + abs(hashint4(seed * 17 + i * 5 + j * 3)) % 7, 1 + (seed + j) % 3 FROM generate_series(1, 2 + seed % 2) j;
        UPDATE e SET dst = 1 + abs(hashint4(dst + seed)) % 7 WHERE ctid = (SELECT max(ctid) FROM e);
    END LOOP;
END $$;
TRUNCATE e;
INSERT INTO flag SELECT i, true FROM generate_series(1, 9) i;
SELECT count(*) AS refreshed FROM oracle.cases, pgtrickle.refresh_stream_table(name);
CREATE FUNCTION rewire_and_check(seeds int) RETURNS TABLE (verdict text, times int) LANGUAGE plpgsql AS $$
DECLARE
    seed int;
BEGIN
    CREATE TEMP TABLE verdicts (v text);
    FOR seed IN 1 .. seeds LOOP
        PERFORM rewire(seed);
        INSERT INTO verdicts SELECT * FROM oracle.check();
    END LOOP;
    RETURN QUERY SELECT v, count(*)::int FROM verdicts GROUP BY v ORDER BY v;
    DROP TABLE verdicts;
END $$;
SELECT * FROM rewire_and_check(8);
SELECT oracle.done();

-- the cost of a change is that of the change: both ways by an index
CREATE TABLE big (id int PRIMARY KEY, parent int);
INSERT INTO big SELECT i, nullif(i / 3, 0) FROM generate_series(1, 20000) i;
CREATE INDEX ON big (parent);
ANALYZE big;
SELECT oracle.make('indexed', 'WITH RECURSIVE r(id, depth) AS (SELECT id, 0 FROM big WHERE parent IS NULL UNION ALL SELECT big.id, r.depth + 1 FROM r JOIN big ON big.parent = r.id) SELECT * FROM r');
SELECT oracle.make('indexed_set', 'WITH RECURSIVE r(id) AS (SELECT id FROM big WHERE parent IS NULL UNION SELECT big.id FROM r JOIN big ON big.parent = r.id) SELECT * FROM r');
SELECT name, count(*) > 2 AS plans, count(*) FILTER (WHERE value LIKE '%Seq Scan%') AS scans_of_tables
  FROM oracle.cases, pgtrickle.explain_st(name, true) WHERE property LIKE '%plan for small deltas' GROUP BY name ORDER BY name;
UPDATE big SET parent = 17 WHERE id = 5000;
SELECT name, action, rows_inserted, rows_deleted FROM oracle.cases, pgtrickle.refresh_stream_table(name, 'DIFFERENTIAL') ORDER BY name;
DELETE FROM big WHERE id = 700;
SELECT name, action, rows_inserted, rows_deleted FROM oracle.cases, pgtrickle.refresh_stream_table(name, 'DIFFERENTIAL') ORDER BY name;
SELECT * FROM oracle.check();
SELECT oracle.done();

-- deeper than allowed: an error, also where a cycle makes it so
DELETE FROM e; INSERT INTO e VALUES (1, 2, 1), (2, 3, 1);
SELECT oracle.make('guarded', 'WITH RECURSIVE r(n) AS (SELECT dst FROM e WHERE src = 1 UNION ALL SELECT e.dst FROM r JOIN e ON e.src = r.n) SELECT n FROM r');
INSERT INTO e VALUES (3, 1, 1);
SELECT * FROM pgtrickle.refresh_stream_table('guarded', 'DIFFERENTIAL');
TABLE pgtrickle.guarded ORDER BY n;
DELETE FROM e WHERE src = 3;
SELECT * FROM oracle.check();
SET pg_trickle.ivm_recursive_max_depth = 2;
INSERT INTO e VALUES (3, 4, 1), (4, 5, 1);
SELECT * FROM pgtrickle.refresh_stream_table('guarded', 'DIFFERENTIAL');
RESET pg_trickle.ivm_recursive_max_depth;
SELECT * FROM oracle.check();
SELECT oracle.done();
RESET client_min_messages;
DROP SCHEMA dvm_rec CASCADE;
