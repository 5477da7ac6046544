#!/usr/bin/env bash
# tools/demo.sh - a shop whose stream tables follow a writing load (make demo).
#
# Installs what is missing, builds, installs, starts a private PostgreSQL in a
# temporary directory (unix socket only), loads the shop, creates the stream
# tables, waits until their sources are captured from the WAL, writes for half a
# minute while showing how they follow, waits until they have caught up, proves
# that each equals its query and shows the replication slot.  Stops the server
# and removes the directory at the end, also on Ctrl-C.
#
#   DEMO_SECONDS  how long to write                (30)
#   DEMO_LINES    order lines to begin with        (1000000)
#   DEMO_RATE     transactions a second            (100)
#   DEMO_PSQL=1   hand over a psql prompt at the end
set -euo pipefail
PGT_ROOT=$(cd "$(dirname "$0")/.." && pwd)
cd "$PGT_ROOT"
. tools/lib.sh
unset MAKEFLAGS MAKELEVEL MAKEOVERRIDES MFLAGS

seconds=${DEMO_SECONDS:-30} lines=${DEMO_LINES:-1000000} rate=${DEMO_RATE:-100}

finish() {
	local rc=$?
	trap '' INT TERM
	trap - EXIT
	printf '\033[?25h' >"$screen"
	stop_servers
	wait 2>/dev/null || true
	rm -rf "${PGT_WORK:-}"
	exit "$rc"
}
screen=/dev/null
trap finish EXIT
trap 'say; say "interrupted: stopping the server"; exit 130' INT TERM

tools/install-deps.sh "${PG_CONFIG:-pg_config}"
read_pg_config
make_work_dir
say "$PGT_VERSION; everything below happens in $PGT_WORK"
say "building and installing pg_trickle"
build_and_install
cp -R tools/demo "$PGT_WORK/demo"
chown -R "$(server_user)" "$PGT_WORK"
cd "$PGT_WORK"
export PATH=$PGT_BINDIR:$PATH LC_ALL=C.UTF-8 PGHOST=$PGT_WORK PGPORT=5432 PGUSER=shop PGDATABASE=shop
unset PGSERVICE PGHOSTADDR PGOPTIONS PGSSLMODE PGPASSWORD

server() { as_server_user "$@"; }
sql() { server psql -XqAt -v ON_ERROR_STOP=1 "$@"; }

say "starting a private server"
server initdb -D data -A trust -U shop --no-sync >initdb.log 2>&1 || { cat initdb.log >&2; die "initdb failed"; }
cat >>data/postgresql.conf <<CONF
listen_addresses = ''
unix_socket_directories = '$PGT_WORK'
shared_preload_libraries = 'pg_trickle'
wal_level = logical
shared_buffers = 256MB
max_wal_size = 4GB
synchronous_commit = off
log_min_messages = warning
CONF
server pg_ctl -D data -w -s -l server.log start || { cat server.log >&2; die "the server did not start"; }
sql -d postgres -c 'CREATE DATABASE shop'
sql -c 'CREATE EXTENSION pg_trickle'

group_digits() { sed ':a;s/\B[0-9]\{3\}\>/,&/;ta' <<<"$1"; }

say "loading a shop of $(group_digits "$lines") order lines"
sql -v lines="$lines" -f demo/shop.sql
say "creating five stream tables"
begun=$(date +%s%N)
sql -o /dev/null -f demo/stream_tables.sql 2>&1 | { grep -v '^psql.*NOTICE' || true; }
say "created and filled in $((($(date +%s%N) - begun) / 1000000)) ms"
deadline=$((SECONDS + 30))
while [ "$(sql -c "SELECT count(*) FROM pgtrickle.pgt_sources WHERE cdc_mode IN ('TRIGGER', 'TRANSITIONING')")" != 0 ] && [ $SECONDS -lt $deadline ]; do sleep 0.1; done
sql -c "SELECT format('changes of %s are captured %s', source_table, CASE cdc_mode WHEN 'WAL' THEN 'from the WAL' ELSE 'by triggers: ' || coalesce(blocked_reason, 'not handed over yet') END) FROM pgtrickle.check_cdc_health()"
say "now $rate transactions a second write to the shop"
say

# ---- the live view ----

