-- Functions, VALUES and subqueries without a table in FROM, set-returning
-- functions in the SELECT list: per row of the tables, at any time the same.
CREATE SCHEMA dvm_srf;
SET search_path = dvm_srf, public;
SET client_min_messages = warning;

CREATE TYPE pair AS (x int, y text);
CREATE FUNCTION doubled(i int) RETURNS SETOF int LANGUAGE sql IMMUTABLE AS $$ VALUES (i), (2 * i) $$;
CREATE FUNCTION pairs(n int) RETURNS SETOF pair LANGUAGE sql IMMUTABLE AS $$ SELECT i, 'p' || i FROM generate_series(1, n) i $$;
CREATE TABLE t (id int PRIMARY KEY, a int[], b int[], j jsonb, s text, x xml, v int);
CREATE TABLE u (id int, k text);
INSERT INTO t VALUES
    (1, '{1,2,2}', '{10}', '[{"p": 1, "q": "one"}, {"p": 2}]', 'a1b22', '<r><i n="1">x</i><i n="2">y</i></r>', 3),
    (2, '{}', '{20,21}', '[]', 'none', '<r/>', 0),
    (3, NULL, NULL, NULL, NULL, NULL, NULL),
    (4, '{4,NULL}', '{40,41,42}', '[{"p": null, "q": "x"}]', '7', '<r><i n="7">z</i></r>', 2);
INSERT INTO u VALUES (1, 'p'), (2, 'q'), (2, 'p'), (4, 'q');

