# bench/write.sh - what capture costs the writer; sourced by run.sh.
# shellcheck shell=bash disable=SC2154
#
# Two equal tables, one of them read by an aggregate.  Single-row statements by
# pgbench with 1, 8 and 32 clients, and bulk statements of 100 000 rows.

write_table() {	# name
	sql <<SQL
CREATE TABLE $1 (id int PRIMARY KEY, g int NOT NULL, v int NOT NULL, note text NOT NULL);
INSERT INTO $1 SELECT i, i % 1000, i % 777, repeat('n', 40) FROM generate_series(1, 200000) i;
CREATE SEQUENCE $1_id START 10000000;
VACUUM (ANALYZE, FREEZE) $1;
SQL
	# shellcheck disable=SC2028
	echo "INSERT INTO $1 VALUES (nextval('$1_id'), 7, 7, 'one of the rows that clients insert, one at a time');" >"insert_$1.sql"
	# shellcheck disable=SC2028
	printf '%s\n' '\set id random(1, 200000)' "UPDATE $1 SET v = v + 1 WHERE id = :id;" >"update_$1.sql"
}

# Transactions per second of one pgbench run.
tps() {	# script, clients
	server pgbench -n -M prepared -c "$2" -j "$(nproc)" -T "$write_seconds" -f "$1" 2>/dev/null |
		sed -n 's/^tps = \([0-9.]*\).*/\1/p'
}

write_single() {
	local kind clients round plain tracked
	printf '\n%-10s %8s %12s %12s %8s %14s\n' statement clients 'none tps' 'trigger tps' ratio 'us latency'
	for kind in insert update; do
		for clients in 1 8 32; do
			: >singles
			for round in $(seq "$rounds"); do
				echo "plain $(tps "${kind}_plain.sql" "$clients")" >>singles
				echo "tracked $(tps "${kind}_tracked.sql" "$clients")" >>singles
				refresh_quietly write_totals
			done
			plain=$(median_of plain singles) tracked=$(median_of tracked singles)
			printf '%-10s %8s %12.0f %12.0f %8s %14s\n' "$kind" "$clients" "$plain" "$tracked" \
				"$(ratio "$tracked" "$plain")" \
				"$(awk -v p="$plain" -v t="$tracked" -v c="$clients" 'BEGIN { printf "%+.1f", c * 1e6 / t - c * 1e6 / p }')"
		done
	done
}

refresh_quietly() { sql -o /dev/null -c "SELECT pgtrickle.refresh_stream_table('$1')"; }

# One round of bulk statements on one table; each deletes what it inserted.
bulk_script() {	# table, label
	cat <<SQL
\\echo @$2.insert
\\timing on
INSERT INTO $1 SELECT -i, i % 1000, i, repeat('b', 40) FROM generate_series(1, 100000) i;
\\echo @$2.update
UPDATE $1 SET v = v + 1 WHERE id < 0;
\\echo @$2.delete
DELETE FROM $1 WHERE id < 0;
\\timing off
VACUUM $1;
SQL
}

write_bulk() {
	local round kind plain tracked
	: >bulk
	for round in $(seq "$rounds"); do
		bulk_script plain plain | timed >>bulk
		bulk_script tracked tracked | timed >>bulk
		refresh_quietly write_totals
	done
	printf '\n%-22s %12s %12s %8s\n' '100 000 rows' 'none ms' 'trigger ms' ratio
	for kind in insert update delete; do
		plain=$(median_of "plain.$kind" bulk) tracked=$(median_of "tracked.$kind" bulk)
		printf '%-22s %12s %12s %8s\n' "$kind" "$(ms "$plain")" "$(ms "$tracked")" "$(ratio "$tracked" "$plain")"
	done
}

bench_write() {
	printf '\n== write path: a table nobody reads, a table captured by triggers ==\n'
	write_table plain
	write_table tracked
	create_st write_totals 'SELECT g, count(*) AS n, sum(v) AS v FROM tracked GROUP BY g' 1d
	write_single
	write_bulk
	sql -o /dev/null -c "SELECT pgtrickle.drop_stream_table('public.write_totals')" -c 'DROP TABLE plain, tracked'
}
