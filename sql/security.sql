-- Rights: what users without privileges can and cannot do.
SET client_min_messages = warning;
CREATE ROLE regress_pgt_alice;
CREATE ROLE regress_pgt_bob;
CREATE ROLE regress_pgt_watch IN ROLE pg_monitor;
CREATE SCHEMA sec;
CREATE SCHEMA alice AUTHORIZATION regress_pgt_alice;
CREATE SCHEMA bob AUTHORIZATION regress_pgt_bob;
GRANT USAGE ON SCHEMA sec TO PUBLIC;
CREATE TABLE sec.src (id int PRIMARY KEY, grp int, secret text);
INSERT INTO sec.src VALUES (1, 1, 'one'), (2, 2, 'two');

-- creating needs SELECT and TRIGGER on what is read, CREATE where it goes
SET ROLE regress_pgt_alice;
SELECT pgtrickle.create_stream_table('alice.st', 'SELECT grp, count(*) AS n FROM sec.src GROUP BY grp', '1d');
RESET ROLE;
GRANT SELECT ON sec.src TO regress_pgt_alice;
SET ROLE regress_pgt_alice;
SELECT pgtrickle.create_stream_table('alice.st', 'SELECT grp, count(*) AS n FROM sec.src GROUP BY grp', '1d');
RESET ROLE;
GRANT TRIGGER ON sec.src TO regress_pgt_alice;
SET ROLE regress_pgt_alice;
SELECT pgtrickle.create_stream_table('st', 'SELECT grp, count(*) AS n FROM sec.src GROUP BY grp', '1d');
SELECT pgtrickle.create_stream_table('bob.st', 'SELECT grp, count(*) AS n FROM sec.src GROUP BY grp', '1d');
SELECT pgtrickle.create_stream_table('alice.st', 'SELECT grp, count(*) AS n FROM sec.src WHERE secret <> ''hush'' GROUP BY grp', '1d');
SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = 'alice.st'::regclass;

-- no rights on the engine's tables, nor on the catalog but by its views
DO $$
DECLARE
    t regclass;
    c text;
BEGIN
    FOR t IN SELECT oid FROM pg_class
              WHERE relkind = 'r' AND relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname LIKE 'pgtrickle%')
    LOOP
        FOREACH c IN ARRAY ARRAY['SELECT 1 FROM %s', 'INSERT INTO %s DEFAULT VALUES', 'DELETE FROM %s',
                                 'TRUNCATE %s', 'DROP TABLE %s', 'ALTER TABLE %s SET (fillfactor = 50)',
                                 'CREATE INDEX ON %s ((1))', 'LOCK TABLE %s', 'COPY %s FROM ''/dev/null''']
        LOOP
            BEGIN
                EXECUTE format(c, t);
                RAISE EXCEPTION '% passed', format(c, t) USING ERRCODE = 'ZZZZZ';
            EXCEPTION
                WHEN SQLSTATE 'ZZZZZ' THEN RAISE;
                WHEN insufficient_privilege THEN NULL;
            END;
        END LOOP;
    END LOOP;
END $$;
-- capture cannot be called or put on other tables
CREATE TABLE alice.mine (id int);
CREATE TRIGGER t AFTER INSERT ON alice.mine EXECUTE FUNCTION pgtrickle.capture();
SELECT pgtrickle.capture();
-- functions in the extension's schema are for superusers, even with CREATE
RESET ROLE;
GRANT CREATE ON SCHEMA pgtrickle TO regress_pgt_alice;
SET ROLE regress_pgt_alice;
CREATE FUNCTION pgtrickle.version(int) RETURNS text LANGUAGE sql AS $$ SELECT 'mine' $$;
CREATE PROCEDURE pgtrickle.p() LANGUAGE sql AS '';
CREATE AGGREGATE pgtrickle.a(int) (SFUNC = int4pl, STYPE = int);
CREATE OPERATOR pgtrickle.= (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq);
CREATE FUNCTION alice.f() RETURNS int LANGUAGE sql AS 'SELECT 1';
ALTER FUNCTION alice.f() SET SCHEMA pgtrickle;
SELECT pgtrickle.create_stream_table('in_default', 'SELECT grp, count(*) AS n FROM sec.src GROUP BY grp', '1d');
SELECT pgtrickle.drop_stream_table('in_default');
RESET ROLE;
REVOKE CREATE ON SCHEMA pgtrickle FROM regress_pgt_alice;

