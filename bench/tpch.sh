# bench/tpch.sh - the 22 queries of TPC-H as stream tables; sourced by run.sh.
# shellcheck shell=bash disable=SC2154
#
# BENCH_SF is the scale factor.  After the refresh functions have replaced a
# share of the orders (new ones in, the oldest out) each stream table is
# refreshed differentially, and a twin of it by FULL; medians over rounds.

tpch_sql() { PGOPTIONS='-c search_path=tpch,public' sql "$@"; }

load_tpch() {	# scale factor
	sql -c 'CREATE SCHEMA tpch'
	tpch_sql -o /dev/null -f "$PGT_ROOT/bench/tpch/schema.sql"
	tpch_sql -o /dev/null -v sf="$1" -f "$PGT_ROOT/bench/tpch/generate.sql"
	sql -c 'VACUUM ANALYZE'
}

# All 22 in one schema each: the ones refreshed by delta, and their twins.
create_tpch() {	# schema
	local file
	sql -c "CREATE SCHEMA $1"
	for file in "$PGT_ROOT"/bench/tpch/queries/*.sql; do
		tpch_sql -o /dev/null -c 'SET client_min_messages = warning' \
			-c "SELECT pgtrickle.create_stream_table('$1.$(basename "$file" .sql)', \$q\$$(cat "$file")\$q\$, '1d')"
	done
}

tpch_refresh() {	# schema, mode, label
	local file q
	for file in "$PGT_ROOT"/bench/tpch/queries/*.sql; do
		q=$(basename "$file" .sql)
		printf '%s\n' "\\echo @$3.$q" '\timing on' "SELECT action FROM pgtrickle.refresh_stream_table('$1.$q'$2);" '\timing off'
	done
}

bench_tpch() {
	local sf=${BENCH_SF:-0.1} share orders n round file q wrong label
	orders=$(awk -v sf="$sf" 'BEGIN { print int(1500000 * sf) }')
	printf '\n== TPC-H, scale factor %s: ms by delta / ms by FULL = ratio, after a share of the orders was replaced ==\n' "$sf"
	load_tpch "$sf"
	create_tpch by_delta
	create_tpch by_full
	sql -c 'VACUUM ANALYZE'
	for share in ${BENCH_TPCH_SHARES:-0.1 1 10}; do
		n=$(awk -v o="$orders" -v s="$share" 'BEGIN { n = int(o * s / 200); print(n < 1 ? 1 : n) }')
		for round in $(seq 0 "$rounds"); do
			label=$([ "$round" = 0 ] && echo warmup || echo measured)
			printf '%s\n' "SELECT rf1($n);" "SELECT rf2($n);"
			tpch_refresh by_delta ", 'DIFFERENTIAL'" "$label.delta"
			tpch_refresh by_full ", 'FULL'" "$label.full"
		done | tpch_sql -f - | awk '/^@/ { label = substr($0, 2) } /^Time: / { print label, $2 }' >tpch
		printf '\n%-6s %10s %10s %8s   %s %% of the orders replaced\n' query delta full ratio "$share"
		for file in "$PGT_ROOT"/bench/tpch/queries/*.sql; do
			q=$(basename "$file" .sql)
			printf '%-6s %10s %10s %8s\n' "$q" "$(ms "$(median_of "measured.delta.$q" tpch)")" "$(ms "$(median_of "measured.full.$q" tpch)")" \
				"$(ratio "$(median_of "measured.delta.$q" tpch)" "$(median_of "measured.full.$q" tpch)")"
		done
	done
	for file in "$PGT_ROOT"/bench/tpch/queries/*.sql; do
		q=$(basename "$file" .sql)
		wrong=$(tpch_sql -c "SELECT count(*) FROM ((TABLE by_delta.$q EXCEPT ALL ($(cat "$file"))) UNION ALL (($(cat "$file")) EXCEPT ALL TABLE by_delta.$q)) d")
		[ "$wrong" = 0 ] || die "$q differs from its query in $wrong rows"
	done
}
