-- Cron lines: what they mean, when they are next due.  The last argument is
-- the time zone; results are shown in it.
SET DateStyle = ISO;
SET TimeZone = 'UTC';
CREATE FUNCTION pg_temp.due(line text, after text, zone text DEFAULT 'UTC', n int DEFAULT 1) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	t timestamptz;
	result text[] := '{}';
BEGIN
	PERFORM set_config('timezone', zone, true);
	t := after::timestamptz;
	FOR i IN 1 .. n LOOP
		t := pgtrickle._next_due(line, t, zone);
		result := result || to_char(t, 'Dy YYYY-MM-DD HH24:MI:SS OF');
	END LOOP;
	PERFORM set_config('timezone', 'UTC', true);
	RETURN array_to_string(result, ', ', '-');
END $$;

-- fields, ranges, steps, lists, names, aliases
SELECT line, pg_temp.due(line, '2026-03-04 10:17:23') AS due
  FROM unnest(ARRAY['* * * * *', '*/15 * * * *', '5 * * * *', '17 10 * * *', '18 10 * * *', '0 0 * * *',
                    '0 9-17 * * *', '0 9-17/4 * * *', '7/20 * * * *', '1,2,50-52 * * * *', '0 0 1 * *',
                    '0 0 * * mon', '0 0 * * MON-FRI', '0 0 * * 7', '0 0 * * 0', '0 0 * * sun', '0 0 * * fri-sun',
                    '0 0 * * 5-7', '0 0 1 jan *', '0 0 1 Jan,Jul *', '0 0 31 * *', '0 0 29 2 *', '0 0 30 4-6/2 *',
                    '@hourly', '@daily', '@midnight', '@weekly', '@monthly', '@yearly', '@ANNUALLY',
                    '  30   4	* * *  ']) line;
-- seconds
SELECT line, pg_temp.due(line, '2026-03-04 10:17:23', n => 3) AS due
  FROM unnest(ARRAY['* * * * * *', '*/20 * * * * *', '0 * * * * *', '23 17 10 * * *', '59 59 23 31 12 *']) line;
-- both kinds of day: one suffices; with * one of them does not stand for itself
SELECT line, pg_temp.due(line, '2026-03-04 10:17:23', n => 4) AS due
  FROM unnest(ARRAY['0 0 13 * fri', '0 0 13 * *', '0 0 * * fri', '0 0 */10 * fri', '0 0 1-7 * */7']) line;
-- just before, at and after; far away
SELECT after, pg_temp.due('0 12 * * *', after) AS due
  FROM unnest(ARRAY['2026-03-04 11:59:59.999999', '2026-03-04 12:00:00', '2026-03-04 12:00:00.000001',
                    '2026-12-31 23:59:59', '1969-12-31 23:00:00', '0044-03-15 12:00:00 BC', '9999-12-31 12:00']) after;
SELECT pgtrickle._next_due('0 12 * * *', t, 'UTC') FROM unnest(ARRAY['infinity', '-infinity']::timestamptz[]) t;
-- leap years, a century without one
SELECT pg_temp.due('0 0 29 2 *', '2096-03-01', n => 2);
SELECT pg_temp.due('0 0 29 feb sun', '2026-03-01');
SELECT pg_temp.due('0 0 29 feb */7', '2026-03-01', n => 2);

-- daylight saving: Berlin skips 02:00 .. 03:00 on 29 March 2026 and shows
-- 02:00 .. 03:00 twice on 25 October
SELECT line, pg_temp.due(line, '2026-03-28 12:00', 'Europe/Berlin', 3) AS spring
  FROM unnest(ARRAY['30 2 * * *', '0 2 * * *', '59 1 * * *', '0 3 * * *', '0 2-3 * * *', '0,30 2 * * *']) line;
SELECT line, pg_temp.due(line, '2026-10-24 12:00', 'Europe/Berlin', 3) AS autumn
  FROM unnest(ARRAY['30 2 * * *', '0 2 * * *', '59 1 * * *', '0 3 * * *', '0 2-3 * * *', '0,30 2 * * *']) line;
-- with * for the hour it is elapsed time that counts
SELECT pg_temp.due('0 * * * *', '2026-03-29 00:30 Europe/Berlin', 'Europe/Berlin', 4) AS spring,
       pg_temp.due('30 * * * *', '2026-10-25 00:59 Europe/Berlin', 'Europe/Berlin', 5) AS autumn;