-- another's stream table
SET ROLE regress_pgt_bob;
SELECT pgtrickle.refresh_stream_table('alice.st');
SELECT pgtrickle.alter_stream_table('alice.st', schedule => '1h');
SELECT pgtrickle.alter_stream_table('alice.st', query => 'SELECT 1 AS grp, 1 AS n');
SELECT pgtrickle.drop_stream_table('alice.st');
SELECT pgtrickle.resume_stream_table('alice.st');
SELECT pgtrickle.export_definition('alice.st');
SELECT pgtrickle.create_or_replace_stream_table('alice.st', 'SELECT 1 AS grp, 1 AS n FROM sec.src');
SELECT * FROM pgtrickle.explain_st('alice.st');
SELECT pgtrickle.create_stream_table('bob.st', 'SELECT * FROM alice.st', '1d');
SELECT 1 FROM alice.st;
DELETE FROM alice.st;
DROP TABLE alice.st;

-- what may be seen of it: that it is there, not what it says
SELECT pgt_name, original_query, defining_query FROM pgtrickle.pgt_stream_tables;
SELECT name, status FROM pgtrickle.pgt_status();
SELECT relname, total_refreshes FROM pgtrickle.pg_stat_stream_tables;
RESET ROLE;
UPDATE sec.src SET grp = 3 WHERE id = 1;
ALTER TABLE sec.src ADD COLUMN d int DEFAULT 1;
SET ROLE regress_pgt_alice;
SELECT pgtrickle.alter_stream_table('alice.st', query => 'SELECT grp, sum(1 / d) AS n FROM sec.src WHERE secret <> ''hush'' GROUP BY grp');
RESET ROLE;
INSERT INTO pgtrickle.pgt_refresh_history (refresh_id, pgt_id, start_time, action, status, initiated_by, reason, sqlstate, error_message)
SELECT -1, pgt_id, now() + interval '1 hour', 'DIFFERENTIAL', 'FAILED', 'SCHEDULER', 'secret reason', '22012', 'secret message'
  FROM pgtrickle.pgt_definitions;
UPDATE pgtrickle.pgt_progress SET last_error = 'secret error';
SET ROLE regress_pgt_bob;
SELECT pgt_name, original_query, defining_query, last_error FROM pgtrickle.pgt_stream_tables;
SELECT name, last_error FROM pgtrickle.pgt_status();
SELECT stream_table, status, error_message FROM pgtrickle.refresh_timeline(1);
SELECT status, error_message, reason FROM pgtrickle.get_refresh_history('alice.st', 1);
SELECT error_type, sqlstate, error_message FROM pgtrickle.diagnose_errors('alice.st');
SELECT * FROM pgtrickle.recommend_indexes();
SET ROLE regress_pgt_alice;
SELECT pgt_name, defining_query, last_error FROM pgtrickle.pgt_stream_tables;
SELECT status, error_message, reason FROM pgtrickle.get_refresh_history('alice.st', 1);
SET ROLE regress_pgt_watch;
SELECT pgt_name, defining_query, last_error FROM pgtrickle.pgt_stream_tables;
SELECT name, last_error FROM pgtrickle.pgt_status();
SELECT stream_table, status, error_message FROM pgtrickle.refresh_timeline(1);
SELECT property FROM pgtrickle.explain_st('alice.st') WHERE property = 'defining query';
RESET ROLE;
DELETE FROM pgtrickle.pgt_refresh_history WHERE refresh_id = -1;

-- a leaky function does not look behind the views
SET ROLE regress_pgt_bob;
CREATE FUNCTION bob.leak(text) RETURNS bool LANGUAGE plpgsql COST 0.0000001 AS
    $$ BEGIN IF $1 LIKE '%hush%' THEN RAISE WARNING 'leaked: %', $1; END IF; RETURN true; END $$;
SELECT count(*) FROM pgtrickle.pgt_stream_tables WHERE bob.leak(defining_query);

-- rights lost later are missed at the next refresh
RESET ROLE;
REVOKE SELECT ON sec.src FROM regress_pgt_alice;
INSERT INTO sec.src VALUES (3, 3, 'three');
SELECT pgtrickle.refresh_stream_table('alice.st');
GRANT SELECT ON sec.src TO regress_pgt_alice;
SELECT action FROM pgtrickle.refresh_stream_table('alice.st');

-- refreshes run with the owner's rights, whoever calls them
SET ROLE regress_pgt_alice;
CREATE FUNCTION alice.who(int) RETURNS text LANGUAGE plpgsql IMMUTABLE AS
    $$ BEGIN RETURN current_user || ' ' || current_setting('is_superuser'); END $$;
