# bench/refresh.sh - the time of a refresh; sourced by run.sh.
# shellcheck shell=bash disable=SC2154
#
# A fact table of the base size and a dimension of 1/20 of it; a filter, a
# join, an aggregate (1000 groups) and an aggregate over the join (100 groups),
# each as a stream table and as a materialized view.  A delta is an UPDATE of
# that many scattered fact rows.

queries="filter join aggregate join_agg"
query_of() {
	case $1 in
		filter) echo "SELECT id, g, v FROM fact WHERE v < 100" ;;
		join) echo "SELECT f.id, f.v, d.name, d.region FROM fact f JOIN dim d ON d.id = f.k" ;;
		aggregate) echo "SELECT g, count(*) AS n, sum(v) AS total, avg(price) AS price FROM fact GROUP BY g" ;;
		join_agg) echo "SELECT d.region, count(*) AS n, sum(f.v * d.rate) AS total FROM fact f JOIN dim d ON d.id = f.k GROUP BY d.region" ;;
	esac
}

make_base() {	# rows
	sql <<SQL
CREATE TABLE dim (id int PRIMARY KEY, name text NOT NULL, region int NOT NULL, rate int NOT NULL);
INSERT INTO dim SELECT i, 'name of ' || i, i % 100, i % 7 + 1 FROM generate_series(0, $1 / 20 - 1) i;
CREATE TABLE fact (id int PRIMARY KEY, k int NOT NULL, g int NOT NULL, v int NOT NULL, price float8 NOT NULL, note text NOT NULL);
INSERT INTO fact SELECT i, i * 7919::int8 % ($1 / 20), i % 1000, i * 31::int8 % 1000, (i % 9973) / 100.0, repeat('x', 50)
  FROM generate_series(1, $1) i;
CREATE INDEX fact_k ON fact (k);
VACUUM (ANALYZE, FREEZE) fact;
VACUUM (ANALYZE, FREEZE) dim;
SQL
	local q
	for q in $queries; do
		create_st "st_$q" "$(query_of "$q")" 1d
		sql -c "CREATE MATERIALIZED VIEW mv_$q AS $(query_of "$q")"
	done
	sql -c 'VACUUM ANALYZE'
}

drop_base() {
	local q
	for q in $queries; do
		sql -o /dev/null -c "SELECT pgtrickle.drop_stream_table('public.st_$q')"
	done
	sql -c 'DROP TABLE fact, dim CASCADE' 2>/dev/null
}

# The rows of round $3 when $2 of $1 rows change: scattered over pages, groups
# and dimension rows.
delta_sql() {	# base, delta, round
	echo "UPDATE fact SET v = (v + 137) % 1000, price = price + 0.01 WHERE id IN (SELECT (1 + (i * 7919::int8 + $3 * 104729::int8) % $1)::int FROM generate_series(1, $2) i);"
}

refresh_sql() {	# query, mode, label
	cat <<SQL
\\echo @$3
\\timing on
SELECT action FROM pgtrickle.refresh_stream_table('public.st_$1', '$2');
\\timing off
SQL
}

# Rounds of one delta size in one session, the first of them for warming up.
delta_rounds() {	# base, delta, rounds
	local round q label
	for round in $(seq 0 "$3"); do
		delta_sql "$1" "$2" "$round"
		for q in $queries; do
			label=$q
			[ "$round" != 0 ] || label=warmup
			refresh_sql "$q" DIFFERENTIAL "$label"
		done
	done
}

# REFRESH MATERIALIZED VIEW and our FULL, after the same delta.
full_rounds() {	# base, rounds
	local round q
	for round in $(seq "$2"); do
		delta_sql "$1" 100 "$((round + 500))"
		for q in $queries; do
			printf '%s\n' "\\echo @mv.$q" '\timing on' "REFRESH MATERIALIZED VIEW mv_$q;" '\timing off'
			refresh_sql "$q" FULL "full.$q"
		done
	done
}

# How often a delta of a size is measured: small ones are quick and noisy.
rounds_for() {
	if [ "$1" -le 100 ]; then
		echo $((rounds * 7))
	else
		echo "$rounds"
	fi
}

print_refresh() {	# base, statistic
	local q d
	printf '\n%-10s' "$2 ms"
	for d in $deltas mv full; do printf ' %9s' "$d"; done
	printf ' %9s   base %s\n' 'mv / 1' "$1"
	for q in $queries; do
		printf '%-10s' "$q"
		for d in $deltas; do
			[ -e "delta.$d" ] && printf ' %9s' "$(ms "$(stat_of "$2" "$q" "delta.$d")")" || printf ' %9s' -
		done
		printf ' %9s %9s' "$(ms "$(stat_of "$2" "mv.$q" full)")" "$(ms "$(stat_of "$2" "full.$q" full)")"
		printf ' %9s\n' "$([ ! -e delta.1 ] || ratio "$(stat_of "$2" "mv.$q" full)" "$(stat_of "$2" "$q" delta.1)" | cut -d. -f1)"
	done
}

