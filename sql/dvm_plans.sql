-- Delta plans: indexes are used for a handful of rows, also where the plan was
-- first made while the tables were small; DDL is noticed; rights are checked.
CREATE SCHEMA dvm_plans;
SET search_path = dvm_plans, public;
SET client_min_messages = warning;

CREATE TABLE f (id int PRIMARY KEY, k int, v int);
CREATE TABLE dim (id int PRIMARY KEY, name text);
CREATE INDEX f_k ON f (k);
SELECT oracle.make('p_join', 'SELECT f.id, dim.name, f.v FROM f JOIN dim ON dim.id = f.k');
SELECT oracle.make('p_extreme', 'SELECT k, max(v) AS m, string_agg(v::text, '','' ORDER BY v) AS s FROM f WHERE k < 100 GROUP BY k');
INSERT INTO f VALUES (0, 0, 0);
INSERT INTO dim VALUES (0, 'zero');
SELECT * FROM oracle.check();
INSERT INTO dim SELECT i, 'd' || i FROM generate_series(1, 100000) i;
INSERT INTO f SELECT i, i, i FROM generate_series(1, 100000) i;
SELECT * FROM oracle.check();

-- a few small changes: by now nothing reads a table whole
DO $$
BEGIN
    FOR i IN 1..6 LOOP
        UPDATE dvm_plans.f SET v = v + 1 WHERE id = i * 7;
        UPDATE dvm_plans.dim SET name = name || 'x' WHERE id = i * 11;
        PERFORM pgtrickle.refresh_stream_table('p_join', 'DIFFERENTIAL');
        PERFORM pgtrickle.refresh_stream_table('p_extreme', 'DIFFERENTIAL');
    END LOOP;
END $$;
SELECT property, value !~ 'Seq Scan' AS by_index
  FROM pgtrickle.explain_st('p_join', true) WHERE property LIKE '%plan for small deltas' ORDER BY 1;
SELECT property, value !~ 'Seq Scan' AS by_index
  FROM pgtrickle.explain_st('p_extreme', true) WHERE property LIKE '%groups: plan for small deltas' ORDER BY 1;
SELECT property FROM pgtrickle.explain_st('p_extreme') WHERE property LIKE '%index that would help';

-- DDL between two refreshes
DROP INDEX f_k;
SELECT property, value FROM pgtrickle.explain_st('p_join') WHERE property LIKE '%index that would help';
UPDATE f SET v = -1 WHERE id = 3;
UPDATE dim SET name = 'y' WHERE id = 5;
SELECT * FROM oracle.check();
CREATE INDEX ON f (k, v);
ALTER TABLE f ADD COLUMN extra int DEFAULT 5;
ANALYZE f;
UPDATE f SET v = -2, extra = 6 WHERE id = 3;
SELECT * FROM oracle.check();
ALTER TABLE f DROP COLUMN extra;
UPDATE f SET v = -3 WHERE id = 3;
SELECT * FROM oracle.check();
ALTER TABLE f RENAME TO facts;
ALTER TABLE facts RENAME v TO value;
UPDATE facts SET value = -4 WHERE id = 3;
UPDATE oracle.cases SET query = replace(replace(query, 'f JOIN', 'facts f JOIN'), 'f.v', 'f.value AS v') WHERE name = 'p_join';
UPDATE oracle.cases SET query = replace(query, 'FROM f', 'FROM (SELECT id, k, value AS v FROM facts) f') WHERE name = 'p_extreme';
SELECT * FROM oracle.check();
SELECT oracle.done();

-- rights are those of the query's owner, at every refresh
CREATE ROLE dvm_reader;
GRANT USAGE ON SCHEMA dvm_plans TO dvm_reader;
GRANT CREATE ON SCHEMA dvm_plans TO dvm_reader;
GRANT SELECT, TRIGGER ON dim TO dvm_reader;
SET ROLE dvm_reader;
SELECT pgtrickle.create_stream_table('dvm_plans.mine', 'SELECT id, name FROM dvm_plans.dim WHERE id < 3', schedule => '1d');
RESET ROLE;
UPDATE dim SET name = 'changed' WHERE id = 1;
REVOKE SELECT ON dim FROM dvm_reader;
SELECT action FROM pgtrickle.refresh_stream_table('dvm_plans.mine', 'DIFFERENTIAL');
GRANT SELECT ON dim TO dvm_reader;
SELECT action FROM pgtrickle.refresh_stream_table('dvm_plans.mine', 'DIFFERENTIAL');
SELECT * FROM mine ORDER BY id;
SELECT pgtrickle.drop_stream_table('dvm_plans.mine');

RESET client_min_messages;
\set VERBOSITY terse
DROP SCHEMA dvm_plans CASCADE;
DROP OWNED BY dvm_reader;
DROP ROLE dvm_reader;
