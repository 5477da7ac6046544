-- Constructs that only newer servers have: virtual generated columns (18),
-- SQL/JSON constructors (16) and queries (17).  Older servers run the nearest
-- thing, so that the output is the same.
CREATE SCHEMA dvm_versions;
SET search_path = dvm_versions, public;
SET client_min_messages = warning;
CREATE FUNCTION pick(since int, newer text, older text) RETURNS text LANGUAGE sql STABLE AS
    $$ SELECT CASE WHEN current_setting('server_version_num')::int >= since * 10000 THEN newer ELSE older END $$;

DO $$ BEGIN
    EXECUTE 'CREATE TABLE dvm_versions.v (id int PRIMARY KEY, a int, b int GENERATED ALWAYS AS (a * 2) '
        || dvm_versions.pick(18, 'VIRTUAL', 'STORED') || ', c int GENERATED ALWAYS AS (a + 1) STORED)';
END $$;
INSERT INTO v (id, a) SELECT i, i FROM generate_series(1, 5) i;
CREATE VIEW over_v AS SELECT id, b + 1 AS bb FROM v;
SELECT oracle.make('g_filter', 'SELECT id, b, c FROM v WHERE b > 2');
SELECT oracle.make('g_group', 'SELECT b % 4 AS m, sum(b) FROM v GROUP BY b % 4');
SELECT oracle.make('g_join', 'SELECT x.id, y.b FROM v x JOIN v y ON x.b = y.id');
SELECT oracle.make('g_view', 'SELECT bb, count(*) FROM over_v GROUP BY bb');

CREATE TABLE js (id int, k text, v int);
INSERT INTO js VALUES (1, 'a', 1), (2, 'b', 2), (3, 'a', 3);
SELECT oracle.make('n_construct', pick(16, 'SELECT id, json_object(k: v) AS o, json_array(id, v) AS r FROM js',
                                           'SELECT id, json_build_object(k, v) AS o FROM js'));
SELECT oracle.make('n_aggregate', pick(16, 'SELECT k, json_arrayagg(v ORDER BY id) AS j, json_arrayagg(v ORDER BY id RETURNING jsonb) AS b, json_objectagg(id: v RETURNING text) AS t, any_value(k) AS a FROM js GROUP BY k',
                                           'SELECT k, json_agg(v ORDER BY id) AS j FROM js GROUP BY k'));
SELECT oracle.make('n_query', pick(17, 'SELECT id, json_value(json_object(k: v)::jsonb, ''$.a'' RETURNING int) AS x FROM js WHERE json_exists(json_object(k: v)::jsonb, ''$.a'')',
                                       'SELECT id FROM js WHERE k = ''a'''));
SELECT oracle.make('n_table', pick(17, 'SELECT id, x.n, x.s FROM js, JSON_TABLE(json_array(id, v, k)::jsonb, ''$[*]'' COLUMNS (n FOR ORDINALITY, s text PATH ''$'')) x',
                                       'SELECT id, x.n, x.s FROM js, unnest(ARRAY[id::text, v::text, k]) WITH ORDINALITY x (s, n)'));
-- a constraint that the rows do not keep makes no key
CREATE TABLE late (id int, w int);
INSERT INTO late VALUES (NULL, 1), (NULL, 2), (1, 3);
CREATE UNIQUE INDEX ON late (id);
DO $$ BEGIN
    IF current_setting('server_version_num')::int >= 180000 THEN
        EXECUTE 'ALTER TABLE dvm_versions.late ADD CONSTRAINT later NOT NULL id NOT VALID';
    END IF;
END $$;
SELECT oracle.make('k_late', 'SELECT id, w FROM late');
-- no column of the table is used
CREATE TABLE z (a int);
SELECT oracle.make('z_count', 'SELECT count(*) FROM z');
SELECT oracle.make('z_one', 'SELECT 1 AS one FROM z');
SELECT * FROM oracle.check();
UPDATE v SET a = a + 3 WHERE id < 3;
INSERT INTO v (id, a) VALUES (9, 9);
UPDATE js SET v = v + 1, k = 'c' WHERE id = 3;
INSERT INTO js VALUES (4, 'a', 4);
INSERT INTO z VALUES (1), (2), (3);
SELECT * FROM oracle.check();
DELETE FROM z WHERE a < 3;
UPDATE z SET a = 7;
DELETE FROM v WHERE a = 9;
DELETE FROM js WHERE id = 1;
DELETE FROM late WHERE w = 1;
SELECT * FROM oracle.check();
DELETE FROM z;
SELECT * FROM oracle.check();
SELECT oracle.done();
RESET client_min_messages;
\set VERBOSITY terse
DROP SCHEMA dvm_versions CASCADE;
