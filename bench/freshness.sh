# bench/freshness.sh - from commit to visible under 'continuous'; sourced by run.sh.
# shellcheck shell=bash disable=SC2154
#
# Four clients write at a steady rate.  A fifth session inserts a marked row,
# commits, and looks until the stream table shows it: the time from before the
# commit to then is one probe.  It looks every quarter of a millisecond at most.

probe_procedure="
CREATE TABLE probes (target text NOT NULL, ms float8 NOT NULL);
CREATE PROCEDURE probe(target text, look text, n int) LANGUAGE plpgsql AS \$\$
DECLARE
	mark int;
	committed timestamptz;
	seen bool;
BEGIN
	FOR i IN 1..n LOOP
		mark := -nextval('mark');
		INSERT INTO live VALUES (mark, mark, 1);
		committed := clock_timestamp();
		COMMIT;
		LOOP
			EXECUTE look INTO seen USING mark;
			EXIT WHEN seen;
			IF clock_timestamp() > committed + interval '10 s' THEN
				RAISE EXCEPTION 'row % did not arrive in %', mark, target;
			END IF;
			PERFORM pg_sleep(0.0002);
			COMMIT;
		END LOOP;
		INSERT INTO probes VALUES (target, 1000 * extract(epoch FROM clock_timestamp() - committed));
		COMMIT;
		PERFORM pg_sleep(0.002 * random());
	END LOOP;
END \$\$;"

bench_freshness() {
	local writers rate=400
	printf "\n== commit -> visible under 'continuous', four clients writing %s transactions a second, capture: %s ==\n" $rate "${capture:-trigger}"
	sql <<SQL
CREATE SEQUENCE mark;
CREATE SEQUENCE live_id;
CREATE TABLE live (id int PRIMARY KEY, g int NOT NULL, v int NOT NULL);
INSERT INTO live SELECT nextval('live_id'), i % 1000, i FROM generate_series(1, 100000) i;
VACUUM ANALYZE live;
$probe_procedure
SQL
	create_st st_rows 'SELECT id, g, v FROM live WHERE v > 0' continuous
	create_st st_totals 'SELECT g, count(*) AS n, sum(v) AS v FROM live GROUP BY g' continuous
	cat >writer.sql <<'SQL'
\set g random(0, 999)
\set id random(1, 100000)
BEGIN;
INSERT INTO live VALUES (nextval('live_id'), :g, 1);
UPDATE live SET v = v + 1 WHERE id = :id;
COMMIT;
SQL
	scheduler on
	if [ "${capture:-}" = wal ]; then
		sql -c 'ALTER TABLE live REPLICA IDENTITY FULL'
		await_wal live
	fi
	server pgbench -n -M prepared -c 4 -R $rate -T 100000 -f writer.sql >/dev/null 2>&1 &
	writers=$!
	sql -c "CALL probe('warmup', 'SELECT EXISTS (SELECT FROM st_rows WHERE id = \$1)', 20)"
	sql -c "CALL probe('filter', 'SELECT EXISTS (SELECT FROM st_rows WHERE id = \$1)', $probes)"
	sql -c "CALL probe('aggregate', 'SELECT EXISTS (SELECT FROM st_totals WHERE g = \$1)', $probes)"
	sql -o /dev/null -c "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pgbench'"
	wait $writers || true
	printf '%-10s %8s %8s %8s %8s\n' 'ms' probes p50 p99 max
	sql -F ' ' -c "SELECT target, count(*),
		round(percentile_cont(0.5) WITHIN GROUP (ORDER BY ms)::numeric, 2),
		round(percentile_cont(0.99) WITHIN GROUP (ORDER BY ms)::numeric, 2),
		round(max(ms)::numeric, 2) FROM probes WHERE target <> 'warmup' GROUP BY target ORDER BY target DESC" |
		while read -r target n p50 p99 max; do printf '%-10s %8s %8s %8s %8s\n' "$target" "$n" "$p50" "$p99" "$max"; done
	scheduler off
	sql -o /dev/null -c "SELECT pgtrickle.drop_stream_table('public.st_rows'), pgtrickle.drop_stream_table('public.st_totals')"
	sql -c 'DROP TABLE live, probes' -c 'DROP PROCEDURE probe'
}
