-- Group keys of every kind: NULL, equal but not identical, long, many.
CREATE SCHEMA reduce_keys;
SET search_path = reduce_keys, public;
SET client_min_messages = warning;

CREATE TABLE src (id int PRIMARY KEY, n numeric, f float8, iv interval, c char(5), j jsonb, a int[],
                  l text, x xid, p point, v int);
INSERT INTO src VALUES
    (1, 1.0, 0, '1 mon', 'a', '1', '{1}', 'long', '1', '(0,0)', 1),
    (2, 1.00, '-0', '30 days', 'a ', '1.0', '{1}', 'long', '1', '(0,0)', 2),
    (3, NULL, 'NaN', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 3),
    (4, 2, 1, '1 day', 'b', '{"a": 1}', '{1,NULL}', 'short', '2', '(1,1)', 4);
-- equal keys are one group; what is shown is the key of a row that is there
SELECT pgtrickle.create_stream_table('k_numeric', 'SELECT n, count(*) AS c, sum(v) AS s FROM src GROUP BY n', schedule => '1d');
SELECT pgtrickle.create_stream_table('k_float', 'SELECT f, count(*) AS c FROM src GROUP BY f', schedule => '1d');
SELECT pgtrickle.create_stream_table('k_interval', 'SELECT DISTINCT iv FROM src', schedule => '1d');
SELECT pgtrickle.create_stream_table('k_jsonb', 'SELECT j, count(*) AS c FROM src GROUP BY j', schedule => '1d');
SELECT n = 1 AS one, c, s FROM pgtrickle.k_numeric ORDER BY n;
SELECT f, c FROM pgtrickle.k_float WHERE f <> 0 ORDER BY f;
DELETE FROM src WHERE n::text = (SELECT n::text FROM pgtrickle.k_numeric WHERE n = 1) AND id < 3;
SELECT action FROM pgtrickle.refresh_stream_table('k_numeric');
SELECT count(*) FROM pgtrickle.k_numeric k JOIN src s ON k.n::text = s.n::text WHERE k.n = 1;
SELECT action FROM pgtrickle.refresh_stream_table('k_float');
SELECT count(*) FROM pgtrickle.k_float k JOIN src s ON k.f::text = s.f::text WHERE k.f = 0;
SELECT action FROM pgtrickle.refresh_stream_table('k_interval');
SELECT count(*) FROM pgtrickle.k_interval k JOIN src s ON k.iv::text = s.iv::text WHERE k.iv = '1 mon';
SELECT action FROM pgtrickle.refresh_stream_table('k_jsonb');
SELECT count(*) FROM pgtrickle.k_jsonb k JOIN src s ON k.j::text = s.j::text WHERE k.j = '1';
-- the image changes while the group stays
UPDATE src SET n = 1.000, f = '0', v = 10 WHERE n = 1;
SELECT action FROM pgtrickle.refresh_stream_table('k_numeric');
SELECT n, c, s FROM pgtrickle.k_numeric ORDER BY n;
INSERT INTO src (id, n, v) VALUES (11, 1.0, 1), (12, 1.00, 1), (13, 1.000, 1);
DELETE FROM src WHERE id IN (1, 2);
SELECT action FROM pgtrickle.refresh_stream_table('k_numeric');
DELETE FROM src WHERE id IN (11, 12);
SELECT action FROM pgtrickle.refresh_stream_table('k_numeric');
SELECT n, c, s FROM pgtrickle.k_numeric ORDER BY n;
DELETE FROM src WHERE id = 13;
SELECT action FROM pgtrickle.refresh_stream_table('k_numeric');
SELECT n, c, s FROM pgtrickle.k_numeric ORDER BY n;
SELECT pgtrickle.drop_stream_table(name) FROM unnest(ARRAY['k_numeric', 'k_float', 'k_interval', 'k_jsonb']) name;

