# bench/wal.sh - capture from the WAL, for writers and readers; sourced by run.sh.
# shellcheck shell=bash disable=SC2154
#
# Four equal tables: nobody reads it; nobody does, with REPLICA IDENTITY FULL;
# captured from the WAL (the decoder runs beside the clients, on the same
# cores); captured by triggers.  Then commit -> visible with capture from the WAL.

wal_kinds="plain identity wal trigger"

# Let the hand-over come: all sources of the given tables in mode WAL.
await_wal() {	# table ...
	local table
	for table in "$@"; do
		until [ "$(sql -c "SELECT cdc_mode FROM pgtrickle.pgt_sources WHERE source_relid = '$table'::regclass")" = WAL ]; do sleep 0.1; done
	done
}

write_wal() {
	local kind statement clients round tps_of
	for kind in $wal_kinds; do write_table "w_$kind"; done
	sql -c 'ALTER TABLE w_identity REPLICA IDENTITY FULL' -c 'ALTER TABLE w_wal REPLICA IDENTITY FULL'
	for kind in wal trigger; do
		sql -o /dev/null -c 'SET client_min_messages = warning' \
			-c "SELECT pgtrickle.create_stream_table('public.read_$kind', 'SELECT g, count(*) AS n, sum(v) AS v FROM w_$kind GROUP BY g', '1d', cdc_mode => '$kind')"
	done
	scheduler on
	await_wal w_wal
	printf '\n%-8s %8s %11s %11s %11s %11s %14s %14s %14s\n' statement clients 'none tps' 'identity' 'WAL' 'trigger' 'WAL/identity' 'WAL/none' 'trigger/none'
	for statement in insert update; do
		for clients in 1 8 32; do
			: >walwrites
			for round in $(seq "$rounds"); do
				for kind in $wal_kinds; do echo "$kind $(tps "${statement}_w_$kind.sql" "$clients")"; done >>walwrites
				for kind in wal trigger; do refresh_quietly "read_$kind"; done
			done
			for kind in $wal_kinds; do tps_of[${#kind}]=$(median_of "$kind" walwrites); done
			printf '%-8s %8s %11.0f %11.0f %11.0f %11.0f %14s %14s %14s\n' "$statement" "$clients" \
				"${tps_of[5]}" "${tps_of[8]}" "${tps_of[3]}" "${tps_of[7]}" \
				"$(ratio "${tps_of[3]}" "${tps_of[8]}")" "$(ratio "${tps_of[3]}" "${tps_of[5]}")" "$(ratio "${tps_of[7]}" "${tps_of[5]}")"
		done
	done
	scheduler off
	sql -o /dev/null -c "SELECT pgtrickle.drop_stream_table('public.read_wal'), pgtrickle.drop_stream_table('public.read_trigger')"
}

bench_wal() {
	printf '\n== capture from the WAL: writers, one row a transaction ==\n'
	allow_decoding
	write_wal
	capture=wal bench_freshness
}
