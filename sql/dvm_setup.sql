-- What the dvm tests share: make a stream table and say how it is kept; after
-- a batch of changes refresh all of them differentially and compare each with
-- its query, as multisets of row images, both ways.
CREATE SCHEMA oracle;
CREATE TABLE oracle.cases (id int GENERATED ALWAYS AS IDENTITY, name text PRIMARY KEY, query text);

CREATE FUNCTION oracle.make(st_name text, query text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    answer text;
BEGIN
    PERFORM pgtrickle.create_stream_table(st_name, query, schedule => '1d');
    INSERT INTO oracle.cases (name, query) VALUES (st_name, query);
    SELECT s.effective_mode || coalesce(': ' || s.effective_mode_reason, '') INTO answer
      FROM pgtrickle.pgt_stream_tables s WHERE s.pgt_name = st_name;
    RETURN answer;
END $$;

CREATE FUNCTION oracle.difference(st_name text, query text) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    wrong bigint;
BEGIN
    EXECUTE format('WITH q AS MATERIALIZED (SELECT x::text AS image FROM (%s) x),
                         s AS MATERIALIZED (SELECT x::text AS image FROM pgtrickle.%I x)
                    SELECT (SELECT count(*) FROM (TABLE q EXCEPT ALL TABLE s) a)
                         + (SELECT count(*) FROM (TABLE s EXCEPT ALL TABLE q) b)', query, st_name)
       INTO wrong;
    RETURN wrong;
END $$;

-- One line per action taken, and one per stream table that is wrong.
CREATE FUNCTION oracle.check(OUT verdict text) RETURNS SETOF text
LANGUAGE plpgsql AS $$
DECLARE
    c record;
    r record;
    wrong bigint;
    good int := 0;
BEGIN
    FOR c IN SELECT * FROM oracle.cases ORDER BY id LOOP
        SELECT * INTO r FROM pgtrickle.refresh_stream_table(c.name, 'DIFFERENTIAL');
        wrong := oracle.difference(c.name, c.query);
        IF r.action NOT IN ('DIFFERENTIAL', 'NO_DATA') THEN
            verdict := c.name || ': ' || r.action;
            RETURN NEXT;
        END IF;
        IF wrong = 0 THEN
            good := good + 1;
        ELSE
            verdict := c.name || ': ' || wrong || ' rows differ';
            RETURN NEXT;
        END IF;
    END LOOP;
    verdict := good || ' equal';
    RETURN NEXT;
END $$;

-- Drop all; before, everything can be explained, and the FULL query as text is
-- the query.
CREATE FUNCTION oracle.done() RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    c record;
    full_query text;
BEGIN
    FOR c IN SELECT * FROM oracle.cases ORDER BY id DESC LOOP
        SELECT max(value) FILTER (WHERE property = 'full query') INTO full_query
          FROM pgtrickle.explain_st(c.name, true);
        IF full_query IS NULL OR oracle.difference(c.name, full_query) <> 0 THEN
            RAISE WARNING '%: the FULL query is not the query: %', c.name, full_query;
        END IF;
        PERFORM pgtrickle.drop_stream_table(c.name);
    END LOOP;
    TRUNCATE oracle.cases;
END $$;
