-- Laws that need no oracle: two batches absorbed at once give what one after
-- the other gives, and a batch followed by its inverse restores everything;
-- stream tables and state (keys, counts, results) alike.
CREATE SCHEMA dvm_laws;
SET search_path = dvm_laws, public;
SET pg_trickle.stream_table_schema = '';
SET client_min_messages = warning;

CREATE TABLE l (id int, k int, v numeric, f float8, t text);
CREATE TABLE r (k int, name text, w int);
INSERT INTO l SELECT i, nullif(i % 7, 0), i % 11 + 0.50, i / 3.0, 't' || i % 5 FROM generate_series(1, 200) i;
INSERT INTO r SELECT nullif(i % 9, 0), 'n' || i % 4, i FROM generate_series(1, 30) i;

CREATE TABLE shapes (id int, query text);
INSERT INTO shapes VALUES
    (1, 'SELECT k, t FROM l WHERE v > 3'),
    (2, 'SELECT DISTINCT k, t FROM l'),
    (3, 'SELECT k, count(*) AS n, sum(v) AS s, avg(v) AS a, sum(f) AS fs, stddev(f) AS fd FROM l GROUP BY k'),
    (4, 'SELECT t, min(v) AS lo, max(k) AS hi, bool_or(v > 9) AS b, count(DISTINCT k) AS d, array_agg(id ORDER BY id) AS ids FROM l GROUP BY t'),
    (5, 'SELECT l.id, r.name FROM l JOIN r ON r.k = l.k'),
    (6, 'SELECT r.name, count(*) AS n, sum(l.v * r.w) AS s FROM l JOIN r USING (k) GROUP BY r.name HAVING count(*) > 2'),
    (7, 'SELECT x.id, y.id AS other FROM l x JOIN l y ON x.k = y.k AND x.id < y.id WHERE x.v = y.v'),
    (8, 'SELECT k FROM l UNION ALL SELECT w FROM r'),
    (9, 'SELECT n, count(*) AS groups FROM (SELECT k, count(*) AS n FROM l GROUP BY k) q GROUP BY n'),
    (10, 'SELECT count(*) AS n, sum(v) AS s, max(f) AS m FROM l'),
    (11, 'SELECT q.k, q.s, r.name FROM (SELECT k, sum(v) AS s FROM l GROUP BY k) q JOIN r ON r.k = q.k');
SELECT count(pgtrickle.create_stream_table('one_' || id, query, '1d', 'DIFFERENTIAL')),
       count(pgtrickle.create_stream_table('two_' || id, query, '1d', 'DIFFERENTIAL')) FROM shapes;

