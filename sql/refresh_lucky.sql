-- An inner aggregate divides by zero for a row that the query never reaches,
-- because the other side of the join is empty.  The query is lucky; so is the
-- stream table: FULL without state, and differential again when it can be.
CREATE SCHEMA lucky;
SET search_path = lucky, public;
CREATE TABLE picked (g int PRIMARY KEY);
CREATE TABLE rows (id int PRIMARY KEY, g int NOT NULL, v int NOT NULL, d int NOT NULL);
INSERT INTO rows SELECT i, i % 3, i, i FROM generate_series(1, 9) i;

SELECT pgtrickle.create_stream_table('lucky.st', 'SELECT p.g, q.r FROM lucky.picked p JOIN (SELECT g, sum(v / d) AS r FROM lucky.rows GROUP BY g) q ON q.g = p.g', '1d');
SELECT effective_mode FROM pgtrickle.pgt_stream_tables WHERE pgt_name = 'st' AND pgt_schema = 'lucky';
CREATE VIEW last AS SELECT action, status, reason FROM pgtrickle.get_refresh_history('lucky.st', 1);

-- a row of a group that nobody asks for
UPDATE rows SET d = 0 WHERE g = 1;
SELECT p.g, q.r FROM picked p JOIN (SELECT g, sum(v / d) AS r FROM rows GROUP BY g) q ON q.g = p.g;
SELECT action FROM pgtrickle.refresh_stream_table('lucky.st');
TABLE last;
UPDATE rows SET v = v + 1 WHERE id = 1;
SELECT action FROM pgtrickle.refresh_stream_table('lucky.st');
TABLE last;
-- nothing to do is still nothing to do
SELECT action FROM pgtrickle.refresh_stream_table('lucky.st');

-- asked for, it is an error in both, and nothing changes
INSERT INTO picked VALUES (0), (1);
SELECT p.g, q.r FROM picked p JOIN (SELECT g, sum(v / d) AS r FROM rows GROUP BY g) q ON q.g = p.g;
SELECT action FROM pgtrickle.refresh_stream_table('lucky.st');
TABLE st;

-- repaired: the state is built, and the next refresh is differential
UPDATE rows SET d = 1 WHERE g = 1;
SELECT action FROM pgtrickle.refresh_stream_table('lucky.st');
SELECT * FROM st ORDER BY g;
UPDATE rows SET v = 100 WHERE id = 1;
SELECT action FROM pgtrickle.refresh_stream_table('lucky.st');
SELECT * FROM st ORDER BY g;
TABLE last;

-- the very first fill may be lucky as well
UPDATE rows SET d = 0;
TRUNCATE picked;
SELECT pgtrickle.create_stream_table('lucky.st2', 'SELECT p.g, q.r FROM lucky.picked p JOIN (SELECT g, sum(v / d) AS r FROM lucky.rows GROUP BY g) q ON q.g = p.g', '1d');
UPDATE rows SET d = 1;
INSERT INTO picked VALUES (2);
SELECT action FROM pgtrickle.refresh_stream_table('lucky.st2');
SELECT * FROM st2 ORDER BY g;
DELETE FROM rows WHERE id = 2;
SELECT action FROM pgtrickle.refresh_stream_table('lucky.st2');
SELECT * FROM st2 ORDER BY g;

\set VERBOSITY terse
SET client_min_messages = warning;
SELECT pgtrickle.drop_stream_table('lucky.st');
SELECT pgtrickle.drop_stream_table('lucky.st2');
DROP SCHEMA lucky CASCADE;
