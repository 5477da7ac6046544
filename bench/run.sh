#!/usr/bin/env bash
# bench/run.sh - the measurements docs/performance.md reports (make bench).
#
# Builds and installs pg_trickle, starts a private PostgreSQL in a temporary
# directory (unix socket only) and prints one table per part.  Stops the server
# and removes the directory at the end, also on Ctrl-C.  Every comparison is
# made in paired rounds: what is compared alternates within a round, and the
# figures are medians over rounds, as a client sees them.
#
#   BENCH_SCALE   short (two or three minutes) or full              (short)
#   BENCH_PARTS   which parts, of: write refresh auto noop burst freshness decode  (all of these); wal, tpch, immediate
#   BENCH_BASES   base sizes of the refresh part   (short: 100000; full: 10000 100000 1000000)
#   BENCH_DELTAS  delta sizes                      (1 10 100 1000 10000 100000)
#   BENCH_ROUNDS  rounds of each measurement       (short: 3; full: 5)
#   BENCH_SF      scale factor of the part tpch   (0.1)
#   BENCH_SYNC    synchronous_commit of the server (off)
#   BENCH_INSTALL=0  measure what is installed already
set -euo pipefail
PGT_ROOT=$(cd "$(dirname "$0")/.." && pwd)
cd "$PGT_ROOT"
. tools/lib.sh
. bench/lib.sh
. bench/write.sh
. bench/refresh.sh
. bench/freshness.sh
. bench/decode.sh
. bench/tpch.sh
. bench/immediate.sh
. bench/wal.sh
unset MAKEFLAGS MAKELEVEL MAKEOVERRIDES MFLAGS

scale=${BENCH_SCALE:-short}
case $scale in
	short) rounds=3 bases=100000 write_seconds=2 probes=200 ;;
	full) rounds=5 bases="10000 100000 1000000" write_seconds=3 probes=1000 ;;
	*) die "BENCH_SCALE is short or full, not $scale" ;;
esac
rounds=${BENCH_ROUNDS:-$rounds} bases=${BENCH_BASES:-$bases}
deltas=${BENCH_DELTAS:-1 10 100 1000 10000 100000}
parts=${BENCH_PARTS:-write refresh auto noop burst freshness decode}

finish() {
	local rc=$?
	trap '' INT TERM
	trap - EXIT
	stop_servers
	wait 2>/dev/null || true
	rm -rf "${PGT_WORK:-}"
	exit "$rc"
}
trap finish EXIT
trap 'say "interrupted: stopping the server"; exit 130' INT TERM

[ "${BENCH_INSTALL:-1}" = 0 ] || tools/install-deps.sh "${PG_CONFIG:-pg_config}"
read_pg_config
make_work_dir
[ "${BENCH_INSTALL:-1}" = 0 ] || build_and_install
start_bench_server

say "$PGT_VERSION, pg_trickle $(sql -c 'SELECT pgtrickle.version()'), $(date -u +%F)"
say "$(nproc) cores: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1); synchronous_commit = $(sql -c 'SHOW synchronous_commit'), jit off"
for part in $parts; do
	case $part in
		write | immediate | refresh | tpch | wal | auto | noop | burst | freshness | decode) "bench_$part" ;;
		*) die "no such part: $part" ;;
	esac
done
