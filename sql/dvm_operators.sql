-- Operators outside of pg_catalog where SQL cannot name their schema: the
-- stored text means the same, and so does what is maintained.
CREATE SCHEMA dvm_op;
SET search_path = dvm_op, public;
SET client_min_messages = warning;

CREATE TYPE ci AS (t text);                      -- equal regardless of case
CREATE FUNCTION ci_eq(ci, ci) RETURNS bool LANGUAGE sql IMMUTABLE STRICT AS
    'SELECT lower(($1).t) OPERATOR(pg_catalog.=) lower(($2).t)';
CREATE OPERATOR = (LEFTARG = ci, RIGHTARG = ci, FUNCTION = ci_eq);
CREATE FUNCTION ci_min(ci, ci) RETURNS ci LANGUAGE sql IMMUTABLE STRICT AS
    'SELECT CASE WHEN ($1).t < ($2).t THEN $1 ELSE $2 END';
CREATE AGGREGATE least_ci (ci) (sfunc = ci_min, stype = ci);
CREATE TABLE a (k ci, v int);
CREATE TABLE b (k ci, w int);
INSERT INTO a VALUES (row('A'), 1), (row('b'), 2), (NULL, 3), (row('x'), 4);
INSERT INTO b VALUES (row('a'), 10), (row('B'), 20), (row('C'), 30), (NULL, 40);

SELECT oracle.make('o_using', 'SELECT (k).t AS t, v, w FROM a JOIN b USING (k)');
SELECT oracle.make('o_natural', 'SELECT v, w FROM a NATURAL JOIN b');
SELECT oracle.make('o_on', 'SELECT v, w FROM a JOIN b ON a.k = b.k');
SELECT oracle.make('o_three', 'SELECT x.v, b.w, y.v AS v2 FROM a x JOIN b USING (k) JOIN a y USING (k) WHERE y.v < 9');
SELECT oracle.make('o_distinct_from', 'SELECT v FROM a WHERE k IS DISTINCT FROM row(''B'')::ci');
SELECT oracle.make('o_nullif', 'SELECT v, nullif(k, row(''B'')::ci) AS n FROM a');
SELECT oracle.make('o_case', 'SELECT v, CASE k WHEN row(''a'')::ci THEN CASE v WHEN 1 THEN ''one'' ELSE ''a'' END WHEN row(''B'')::ci THEN ''b'' END AS c FROM a');
SELECT oracle.make('o_in', 'SELECT v FROM a WHERE k IN (row(''B'')::ci, row(''X'')::ci)');
SELECT oracle.make('o_group', 'SELECT w, count(*) AS n, least_ci(k) AS l FROM a JOIN b USING (k) GROUP BY w');
SELECT oracle.make('o_subquery', 'SELECT q.w FROM (SELECT k, w FROM a JOIN b USING (k)) q JOIN a USING (k)');
SELECT * FROM oracle.check();
BEGIN; INSERT INTO a VALUES (row('c'), 5), (row('B'), 6); UPDATE b SET k = row('X') WHERE w = 10; COMMIT;
SELECT * FROM oracle.check();
DELETE FROM a WHERE v = 2;
SELECT * FROM oracle.check();
SELECT pgt_name, defining_query FROM pgtrickle.pgt_stream_tables WHERE pgt_name IN ('o_using', 'o_distinct_from', 'o_nullif', 'o_case') ORDER BY 1;
-- the stored text, on its own
SET search_path = pg_catalog, pg_temp;
SELECT pgt_name, oracle.difference(pgt_name::text, defining_query) AS differ FROM pgtrickle.pgt_stream_tables WHERE pgt_name LIKE 'o\_%' ORDER BY 1;
SET search_path = dvm_op, public;
-- what cannot be said
SELECT oracle.make('o_full', 'SELECT v, w FROM a FULL JOIN b USING (k)');
SELECT oracle.done();
RESET client_min_messages;
\set VERBOSITY terse
DROP SCHEMA dvm_op CASCADE;
