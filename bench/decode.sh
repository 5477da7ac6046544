# bench/decode.sh - decoding beside other output plugins; sourced by run.sh.
# shellcheck shell=bash disable=SC2154
#
# The same WAL, decoded inside the server by the SQL functions, which put each
# message into a tuplestore: bulk statements on rows of five columns with whole
# old rows, and as many transactions of one row.  wal2json and decoderbufs take
# part where their libraries are installed.

# Set what decoding needs; the server is restarted.
allow_decoding() {
	local known
	known=$("$PGT_BINDIR/postgres" --describe-config | cut -f1 | grep -cx output_plugin_libraries || true)
	{
		echo "wal_level = logical"
		echo "max_replication_slots = 20"
		[ "$known" = 0 ] ||
			echo "output_plugin_libraries = 'pg_trickle_decoder, pgoutput, test_decoding, wal2json, decoderbufs'"
	} >>data/postgresql.conf
	server pg_ctl -D data -w -s -m fast -l server.log restart
}

decode_plugins() {
	local plugin
	for plugin in pg_trickle_decoder pgoutput test_decoding wal2json decoderbufs; do
		if sql -c "SELECT pg_drop_replication_slot(slot_name) FROM pg_create_logical_replication_slot('try', '$plugin')" >/dev/null 2>&1; then
			echo "$plugin"
		fi
	done
}

decode_query() {	# plugin, slot
	local function=pg_logical_slot_peek_binary_changes options=
	case $1 in
		pg_trickle_decoder) options=", 'sources', 'public.decoded'" ;;
		pgoutput) options=", 'proto_version', '1', 'publication_names', 'decoded', 'binary', 'true'" ;;
		test_decoding | wal2json) function=pg_logical_slot_peek_changes ;;
	esac
	echo "SELECT coalesce(sum(length(data)), 0) FROM $function('$2', (SELECT lsn FROM decode_end), NULL$options)"
}

# Write changes, then let every plugin decode them, in turn.
decode_workload() {	# label, number of changes, SQL
	local label=$1 changes=$2 plugin round
	sql -o /dev/null <<SQL
SET client_min_messages = warning;
DROP TABLE IF EXISTS decoded, decode_end;
CREATE TABLE decoded (id int, g int, v numeric, note text, at timestamptz);
ALTER TABLE decoded REPLICA IDENTITY FULL;
CREATE INDEX ON decoded (id);
DROP PUBLICATION IF EXISTS decoded;
CREATE PUBLICATION decoded FOR TABLE decoded;
SQL
	for plugin in $plugins; do
		sql -o /dev/null -c "SELECT pg_create_logical_replication_slot('s_$plugin', '$plugin')" 2> >(grep -v 'INFO:  ' >&2)
	done
	sql -o /dev/null -c "$3"
	sql -o /dev/null -c 'CREATE TABLE decode_end AS SELECT pg_current_wal_insert_lsn() AS lsn' -c CHECKPOINT
	: >decode_times
	for round in $(seq "$rounds"); do
		for plugin in $plugins; do
			timed >>decode_times 2> >(grep -v 'INFO:  ' >&2) <<SQL
SET logical_decoding_work_mem = '2GB';
\\echo @$plugin
\\timing on
$(decode_query "$plugin" "s_$plugin") \\g decode_bytes_$plugin
SQL
		done
	done
	for plugin in $plugins; do
		printf '%-10s %-20s %14.0f %10s %12s %8s\n' "$label" "$plugin" \
			"$(awk -v n="$changes" -v ms="$(median_of "$plugin" decode_times)" 'BEGIN { print 1000 * n / ms }')" \
			"$(ratio "$(median_of pgoutput decode_times)" "$(median_of "$plugin" decode_times)")" \
			"$(cat "decode_bytes_$plugin")" \
			"$(ratio "$(cat "decode_bytes_$plugin")" "$(cat decode_bytes_pgoutput)")"
		sql -o /dev/null -c "SELECT pg_drop_replication_slot('s_$plugin')"
	done
}

bench_decode() {
	local plugins rows
	allow_decoding
	plugins=$(decode_plugins)
	rows=$([ "$scale" = full ] && echo 500000 || echo 100000)
	printf '\n%-10s %-20s %14s %10s %12s %8s\n' decode plugin 'changes/s' 'x pgoutput' bytes 'ratio'
	decode_workload bulk $((rows + rows * 6 / 10 + rows / 5)) "
		INSERT INTO decoded SELECT i, i % 1000, i / 7.0, 'some text ' || i, now() FROM generate_series(1, $rows) i;
		UPDATE decoded SET v = v + 1 WHERE id <= $rows * 6 / 10;
		DELETE FROM decoded WHERE id <= $rows / 5"
	decode_workload one-row $((rows / 5)) "
		DO \$\$ BEGIN
			FOR i IN 1 .. $rows / 10 LOOP
				INSERT INTO decoded VALUES (i, i, i, 'some text ' || i, now()); COMMIT;
				UPDATE decoded SET v = v + 1 WHERE id = i; COMMIT;
			END LOOP;
		END \$\$"
}
