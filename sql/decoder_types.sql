-- Values of all layouts come through the batch unchanged.
SET synchronous_commit = on;
SET client_min_messages = warning;
CREATE SCHEMA dy;
CREATE TYPE dy.mood AS ENUM ('sad', 'ok');
CREATE TYPE dy.pair AS (a int, b text);
CREATE DOMAIN dy.positive AS int CHECK (value > 0);
CREATE TABLE dy.t (
    id int PRIMARY KEY, c1 "char", b bool, s smallint, i8 bigint, f4 real, f8 float8, n numeric, t text, vc varchar(10),
    ch char(5), by bytea, d date, ts timestamptz, iv interval, u uuid, nm name, ip inet, j json, jb jsonb, p point,
    x xml, a int[], m dy.mood, ma dy.mood[], pr dy.pair, dom dy.positive, r int4range, mr nummultirange, bits varbit, tid tid, o oid);
SELECT count(*) FROM pg_create_logical_replication_slot('dy', 'pg_trickle_decoder');
INSERT INTO dy.t VALUES
    (1, 'x', true, 1, 2, 1.5, '-0', 1.50, 'text', 'vc', 'ch', '\x00010200', '2026-01-31', '2026-01-31 12:00+00', '1 mon 2 days',
     'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'name', '10.0.0.1/8', '{"a" : 1}', '{"a": 1}', '(1,2)', '<a/>', '{1,NULL,3}',
     'ok', '{sad,ok}', '(1,"two words")', 7, '[1,5)', '{[1,2),(3,4]}', '101', '(1,2)', 4294967295),
    (2, '', false, -32768, -9223372036854775808, 'NaN', 'Infinity', 'NaN', '', '', '', '', 'infinity', '-infinity', '0',
     '00000000-0000-0000-0000-000000000000', '', '::1', 'null', 'null', '(NaN,-0)', '', '{}',
     'sad', '{}', '(,)', 1, 'empty', '{}', '', '(0,0)', 0);
INSERT INTO dy.t (id) VALUES (3);
SELECT regexp_split_to_table(l, ', ') FROM
    (SELECT decoding.change_batch_lines(data) AS l
       FROM pg_logical_slot_get_binary_changes('dy', NULL, NULL, 'sources', 'dy.t')) x;

-- more columns than bits in any word, with and without NULLs; as many as there can be
CREATE FUNCTION dy.wide(ncolumns int, even text, odd text) RETURNS text LANGUAGE plpgsql SET synchronous_commit = on AS $$
DECLARE
    stored text;
BEGIN
    CREATE TABLE dy.w ();
    EXECUTE (SELECT 'ALTER TABLE dy.w ' || string_agg(format('ADD c%s %s', i, (ARRAY['int2', 'text', 'bool', 'int4', 'varchar'])[i % 5 + 1]), ', ')
               FROM generate_series(1, ncolumns) i);
    EXECUTE (SELECT 'INSERT INTO dy.w VALUES (' || string_agg(CASE i % 2 WHEN 0 THEN even ELSE odd END, ', ') || ')' FROM generate_series(1, ncolumns) i);
    SELECT 'INSERT ' || regexp_replace(regexp_replace(w::text, '(?<=[(,])(?=[,)])', 'NULL', 'g'), ',', ', ', 'g') INTO stored FROM dy.w;
    RETURN stored;
END $$;
CREATE FUNCTION dy.compare(stored text) RETURNS text LANGUAGE sql AS $$
    SELECT CASE l WHEN stored THEN 'same, ' || length(l) ELSE l END
      FROM (SELECT decoding.change_batch_lines(data) AS l
              FROM pg_logical_slot_get_binary_changes('dy', NULL, NULL, 'sources', 'dy.w')) x
$$;
SELECT dy.wide(200, '''0''', '''1''') AS stored \gset
SELECT dy.compare(:'stored');
DROP TABLE dy.w;
SELECT dy.wide(200, 'NULL', '''1''') AS stored \gset
SELECT dy.compare(:'stored');
DROP TABLE dy.w;
SELECT dy.wide(1600, '''0''', 'NULL') AS stored \gset
SELECT dy.compare(:'stored');
DROP TABLE dy.w;

-- a label that is new in the transaction; a domain over a domain
BEGIN;
ALTER TYPE dy.mood RENAME VALUE 'sad' TO 'blue';
INSERT INTO dy.t (id, m, ma) VALUES (4, 'blue', '{ok,blue}');
COMMIT;
BEGIN;
CREATE TYPE dy.fresh AS ENUM ('new', 'newer');
CREATE DOMAIN dy.more AS dy.positive;
CREATE TABLE dy.made (e dy.fresh, m dy.more);
INSERT INTO dy.made VALUES ('new', 1), ('newer', 2);
COMMIT;
SELECT decoding.decoded('dy', 'sources', 'dy.t(id, m, ma), dy.made');

-- columns dropped, added with a default that old rows do not have, generated
CREATE TABLE dy.cols (a int, gone int, b text, g int GENERATED ALWAYS AS (a * 2) STORED);
ALTER TABLE dy.cols REPLICA IDENTITY FULL;
INSERT INTO dy.cols (a, gone, b) VALUES (1, 100, 'old'), (2, 200, 'old');
ALTER TABLE dy.cols DROP COLUMN gone;
ALTER TABLE dy.cols ADD fast text DEFAULT 'fast', ADD nul int, ADD num numeric NOT NULL DEFAULT 1.50;
SELECT count(*) FROM pg_logical_slot_get_binary_changes('dy', NULL, NULL, 'sources', 'dy.cols');
UPDATE dy.cols SET b = 'new' WHERE a = 1;
DELETE FROM dy.cols WHERE a = 2;
UPDATE dy.cols SET a = 3;
ALTER TABLE dy.cols ALTER fast SET DEFAULT 'other';
INSERT INTO dy.cols (a) VALUES (4);
SELECT decoding.decoded('dy', 'sources', 'dy.cols');

-- names that need quotes, and that look like words
CREATE TABLE dy."Ünï ""q"" (1), 2" ("select" int, "A,b" int, "c)""" int, "öäü" text);
INSERT INTO dy."Ünï ""q"" (1), 2" VALUES (1, 2, 3, 'vier');
SELECT decoding.decoded('dy', 'sources', 'dy."Ünï ""q"" (1), 2" ( "c)""", "A,b" , öäü ) , dy.t');
SELECT count(*) FROM pg_drop_replication_slot('dy');
DROP SCHEMA dy CASCADE;
