-- Float aggregates kept through many differential refreshes hold the bits that
-- a FULL one computes.
SET search_path = public, pg_temp;
SELECT setseed(0.5);
CREATE TABLE measures (id int PRIMARY KEY, g int, x float8, y float4);
INSERT INTO measures
SELECT i, i % 20, (random() - 0.5) * power(10::float8, floor(random() * 40) - 20), random() FROM generate_series(1, 3000) i;
INSERT INTO measures VALUES (10001, 1, 'NaN', 1), (10002, 2, 'Infinity', '-Infinity'),
                            (10003, 2, '-Infinity', 0), (10004, 3, '-0', NULL);
SELECT pgtrickle.create_stream_table('public.statistics',
    'SELECT g, sum(x) AS s, avg(x) AS a, variance(x) AS v, stddev_pop(y) AS d, sum(y) AS sy, corr(x, y) AS c,
            regr_slope(x, y) AS r, regr_intercept(y, x) AS i, regr_count(x, y) AS n, sum(x) FILTER (WHERE y > 0.5) AS f
       FROM measures GROUP BY g', schedule => '1d', refresh_mode => 'DIFFERENTIAL');
SELECT effective_mode FROM pgtrickle.pgt_stream_tables WHERE pgt_name = 'statistics';
DO $$
BEGIN
    FOR i IN 1..25 LOOP
        UPDATE measures SET x = x * 1.1 WHERE random() < 0.02;
        UPDATE measures SET g = g + 1 WHERE random() < 0.003;
        DELETE FROM measures WHERE random() < 0.005;
        INSERT INTO measures
        SELECT 20000 + i * 100 + j, j % 25, (random() - 0.5) * power(10::float8, floor(random() * 40) - 20), random()
          FROM generate_series(1, 20) j;
        UPDATE measures SET x = CASE x WHEN 'NaN' THEN 1.0::float8 ELSE 'NaN' END WHERE random() < 0.001 OR x = 'NaN';
        PERFORM pgtrickle.refresh_stream_table('public.statistics', 'DIFFERENTIAL');
    END LOOP;
END $$;
SELECT action, rows_inserted, rows_deleted FROM pgtrickle.refresh_stream_table('public.statistics', 'FULL');
SELECT count(*) > 15 AS groups, bool_or(s = 'NaN') AS some_nan FROM statistics;
-- too large a variance is an error; when the value is gone nothing is left of it
DELETE FROM measures WHERE g > 0 OR abs(x) > 1e10;
INSERT INTO measures VALUES (-1, 0, 1e300, 1), (-2, 0, 1, 1), (-3, 5, 0.1, 1), (-4, 5, 0.2, 1);
SELECT action FROM pgtrickle.refresh_stream_table('public.statistics', 'DIFFERENTIAL');
DELETE FROM measures WHERE id NOT IN (-2, -3, -4);
SELECT action FROM pgtrickle.refresh_stream_table('public.statistics', 'DIFFERENTIAL');
SELECT g, s, a, v, n FROM statistics ORDER BY g;
SELECT pgtrickle.drop_stream_table('public.statistics');
DROP TABLE measures;
RESET search_path;
