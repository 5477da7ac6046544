-- What is refused, and what runs in FULL mode only, each by its name.
CREATE SCHEMA dvm_refuse;
SET search_path = dvm_refuse, public;
\set VERBOSITY default
CREATE TABLE t (id int PRIMARY KEY, g int, v int, ts timestamptz, j json);
CREATE TABLE u (id int, v int);
CREATE TEMP TABLE tmp (id int);
CREATE MATERIALIZED VIEW mv AS SELECT 1 AS id;
CREATE TABLE parent (id int);
CREATE TABLE child () INHERITS (parent);
CREATE VIEW vol AS SELECT id, random() AS r FROM t;
CREATE VIEW limited AS SELECT id FROM t LIMIT 3;
CREATE FUNCTION reads_u() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT count(*) FROM dvm_refuse.u';
CREATE DOMAIN today AS int CHECK (VALUE < extract(year FROM now()));
CREATE AGGREGATE vagg (int) (sfunc = int4larger, stype = int, finalfunc = abs);

-- how each would be kept, without making it
CREATE FUNCTION kept(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    mode text;
    reason text;
    hint text;
    state text;
BEGIN
    BEGIN
        PERFORM pgtrickle.create_stream_table('dvm_refuse.st', query, schedule => '1d', refresh_mode => 'DIFFERENTIAL');
        SELECT effective_mode INTO mode FROM pgtrickle.pgt_stream_tables WHERE pgt_name = 'st';
        PERFORM pgtrickle.drop_stream_table('dvm_refuse.st');
        RETURN mode;
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS reason = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT, state = RETURNED_SQLSTATE;
        RETURN state || ': ' || reason || ' (' || hint || ')';
    END;
END $$;

-- in every mode
SELECT kept('SELECT id FROM t LIMIT 5');
SELECT kept('SELECT id FROM t OFFSET 2');
SELECT kept('SELECT * FROM (SELECT id FROM t LIMIT 5) q');
SELECT kept('SELECT id FROM limited');
SELECT kept('SELECT id FROM t FOR UPDATE');
SELECT kept('SELECT id FROM t TABLESAMPLE bernoulli (10)');
SELECT kept('WITH x AS (INSERT INTO u VALUES (1, 1) RETURNING id) SELECT id FROM x');
SELECT kept('SELECT 1 AS one');
SELECT kept('VALUES (1), (2)');
SELECT kept('SELECT id FROM tmp');
SELECT kept('SELECT id INTO nowhere FROM t');
SELECT kept('DELETE FROM t');
SELECT kept('SELECT 1 FROM t; SELECT 2 FROM t');
SELECT kept('');
SELECT kept('SELEC id FROM t');
SELECT kept('SELECT nosuch FROM t');
SELECT kept('SELECT id FROM nosuch');
SELECT kept('SELECT id, id FROM t');
SELECT kept('SELECT id AS ctid FROM t');
SELECT kept('SELECT row(1, 2) AS r FROM t');
SELECT kept('SELECT FROM t');

-- not differential
SELECT kept('SELECT t.id FROM t LEFT JOIN u ON EXISTS (SELECT 1 FROM u x WHERE x.id = t.id AND x.v = u.v)');
SELECT kept('SELECT id, (SELECT avg(c) FROM (SELECT count(*) AS c FROM u WHERE u.id = t.id) q) AS c FROM t');
SELECT kept('SELECT g, count(*) AS n, (SELECT max(v) FROM u) AS m FROM t GROUP BY ROLLUP (g)');
SELECT kept('SELECT t.id, q.v FROM t CROSS JOIN (u LEFT JOIN LATERAL (SELECT max(x.v) AS v FROM u x WHERE x.id = t.id) q ON true)');
SELECT kept('SELECT t.id, s FROM t, generate_series(1, 3) s');
SELECT kept('SELECT id, generate_series(1, v) AS s FROM t');
SELECT kept('SELECT id, sum(v) OVER (ORDER BY id ROWS (SELECT 1) PRECEDING) AS n FROM t');
SELECT kept('SELECT id FROM t ORDER BY v LIMIT (SELECT 3)');
SELECT kept('SELECT id, rank() OVER (ORDER BY v) IN (SELECT g FROM t) AS r FROM t');
SELECT kept('SELECT g, count(*) FROM t GROUP BY ROLLUP (g)');
SELECT kept('SELECT id FROM t UNION SELECT id FROM u');
SELECT kept('SELECT id FROM t INTERSECT SELECT id FROM u');
SELECT kept('SELECT id FROM t EXCEPT ALL SELECT id FROM u');
SELECT kept('WITH RECURSIVE r AS (SELECT id FROM t UNION ALL SELECT id + 1 FROM r WHERE id < 3) SELECT id FROM r');
SELECT kept('SELECT t.id, w.x FROM t JOIN (VALUES (1, 2)) w (id, x) USING (id)');
SELECT kept('SELECT id FROM mv');
SELECT kept('SELECT id FROM ONLY parent');
SELECT kept('SELECT oid FROM pg_class');
SELECT kept('SELECT xmin::text AS x FROM t');
SELECT kept('SELECT tableoid::int8 AS x FROM t');
SELECT kept('SELECT t FROM t');
SELECT kept('SELECT count(t) AS n FROM t');

-- functions
SELECT kept('SELECT id, random() AS r FROM t');
SELECT kept('SELECT id FROM t WHERE ts > now()');
SELECT kept('SELECT id, current_date AS d FROM t');
SELECT kept('SELECT id, current_user AS u FROM t');
SELECT kept('SELECT id, age(ts) AS a FROM t');
SELECT kept('SELECT id, clock_timestamp() AS a FROM t');
SELECT kept('SELECT id, txid_current() AS a FROM t');
SELECT kept('SELECT id, current_setting(''work_mem'') AS a FROM t');
SELECT kept('SELECT id, has_table_privilege(''t'', ''select'') AS a FROM t');
SELECT kept('SELECT id, pg_column_size(ts) AS a FROM t');
SELECT kept('SELECT id, reads_u() AS n FROM t');
SELECT kept('SELECT id, r FROM vol');
SELECT kept('SELECT id::today AS d FROM t');
SELECT kept('SELECT sum(random()) AS s FROM t');
SELECT kept('SELECT g FROM t GROUP BY g HAVING max(random()) > 0');
SELECT kept('SELECT id, to_char(ts, ''YYYY'') AS y, ts::date AS d FROM t');
SELECT kept('SELECT id FROM parent');
SELECT kept('SELECT count(*) AS n FROM t');
SELECT kept('SELECT id FROM t ORDER BY random()');

-- positions are those in the query
SELECT pgtrickle.create_stream_table('dvm_refuse.st', 'SELECT id FROM t WHERE ts > now()', refresh_mode => 'DIFFERENTIAL');
SELECT pgtrickle.create_stream_table('dvm_refuse.st', 'SELECT id FROM t LIMIT 5');
SELECT pgtrickle.create_stream_table('dvm_refuse.st', 'SELECT nosuch FROM t');
-- AUTO keeps it in FULL mode and says why
SELECT pgtrickle.create_stream_table('dvm_refuse.st', 'SELECT id, v FROM t WHERE random() >= 0', schedule => '1d');
SELECT refresh_mode, effective_mode, effective_mode_reason FROM pgtrickle.pgt_stream_tables WHERE pgt_name = 'st';
INSERT INTO t (id) VALUES (1);
SELECT action, rows_inserted, rows_deleted FROM pgtrickle.refresh_stream_table('dvm_refuse.st');
TABLE st;
SELECT pgtrickle.drop_stream_table('dvm_refuse.st');
SET client_min_messages = warning;
DROP TABLE tmp;
DROP SCHEMA dvm_refuse CASCADE;
