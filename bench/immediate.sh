# bench/immediate.sh - what refresh mode IMMEDIATE costs the writer; sourced by run.sh.
# shellcheck shell=bash disable=SC2154
#
# Each case writes to a table that an IMMEDIATE stream table reads, and in turn to
# an equal one that nobody reads: the ratio is the price.

immediate_base=${IMMEDIATE_BASE:-1000000}
immediate_seconds=${IMMEDIATE_SECONDS:-2}

immediate_tables() {	# suffix
	sql <<SQL
CREATE TABLE fact_$1 (id int PRIMARY KEY, g int NOT NULL, k int NOT NULL, v int NOT NULL) WITH (fillfactor = 80);
INSERT INTO fact_$1 SELECT i, i % 100, i % 10000, i FROM generate_series(1, $immediate_base) i;
CREATE INDEX ON fact_$1 (k);
CREATE TABLE dim_$1 (k int PRIMARY KEY, name text NOT NULL, x int NOT NULL) WITH (fillfactor = 80);
INSERT INTO dim_$1 SELECT i, 'name ' || i % 100, 0 FROM generate_series(0, 9999) i;
CREATE TABLE wide_$1 (id int PRIMARY KEY, g int NOT NULL, v int NOT NULL);
VACUUM (ANALYZE, FREEZE) fact_$1;
VACUUM (ANALYZE, FREEZE) dim_$1;
SQL
}

# the query of a case over the tables of a suffix
immediate_query() {	# case, suffix
	case $1 in
		aggregate | bulk | writers | one_group) echo "SELECT g, sum(v) AS s, count(*) AS n FROM fact_$2 GROUP BY g" ;;
		join) echo "SELECT d.name, sum(f.v) AS s, count(*) AS n FROM fact_$2 f JOIN dim_$2 d ON d.k = f.k GROUP BY d.name" ;;
		left) echo "SELECT f.id, f.v, d.x FROM fact_$2 f LEFT JOIN dim_$2 d ON d.k = f.k WHERE f.id <= 100000" ;;
		exists) echo "SELECT f.id, f.v FROM fact_$2 f WHERE f.id <= 100000 AND EXISTS (SELECT FROM dim_$2 d WHERE d.k = f.k AND d.x >= 0)" ;;
		bulk_groups) echo "SELECT g, sum(v) AS s, count(*) AS n FROM wide_$2 GROUP BY g" ;;
	esac
}

immediate_write() {	# case, suffix: a pgbench script
	case $1 in
		aggregate | join) printf '%s\n' "\\set id random(1, $immediate_base)" "UPDATE fact_$2 SET v = v + 1 WHERE id = :id;" ;;
		# each turns its partners from matched to not and back
		left | exists) printf '%s\n' '\set k random(0, 9999)' "UPDATE dim_$2 SET x = -1 - x WHERE k = :k;" ;;
		# each client has groups of its own
		writers) printf '%s\n' "\\set n random(0, $immediate_base / 100 - 1)" '\set g :client_id + 8 * random(0, 11)' "UPDATE fact_$2 SET v = v + 1 WHERE id = :n * 100 + :g + 1;" ;;
		one_group) printf '%s\n' "\\set n random(0, $immediate_base / 100 - 1)" "UPDATE fact_$2 SET v = v + 1 WHERE id = :n * 100 + 1;" ;;
	esac
}

immediate_tps() {	# script, clients
	server pgbench -n -M prepared -c "$2" -j "$(nproc)" -T "$immediate_seconds" -f "$1" 2>/dev/null |
		sed -n 's/^tps = \([0-9.]*\).*/\1/p'
}

immediate_bulk() {	# case, suffix: milliseconds of one insertion of 100 000 rows, undone
	local insert
	case $1 in
		bulk) insert="INSERT INTO fact_$2 SELECT -i, i % 100, i % 10000, i FROM generate_series(1, 100000) i" ;;
		*) insert="INSERT INTO wide_$2 SELECT i, i, i FROM generate_series(1, 100000) i" ;;
	esac
	timed <<SQL | awk '{ print $2 }'
