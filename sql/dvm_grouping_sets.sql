-- GROUPING SETS, ROLLUP, CUBE, GROUPING(): alone, combined, with expressions,
-- HAVING and NULLs in the keys; the set without keys on an empty table.
CREATE SCHEMA dvm_gs;
SET search_path = dvm_gs, public;
SET client_min_messages = warning;

CREATE TABLE t (id int PRIMARY KEY, a int, b text, c numeric, v int);
CREATE TABLE d (a int PRIMARY KEY, name text);
INSERT INTO t SELECT i, nullif(i % 4, 3), nullif('b' || i % 3, 'b2'), i % 2 + 0.50, i FROM generate_series(1, 30) i;
INSERT INTO d VALUES (0, 'zero'), (1, 'one'), (2, 'two');

SELECT oracle.make('g_rollup', 'SELECT a, b, sum(v), count(*) FROM t GROUP BY ROLLUP (a, b)');
SELECT oracle.make('g_cube', 'SELECT a, b, c, sum(v) FROM t GROUP BY CUBE (a, b, c)');
SELECT oracle.make('g_sets', 'SELECT a, b, max(v) FROM t GROUP BY GROUPING SETS ((a), (b), (a, b), ())');
SELECT oracle.make('g_repeated', 'SELECT a, count(*) FROM t GROUP BY GROUPING SETS ((a), (a), (), ())');
SELECT oracle.make('g_two', 'SELECT a, b, c, count(*) FROM t GROUP BY ROLLUP (a), CUBE (b, c)');
SELECT oracle.make('g_distinct', 'SELECT a, b, count(*) FROM t GROUP BY DISTINCT ROLLUP (a, b), ROLLUP (a)');
SELECT oracle.make('g_composite', 'SELECT a, b, c, count(*) FROM t GROUP BY ROLLUP ((a, b), c)');
SELECT oracle.make('g_grouping', 'SELECT grouping(a) AS ga, grouping(b) AS gb, grouping(a, b) AS ab, grouping(b, a, b) AS bab, a, b, sum(v) FROM t GROUP BY CUBE (a, b)');
SELECT oracle.make('g_labels', 'SELECT CASE WHEN grouping(b) = 1 THEN ''all'' ELSE coalesce(b, ''none'') END AS what, sum(v) AS s FROM t GROUP BY ROLLUP (b)');
SELECT oracle.make('g_having', 'SELECT a, b, sum(v) FROM t GROUP BY ROLLUP (a, b) HAVING sum(v) > 50 OR grouping(a) = 1');
SELECT oracle.make('g_expression', 'SELECT a + 1 AS k, a + 1 + coalesce(v % 2, 0) AS x, count(*) FROM t GROUP BY ROLLUP (a + 1, v % 2)');
SELECT oracle.make('g_arguments', 'SELECT a, sum(a), count(a), min(b) FROM t GROUP BY ROLLUP (a, b)');
SELECT oracle.make('g_no_aggregate', 'SELECT a, b FROM t GROUP BY CUBE (a, b)');
SELECT oracle.make('g_only_empty', 'SELECT count(*), sum(v) FROM t GROUP BY ()');
SELECT oracle.make('g_empty_and', 'SELECT a, count(*) FROM t GROUP BY a, ()');
SELECT oracle.make('g_recompute', 'SELECT a, string_agg(b, '','' ORDER BY id), count(DISTINCT b), percentile_disc(0.5) WITHIN GROUP (ORDER BY v) FROM t GROUP BY GROUPING SETS ((a), ())');
SELECT oracle.make('g_dependent', 'SELECT d.a, d.name, sum(v) FROM t JOIN d USING (a) GROUP BY GROUPING SETS ((d.a), (d.a, b))');
SELECT oracle.make('g_join', 'SELECT d.name, t.b, sum(v), grouping(d.name) AS g FROM t JOIN d USING (a) GROUP BY ROLLUP (d.name, t.b)');
SELECT oracle.make('g_below', 'SELECT x.g, count(*), sum(x.s) FROM (SELECT grouping(a, b) AS g, sum(v) AS s FROM t GROUP BY CUBE (a, b)) x GROUP BY x.g');
SELECT oracle.make('g_select_distinct', 'SELECT DISTINCT count(*) FROM t GROUP BY CUBE (a, b)');
SELECT oracle.make('g_union', 'SELECT a, sum(v) FROM t GROUP BY ROLLUP (a) UNION SELECT a, length(name) FROM d');
SELECT oracle.make('g_filter', 'SELECT b, count(*) FILTER (WHERE v > 10), sum(v) FILTER (WHERE a = 1) FROM t WHERE v % 5 > 0 GROUP BY ROLLUP (b)');
SELECT oracle.make('g_two_groupings', 'SELECT a, count(*) AS n FROM t GROUP BY ROLLUP (a) HAVING grouping(a) = 0 UNION ALL SELECT NULL, count(*) FROM t GROUP BY ROLLUP (b)');
SELECT * FROM oracle.check();

INSERT INTO t VALUES (100, NULL, NULL, NULL, NULL), (101, 7, 'new', 9, 5);
SELECT * FROM oracle.check();
BEGIN; UPDATE t SET a = 1 WHERE a = 0; DELETE FROM t WHERE id BETWEEN 5 AND 12; UPDATE d SET name = 'uno' WHERE a = 1; COMMIT;
SELECT * FROM oracle.check();
BEGIN; UPDATE t SET b = NULL WHERE b = 'b1'; UPDATE t SET c = c + 0.00 WHERE id > 20; DELETE FROM d WHERE a = 2; COMMIT;
SELECT * FROM oracle.check();
-- () has a row even then
DELETE FROM t;
SELECT * FROM oracle.check();
TABLE pgtrickle.g_rollup;
SELECT * FROM pgtrickle.g_grouping;
TABLE pgtrickle.g_repeated;
INSERT INTO t SELECT i, i % 2, 'x', 1, i FROM generate_series(1, 6) i;
SELECT * FROM oracle.check();
-- one computation of keys and arguments, one state for each set
SELECT property, regexp_replace(value, 'pgt_source_\d+', 'delta') AS value FROM pgtrickle.explain_st('g_expression')
 WHERE property LIKE 'step %' AND property NOT LIKE '%state table';
SELECT oracle.done();

-- as many sets as the setting allows
SET pg_trickle.max_grouping_set_branches = 7;
SELECT oracle.make('g_many', 'SELECT a, b, c, count(*) FROM t GROUP BY CUBE (a, b, c)');
SELECT oracle.make('g_few', 'SELECT a, b, c, count(*) FROM t GROUP BY ROLLUP (a, b, c)');
RESET pg_trickle.max_grouping_set_branches;
SELECT pgtrickle.drop_stream_table(name) IS NULL AS dropped FROM oracle.cases;
TRUNCATE oracle.cases;
RESET client_min_messages;
DROP SCHEMA dvm_gs CASCADE;
