-- The exact aggregates: independent of order, exact, and able to forget.
SET search_path = pgtrickle, public, pg_temp;
SET extra_float_digits = 1;
SELECT setseed(0.25);

-- states as bytes, plain and moving
CREATE AGGREGATE pg_temp.state_sum(float8) (
    SFUNC = pgtrickle.exact_sum_accum, STYPE = internal, FINALFUNC = pgtrickle.exact_serialize,
    MSFUNC = pgtrickle.exact_sum_accum, MINVFUNC = pgtrickle.exact_sum_inverse,
    MSTYPE = internal, MFINALFUNC = pgtrickle.exact_serialize);
CREATE AGGREGATE pg_temp.state_variance(float8) (
    SFUNC = pgtrickle.exact_variance_accum, STYPE = internal, FINALFUNC = pgtrickle.exact_serialize,
    MSFUNC = pgtrickle.exact_variance_accum, MINVFUNC = pgtrickle.exact_variance_inverse,
    MSTYPE = internal, MFINALFUNC = pgtrickle.exact_serialize);
CREATE AGGREGATE pg_temp.state_regression(float8, float8) (
    SFUNC = pgtrickle.exact_regression_accum, STYPE = internal, FINALFUNC = pgtrickle.exact_serialize,
    MSFUNC = pgtrickle.exact_regression_accum, MINVFUNC = pgtrickle.exact_regression_inverse,
    MSTYPE = internal, MFINALFUNC = pgtrickle.exact_serialize);

-- what plain float sums get wrong
SELECT exact_sum(x) FROM unnest(ARRAY[1e20, 1, -1e20]::float8[]) x;
SELECT exact_sum(0.1::float8), exact_avg(0.1::float8), exact_variance(0.1::float8),
       exact_sum(0.1::float4), exact_stddev(0.1::float4)
  FROM generate_series(1, 10);
SELECT exact_sum(x), exact_avg(x), exact_stddev_pop(x)
  FROM unnest(ARRAY[1e308, 1e308, -1e308, 5e-324]::float8[]) x;
SELECT exact_avg(x), exact_stddev(x) FROM unnest(ARRAY[1e308, 1.5e308]::float8[]) x;
SELECT exact_sum(x), exact_var_pop(x) FROM unnest(ARRAY[5e-324, 5e-324, -1.5e-323]::float8[]) x;
SELECT exact_corr(y, x), exact_regr_slope(y, x), exact_regr_r2(y, x)
  FROM unnest(ARRAY[1e200, 2e200, 3e200]::float8[], ARRAY[1e-200, 2e-200, 3e-200]::float8[]) t (x, y);
-- results that do not fit
SELECT exact_sum(x) FROM unnest(ARRAY[1e308, 1e308]::float8[]) x;
SELECT exact_sum(x) FROM unnest(ARRAY[3e38, 3e38]::float4[]) x;
SELECT exact_variance(x) FROM unnest(ARRAY[1e200, -1e200]::float8[]) x;
SELECT exact_regr_sxy(x, x) FROM unnest(ARRAY[1e200, -1e200]::float8[]) x;
-- the nearest float4, not the nearest of the nearest float8
SELECT exact_sum(x) FROM unnest(ARRAY[1, 5.9604645e-08, 1e-30]::float4[]) x;
SELECT exact_sum(x) FROM unnest(ARRAY[1, 5.9604645e-08]::float4[]) x;

-- no rows, NULLs, one row, zeros
SELECT exact_sum(x), exact_avg(x), exact_var_samp(x), exact_var_pop(x), exact_stddev(x), exact_stddev_pop(x),
       exact_corr(x, x), exact_regr_count(x, x), exact_regr_sxx(x, x), exact_covar_pop(x, x)
  FROM unnest(ARRAY[]::float8[]) x;
SELECT exact_sum(x), exact_avg(x), exact_var_samp(x), exact_var_pop(x), exact_regr_count(x, 1), exact_regr_avgx(x, 1)
  FROM unnest(ARRAY[NULL, NULL]::float8[]) x;