-- in FROM
SELECT oracle.make('f_unnest', 'SELECT t.id, e FROM t, unnest(t.a) e');
SELECT oracle.make('f_ordinality', 'SELECT t.id, e.* FROM t CROSS JOIN LATERAL unnest(a) WITH ORDINALITY e (value, nth)');
SELECT oracle.make('f_two', 'SELECT t.id, e.x, e.y FROM t, unnest(a, b) e (x, y)');
SELECT oracle.make('f_rows_from', 'SELECT id, r.* FROM t, ROWS FROM (unnest(a), generate_series(1, v)) WITH ORDINALITY r');
SELECT oracle.make('f_series', 'SELECT id, g * 10 AS g FROM t JOIN generate_series(1, 4) g ON g <= t.v');
SELECT oracle.make('f_series_fixed', 'SELECT g, count(t.id) FROM generate_series(0, 3) g JOIN t ON t.v = g GROUP BY g');
SELECT oracle.make('f_jsonb', 'SELECT id, e ->> ''p'' AS p FROM t, jsonb_array_elements(j) e');
SELECT oracle.make('f_recordset', 'SELECT id, r.p, r.q FROM t, jsonb_to_recordset(j) AS r (p int, q text)');
SELECT oracle.make('f_each', 'SELECT id, k.key, k.value FROM t, jsonb_array_elements(j) e, LATERAL jsonb_each(e) k');
SELECT oracle.make('f_regexp', 'SELECT id, m[1] AS digits FROM t, regexp_matches(s, ''[0-9]+'', ''g'') m');
SELECT oracle.make('f_split', 'SELECT id, w, count(*) FROM t, string_to_table(s, NULL) w GROUP BY id, w');
SELECT oracle.make('f_composite', 'SELECT id, p.x, p.y, p AS whole FROM t, pairs(v) p');
SELECT oracle.make('f_sql', 'SELECT u.k, d FROM t JOIN u USING (id), doubled(t.v) d');
SELECT oracle.make('f_scalar', 'SELECT id, w FROM t, upper(s) w WHERE w <> ''NONE''');
SELECT oracle.make('f_xmltable', 'SELECT id, z.n, z.word FROM t, XMLTABLE(''/r/i'' PASSING x COLUMNS n int PATH ''@n'', word text PATH ''.'') z');
SELECT oracle.make('f_values', 'SELECT t.id, w.name FROM t JOIN (VALUES (0, ''zero''), (3, ''three''), (3, ''drei''), (NULL, ''none'')) w (v, name) USING (v)');
SELECT oracle.make('f_lateral_values', 'SELECT id, w.* FROM t, LATERAL (VALUES (v, ''v''), (cardinality(a), ''a'')) w (n, what)');
SELECT oracle.make('f_subquery', 'SELECT id, top FROM t, LATERAL (SELECT max(e) AS top FROM unnest(a) e) x');
SELECT oracle.make('f_limit', 'SELECT id, e FROM t, LATERAL (SELECT e FROM unnest(b) e ORDER BY e DESC LIMIT 2) x');
SELECT oracle.make('f_chain', 'SELECT id, f, g FROM t, unnest(a) e, LATERAL (SELECT e + 1) p (f), generate_series(1, p.f) g');
SELECT oracle.make('f_using', 'SELECT id, e FROM t JOIN u USING (id), LATERAL generate_series(id, id + 1) e');
SELECT oracle.make('f_in_join', 'SELECT t.id, e, u.k FROM t CROSS JOIN unnest(t.a) e JOIN u ON u.id = e');
SELECT oracle.make('f_grouped', 'SELECT e, count(*), sum(id) FROM t, unnest(a) e GROUP BY e HAVING count(*) < 3');
SELECT oracle.make('f_cte', 'WITH w (v, name) AS (VALUES (0, ''zero''), (2, ''two'')) SELECT t.id, w.name FROM t JOIN w USING (v)');
SELECT oracle.make('f_over_groups', 'SELECT k, e FROM (SELECT k, array_agg(id ORDER BY id) AS ids FROM u GROUP BY k) g, unnest(ids) e');
-- outer joins with what the left row gives
SELECT oracle.make('l_unnest', 'SELECT t.id, e FROM t LEFT JOIN LATERAL unnest(t.a) e ON true');
SELECT oracle.make('l_condition', 'SELECT t.id, e, n FROM t LEFT JOIN LATERAL unnest(t.a) WITH ORDINALITY x(e, n) ON x.e > t.v - 1');
SELECT oracle.make('l_jsonb', 'SELECT t.id, k.* FROM t LEFT JOIN LATERAL jsonb_array_elements(j) k ON k <> ''{"p": 2}''');
SELECT oracle.make('l_subquery', 'SELECT t.id, x.m, u.k FROM t LEFT JOIN LATERAL (SELECT max(e) AS m FROM unnest(a) e HAVING max(e) > 1) x ON true LEFT JOIN u ON u.id = t.id');
SELECT oracle.make('l_over_outer', 'SELECT u.id, t.id AS tid, e FROM u LEFT JOIN t ON t.id = u.id LEFT JOIN LATERAL unnest(t.a) e ON true');
SELECT oracle.make('l_chain', 'SELECT t.id, e, f FROM t LEFT JOIN LATERAL unnest(t.a) e ON true LEFT JOIN LATERAL generate_series(1, e) f ON f < 3 WHERE e IS NULL OR f IS NOT NULL');
SELECT oracle.make('l_values', 'SELECT t.id, w.n FROM t LEFT JOIN (VALUES (0, ''zero''), (2, ''two'')) w (v, n) USING (v)');
SELECT oracle.make('l_grouped', 'SELECT t.id, count(e) FROM t LEFT JOIN LATERAL unnest(t.a) e ON true GROUP BY t.id');
-- in the SELECT list: in step, the shorter ones padded
SELECT oracle.make('s_unnest', 'SELECT id, unnest(a) AS e FROM t');
SELECT oracle.make('s_padded', 'SELECT id, unnest(a) AS x, unnest(b) AS y, v FROM t');
SELECT oracle.make('s_nested', 'SELECT id, generate_series(1, doubled(v)) AS g FROM t');
SELECT oracle.make('s_expression', 'SELECT id, unnest(a) + 1 AS e FROM t');
SELECT oracle.make('s_distinct', 'SELECT DISTINCT unnest(a) AS e FROM t');
SELECT oracle.make('s_key', 'SELECT unnest(a) AS e, count(*) FROM t GROUP BY 1');
SELECT oracle.make('s_after_group', 'SELECT k, unnest(array_agg(id ORDER BY id)) AS id FROM u GROUP BY k');
SELECT oracle.make('s_join', 'SELECT u.k, jsonb_array_elements(t.j) AS e FROM t JOIN u USING (id)');
SELECT oracle.make('s_composite', 'SELECT id, pairs(v) AS p, (pairs(v)).y FROM t');
SELECT oracle.make('s_below', 'SELECT e, count(*) FROM (SELECT unnest(b) AS e FROM t UNION ALL SELECT v FROM t) q GROUP BY e');
SELECT * FROM oracle.check();

