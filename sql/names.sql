-- Names of stream tables: quotes, dots, unicode, 63 bytes, search_path.
SET client_min_messages = warning;
CREATE SCHEMA names;
CREATE SCHEMA "My Schema";
CREATE SCHEMA "a.b""c";
CREATE TABLE names."Source ""x"".y" (id int PRIMARY KEY, "Val.ue" int, "größe" text, "select" int);
INSERT INTO names."Source ""x"".y" VALUES (1, 10, 'eins', 7), (2, 20, 'zwei', 8);

CREATE FUNCTION names.make(name text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    r regclass;
BEGIN
    r := pgtrickle.create_stream_table(name,
        'SELECT "select", sum("Val.ue") AS "Sum.of ""it""" FROM names."Source ""x"".y" GROUP BY "select"', '1d');
    RETURN (SELECT format('%s | %s', nspname, relname) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE c.oid = r);
EXCEPTION WHEN OTHERS THEN
    RETURN format('%s: %s', SQLSTATE, SQLERRM);
END $$;

SELECT names.make('plain');
SELECT names.make('Folded.NAME');
SELECT names.make('names.Folded');
SELECT names.make('names."Quoted"');
SELECT names.make('"My Schema".totals');
SELECT names.make('"My Schema"."to.tals"');
SELECT names.make('"a.b""c"."d.e""f"');
SELECT names.make('names."größe ✓"');
SELECT names.make('names." spaces "');
SELECT names.make('  names . padded  ');
SELECT names.make('names."' || repeat('x', 63) || '"');
SELECT names.make('names."' || repeat('y', 64) || '"');
SELECT names.make('names."' || repeat('ü', 31) || 'z"');
SELECT names.make('names."drop table x; --"');

-- what is no name
SELECT names.make('');
SELECT names.make(' ');
SELECT names.make('a.b.c');
SELECT names.make('names.');
SELECT names.make('.x');
SELECT names.make('"unclosed');
SELECT names.make('names."x"y');
SELECT names.make('two words');
SELECT names.make('nowhere.x');
SELECT names.make('pg_temp.x');
SELECT names.make('pgtrickle_state.x');
SELECT names.make('pgtrickle_changes.x');
SELECT names.make('pg_catalog.x');
SELECT names.make('information_schema.x');
SELECT names.make(NULL);
-- what is there already
SELECT names.make('names."Quoted"');
SELECT names.make('names."Source ""x"".y"');

-- all work
INSERT INTO names."Source ""x"".y" VALUES (3, 30, 'drei', 8);
SELECT t.pgt_schema, t.pgt_name, r.action, r.rows_inserted, r.rows_deleted
  FROM pgtrickle.pgt_stream_tables t,
       pgtrickle.refresh_stream_table(format('%I.%I', t.pgt_schema, t.pgt_name)) r
 ORDER BY t.pgt_id;
SELECT * FROM "a.b""c"."d.e""f" ORDER BY 1;
SELECT name, status FROM pgtrickle.pgt_status() ORDER BY name COLLATE "C";
SELECT source_table, columns_used FROM pgtrickle.list_sources('"a.b""c"."d.e""f"');
SELECT pgtrickle.export_definition('"a.b""c"."d.e""f"');
SELECT pgtrickle.get_staleness('names." spaces "') AS staleness;
SELECT pgtrickle.alter_stream_table('"a.b""c"."d.e""f"', name => '"q""q"');
SELECT pgt_schema, pgt_name FROM pgtrickle.pgt_stream_tables WHERE pgt_schema LIKE 'a.%';

-- looking up
SELECT pgtrickle.get_staleness('plain') AS staleness;
SELECT pgtrickle.get_staleness('pgtrickle.plain') AS staleness;
SELECT pgtrickle.get_staleness('PLAIN') AS staleness;
SELECT pgtrickle.get_staleness('"PLAIN"');
SELECT pgtrickle.get_staleness('nowhere.plain');
SELECT pgtrickle.get_staleness('names."Source ""x"".y"');
SELECT pgtrickle.get_staleness('a.b.c');
-- a view of the same name on search_path does not hide one
CREATE VIEW names.plain AS SELECT 1 AS one;
SET search_path = names;
SELECT pgtrickle.get_staleness('plain') AS staleness;
SELECT pgtrickle.get_staleness('"Quoted"') AS staleness;
-- a stream table on search_path comes before the default schema
SELECT names.make('pgtrickle.twice'), names.make('names.twice');
SELECT pgtrickle.drop_stream_table('twice');
SELECT pgt_schema FROM pgtrickle.pgt_stream_tables WHERE pgt_name = 'twice';
-- the default schema
SET pg_trickle.stream_table_schema = 'My Schema';
SELECT names.make('in_default');
SET pg_trickle.stream_table_schema = '';
SELECT names.make('in_path');
SET search_path = '';
SELECT names.make('nowhere_to_go');
SET pg_trickle.stream_table_schema = 'missing';
SELECT names.make('nowhere_to_go');
RESET pg_trickle.stream_table_schema;
RESET search_path;

SET client_min_messages = error;
SELECT count(pgtrickle.drop_stream_table(format('%I.%I', pgt_schema, pgt_name)) IS NULL) FROM pgtrickle.pgt_stream_tables;
DROP SCHEMA names, "My Schema", "a.b""c" CASCADE;
