-- refresh_mode IMMEDIATE: a stream table follows inside the statement, whatever
-- kind of statement that is.
CREATE SCHEMA imm;
SET search_path = imm, public;
SET pg_trickle.stream_table_schema = 'imm';
-- every stream table against its query, as multisets of row images, both ways
CREATE FUNCTION verdict() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    st record;
    wrong bigint;
    bad text := '';
    good int := 0;
BEGIN
    FOR st IN SELECT pgt_name, rtrim(defining_query, '; ') AS query FROM pgtrickle.pgt_stream_tables
               WHERE pgt_schema = 'imm' ORDER BY pgt_id LOOP
        EXECUTE format('WITH q AS MATERIALIZED (SELECT x::text AS image FROM (%s) x),
                             s AS MATERIALIZED (SELECT x::text AS image FROM imm.%I x)
                        SELECT (SELECT count(*) FROM (TABLE q EXCEPT ALL TABLE s) a)
                             + (SELECT count(*) FROM (TABLE s EXCEPT ALL TABLE q) b)', st.query, st.pgt_name)
           INTO wrong;
        IF wrong = 0 THEN good := good + 1; ELSE bad := bad || format(' %s: %s rows differ', st.pgt_name, wrong); END IF;
    END LOOP;
    RETURN good || ' equal' || bad;
END $$;
CREATE TABLE item (id int PRIMARY KEY, grp int NOT NULL, price numeric, note text);
CREATE TABLE grp (grp int PRIMARY KEY, name text);
CREATE TABLE line (id int PRIMARY KEY, item int REFERENCES item ON DELETE CASCADE ON UPDATE CASCADE, qty int);
INSERT INTO grp SELECT g, 'group ' || g FROM generate_series(0, 4) g;
INSERT INTO item SELECT i, i % 5, i * 1.5, 'note ' || i FROM generate_series(1, 50) i;
INSERT INTO line SELECT l, 1 + l % 50, l % 7 FROM generate_series(1, 200) l;
SELECT pgtrickle.create_stream_table('kept', 'SELECT id, price FROM item WHERE grp < 3', refresh_mode => 'IMMEDIATE');
SELECT pgtrickle.create_stream_table('sums', 'SELECT grp, sum(price), count(*) AS n, min(price) AS low FROM item GROUP BY grp', refresh_mode => 'immediate');
SELECT pgtrickle.create_stream_table('prices', 'SELECT DISTINCT price FROM item', refresh_mode => 'IMMEDIATE');
SELECT pgtrickle.create_stream_table('joined', 'SELECT i.id, g.name, l.qty FROM item i JOIN grp g USING (grp) JOIN line l ON l.item = i.id', refresh_mode => 'IMMEDIATE');
SELECT pgtrickle.create_stream_table('totals', 'SELECT g.name, sum(l.qty * i.price), count(*) AS n FROM item i JOIN grp g USING (grp) JOIN line l ON l.item = i.id GROUP BY g.name HAVING count(*) > 10', refresh_mode => 'IMMEDIATE');
SELECT pgtrickle.create_stream_table('pairs', 'SELECT a.id AS a, b.id AS b FROM item a JOIN item b ON a.grp = b.grp AND a.id < b.id', refresh_mode => 'IMMEDIATE');
SELECT pgtrickle.create_stream_table('both_ways', 'SELECT id, grp FROM item WHERE price > 20 UNION ALL SELECT item, qty FROM line', refresh_mode => 'IMMEDIATE');
SELECT pgtrickle.create_stream_table('overall', 'SELECT count(*) AS n, sum(qty) AS s FROM line', refresh_mode => 'IMMEDIATE');
SELECT verdict();
-- nothing is captured for them
SELECT count(*) AS sources FROM pgtrickle.pgt_sources WHERE source_relid IN ('item'::regclass, 'grp'::regclass, 'line'::regclass);
SELECT tgrelid::regclass AS "table", rtrim(tgname, '0123456789') AS trigger, tgenabled FROM pg_trigger
 WHERE tgfoid = 'pgtrickle.maintain()'::regprocedure AND tgrelid = 'item'::regclass ORDER BY 2;

-- plain statements
INSERT INTO item VALUES (51, 1, 3, 'x');
SELECT verdict();
UPDATE item SET price = price + 1 WHERE id = 51;
SELECT verdict();
UPDATE item SET grp = (grp + 1) % 5;
SELECT verdict();
DELETE FROM item WHERE id % 7 = 0;
SELECT verdict();
INSERT INTO item SELECT i, i % 5, 9, NULL FROM generate_series(100, 120) i;
SELECT verdict();
DELETE FROM line WHERE qty = 1;
SELECT verdict();
-- RETURNING, ON CONFLICT, statements that change nothing
INSERT INTO item VALUES (51, 2, 4, 'y') ON CONFLICT (id) DO UPDATE SET price = EXCLUDED.price, grp = EXCLUDED.grp RETURNING id, (SELECT n FROM sums WHERE grp = 2) AS n_before;
SELECT verdict();
INSERT INTO item VALUES (51, 2, 4, 'y'), (52, 2, 4, 'y') ON CONFLICT DO NOTHING;
UPDATE item SET note = 'z';
UPDATE item SET price = price;
DELETE FROM item WHERE false;
SELECT verdict();
-- one statement, two and three sources
WITH i AS (INSERT INTO item VALUES (200, 4, 1, 'w') RETURNING id)
INSERT INTO line SELECT 1000, 200, 3 WHERE false;
WITH i AS (UPDATE item SET price = 7 WHERE grp = 1 RETURNING id), g AS (UPDATE grp SET name = 'one' WHERE grp = 1)
DELETE FROM line WHERE item IN (SELECT id FROM i) AND qty > 3;
SELECT verdict();
WITH a AS (UPDATE item SET price = 8 WHERE id = 2), b AS (UPDATE item SET price = 9 WHERE id = 3), c AS (DELETE FROM item WHERE id = 4)
INSERT INTO item VALUES (201, 0, 1, 'v');
SELECT verdict();
-- cascades of foreign keys
DELETE FROM item WHERE id IN (1, 2, 3, 5, 6);
SELECT verdict();
UPDATE item SET id = id + 1000 WHERE id < 20;
SELECT verdict();
-- COPY
COPY line FROM stdin;
3000	1008	5
3001	1008	6
\.
SELECT verdict();
-- MERGE
MERGE INTO item i USING (VALUES (1008, 5), (5000, 6)) s (id, p) ON i.id = s.id
 WHEN MATCHED THEN UPDATE SET price = p WHEN NOT MATCHED THEN INSERT VALUES (id, 1, p, 'merged');
MERGE INTO item i USING (VALUES (1008), (5000)) s (id) ON i.id = s.id
 WHEN MATCHED AND i.id = 5000 THEN DELETE WHEN MATCHED THEN UPDATE SET grp = 2;
SELECT verdict();

-- savepoints, exceptions, an error in the middle
BEGIN;
INSERT INTO item VALUES (6000, 1, 1, 'a');
SAVEPOINT s;
UPDATE item SET grp = 0;
SELECT verdict();
ROLLBACK TO s;
SELECT verdict();
UPDATE item SET price = 2 WHERE id = 6000;
SAVEPOINT t;
DELETE FROM grp WHERE grp = 0;
RELEASE t;
SELECT verdict();
COMMIT;
SELECT verdict();
BEGIN; TRUNCATE line; INSERT INTO item VALUES (6001, 2, 2, 'b'); SELECT verdict(); ROLLBACK;
SELECT verdict();
DO $$
BEGIN
    INSERT INTO item VALUES (6002, 1, 1, 'c');
    BEGIN
        UPDATE item SET price = 0;
        INSERT INTO item VALUES (6002, 1, 1, 'c');
    EXCEPTION WHEN unique_violation THEN
        UPDATE item SET price = 1 WHERE id = 6002;
    END;
    RAISE NOTICE '%', verdict();
END $$;
SELECT verdict();
INSERT INTO item SELECT i, 1, 10 / (i - 7005), 'd' FROM generate_series(7000, 7010) i;
SELECT verdict();

-- user triggers that write to sources: from a row trigger, from a statement
-- trigger, in a block that is rolled back
CREATE FUNCTION add_line() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO line VALUES (NEW.id * 10, NEW.id, 2);
    BEGIN
        UPDATE grp SET name = 'never';
        DELETE FROM item WHERE id = 6002;
        RAISE EXCEPTION 'undo';
    EXCEPTION WHEN raise_exception THEN
        NULL;
    END;
    RETURN NEW;
END $$;
CREATE FUNCTION count_groups() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE grp SET name = name || '+' WHERE grp IN (SELECT grp FROM item ORDER BY id DESC LIMIT 1);
    RETURN NULL;
END $$;
CREATE TRIGGER a_row AFTER INSERT ON item FOR EACH ROW EXECUTE FUNCTION add_line();
CREATE TRIGGER a_statement AFTER INSERT ON item FOR EACH STATEMENT EXECUTE FUNCTION count_groups();
CREATE TRIGGER z_statement AFTER INSERT ON item FOR EACH STATEMENT EXECUTE FUNCTION count_groups();
INSERT INTO item SELECT i, i % 5, i, 'e' FROM generate_series(8000, 8004) i;
SELECT verdict();
CREATE TRIGGER b_row BEFORE INSERT OR UPDATE ON item FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
DROP TRIGGER b_row ON item;
DROP TRIGGER a_row ON item;
DROP TRIGGER a_statement ON item;
DROP TRIGGER z_statement ON item;
-- deferred: the constraint's trigger writes when the transaction ends
CREATE CONSTRAINT TRIGGER later AFTER INSERT ON item DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION add_line();
BEGIN;
INSERT INTO item VALUES (8100, 3, 1, 'f');
SELECT verdict();
SET CONSTRAINTS ALL IMMEDIATE;
SELECT verdict();
INSERT INTO item VALUES (8101, 3, 1, 'f');
COMMIT;
SELECT verdict();
DROP TRIGGER later ON item;

-- TRUNCATE: one, both sides of a join at once, with what it cascades to
TRUNCATE line;
SELECT verdict();
INSERT INTO line SELECT l, (SELECT min(id) FROM item), l FROM generate_series(1, 30) l;
SELECT verdict();
BEGIN;
TRUNCATE item CASCADE;
SELECT verdict();
INSERT INTO item SELECT i, i % 5, i, 'g' FROM generate_series(1, 30) i;
INSERT INTO line SELECT l, 1 + l % 30, l FROM generate_series(1, 60) l;
SELECT verdict();
COMMIT;
SELECT verdict();

-- a cursor open on a stream table does not see what comes after
BEGIN;
DECLARE c CURSOR FOR SELECT grp, n FROM sums ORDER BY grp;
FETCH 1 FROM c;
INSERT INTO item SELECT i, i % 5, i, 'h' FROM generate_series(300, 310) i;
FETCH 2 FROM c;
COMMIT;
SELECT verdict();
-- a function that reads the stream table between two of its own statements
CREATE FUNCTION add_and_look(i int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    r bigint;
BEGIN
    INSERT INTO item VALUES (i, 4, 1, 'i');
    SELECT n INTO r FROM sums WHERE grp = 4;
    RETURN r;
END $$;
SELECT add_and_look(i) - min(add_and_look(i)) OVER () AS more FROM generate_series(400, 402) i WHERE false;
SELECT add_and_look(400), add_and_look(401);
SELECT verdict();

-- prepared transactions
BEGIN;
INSERT INTO item VALUES (500, 1, 1, 'j');
DELETE FROM line WHERE id < 5;
PREPARE TRANSACTION 'imm_one';
SELECT verdict();
COMMIT PREPARED 'imm_one';
SELECT verdict();

-- columns of every fate
ALTER TABLE item ADD COLUMN more int DEFAULT 5, DROP COLUMN note;
UPDATE item SET more = more + 1 WHERE id < 10;
INSERT INTO item (id, grp, price) VALUES (600, 1, 1);
SELECT verdict();

-- a verification changes nothing; a difference would be counted
SELECT action, rows_inserted, rows_deleted FROM pgtrickle.refresh_stream_table('totals');
SELECT action, rows_inserted, rows_deleted FROM pgtrickle.refresh_stream_table('sums', 'FULL');
-- nothing but the engine writes to it
INSERT INTO sums VALUES (9, 9, 9, 9);

-- errors in maintenance stop the statement and say where they come from
CREATE TABLE divisor (d int);
INSERT INTO divisor VALUES (1);
SELECT pgtrickle.create_stream_table('quotient', 'SELECT 10 / d AS q FROM divisor', refresh_mode => 'IMMEDIATE');
INSERT INTO divisor VALUES (2), (0);
\set VERBOSITY sqlstate
INSERT INTO divisor VALUES (2), (0);
\set VERBOSITY default
SELECT verdict();
-- suspended, it does not stand in the way; resumed, it is right
SELECT pgtrickle.alter_stream_table('quotient', enabled => false);
INSERT INTO divisor VALUES (2), (0);
DELETE FROM divisor WHERE d = 0;
INSERT INTO divisor VALUES (5);
SELECT q FROM quotient ORDER BY 1;
SELECT pgtrickle.resume_stream_table('quotient');
SELECT verdict();
INSERT INTO divisor VALUES (10);
SELECT verdict();
-- a delta pairs rows that never existed together: rebuilt, no error
CREATE TABLE num (id int PRIMARY KEY, n int, ok bool);
CREATE TABLE den (id int PRIMARY KEY, d int);
INSERT INTO num VALUES (1, 10, false); INSERT INTO den VALUES (1, 2);
SELECT pgtrickle.create_stream_table('ratio', 'SELECT num.id, n / (d - CASE WHEN ok THEN 2 ELSE 0 END) AS r FROM num JOIN den USING (id)', refresh_mode => 'IMMEDIATE');
WITH a AS (UPDATE num SET ok = true) UPDATE den SET d = 3;
SELECT verdict();

-- nor is an error what the query is lucky not to see
CREATE TABLE picked (g int PRIMARY KEY);
CREATE TABLE rows (id int PRIMARY KEY, g int NOT NULL, v int NOT NULL, d int NOT NULL);
INSERT INTO rows SELECT i, i % 3, i, i FROM generate_series(1, 9) i;
SELECT pgtrickle.create_stream_table('lucky', 'SELECT p.g, q.r FROM picked p JOIN (SELECT g, sum(v / d) AS r FROM rows GROUP BY g) q ON q.g = p.g', refresh_mode => 'IMMEDIATE');
UPDATE rows SET d = 0 WHERE g = 1;
UPDATE rows SET v = v + 1 WHERE g = 2;
INSERT INTO picked VALUES (0), (2);
SELECT verdict(), (SELECT string_agg(g || ':' || r, ' ' ORDER BY g) FROM lucky) AS rows;
INSERT INTO picked VALUES (1);
UPDATE rows SET d = 1 WHERE g = 1;
INSERT INTO picked VALUES (1);
UPDATE rows SET v = v + 1 WHERE g = 1;
SELECT verdict(), (SELECT string_agg(g || ':' || r, ' ' ORDER BY g) FROM lucky) AS rows;

SELECT pgtrickle.drop_stream_table(pgt_name) FROM pgtrickle.pgt_stream_tables WHERE pgt_schema = 'imm' ORDER BY pgt_id;
SELECT count(*) AS triggers_left FROM pg_trigger WHERE tgfoid = 'pgtrickle.maintain()'::regprocedure;
SELECT count(*) AS rows_left FROM pgtrickle.pgt_immediate;
SET client_min_messages = warning;
RESET search_path;
DROP SCHEMA imm CASCADE;