SELECT exact_sum(x), exact_avg(x), exact_var_samp(x), exact_var_pop(x), exact_stddev_samp(x), exact_stddev_pop(x),
       exact_corr(x, x), exact_regr_count(x, x), exact_regr_slope(x, x), exact_covar_samp(x, x), exact_covar_pop(x, x)
  FROM unnest(ARRAY[42.5]::float8[]) x;
SELECT exact_sum(x), exact_avg(x), exact_sum(x::float4) FROM unnest(ARRAY['-0', '-0']::float8[]) x;
SELECT exact_sum(x), exact_avg(x), exact_sum(x::float4) FROM unnest(ARRAY['-0', '0']::float8[]) x;
-- a horizontal and a vertical line
SELECT exact_corr(0.1, x), exact_regr_r2(0.1, x), exact_regr_slope(0.1, x), exact_regr_intercept(0.1, x)
  FROM generate_series(1, 3) x;
SELECT exact_corr(x, 0.1), exact_regr_r2(x, 0.1), exact_regr_slope(x, 0.1), exact_regr_intercept(x, 0.1)
  FROM generate_series(1, 3) x;

-- NaN and infinities: as the built-in aggregates, for every three values
CREATE TEMP TABLE specials AS
SELECT x FROM unnest(ARRAY[NULL, 'NaN', 'Infinity', '-Infinity', 0, 1.5, -2]::float8[]) x;
SELECT count(*) AS multisets,
       count(*) FILTER (WHERE ours IS DISTINCT FROM builtin) AS differ
  FROM specials a, specials b, specials c, LATERAL (
       SELECT ROW(exact_sum(x), exact_avg(x)::float4, exact_variance(x)::float4, exact_var_pop(x)::float4,
                  exact_stddev(x)::float4, exact_sum(x::float4), exact_avg(x::float4)::float4,
                  exact_var_pop(x::float4)::float4, exact_covar_pop(x, 2 * x)::float4, exact_regr_sxx(1, x)::float4,
                  exact_regr_avgx(x, 1)::float4, exact_regr_avgy(x, 1)::float4, exact_regr_count(x, 1),
                  exact_regr_syy(x, 1)::float4, exact_corr(x, 1)) AS ours,
              ROW(sum(x), avg(x)::float4, variance(x)::float4, var_pop(x)::float4,
                  stddev(x)::float4, sum(x::float4), avg(x::float4)::float4,
                  var_pop(x::float4)::float4, covar_pop(x, 2 * x)::float4, regr_sxx(1, x)::float4,
                  regr_avgx(x, 1)::float4, regr_avgy(x, 1)::float4, regr_count(x, 1),
                  regr_syy(x, 1)::float4, corr(x, 1)) AS builtin
         FROM unnest(ARRAY[a.x, b.x, c.x]) x) q;
SELECT v.x, v.y, r.*
  FROM (VALUES ('{1,NaN}'::float8[], '{1,2}'::float8[]), ('{1,2}', '{1,Infinity}'),
               ('{1,1}', '{1,NaN}'), ('{1,NaN}', '{1,1}')) v (x, y),
       LATERAL (SELECT exact_corr(b, a) AS corr, exact_regr_slope(b, a) AS slope, exact_regr_r2(b, a) AS r2,
                       exact_regr_intercept(b, a) AS intercept, exact_regr_sxx(b, a) AS sxx,
                       exact_regr_syy(b, a) AS syy
                  FROM unnest(v.x, v.y) u (a, b)) r;

-- against exact numeric arithmetic: integers times a power of two are exact in both
CREATE TEMP TABLE dyadic AS
SELECT i % 40 AS g, m * power(2::numeric, e) AS v, (m * power(2::numeric, e))::float8 AS f, random() AS o
  FROM (SELECT i, floor(random() * 2e6 - 1e6)::int8::numeric AS m, floor(random() * 60)::int - 10 AS e
          FROM generate_series(1, 4000) i) s;
