# bench/lib.sh - the server, timing and medians for the parts; sourced by run.sh.
# shellcheck shell=bash

server() { as_server_user "$@"; }
sql() { server psql -XqAt -v ON_ERROR_STOP=1 "$@"; }

# A private server in $PGT_WORK with the scheduler off until a part turns it on.
start_bench_server() {
	export PATH=$PGT_BINDIR:$PATH LC_ALL=C.UTF-8 PGHOST=$PGT_WORK PGPORT=5432 PGUSER=bench PGDATABASE=bench
	unset PGSERVICE PGHOSTADDR PGOPTIONS PGSSLMODE PGPASSWORD
	cd "$PGT_WORK"
	server initdb -D data -A trust -U bench --no-sync >initdb.log 2>&1 || { cat initdb.log >&2; die "initdb failed"; }
	cat >>data/postgresql.conf <<CONF
listen_addresses = ''
unix_socket_directories = '$PGT_WORK'
shared_preload_libraries = 'pg_trickle'
pg_trickle.enabled = off
shared_buffers = 512MB
work_mem = 64MB
max_wal_size = 8GB
checkpoint_timeout = 30min
synchronous_commit = ${BENCH_SYNC:-off}
jit = off
max_parallel_workers_per_gather = 0
autovacuum_naptime = 10s
log_min_messages = warning
CONF
	server pg_ctl -D data -w -s -l server.log start || { cat server.log >&2; die "the server did not start"; }
	sql -d postgres -c 'CREATE DATABASE bench'
	sql -c 'CREATE EXTENSION pg_trickle'
}

# Turn the scheduler on or off; returns when the server has read it.
scheduler() {
	sql -c "ALTER SYSTEM SET pg_trickle.enabled = $1" -c 'SELECT pg_reload_conf()' -o /dev/null
	until [ "$(sql -c 'SHOW pg_trickle.enabled')" = "$1" ]; do sleep 0.1; done
}

create_st() {	# name, query, schedule
	sql -o /dev/null -c "SELECT pgtrickle.create_stream_table('public.$1', \$q\$$2\$q\$, schedule => '$3')" 2>&1 |
		{ grep -v NOTICE || true; }
}

# Median of the numbers on stdin.
median() {
	sort -g | awk '{ v[NR] = $1 } END { if (NR == 0) print "-"; else if (NR % 2) print v[(NR + 1) / 2]; else print (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

# Milliseconds to three useful digits.
ms() { awk -v x="$1" 'BEGIN { if (x == "-") print x; else printf(x < 1 ? "%.3f" : x < 10 ? "%.2f" : x < 100 ? "%.1f" : "%.0f", x) }'; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { if (a == "-" || b == "-" || b == 0) print "-"; else printf("%.2f", a / b) }'; }

# Run a psql script that brackets what it times with \echo @<label>, \timing;
# prints "label milliseconds" lines.
timed() {
	sql -f - | awk '/^@/ { label = substr($0, 2) } /^Time: / { print label, $2 }'
}

# The least of the numbers on stdin: what a busy machine does in a quiet moment.
fastest() { sort -g | head -n 1 | grep . || echo -; }

# Median (or another statistic of stdin) of the lines of a label in a file of
# "label milliseconds".
stat_of() { awk -v l="$2" '$1 == l { print $2 }' "$3" | "$1"; }
median_of() { awk -v l="$1" '$1 == l { print $2 }' "$2" | median; }