-- identical keys: NULLs, a type with hashing only, arrays, text; types that
-- cannot be compared are fine beside them
SELECT oracle.make('k_many_types', 'SELECT a, l, x, c, count(*) AS n FROM src GROUP BY a, l, x, c');
SELECT oracle.make('k_payload', 'SELECT id, p, xmlelement(name e, v)::text AS e, to_json(v)::text AS j FROM src');
SELECT oracle.make('k_raw_payload', 'SELECT p, xmlelement(name e, v) AS e, to_json(v) AS j FROM src');
SELECT oracle.make('k_distinct', 'SELECT DISTINCT l, a FROM src');
SELECT * FROM oracle.check();
INSERT INTO src (id, a, l, x, p, v) VALUES (21, '{1}', 'long', '1', '(0,0)', 5), (22, '{1}', 'long', '1', '(0,0)', 5), (23, NULL, NULL, NULL, NULL, NULL);
SELECT * FROM oracle.check();
DELETE FROM src WHERE id IN (21, 3);
SELECT * FROM oracle.check();
UPDATE src SET p = '(5,5)', v = v + 1;
SELECT * FROM oracle.check();
-- a case-insensitive collation, where the server has ICU: one group, the image
-- of a row that is there
DO $$
DECLARE
    shown text;
BEGIN
    BEGIN
        CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
    EXCEPTION WHEN feature_not_supported THEN
        RETURN;
    END;
    CREATE TABLE names (id int PRIMARY KEY, name text COLLATE nocase);
    INSERT INTO names VALUES (1, 'Ann'), (2, 'ANN'), (3, 'bob');
    PERFORM pgtrickle.create_stream_table('k_nocase', 'SELECT name, count(*) AS c FROM names GROUP BY name', schedule => '1d');
    DELETE FROM names WHERE id = 1;
    PERFORM pgtrickle.refresh_stream_table('k_nocase');
    SELECT string_agg(name || c, ' ' ORDER BY name) INTO shown FROM pgtrickle.k_nocase;
    IF shown COLLATE "C" <> 'ANN1 bob1' THEN
        RAISE WARNING 'shown: %', shown;
    END IF;
    PERFORM pgtrickle.drop_stream_table('k_nocase');
END $$;

-- keys too long for a btree: the identity becomes a hash
CREATE TABLE long (id int PRIMARY KEY, k text, v int);
INSERT INTO long VALUES (1, 'short', 1);
SELECT oracle.make('k_long', 'SELECT k, count(*) AS c, sum(v) AS s FROM long GROUP BY k');
SELECT row_identity FROM pgtrickle.pgt_state WHERE relid = 'pgtrickle.k_long'::regclass;
INSERT INTO long SELECT 2, string_agg(md5(i::text), ''), 5 FROM generate_series(1, 300) i;
SELECT action, rows_inserted, rows_deleted FROM pgtrickle.refresh_stream_table('k_long');
SELECT row_identity FROM pgtrickle.pgt_state WHERE relid = 'pgtrickle.k_long'::regclass;
SELECT length(k), c, s FROM pgtrickle.k_long ORDER BY 1;
INSERT INTO long SELECT 3, k || k, 7 FROM long WHERE id = 2;
INSERT INTO long SELECT 4, k, 8 FROM long WHERE id = 2;
SELECT * FROM oracle.check();
DELETE FROM long WHERE id = 2;
SELECT * FROM oracle.check();
DELETE FROM long WHERE id > 2;
SELECT * FROM oracle.check();

-- many keys
CREATE TABLE wide (id int PRIMARY KEY, v int);
SELECT format('ALTER TABLE wide %s', string_agg(format('ADD COLUMN k%s int DEFAULT %s', i, i), ', ')) FROM generate_series(1, 40) i \gexec
INSERT INTO wide (id, v) VALUES (1, 1), (2, 2);
INSERT INTO wide (id, v, k40) VALUES (3, 3, NULL);
SELECT oracle.make('k_wide', format('SELECT %1$s, sum(v) AS s FROM wide GROUP BY %1$s', string_agg('k' || i, ', '))) FROM generate_series(1, 40) i;
SELECT * FROM oracle.check();
UPDATE wide SET k1 = 0 WHERE id = 2;
DELETE FROM wide WHERE id = 3;
SELECT * FROM oracle.check();
SELECT oracle.done();
DROP SCHEMA reduce_keys CASCADE;
