-- What one changed row costs on large tables: rows of base tables read by the
-- refresh, as PostgreSQL counts them.  None may read a table through.
CREATE SCHEMA refresh_reads;
SET search_path = refresh_reads, public;
SET pg_trickle.stream_table_schema = '';
SET client_min_messages = warning;
SET synchronous_commit = off;

CREATE TABLE fact (id int PRIMARY KEY, dim int, g int, v int, f float8, t text);
CREATE TABLE dim (id int PRIMARY KEY, region int, name text);
INSERT INTO dim SELECT i, i % 50, 'd' || i FROM generate_series(1, 20000) i;
INSERT INTO fact SELECT i, i % 20000 + 1, i % 5000, i % 97, i * 0.1, 't' || i FROM generate_series(1, 100000) i;
CREATE INDEX ON fact (dim);
CREATE INDEX ON fact (g);
ANALYZE fact, dim;
CREATE VIEW fact_view AS SELECT id, g, v * 2 AS w FROM fact WHERE v > 10;

-- a user's own aggregate with an inverse is kept like a built-in one
CREATE FUNCTION add2(int8, int) RETURNS int8 LANGUAGE sql IMMUTABLE STRICT AS 'SELECT $1 + 2 * $2';
CREATE FUNCTION sub2(int8, int) RETURNS int8 LANGUAGE sql IMMUTABLE STRICT AS 'SELECT $1 - 2 * $2';
CREATE AGGREGATE twice(int) (sfunc = add2, stype = int8, initcond = '0',
    msfunc = add2, minvfunc = sub2, mstype = int8, minitcond = '0');

CREATE TABLE cases (id int GENERATED ALWAYS AS IDENTITY, name text, query text, most_index_rows int);
INSERT INTO cases (name, query, most_index_rows) VALUES
    ('filter', 'SELECT id, v FROM fact WHERE v > 50', 0),
    ('project', 'SELECT id, upper(t) AS u FROM fact', 0),
    ('aggregate', 'SELECT g, count(*) AS n, sum(v) AS s, avg(v) AS a FROM fact GROUP BY g', 0),
    ('statistics', 'SELECT g, stddev(v) AS d, sum(f) AS s, avg(f) AS a FROM fact GROUP BY g', 0),
    ('grand_total', 'SELECT count(*) AS n, sum(v) AS s FROM fact', 0),
    ('extremes', 'SELECT g, min(v) AS lo, max(t) AS hi FROM fact GROUP BY g', 20),
    ('booleans', 'SELECT g, bool_and(v > 3) AS a, bool_or(v > 90) AS o FROM fact GROUP BY g', 0),
    ('users_own', 'SELECT g, twice(v) AS w FROM fact GROUP BY g', 0),
    ('recomputed', 'SELECT g, string_agg(t, '','' ORDER BY id) AS l FROM fact GROUP BY g', 40),
    ('distinct_values', 'SELECT DISTINCT g, v FROM fact', 0),
    ('joined', 'SELECT f.id, d.name FROM fact f JOIN dim d ON d.id = f.dim', 4),
    ('join_aggregate', 'SELECT d.region, sum(f.v) AS s FROM fact f JOIN dim d ON d.id = f.dim GROUP BY d.region', 4),
    ('having', 'SELECT g, count(*) AS n FROM fact GROUP BY g HAVING sum(v) > 900', 0),
    ('union_all', 'SELECT id FROM fact WHERE v > 90 UNION ALL SELECT id FROM dim', 0),
    ('view', 'SELECT g, sum(w) AS s FROM fact_view GROUP BY g', 0),
    ('nested', 'SELECT n, count(*) AS groups FROM (SELECT g, count(*) AS n FROM fact GROUP BY g) q GROUP BY n', 0),
    ('aggregate_join', 'SELECT d.name, q.s FROM (SELECT dim, sum(v) AS s FROM fact GROUP BY dim) q JOIN dim d ON d.id = q.dim', 4);
DO $$
DECLARE c record;
BEGIN
    FOR c IN SELECT * FROM cases ORDER BY id LOOP
        PERFORM pgtrickle.create_stream_table(c.name, c.query, '1d', 'DIFFERENTIAL');
    END LOOP;
END $$;

-- rows read from fact and dim so far, sequentially and by index
CREATE FUNCTION reads(OUT seq bigint, OUT idx bigint) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_stat_force_next_flush();
    PERFORM pg_stat_clear_snapshot();
    SELECT sum(seq_tup_read), sum(idx_tup_fetch) INTO seq, idx
      FROM pg_stat_user_tables WHERE relid IN ('fact'::regclass, 'dim'::regclass);
END $$;

CREATE TABLE seen (name text, action text, seq bigint, idx bigint);
CREATE PROCEDURE measure() LANGUAGE plpgsql AS $$
DECLARE
    c record; before record; after record; r record;
BEGIN
    FOR c IN SELECT * FROM cases ORDER BY id LOOP
        COMMIT;
        before := reads();
        SELECT * INTO r FROM pgtrickle.refresh_stream_table(c.name);
        COMMIT;
        after := reads();
        INSERT INTO seen VALUES (c.name, r.action, after.seq - before.seq, after.idx - before.idx);
    END LOOP;
END $$;

-- an update of one row; a first round makes the plans
UPDATE fact SET v = v + 1, f = f + 1, t = t || 'x' WHERE id = 4711;
CALL measure();
TRUNCATE seen;
UPDATE fact SET v = v + 1, f = f + 1, t = t || 'x' WHERE id = 4712;
CALL measure();
SELECT name, action, seq AS rows_read_by_scans, idx <= most_index_rows AS few_by_index
  FROM seen JOIN cases USING (name) ORDER BY cases.id;
SELECT name, idx FROM seen JOIN cases USING (name) WHERE idx > most_index_rows;

-- a row of the small side, with five rows on the other
TRUNCATE seen;
UPDATE dim SET name = name || 'x' WHERE id = 77;
CALL measure();
SELECT name, action, seq AS rows_read_by_scans FROM seen WHERE action <> 'NO_DATA' ORDER BY name;

-- and all of it right
DO $$
DECLARE c record; wrong bigint;
BEGIN
    FOR c IN SELECT * FROM cases WHERE name <> 'statistics' ORDER BY id LOOP
        EXECUTE format('SELECT (SELECT count(*) FROM (TABLE %I EXCEPT ALL (%s)) a) + (SELECT count(*) FROM ((%s) EXCEPT ALL TABLE %I) b)',
                       c.name, c.query, c.query, c.name) INTO wrong;
        IF wrong <> 0 THEN
            RAISE WARNING '%: % rows differ', c.name, wrong;
        END IF;
    END LOOP;
END $$;
DROP SCHEMA refresh_reads CASCADE;