CREATE TABLE alice.own (id int PRIMARY KEY);
INSERT INTO alice.own VALUES (1);
SELECT pgtrickle.create_stream_table('alice.whoami', 'SELECT id, alice.who(id) AS who FROM alice.own', '1d');
RESET ROLE;
INSERT INTO alice.own VALUES (2);
SELECT action FROM pgtrickle.refresh_stream_table('alice.whoami');
SELECT id, split_part(who, ' ', 1) AS who FROM alice.whoami ORDER BY id;
SELECT action FROM pgtrickle.refresh_stream_table('alice.whoami', 'FULL');
SELECT id, split_part(who, ' ', 1) AS who FROM alice.whoami ORDER BY id;
-- and cannot shed them
SET ROLE regress_pgt_alice;
CREATE OR REPLACE FUNCTION alice.who(int) RETURNS text LANGUAGE plpgsql IMMUTABLE AS
    $$ BEGIN RESET ROLE; RETURN current_user; END $$;
RESET ROLE;
SELECT pgtrickle.refresh_stream_table('alice.whoami');
SET ROLE regress_pgt_alice;
CREATE OR REPLACE FUNCTION alice.who(int) RETURNS text LANGUAGE plpgsql IMMUTABLE AS
    $$ BEGIN EXECUTE 'SET SESSION AUTHORIZATION DEFAULT'; RETURN current_user; END $$;
RESET ROLE;
SELECT pgtrickle.refresh_stream_table('alice.whoami');
SET ROLE regress_pgt_alice;
SELECT pgtrickle.drop_stream_table('alice.whoami');
CREATE OR REPLACE FUNCTION alice.who(int) RETURNS text LANGUAGE plpgsql VOLATILE AS
    $$ BEGIN RETURN current_user; END $$;
SELECT pgtrickle.create_stream_table('alice.whoami', 'SELECT id, alice.who(id) AS who FROM alice.own', '1d');
CREATE OR REPLACE FUNCTION alice.who(int) RETURNS text LANGUAGE plpgsql VOLATILE AS
    $$ BEGIN RESET ROLE; RETURN current_user; END $$;
RESET ROLE;
SELECT pgtrickle.refresh_stream_table('alice.whoami');
SET ROLE regress_pgt_alice;
CREATE OR REPLACE FUNCTION alice.who(int) RETURNS text LANGUAGE plpgsql VOLATILE AS
    $$ BEGIN SET SESSION AUTHORIZATION DEFAULT; RETURN current_user; END $$;
RESET ROLE;
SELECT pgtrickle.refresh_stream_table('alice.whoami');
SET ROLE regress_pgt_alice;
SELECT pgtrickle.drop_stream_table('alice.whoami');