SELECT count(*) AS groups,
       count(*) FILTER (WHERE s <> es) AS sums, count(*) FILTER (WHERE a <> ea) AS averages,
       count(*) FILTER (WHERE p <> ep) AS variances
  FROM (SELECT exact_sum(f) AS s, sum(v)::float8 AS es,
               exact_avg(f) AS a, (sum(v) / count(v)::numeric(60, 40))::float8 AS ea,
               exact_var_pop(f) AS p,
               ((count(v) * sum(v * v) - sum(v) * sum(v)) / (count(v) * count(v))::numeric(60, 40))::float8 AS ep
          FROM dyadic GROUP BY g) q;

-- any order gives the same bits
CREATE TEMP TABLE mixed AS
SELECT i AS id, i % 7 AS g,
       CASE WHEN i % 11 = 0 THEN NULL WHEN i % 501 = 0 THEN '-0'::float8
            ELSE (random() - 0.5) * power(10::float8, floor(random() * 600 - 300)) END AS x,
       CASE i % 400 WHEN 0 THEN 'NaN' WHEN 1 THEN 'Infinity'
            ELSE (random() - 0.5) * power(10::float8, floor(random() * 8)) END::float8 AS y
  FROM generate_series(1, 5000) i;
SELECT count(DISTINCT s) AS sums, count(DISTINCT v) AS variances, count(DISTINCT r) AS regressions
  FROM (SELECT k, pg_temp.state_sum(y ORDER BY hashfloat8(id * k)) AS s,
               pg_temp.state_variance(x ORDER BY hashfloat8(id * k)) AS v,
               pg_temp.state_regression(y, x ORDER BY hashfloat8(id * k)) AS r
          FROM mixed, generate_series(1, 8) k GROUP BY k) q;
SELECT count(DISTINCT ROW(s, a, v, c, i)::text) AS results
  FROM (SELECT k, exact_sum(x ORDER BY hashfloat8(id * k)) AS s, exact_avg(x ORDER BY hashfloat8(id * k)) AS a,
               exact_stddev(x ORDER BY hashfloat8(id * k)) AS v, exact_corr(x, id ORDER BY hashfloat8(id * k)) AS c,
               exact_regr_intercept(x, id ORDER BY hashfloat8(id * k)) AS i
          FROM mixed, generate_series(1, 8) k WHERE abs(x) < 1e100 GROUP BY k) q;

-- what was taken away leaves no trace: frames that move against frames computed anew
SELECT count(*) AS frames,
       count(*) FILTER (WHERE ms IS DISTINCT FROM ps) AS sums,
       count(*) FILTER (WHERE mv IS DISTINCT FROM pv) AS variances,
       count(*) FILTER (WHERE mr IS DISTINCT FROM pr) AS regressions
  FROM (SELECT id, pg_temp.state_sum(y) OVER w AS ms, pg_temp.state_variance(x) OVER w AS mv,
               pg_temp.state_regression(y, x) OVER w AS mr
          FROM mixed WHERE id <= 1500 WINDOW w AS (ORDER BY id ROWS BETWEEN 9 PRECEDING AND CURRENT ROW)) m,
       LATERAL (SELECT pg_temp.state_sum(y) AS ps, pg_temp.state_variance(x) AS pv, pg_temp.state_regression(y, x) AS pr
                  FROM mixed f WHERE f.id BETWEEN m.id - 9 AND m.id) p;
SELECT count(*) FILTER (WHERE ROW(s, a, v, p, d, c, f) IS DISTINCT FROM ROW(s2, a2, v2, p2, d2, c2, f2)) AS differ
  FROM (SELECT id, exact_sum(x) OVER w AS s, exact_avg(y) OVER w AS a, exact_variance(y) OVER w AS v,
               exact_var_pop(y) OVER w AS p, exact_stddev_samp(y) OVER w AS d, exact_covar_samp(y, id) OVER w AS c,
               exact_sum(y::float4) OVER w AS f
          FROM mixed WHERE id <= 1500 WINDOW w AS (ORDER BY id ROWS BETWEEN 20 PRECEDING AND 3 PRECEDING)) m,
       LATERAL (SELECT exact_sum(x) AS s2, exact_avg(y) AS a2, exact_variance(y) AS v2, exact_var_pop(y) AS p2,
                       exact_stddev_samp(y) AS d2, exact_covar_samp(y, id) AS c2, exact_sum(y::float4) AS f2
                  FROM mixed f WHERE f.id BETWEEN m.id - 20 AND m.id - 3) p;