-- everything one family shows and remembers, as text
CREATE FUNCTION contents(family text, shape int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text; part text; c record; columns text;
BEGIN
    EXECUTE format('SELECT coalesce(string_agg(x, E''\n''), '''') FROM (SELECT x::text AS x FROM %I x ORDER BY 1) q', family || '_' || shape) INTO result;
    FOR c IN SELECT s.oid, regexp_replace(s.relname, '^s\d+', '') AS op
               FROM pgtrickle.pgt_stream_tables d JOIN pg_class s ON s.relname ~ ('^s' || d.pgt_id || '_\d+$')
              WHERE s.relnamespace = 'pgtrickle_state'::regnamespace AND d.pgt_name = family || '_' || shape ORDER BY 2 LOOP
        SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO columns
          FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND attname ~ '^(k\d+|n|o\d+)$';
        EXECUTE format('SELECT coalesce(string_agg(x, E''\n''), '''') FROM (SELECT (%s)::text AS x FROM %s ORDER BY 1) q', 'ROW(' || columns || ')', c.oid::regclass) INTO part;
        result := result || E'\n' || c.op || E'\n' || part;
    END LOOP;
    RETURN result;
END $$;
CREATE PROCEDURE refresh(family text) LANGUAGE plpgsql AS $$
DECLARE
    s record; r record;
BEGIN
    FOR s IN SELECT id FROM shapes LOOP
        SELECT * INTO r FROM pgtrickle.refresh_stream_table(family || '_' || s.id, 'DIFFERENTIAL');
        IF r.action NOT IN ('DIFFERENTIAL', 'NO_DATA') THEN
            RAISE WARNING '%_%: %', family, s.id, r.action;
        END IF;
    END LOOP;
END $$;
-- a random batch on both tables
CREATE PROCEDURE batch() LANGUAGE plpgsql AS $$
DECLARE
    a int := (random() * 199)::int; b int := (random() * 6)::int;
BEGIN
    INSERT INTO l SELECT 1000 + i, nullif((i + b) % 7, 0), i % 11 + 0.25, i / 7.0, 't' || (i + a) % 5 FROM generate_series(a, a + 7) i;
    UPDATE l SET k = b, v = v + 1 WHERE id BETWEEN a AND a + 5;
    UPDATE l SET t = NULL WHERE id = a + 9;
    DELETE FROM l WHERE id BETWEEN a + 20 AND a + 23;
    DELETE FROM r WHERE w = b;
    UPDATE r SET name = 'n' || b, k = k + 1 WHERE w % 7 = b;
    INSERT INTO r VALUES (b, 'new', 100 + b), (NULL, 'new', 100 + b);
END $$;

-- d1 ; d2  =  d1 + d2
SELECT setseed(0.42);
DO $$
DECLARE
    wrong int;
BEGIN
    FOR round IN 1..8 LOOP
        CALL batch(); CALL refresh('one');
        CALL batch(); CALL refresh('one');
        CALL refresh('two');
        SELECT count(*) INTO wrong FROM shapes WHERE contents('one', id) IS DISTINCT FROM contents('two', id);
        IF wrong > 0 THEN
            RAISE WARNING 'round %: % shapes differ', round, wrong;
        END IF;
    END LOOP;
END $$;

-- d ; -d  =  nothing
DO $$
DECLARE
    changed int; wrong int;
BEGIN
    FOR round IN 1..8 LOOP
        CREATE TEMP TABLE before AS SELECT id, contents('one', id) AS c FROM shapes;
        CREATE TEMP TABLE l0 AS SELECT * FROM l;
        CREATE TEMP TABLE r0 AS SELECT * FROM r;
        CALL batch(); CALL refresh('one');
        SELECT count(*) INTO changed FROM shapes JOIN before USING (id) WHERE contents('one', id) <> c;
        IF round % 2 = 0 THEN
            CREATE TEMP TABLE l1 AS TABLE l EXCEPT ALL TABLE l0;
            DELETE FROM l USING l1 WHERE l IS NOT DISTINCT FROM l1;
            INSERT INTO l SELECT * FROM (TABLE l0 EXCEPT ALL TABLE l) q;
            DROP TABLE l1;
        ELSE
            DELETE FROM l;
            INSERT INTO l TABLE l0;
        END IF;
        DELETE FROM r;
        INSERT INTO r TABLE r0;
        CALL refresh('one');
        SELECT count(*) INTO wrong FROM shapes JOIN before USING (id) WHERE contents('one', id) <> c;
        IF changed < 8 OR wrong > 0 THEN
            RAISE WARNING 'round %: % shapes changed, % not restored', round, changed, wrong;
        END IF;
        DROP TABLE before, l0, r0;
    END LOOP;
END $$;

-- and all of it is the queries' result (with exact float sums on both sides)
DO $$
DECLARE
    s record; wrong bigint; q text;
BEGIN
    FOR s IN SELECT * FROM shapes ORDER BY id LOOP
        SELECT value INTO q FROM pgtrickle.explain_st('one_' || s.id) WHERE property = 'full query';
        EXECUTE format('SELECT (SELECT count(*) FROM (TABLE %1$I EXCEPT ALL (%2$s)) a) + (SELECT count(*) FROM ((%2$s) EXCEPT ALL TABLE %1$I) b)', 'one_' || s.id, q) INTO wrong;
        IF wrong <> 0 THEN
            RAISE WARNING 'shape %: % rows differ', s.id, wrong;
        END IF;
    END LOOP;
END $$;
SELECT count(pgtrickle.drop_stream_table(f || '_' || id)) FROM shapes, (VALUES ('one'), ('two')) x (f);
DROP SCHEMA dvm_laws CASCADE;