-- search_path and operator shadowing: names mean what they meant at creation
CREATE FUNCTION alice.int4eq_evil(int, int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE OPERATOR alice.= (LEFTARG = int, RIGHTARG = int, FUNCTION = alice.int4eq_evil);
CREATE FUNCTION alice.count(int) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT 0::bigint';
CREATE FUNCTION alice.lower(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT 'evil' $$;
RESET ROLE;
CREATE TABLE sec.words (id int PRIMARY KEY, w text);
INSERT INTO sec.words VALUES (1, 'One'), (2, 'Two');
SET search_path = alice, pg_catalog;
SELECT pgtrickle.create_stream_table('sec.evil', 'SELECT id, lower(w) AS w FROM sec.words WHERE id = 1', '1d');
SELECT defining_query FROM pgtrickle.pgt_stream_tables WHERE pgt_name = 'evil';
SET search_path = pg_catalog;
SELECT pgtrickle.create_stream_table('sec.good', 'SELECT id, lower(w) AS w FROM sec.words WHERE id = 1', '1d');
SET search_path = alice, pg_catalog;
INSERT INTO sec.words VALUES (3, 'Three');
UPDATE sec.words SET w = 'ONE' WHERE id OPERATOR(pg_catalog.=) 1;
SELECT action FROM pgtrickle.refresh_stream_table('sec.good');
SELECT action FROM pgtrickle.refresh_stream_table('sec.evil');
SELECT action FROM pgtrickle.refresh_stream_table('sec.good', 'FULL');
TABLE sec.good;
SELECT * FROM sec.evil ORDER BY id;
SELECT name, status FROM pgtrickle.pgt_status() WHERE name OPERATOR(pg_catalog.~) '^sec';
SELECT count(*) > 10 AS checks FROM pgtrickle.health_check();
SELECT pgtrickle.drop_stream_table('sec.evil');
SELECT pgtrickle.drop_stream_table('sec.good');
RESET search_path;

-- temporary objects do not shadow
CREATE TEMP TABLE words (id int, w text);
CREATE TEMP TABLE pgt_state (x int);
SELECT pgtrickle.create_stream_table('sec.words2', 'SELECT id, w FROM sec.words', '1d');
SELECT pgtrickle.create_stream_table('sec.tmp', 'SELECT id, w FROM words', '1d');
DROP TABLE words, pgt_state;
SELECT pgtrickle.drop_stream_table('sec.words2');

-- row security of a source: refreshes see all or nothing
CREATE TABLE sec.rls (id int PRIMARY KEY, who text);
INSERT INTO sec.rls VALUES (1, 'regress_pgt_alice'), (2, 'regress_pgt_bob');
ALTER TABLE sec.rls ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON sec.rls USING (who = current_user);
GRANT SELECT, TRIGGER ON sec.rls TO regress_pgt_alice;
SET ROLE regress_pgt_alice;
SELECT pgtrickle.create_stream_table('alice.rls', 'SELECT id, who FROM sec.rls', '1d');
RESET ROLE;
SELECT pgtrickle.create_stream_table('sec.rls_all', 'SELECT id, who FROM sec.rls', '1d');
SELECT * FROM sec.rls_all ORDER BY id;
DROP POLICY own ON sec.rls;
ALTER TABLE sec.rls DISABLE ROW LEVEL SECURITY;
SET ROLE regress_pgt_alice;
SELECT pgtrickle.create_stream_table('alice.rls', 'SELECT id, who FROM sec.rls', '1d');
RESET ROLE;
-- a policy added later is noticed
CREATE POLICY own ON sec.rls USING (who = current_user);
ALTER TABLE sec.rls ENABLE ROW LEVEL SECURITY;
INSERT INTO sec.rls VALUES (3, 'regress_pgt_alice');
SELECT needs_reinit, reinit_reason FROM pgtrickle.pgt_stream_tables WHERE pgt_name = 'rls';
SELECT pgtrickle.refresh_stream_table('alice.rls');
SELECT action FROM pgtrickle.refresh_stream_table('sec.rls_all');
-- row security of a stream table: for its readers, not for refreshes
GRANT SELECT ON sec.rls_all TO regress_pgt_bob;
ALTER TABLE sec.rls_all ENABLE ROW LEVEL SECURITY;
ALTER TABLE sec.rls_all FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON sec.rls_all FOR SELECT USING (who = current_user);
SET ROLE regress_pgt_bob;
SELECT * FROM sec.rls_all ORDER BY id;
RESET ROLE;
UPDATE sec.rls SET who = 'regress_pgt_bob' WHERE id = 3;
SELECT action, rows_inserted, rows_deleted FROM pgtrickle.refresh_stream_table('sec.rls_all');
SELECT action, rows_inserted, rows_deleted FROM pgtrickle.refresh_stream_table('sec.rls_all', 'FULL');
SET ROLE regress_pgt_bob;
SELECT * FROM sec.rls_all ORDER BY id;
RESET ROLE;

-- a security_barrier view stays a fence
CREATE VIEW sec.fence WITH (security_barrier) AS SELECT id, grp, secret FROM sec.src WHERE grp > 2;
GRANT SELECT ON sec.fence TO regress_pgt_bob;
SET ROLE regress_pgt_bob;
CREATE FUNCTION bob.look(text) RETURNS text LANGUAGE plpgsql IMMUTABLE COST 0.0000001 AS
    $$ BEGIN IF $1 IN ('one', 'two') THEN RAISE WARNING 'seen: %', $1; END IF; RETURN $1; END $$;
SELECT pgtrickle.create_stream_table('bob.fence', 'SELECT id FROM sec.fence WHERE bob.look(secret) IS NOT NULL', '1d');
RESET ROLE;
GRANT TRIGGER ON sec.src TO regress_pgt_bob;
SET ROLE regress_pgt_bob;
SELECT pgtrickle.create_stream_table('bob.fence', 'SELECT id FROM sec.fence WHERE bob.look(secret) IS NOT NULL', '1d');
RESET ROLE;
UPDATE sec.src SET secret = 'one' WHERE id = 2;
SELECT action FROM pgtrickle.refresh_stream_table('bob.fence');
TABLE bob.fence ORDER BY id;

SET client_min_messages = error;
DROP SCHEMA sec, alice, bob CASCADE;
DROP OWNED BY regress_pgt_alice, regress_pgt_bob, regress_pgt_watch;
DROP ROLE regress_pgt_alice, regress_pgt_bob, regress_pgt_watch;
SELECT count(*) FROM pgtrickle.pgt_definitions;
