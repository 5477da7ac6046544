-- pg_trickle.algebraic_drift_reset_cycles: after so many differential
-- refreshes one is FULL and builds state anew.
CREATE SCHEMA cycles;
CREATE TABLE cycles.src (g int, v float8);
SELECT pgtrickle.create_stream_table('cycles.st', 'SELECT g, sum(v) AS v FROM cycles.src GROUP BY g', '1d');
SET pg_trickle.algebraic_drift_reset_cycles = 2;
CREATE FUNCTION cycles.step() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO cycles.src VALUES (1, 0.1);
    RETURN (SELECT action FROM pgtrickle.refresh_stream_table('cycles.st'));
END $$;
SELECT cycles.step();
SELECT cycles.step();
SELECT cycles.step();
SELECT reason FROM pgtrickle.get_refresh_history('cycles.st', 1);
SELECT cycles.step();
SELECT cycles.step();
SELECT cycles.step();
-- nothing to do stays nothing to do, and 0 means never
SELECT action FROM pgtrickle.refresh_stream_table('cycles.st');
SET pg_trickle.algebraic_drift_reset_cycles = 0;
SELECT string_agg(cycles.step(), ' ') FROM generate_series(1, 6);
SELECT * FROM cycles.st;
SET pg_trickle.algebraic_drift_reset_cycles = -1;
RESET pg_trickle.algebraic_drift_reset_cycles;
SELECT pgtrickle.drop_stream_table('cycles.st');
DROP SCHEMA cycles CASCADE;
