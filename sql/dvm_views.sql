-- Views, nested and with security barriers, and stream tables as sources.
CREATE SCHEMA dvm_views;
SET search_path = dvm_views, public;
SET client_min_messages = warning;

CREATE TABLE t (id int PRIMARY KEY, g int, v int, note text);
CREATE TABLE d (g int, name text);
INSERT INTO t SELECT i, i % 4, i, 'n' || i FROM generate_series(1, 20) i;
INSERT INTO d VALUES (0, 'zero'), (1, 'one'), (2, 'two');
CREATE VIEW plain AS SELECT id, g, v FROM t WHERE v > 3;
CREATE VIEW nested AS SELECT p.id, d.name, p.v FROM plain p JOIN d ON d.g = p.g;
CREATE VIEW sums AS SELECT g, sum(v) AS s, count(*) AS n FROM t GROUP BY g;
CREATE VIEW barrier WITH (security_barrier) AS SELECT id, g, v FROM t WHERE g <> 3;
CREATE VIEW distinct_view WITH (security_barrier) AS SELECT DISTINCT g FROM t WHERE v > 5;

SELECT oracle.make('v_plain', 'SELECT id, v FROM plain');
SELECT oracle.make('v_nested', 'SELECT name, v FROM nested WHERE v < 18');
SELECT oracle.make('v_sums', 'SELECT d.name, sums.s FROM sums JOIN d USING (g) WHERE sums.n > 2');
SELECT oracle.make('v_barrier', 'SELECT b.id, d.name FROM barrier b JOIN d USING (g) WHERE b.v % 2 = 0');
SELECT oracle.make('v_barrier_group', 'SELECT g, sum(v) AS s FROM barrier GROUP BY g');
SELECT oracle.make('v_distinct', 'SELECT d.name FROM distinct_view q JOIN d USING (g)');
SELECT oracle.make('v_self', 'SELECT a.id, b.id AS other FROM plain a JOIN plain b ON a.g = b.g AND a.id < b.id');
SELECT * FROM oracle.check();
BEGIN; UPDATE t SET v = v - 4 WHERE g = 1; INSERT INTO d VALUES (3, 'three'), (1, 'uno'); COMMIT;
SELECT * FROM oracle.check();
BEGIN; UPDATE t SET g = 3 WHERE id < 5; DELETE FROM t WHERE id > 15; DELETE FROM d WHERE g = 2; COMMIT;
SELECT * FROM oracle.check();
UPDATE t SET note = 'unused';
SELECT * FROM oracle.check();

-- a function that tells what it sees is not given what the barrier holds back
CREATE TABLE seen (v int);
CREATE FUNCTION leak(int) RETURNS bool LANGUAGE plpgsql IMMUTABLE COST 0.0001 AS
$$ BEGIN RAISE WARNING 'saw %', $1; RETURN true; END $$;
CREATE TABLE secret (id int, v int);
CREATE TABLE dim (id int);
INSERT INTO secret VALUES (1, 10), (2, 20);
INSERT INTO dim VALUES (1), (2);
CREATE VIEW fence WITH (security_barrier) AS SELECT id, v FROM secret WHERE id = 1;
SELECT oracle.make('v_leak', 'SELECT f.v FROM fence f JOIN dim USING (id) WHERE leak(f.v)');
INSERT INTO secret VALUES (2, 21), (1, 11);
SELECT action FROM pgtrickle.refresh_stream_table('v_leak', 'DIFFERENTIAL');
INSERT INTO dim VALUES (2);
SELECT action FROM pgtrickle.refresh_stream_table('v_leak', 'DIFFERENTIAL');
TABLE pgtrickle.v_leak;

SELECT pgtrickle.drop_stream_table('v_leak');
DELETE FROM oracle.cases WHERE name = 'v_leak';

SELECT oracle.done();
RESET client_min_messages;
DROP SCHEMA dvm_views CASCADE;
