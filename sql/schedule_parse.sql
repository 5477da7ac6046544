-- Durations: the compact form, bare seconds, any interval.
SELECT t, pgtrickle.parse_duration_seconds(t)
  FROM unnest(ARRAY['500ms', '30s', '5m', '1h30m', '1d', '1w', '10m5s', '5M', '2.5', '30', '.5', '0',
                    ' 10 s ', '1 hour 30 minutes', '1:30', '1 day', '1 month', 'PT5M', 'P1Y2M',
                    '250us', '1.5h']) t;
-- No durations.
SELECT left(t, 40) AS t, pgtrickle.parse_duration_seconds(t)
  FROM unnest(ARRAY['', ' ', 'abc', '-5s', '-1 hour', '5 x', '1e3', '0x10', 'nan', 'infinity', '5m;',
                    '99999999999999999999999999999999', 'continuous', '@hourly', '*/5 * * * *',
                    '0 5 * * mon', '1 2 3 4 5', repeat('1h', 1000) || 'x', repeat('9', 40) || 's']) t;
SELECT pgtrickle.parse_duration_seconds(NULL);