bench_refresh() {
	local base delta
	printf '\n== refresh after an UPDATE of 1 ... 100 000 rows; mv: REFRESH MATERIALIZED VIEW; full: our FULL ==\n'
	for base in $bases; do
		make_base "$base"
		rm -f delta.*
		for delta in $deltas; do
			[ $((delta * 2)) -le "$base" ] || continue
			delta_rounds "$base" "$delta" "$(rounds_for "$delta")" | timed >"delta.$delta"
		done
		full_rounds "$base" 3 | timed >full
		print_refresh "$base" median
		print_refresh "$base" fastest
		check_equal
		drop_base
	done
}

# A measurement of something wrong is worth nothing.
check_equal() {
	local q wrong
	for q in $queries; do
		wrong=$(sql -c "SELECT count(*) FROM ((TABLE st_$q EXCEPT ALL ($(exact_query "$q"))) UNION ALL (($(exact_query "$q")) EXCEPT ALL TABLE st_$q)) d")
		[ "$wrong" = 0 ] || die "st_$q differs from its query in $wrong rows"
	done
}
exact_query() { query_of "$1" | sed 's/avg(price)/pgtrickle.exact_avg(price)/'; }

# Nothing has changed: the refresh only has to notice.
bench_noop() {
	local q round
	printf '\n== refresh with nothing to do (ms) ==\n'
	make_base 100000
	for q in $queries; do
		for round in $(seq 0 $((rounds * 20))); do
			refresh_sql "$q" DIFFERENTIAL "$([ "$round" = 0 ] && echo warmup || echo "$q")"
		done
		for round in 1 2 3 4 5 6 7 8 9; do
			printf '%s\n' "\\echo @roundtrip" '\timing on' 'SELECT 1;' '\timing off'
		done
	done | timed >noop
	printf '%-10s %10s %10s\n' '' median fastest
	for q in $queries roundtrip; do
		printf '%-10s %10s %10s\n' "$q" "$(ms "$(median_of "$q" noop)")" "$(ms "$(stat_of fastest "$q" noop)")"
	done
	say '(roundtrip: SELECT 1)'
	drop_base
}

# AUTO's choice against FULL after the same change, on two stream tables each.
bench_auto() {
	local base=${bases##* } share q round n label_auto label_full
	printf '\n== what AUTO chose against FULL, base %s: ms AUTO / ms FULL = ratio (actions of AUTO) ==\n' "$base"
	make_base "$base"
	for q in $queries; do create_st "st_full_$q" "$(query_of "$q")" 1d; done
	printf '%-10s' changed
	for q in $queries; do printf ' %-36s' "$q"; done
	echo
	for share in 1 10 50 100; do
		n=$((base / 100 * share))
		for round in $(seq 0 "$((rounds + 2))"); do
			delta_sql "$base" "$n" "$((share * 100 + round))"
			for q in $queries; do
				# the first rounds are for learning what either costs; the two
				# take turns in going first
				label_auto=learn label_full=learn
				[ "$round" -le 2 ] || { label_auto=auto.$q label_full=full.$q; }
				[ $((round % 2)) = 0 ] || refresh_sql "full_$q" FULL "$label_full"
				printf '%s\n' "\\echo @$label_auto" '\timing on' \
					"SELECT 'action $q ' || action FROM pgtrickle.refresh_stream_table('public.st_$q');" '\timing off'
				[ $((round % 2)) = 1 ] || refresh_sql "full_$q" FULL "$label_full"
			done
			printf '%s\n' 'VACUUM fact;'
		done | sql -f - >auto.log
		awk '/^@/ { label = substr($0, 2) } /^Time: / { print label, $2 }' auto.log >auto
		printf '%-10s' "$share %"
		for q in $queries; do
			printf ' %-36s' "$(ms "$(median_of "auto.$q" auto)") / $(ms "$(median_of "full.$q" auto)") = $(ratio "$(median_of "auto.$q" auto)" "$(median_of "full.$q" auto)") ($(sed -n "s/^action $q //p" auto.log | tail -n "$rounds" | sort | uniq -c | awk '{ printf "%s%s %s", s, $1, $2; s = ", " }'))"
		done
		echo
	done
	for q in $queries; do sql -o /dev/null -c "SELECT pgtrickle.drop_stream_table('public.st_full_$q')"; done
	drop_base
}

# A backlog of a million changes into 1000 groups: changes per second.
bench_burst() {
	local round n=1000000 took
	printf '\n== a backlog of %s inserts into an aggregate of 1000 groups ==\n' "$n"
	sql -c 'CREATE TABLE burst (g int NOT NULL, v int NOT NULL)'
	create_st st_burst 'SELECT g, count(*) AS n, sum(v) AS v FROM burst GROUP BY g' 1d
	for round in 1 2 3; do
		printf '%s\n' "INSERT INTO burst SELECT i % 1000, i FROM generate_series(1, $n) i;"
		refresh_sql burst DIFFERENTIAL burst
	done | timed >burst
	took=$(median_of burst burst)
	printf '%s ms, %.0f changes a second\n' "$(ms "$took")" "$(awk -v n=$n -v t="$took" 'BEGIN { print n / t * 1000 }')"
	sql -o /dev/null -c "SELECT pgtrickle.drop_stream_table('public.st_burst')" -c 'DROP TABLE burst'
}