-- states are small for ordinary data
SELECT max(length(s)) <= 24 AS sum_small, max(length(v)) <= 40 AS variance_small
  FROM (SELECT pg_temp.state_sum(p) AS s, pg_temp.state_variance(p) AS v
          FROM (SELECT i, round((random() * 1000)::numeric, 2)::float8 AS p FROM generate_series(1, 10000) i) q
         GROUP BY i % 20) g;

-- partial aggregation: serialised, read back, combined
CREATE TABLE exact_float_parallel AS SELECT * FROM mixed;
ALTER TABLE exact_float_parallel SET (parallel_workers = 2);
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
EXPLAIN (COSTS OFF) SELECT g, exact_sum(x) FROM exact_float_parallel GROUP BY g;
CREATE TEMP TABLE partial AS
SELECT g, exact_sum(y) AS a, exact_avg(x) AS b, exact_sum(x) AS c, exact_stddev(y) AS d, exact_regr_slope(y, id) AS e,
       exact_corr(id, g + id % 5) AS f, exact_regr_intercept(id, g + id % 5) AS h, exact_var_pop(id) AS i
  FROM exact_float_parallel GROUP BY g;
SET max_parallel_workers_per_gather = 0;
SELECT count(*) AS groups,
       count(*) FILTER (WHERE ROW(p.*) IS DISTINCT FROM ROW(s.*)) AS differ
  FROM partial p JOIN (
       SELECT g, exact_sum(y) AS a, exact_avg(x) AS b, exact_sum(x) AS c, exact_stddev(y) AS d,
              exact_regr_slope(y, id) AS e, exact_corr(id, g + id % 5) AS f,
              exact_regr_intercept(id, g + id % 5) AS h, exact_var_pop(id) AS i
         FROM exact_float_parallel GROUP BY g) s USING (g);

-- close to the built-in ones
SELECT bool_and(abs(exact / builtin - 1) < 1e-9) AS close
  FROM (SELECT unnest(ARRAY[exact_sum(o), exact_avg(o), exact_variance(o), exact_stddev_pop(o), exact_corr(o, g),
                            exact_covar_pop(o, g), exact_regr_slope(o, g), exact_regr_intercept(o, g), exact_regr_r2(o, g),
                            exact_regr_sxx(o, g), exact_regr_sxy(o, g), exact_regr_syy(o, g), exact_regr_avgx(o, g),
                            exact_regr_avgy(o, g)]) AS exact,
               unnest(ARRAY[sum(o), avg(o), variance(o), stddev_pop(o), corr(o, g),
                            covar_pop(o, g), regr_slope(o, g), regr_intercept(o, g), regr_r2(o, g),
                            regr_sxx(o, g), regr_sxy(o, g), regr_syy(o, g), regr_avgx(o, g), regr_avgy(o, g)]) AS builtin
          FROM dyadic) q;

-- every aggregate has all of its parts
SELECT count(*) AS aggregates,
       bool_and(aggminvtransfn <> 0 AND aggcombinefn <> 0 AND aggserialfn <> 0 AND aggdeserialfn <> 0
                AND aggmtransfn = aggtransfn AND aggmfinalfn = aggfinalfn AND proparallel = 's') AS complete
  FROM pg_aggregate a JOIN pg_proc p ON p.oid = a.aggfnoid
 WHERE pronamespace = 'pgtrickle'::regnamespace AND proname LIKE 'exact\_%';

DROP TABLE exact_float_parallel;
RESET search_path;