BEGIN;
\\echo @bulk
\\timing on
$insert;
\\timing off
ROLLBACK;
SQL
}

immediate_line() {	# label, unit, plain, with
	printf '%-44s %12.0f %12.0f %8s\n' "$1 ($2)" "$3" "$4" \
		"$(if [ "$2" = tps ]; then ratio "$3" "$4"; else ratio "$4" "$3"; fi)"
}

immediate_case() {	# case, label, clients (0: bulk)
	local round plain with
	sql -o /dev/null -c "SELECT pgtrickle.create_stream_table('public.st_$1', \$q\$$(immediate_query "$1" tracked)\$q\$, refresh_mode => 'IMMEDIATE')"
	sql -o /dev/null -c CHECKPOINT
	: >figures
	for round in $(seq "$((rounds + 1))"); do
		for suffix in plain tracked; do
			if [ "$3" = 0 ]; then
				echo "$suffix $(immediate_bulk "$1" $suffix)"
			else
				immediate_write "$1" $suffix >"write_$suffix.sql"
				echo "$suffix $(immediate_tps "write_$suffix.sql" "$3")"
			fi
			# the first round plans and warms
		done | { [ "$round" = 1 ] && cat >/dev/null || cat >>figures; }
	done
	plain=$(median_of plain figures) with=$(median_of tracked figures)
	immediate_line "$2" "$([ "$3" = 0 ] && echo ms || echo tps)" "$plain" "$with"
	sql -o /dev/null -c "SELECT 1 / (CASE WHEN rows_inserted + rows_deleted = 0 THEN 1 ELSE 0 END) FROM pgtrickle.refresh_stream_table('public.st_$1')" \
		-c "SELECT pgtrickle.drop_stream_table('public.st_$1')"
}

# ten stream tables on one table against one
immediate_ten() {
	local n i round
	: >figures
	immediate_write aggregate tracked >write_tracked.sql
	for n in 1 10; do
		for i in $(seq "$n"); do
			sql -o /dev/null -c "SELECT pgtrickle.create_stream_table('public.st_$i', \$q\$SELECT g + $i AS g, sum(v) AS s, count(*) AS n FROM fact_tracked GROUP BY g + $i\$q\$, refresh_mode => 'IMMEDIATE')"
		done
		for round in $(seq "$rounds"); do echo "st$n $(immediate_tps write_tracked.sql 1)" >>figures; done
		for i in $(seq "$n"); do sql -o /dev/null -c "SELECT pgtrickle.drop_stream_table('public.st_$i')"; done
	done
	for round in $(seq "$rounds"); do
		immediate_write aggregate plain >write_plain.sql
		echo "plain $(immediate_tps write_plain.sql 1)" >>figures
	done
	awk -v p="$(median_of plain figures)" -v a="$(median_of st1 figures)" -v b="$(median_of st10 figures)" \
		'BEGIN { printf "one stream table costs %.1f us, ten on one table %.1f us a statement\n", 1e6 / a - 1e6 / p, 1e6 / b - 1e6 / p }'
}

bench_immediate() {
	say
	say "== IMMEDIATE: base of $immediate_base rows, plain table against one with a stream table"
	immediate_tables plain
	immediate_tables tracked
	printf '%-44s %12s %12s %8s\n' case plain IMMEDIATE ratio
	immediate_case aggregate 'one-row UPDATE, 100 groups' 1
	immediate_case join 'one-row UPDATE, join + aggregate' 1
	immediate_case left 'inner side of LEFT JOIN, 10 rows change' 1
	immediate_case exists 'inner side of EXISTS, 10 rows come or go' 1
	immediate_case bulk 'INSERT of 100 000 rows, 100 groups' 0
	immediate_case bulk_groups 'INSERT of 100 000 rows, 100 000 groups' 0
	immediate_case writers '8 writers, groups of their own' 8
	immediate_case one_group '8 writers, one group' 8
	immediate_ten
}