row='%-20s %9s %9s %9s %10s %13s %8s %8s'
# shellcheck disable=SC2059
heading=$(printf "$row" 'stream table' rows 'data age' refreshes 'first fill' 'rows changed' 'last' 'average')
view_sql="
SELECT format('$row', t.pgt_name, to_char(s.n_live_tup, 'FM999,999,990'),
              to_char(1000 * extract(epoch FROM clock_timestamp() - t.data_timestamp), 'FM999,990') || ' ms',
              p.n_differential, to_char(f.duration_ms, 'FM999,990') || ' ms',
              '+' || h.inserted || ' -' || h.deleted,
              to_char(h.last, 'FM99,990.0') || ' ms', to_char(h.average, 'FM99,990.0') || ' ms')
  FROM pgtrickle.pgt_stream_tables t
  JOIN pgtrickle.pgt_progress p USING (pgt_id)
  LEFT JOIN pg_stat_user_tables s ON s.relid = t.pgt_relid
  LEFT JOIN pgtrickle.pgt_refresh_history f ON f.pgt_id = t.pgt_id AND f.action = 'INITIALIZE'
  LEFT JOIN LATERAL (SELECT (array_agg(rows_inserted))[1] AS inserted, (array_agg(rows_deleted))[1] AS deleted,
                            (array_agg(duration_ms))[1] AS last, avg(duration_ms) AS average
                       FROM (SELECT * FROM pgtrickle.pgt_refresh_history r
                              WHERE r.pgt_id = t.pgt_id AND r.action <> 'INITIALIZE' AND r.status = 'COMPLETED'
                              ORDER BY refresh_id DESC LIMIT 20) r) h ON true
 ORDER BY t.pgt_id"

every=5
if [ -t 1 ]; then
	every=1 screen=/dev/tty
	printf '\033[?25l' >"$screen"
fi
drawn=0

# One picture of all stream tables; on a terminal it replaces the one before.
draw() {
	local picture
	picture=$(say "$1" && say "$heading" && sql -c "$view_sql" && say)
	if [ -t 1 ]; then
		[ $drawn = 0 ] || printf '\033[%dA' "$drawn"
		sed $'s/^/\033[K  /' <<<"$picture"
		drawn=$(wc -l <<<"$picture")
	else
		printf '%s\n\n' "$picture"
	fi
}

server pgbench -n -c 2 -R "$rate" -T "$seconds" -f demo/write.sql \
	-D customers=$((lines / 20 > 100 ? lines / 20 : 100)) -D orders=$((lines / 4)) shop >pgbench.log 2>&1 &
writer=$!
begun=$SECONDS next=$every
while kill -0 $writer 2>/dev/null; do
	if [ $((SECONDS - begun)) -ge $next ]; then
		draw "$next s of $seconds; order lines: $(group_digits "$(sql -c 'SELECT count(*) FROM shop.order_lines')")"
		next=$((next + every))
	fi
	sleep 0.2
done
wait $writer || { cat pgbench.log >&2; die "the writing load failed"; }
[ $drawn = 0 ] || say
say "written: $(sed -n 's/^number of transactions actually processed: //p' pgbench.log) transactions; now nobody writes"

# ---- the proof ----

# How many rows of a stream table and of its query are not in the other.
difference() {
	local query
	query=$(sql -c "SELECT rtrim(defining_query, '; ') FROM pgtrickle.pgt_stream_tables WHERE pgt_relid = '$1'::regclass")
	sql -c "SELECT count(*) FROM ((TABLE $1 EXCEPT ALL ($query)) UNION ALL (($query) EXCEPT ALL TABLE $1)) d"
}

# The last writes need a moment to arrive; what still differs then is wrong.
deadline=$((SECONDS + 60)) wrong=0
for name in $(sql -c "SELECT pgt_relid::regclass FROM pgtrickle.pgt_stream_tables ORDER BY pgt_id"); do
	while [ "$(difference "$name")" != 0 ] && [ $SECONDS -lt $deadline ]; do sleep 0.2; done
	rows=$(group_digits "$(sql -c "SELECT count(*) FROM $name")")
	if [ "$(difference "$name")" = 0 ]; then
		say "$(printf '  %-26s %11s rows   equals its query' "$name" "$rows")"
	else
		say "$(printf '  %-26s %11s rows   DIFFERS FROM ITS QUERY' "$name" "$rows")"
		wrong=1
	fi
done
say
[ $wrong = 0 ] || { tail -n 30 server.log >&2; die "a stream table is wrong"; }
say "every stream table equals its query, row by row (EXCEPT ALL, both ways)"

say
say "the replication slot that the changes came through (pgtrickle.slot_health()):"
server psql -Xqtx -v ON_ERROR_STOP=1 -c 'SELECT * FROM pgtrickle.slot_health()' | sed 's/^/  /'

if [ -n "${DEMO_PSQL:-}" ]; then
	say
	say "psql is yours; try  SELECT * FROM pgtrickle.pgt_stream_tables;  \\q ends the demo"
	server psql -X || true
fi
