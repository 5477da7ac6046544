-- pg_trickle_pgivm 0.1.0: the functions and the catalog of pg_ivm, over
-- IMMEDIATE stream tables.  See docs/migrating-from-pg_ivm.md.

\echo Use "CREATE EXTENSION pg_trickle_pgivm" to load this file. \quit

-- pg_ivm keeps its own triggers on the same tables and its own catalog under
-- the same names: one of the two in a database.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = 'pg_ivm') THEN
        RAISE EXCEPTION 'extension "pg_ivm" is installed in this database'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = 'pg_trickle_pgivm offers the same functions under the same names.',
                  HINT = 'Note the definitions of the IMMVs, then DROP EXTENSION pg_ivm; docs/migrating-from-pg_ivm.md has the steps.';
    END IF;
END $$;

CREATE SCHEMA pgivm;
GRANT USAGE ON SCHEMA pgivm TO PUBLIC;

-- The stream table of a relation; an error where there is none that is IMMEDIATE.
CREATE FUNCTION pgivm._immv(relation regclass, OUT name text, OUT suspended bool)
    LANGUAGE plpgsql STABLE
    AS $$
BEGIN
    SELECT pg_catalog.format('%I.%I', s.pgt_schema, s.pgt_name), s.status OPERATOR(pg_catalog.=) 'SUSPENDED'
      INTO name, suspended
      FROM pgtrickle.pgt_stream_tables s
     WHERE s.pgt_relid OPERATOR(pg_catalog.=) relation AND s.refresh_mode OPERATOR(pg_catalog.=) 'IMMEDIATE';
    IF name IS NULL THEN
        RAISE EXCEPTION '"%" is not an IMMV', relation
            USING ERRCODE = 'wrong_object_type',
                  HINT = 'pgivm.pg_ivm_immv lists them.';
    END IF;
END $$;

CREATE FUNCTION pgivm._count(relation regclass) RETURNS bigint
    LANGUAGE plpgsql STABLE
    AS $$
DECLARE
    n bigint;
BEGIN
    EXECUTE pg_catalog.format('SELECT pg_catalog.count(*) FROM %s', relation) INTO n;
    RETURN n;
END $$;

-- A name, qualified or not, and, as pg_ivm takes it, a list of column names.
-- An unqualified name goes to the first schema of search_path that the caller
-- may create in.
CREATE FUNCTION pgivm.create_immv(immv_name text, view_definition text) RETURNS bigint
    LANGUAGE plpgsql VOLATILE
    SET pg_trickle.stream_table_schema = ''
    AS $$
DECLARE
    parts text[] := pg_catalog.regexp_match(immv_name, '^\s*(.*?)\s*\((.*)\)\s*$', 's');
    query text := pg_catalog.rtrim(view_definition, E'; \t\n\r');
    immv regclass;
    index_name text;
BEGIN
    IF immv_name IS NULL OR view_definition IS NULL THEN
        RAISE EXCEPTION 'the name and the definition of an IMMV must not be null'
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    IF parts IS NOT NULL THEN
        query := pg_catalog.format(E'SELECT * FROM (\n%s\n) AS immv(%s)', query, parts[2]);
    END IF;
    immv := pgtrickle.create_stream_table(coalesce(parts[1], immv_name), query, refresh_mode => 'IMMEDIATE');

    SELECT i.indexrelid::regclass INTO index_name
      FROM pg_catalog.pg_index i
     WHERE i.indrelid OPERATOR(pg_catalog.=) immv AND i.indisunique;
    IF index_name IS NOT NULL THEN
        RAISE NOTICE 'created index "%" on immv "%"', index_name, immv;
    ELSE
        RAISE NOTICE 'no unique index was created on immv "%"', immv
            USING DETAIL = 'Its query has no key that an index can hold: the rows are found by a hash of their values.';
    END IF;
    RETURN pgivm._count(immv);
END $$;

-- with_data: computed anew.  Without: emptied, and no longer maintained until
-- it is refreshed with data.
CREATE FUNCTION pgivm.refresh_immv(immv_name text, with_data bool) RETURNS bigint
    LANGUAGE plpgsql VOLATILE
    AS $$
DECLARE
    immv regclass := immv_name::regclass;
    st record := pgivm._immv(immv);
BEGIN
    IF with_data IS NULL THEN
        RAISE EXCEPTION 'argument "with_data" must not be null'
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    IF NOT with_data THEN
        PERFORM pgivm._empty(immv);
    ELSIF st.suspended THEN
        PERFORM pgtrickle.resume_stream_table(st.name);
    ELSE
        PERFORM pgtrickle.refresh_stream_table(st.name, 'FULL');
    END IF;
    RETURN pgivm._count(immv);
END $$;

-- NULL for a relation that is none
CREATE FUNCTION pgivm.get_immv_def(immvrelid regclass) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT btrim(s.defining_query) FROM pgtrickle.pgt_stream_tables s
     WHERE s.pgt_relid = immvrelid AND s.refresh_mode = 'IMMEDIATE'
$$;

CREATE FUNCTION pgivm._empty(immv regclass) RETURNS void
    LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'pgt_empty';

CREATE VIEW pgivm.pg_ivm_immv WITH (security_barrier) AS
SELECT s.pgt_relid AS immvrelid,
       btrim(s.defining_query) AS viewdef,
       s.is_populated AND s.status = 'ACTIVE' AS ispopulated
  FROM pgtrickle.pgt_stream_tables s
 WHERE s.refresh_mode = 'IMMEDIATE';
GRANT SELECT ON pgivm.pg_ivm_immv TO PUBLIC;