INSERT INTO t VALUES (5, '{2,2,5}', '{}', '[{"p": 9, "r": [1]}, {"q": null}]', '1 22 333', '<r><i>only</i></r>', 3), (6, '{NULL}', NULL, '[1]', '', NULL, -1);
SELECT * FROM oracle.check();
UPDATE t SET j = '[{"p": 5}]' WHERE id = 6;
SELECT * FROM oracle.check();
BEGIN; UPDATE t SET a = a || 2, v = v + 1; DELETE FROM u WHERE id = 2; INSERT INTO u VALUES (5, 'p'), (5, 'p'); COMMIT;
SELECT * FROM oracle.check();
BEGIN; UPDATE t SET a = '{}', b = b || '{1,2,3}', x = '<r><i n="3">w</i></r>', s = '12' WHERE id IN (1, 4); UPDATE u SET id = 4 WHERE k = 'q'; COMMIT;
SELECT * FROM oracle.check();
BEGIN; DELETE FROM t WHERE id IN (2, 3); UPDATE t SET id = id + 10; INSERT INTO t VALUES (1, '{2}', '{2}', '[]', 'x1', '<r/>', 0); COMMIT;
SELECT * FROM oracle.check();
DELETE FROM t;
SELECT * FROM oracle.check();
SELECT property, regexp_replace(value, 'pgt_source_\d+', 'delta') AS value FROM pgtrickle.explain_st('s_padded') WHERE property LIKE '%SQL';
SELECT oracle.done();

-- what ages stays so, also here; a function replaced is noticed
SELECT oracle.make('volatile_from', 'SELECT id, r FROM t, random() r');
SELECT oracle.make('volatile_values', 'SELECT id, r FROM t, (VALUES (clock_timestamp())) w (r)');
SELECT oracle.make('volatile_select', 'SELECT id, generate_series(1, (random() * 3)::int) FROM t');
SELECT oracle.make('no_table', 'SELECT g FROM generate_series(1, 3) g');
SELECT oracle.make('no_table_values', 'VALUES (1), (2)');
SELECT pgtrickle.drop_stream_table(name) FROM oracle.cases;
TRUNCATE oracle.cases;
SELECT oracle.make('replaced', 'SELECT id, d FROM t, doubled(t.v) d');
INSERT INTO t (id, v) VALUES (1, 7);
SELECT * FROM oracle.check();
CREATE OR REPLACE FUNCTION doubled(i int) RETURNS SETOF int LANGUAGE sql IMMUTABLE AS $$ VALUES (i), (3 * i) $$;
SELECT action FROM pgtrickle.refresh_stream_table('replaced');
SELECT * FROM oracle.check();
-- a partition key that is a column of such an item: explained, not crashed
SELECT oracle.make('partitioned', 'SELECT w.k, t.id, rank() OVER (PARTITION BY w.k ORDER BY t.id) FROM t, (VALUES (1), (2)) w (k)');
INSERT INTO t (id, v) VALUES (2, 7);
SELECT * FROM oracle.check();
SELECT property, value FROM pgtrickle.explain_st('partitioned') WHERE property LIKE '%partition key';
SELECT oracle.done();
RESET client_min_messages;
DROP SCHEMA dvm_srf CASCADE;