SELECT pg_temp.due('*/30 * * * *', '2026-10-25 01:59 Europe/Berlin', 'Europe/Berlin', 6) AS autumn;
-- from inside the repeated hour, either pass
SELECT pg_temp.due('45 2 * * *', '2026-10-25 00:40:00+00', 'Europe/Berlin', 2) AS first_pass,
       pg_temp.due('45 2 * * *', '2026-10-25 01:40:00+00', 'Europe/Berlin', 2) AS second_pass;
-- midnight that does not exist; half an hour; a whole day left out
SELECT pg_temp.due('0 0 * * *', '2018-11-03 12:00', 'America/Sao_Paulo', 2) AS no_midnight,
       pg_temp.due('15 2 * * *', '2026-10-03 12:00', 'Australia/Lord_Howe', 2) AS half_an_hour,
       pg_temp.due('0 12 * * *', '2011-12-28 13:00', 'Pacific/Apia', 3) AS no_such_day;
SELECT pg_temp.due('0 12 * * *', '2026-07-01', 'Asia/Kathmandu', 2), pg_temp.due('0 12 * * *', '2026-07-01', '<+01>-1');
-- twice a year for ten years, each day once
WITH RECURSIVE d (n, t) AS (
    SELECT 1, pgtrickle._next_due('30 2 * * *', '2026-01-01 00:00 Europe/Berlin', 'Europe/Berlin')
    UNION ALL
    SELECT n + 1, pgtrickle._next_due('30 2 * * *', t, 'Europe/Berlin') FROM d WHERE n < 3652
)
SELECT count(*), count(DISTINCT (t AT TIME ZONE 'Europe/Berlin')::date), min(t), max(t) FROM d;
-- against the definition, by brute force: hours of a year, both kinds of line
WITH hours AS (
    SELECT h, (h AT TIME ZONE 'America/New_York') AS wall
      FROM generate_series('2026-01-01 00:00+00'::timestamptz, '2026-12-31 23:00+00', '1 hour') h
), wanted AS (
    SELECT h FROM hours WHERE extract(hour FROM wall)::int % 3 = 0 AND extract(dow FROM wall) IN (0, 6)
), got AS (
    SELECT DISTINCT pgtrickle._next_due('0 */3 * * sat,sun', h - interval '1 second', 'America/New_York') AS h FROM hours
)
SELECT (SELECT count(*) FROM wanted) AS wanted,
       (SELECT count(*) FROM (TABLE wanted EXCEPT TABLE got) x) AS missed,
       (SELECT count(*) FROM (TABLE got EXCEPT TABLE wanted) x WHERE h < '2026-12-31') AS too_many;

-- durations lie on a grid
SELECT s, pgtrickle._next_due(s, '2026-03-04 10:17:23.4', 'UTC')
  FROM unnest(ARRAY['1s', '30s', '5m', '250ms', '1 day', '0.4']) s;
SELECT count(DISTINCT pgtrickle._next_due('7s', '2026-01-01'::timestamptz + i * interval '1 s', 'UTC'))
  FROM generate_series(0, 69) i;
SELECT pgtrickle._next_due(s, now(), 'UTC') FROM unnest(ARRAY['continuous', 'calculated']) s;

-- what is wrong is said
CREATE FUNCTION pg_temp.wrong(line text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	detail text;
	code text;
BEGIN
	PERFORM pgtrickle._next_due(line, now(), 'UTC');
	RETURN 'nothing';
EXCEPTION WHEN others THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, code = RETURNED_SQLSTATE;
	RETURN code || ' ' || coalesce(detail, SQLERRM);
END $$;
SELECT line, pg_temp.wrong(line)
  FROM unnest(ARRAY['* * * *', '* * * * * * *', '*', '60 * * * *', '* 24 * * *', '* * 0 * *', '* * 32 * *',
                    '* * * 13 *', '* * * 0 *', '* * * * 8', '* * * foo *', '* * * * monday', '5-1 * * * *',
                    '0 0 * * fri-mon', '*/0 * * * *', '*/ * * * *', '*/60 * * * *', '1,,2 * * * *', '1, * * * *',
                    '1-2-3 * * * *', '-1 * * * *', '1.5 * * * *', '** * * * *', '99999999999 * * * *', '0 0 30 2 *',
                    '0 0 31 4,6,9,11 *', '0 0 l * *', '0 0 ? * *', '0 0 15W * *', '0 0 * * 5#2', '@reboot', '@every',
                    '@', '0 0 1 1 mon x', '61 0 1 1 1']) line;
SELECT pgtrickle._next_due('@nightly', now(), 'UTC');
SELECT pgtrickle._next_due('@daily', now(), 'Mars/Olympus');
